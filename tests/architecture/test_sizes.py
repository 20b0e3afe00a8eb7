"""Files and functions stay short enough to be read whole; no check of the product is a bare assert."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "src" / "regauge"
MODULES = sorted(PACKAGE.rglob("*.py"))
LINES_OF_A_FILE = 400
LINES_OF_A_FUNCTION = 60

# Known to be longer, with the length that they must not exceed. Shorten and remove; never add without a reason.
LONG_FILES: dict[str, int] = {}
LONG_FUNCTIONS: dict[str, int] = {}


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def functions(path: Path) -> dict[str, int]:
    """Lines of every function of a module, its decorators included, by ``file.py:qualified.name``."""
    found: dict[str, int] = {}

    def visit(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                first = min([child.lineno, *(decorator.lineno for decorator in child.decorator_list)])
                found[f"{prefix}{child.name}"] = (child.end_lineno or first) - first + 1
                visit(child, f"{prefix}{child.name}.")
            elif isinstance(child, ast.ClassDef):
                visit(child, f"{prefix}{child.name}.")
            else:
                visit(child, prefix)

    visit(ast.parse(path.read_text(encoding="utf-8")), f"{name_of(path)}:")
    return found


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_file_can_be_read_whole(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= LONG_FILES.get(name_of(path), LINES_OF_A_FILE)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_functions_fit_on_a_screen(path: Path) -> None:
    long = {
        name: lines for name, lines in functions(path).items() if lines > LONG_FUNCTIONS.get(name, LINES_OF_A_FUNCTION)
    }
    assert not long


def test_the_list_of_long_ones_shrinks() -> None:
    """An entry that is no longer needed, or higher than needed, is removed or lowered."""
    lines = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {name: lines.get(name) for name in LONG_FILES} == LONG_FILES
    lengths = {name: length for path in MODULES for name, length in functions(path).items()}
    assert {name: lengths.get(name) for name in LONG_FUNCTIONS} == LONG_FUNCTIONS


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_bare_assert(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)] == []


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_new_error_keeps_its_cause(path: Path) -> None:
    """``raise X`` inside ``except`` says ``from``; a bare ``raise`` passes the caught one on."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    lost = [
        node.lineno
        for handler in ast.walk(tree)
        if isinstance(handler, ast.ExceptHandler)
        for node in ast.walk(handler)
        if isinstance(node, ast.Raise) and node.exc is not None and node.cause is None
    ]
    assert not lost
