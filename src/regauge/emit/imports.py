"""The imports that emitted code needs: of the names that it reads, not of those that its docstrings mention."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable

Imports = Iterable[tuple[str, str]]  # a name and the line that brings it; ("", "") is a line between groups


def import_lines(known: Imports, code: str) -> str:
    """The lines of `known` whose names the code reads, in their order.

    Args:
        known: what may be imported.
        code: that parses.
    """
    read = {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}
    lines = [line for name, line in known if not name or name in read]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
