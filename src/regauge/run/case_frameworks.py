"""Which framework a case belongs to, told from its file or by a worker; imports neither."""

from __future__ import annotations

import ast
from pathlib import Path

from regauge.cases import case_path
from regauge.errors import BadCase, MissingFramework, RegaugeError
from regauge.run.launch import Framework, Interpreters, launch

_PACKAGES: dict[str, Framework] = {
    "torch": "torch",
    "torchvision": "torch",
    "transformers": "torch",
    "jax": "jax",
    "flax": "jax",
    "equinox": "jax",
    "haiku": "jax",
    "optax": "jax",
}
FRAMEWORKS: tuple[Framework, ...] = ("torch", "jax")


def framework_of_case(reference: str, work: Path, interpreters: Interpreters) -> Framework:
    """The framework of a case: read from what its file imports, or asked of a worker that loads it."""
    path = case_path(reference)
    found = imported_frameworks(path) if path else set()
    if len(found) == 1:
        return found.pop()
    work.mkdir(parents=True, exist_ok=True)
    failed: RegaugeError | None = None
    for framework in FRAMEWORKS:
        try:
            reply = launch(
                framework, {"job": "framework", "case": reference, "out": str(work)}, interpreters=interpreters
            )
        except MissingFramework as error:
            failed = error
            continue
        except BadCase as error:
            failed = error
            if "No module named" not in error.what and "no module named" not in error.what:
                raise
            continue
        if reply["framework"] in FRAMEWORKS:
            return reply["framework"]
        failed = BadCase(
            f"{reference} holds a model of neither PyTorch nor JAX",
            received=reply["model"],
            next="give a torch.nn.Module, a model of JAX, or a function that uses one of them",
        )
    raise failed or BadCase(f"{reference} cannot be loaded")


def imported_frameworks(path: Path) -> set[Framework]:
    """The frameworks that a file imports by itself, without running it."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return set()
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return {_PACKAGES[name] for name in names if name in _PACKAGES}
