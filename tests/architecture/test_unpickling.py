"""Nothing that a person hands over is unpickled, unless they run a file that asks for it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "src" / "regauge"

# what may unpickle, and why it is no file of a stranger
ALLOWED = {
    "replaying.py": "models that a check stored beside the reproduce.py that a person runs",
    "decide/audit/scanning.py": "what the parent and its own workers write for each other",
}
UNPICKLING = {"pickle", "cPickle", "dill", "cloudpickle", "joblib"}


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def unpickled(source: str) -> list[str]:
    """Calls that run code of a file: loads of pickles, `torch.load` and `numpy.load` without their guards."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        owner, name = ast.unparse(node.func.value), node.func.attr
        given = {word.arg: ast.unparse(word.value) for word in node.keywords}
        pickles = owner in UNPICKLING and name in ("load", "loads", "Unpickler")
        weights = owner == "torch" and name == "load" and given.get("weights_only") != "True"
        arrays = owner in ("np", "numpy") and name == "load" and "allow_pickle" in given
        if pickles or weights or arrays:
            found.append(ast.unparse(node.func))
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=name_of)
def test_only_what_was_asked_for_is_unpickled(path: Path) -> None:
    found = unpickled(path.read_text(encoding="utf-8"))
    assert bool(found) == (name_of(path) in ALLOWED), found


@pytest.mark.parametrize(
    "source",
    ["pickle.load(file)", "torch.load(path)", "torch.load(path, weights_only=False)", "np.load(p, allow_pickle=True)"],
)
def test_the_scan_finds_what_runs_code(source: str) -> None:
    assert unpickled(source)
    assert unpickled("torch.load(path, weights_only=True); np.load(path); pickle.dumps(model)") == []
