"""The built-in cases, as data: reading the list imports no framework."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

# What each extra of the built-in cases installs: the module that is imported, and the name that pip knows it by.
EXTRAS: dict[str, dict[str, str]] = {
    "vision": {"sklearn": "scikit-learn"},
    "language": {"transformers": "transformers", "tokenizers": "tokenizers"},
}


@dataclass(frozen=True)
class BuiltIn:
    """A case that regauge ships: its reference, what it is, and the extra that it needs."""

    reference: str
    summary: str
    extra: str

    @property
    def install(self) -> str:
        """The command that installs what the case needs."""
        return f"pip install 'regauge[{self.extra}]'"


BUILT_IN: dict[str, BuiltIn] = {
    "digits": BuiltIn(
        "regauge.projects.vision.digits:case",
        "a small ResNet with batch norm and dropout on scikit-learn's handwritten digits",
        "vision",
    ),
    "minilm": BuiltIn(
        "regauge.projects.language.minilm:case",
        "the pretrained all-MiniLM-L6-v2 on real sentences, with a contrastive training step",
        "language",
    ),
}


def package_of(module: str) -> str:
    """The name that pip knows a module by, where an extra says that it is another."""
    root = module.partition(".")[0]
    return next((packages[root] for packages in EXTRAS.values() if root in packages), root)


def case_path(case: str) -> Path | None:
    """The file that a case reference names, without importing it; None if there is none."""
    reference = BUILT_IN[case].reference if case in BUILT_IN else case
    target = reference.rpartition(":")[0] or reference
    if target.endswith(".py"):
        return Path(target) if Path(target).is_file() else None
    try:
        spec = importlib.util.find_spec(target)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


def case_files(reference: str) -> tuple[Path, ...]:
    """The files whose change makes results stale: the case's own, and the Python files beside it."""
    own = case_path(reference)
    return tuple(own.resolve().parent.glob("*.py")) if own else ()
