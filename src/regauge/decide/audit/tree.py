"""The audit of a tree: every file read, the results joined."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from regauge.decide.audit.result import Audit, Target


def audit_tree(
    path: str | Path,
    to: Target | None = None,
    *,
    exclude: Sequence[str] = (),
    cases: Sequence[str] = (),
) -> Audit:
    """Read a tree (or one file) and say what a switch would take; nothing of it is run or imported.

    Args:
        path: a directory, a .py file or a notebook.
        to: jax or torch; when None the other one of what the tree mostly uses.
        exclude: glob patterns of relative paths to leave out, besides environments and build directories.
        cases: regauge cases to convert for real; only these run code, in worker processes.

    Raises:
        BadAudit: there is nothing to read at `path`.
    """
    raise NotImplementedError
