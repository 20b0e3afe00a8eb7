"""What there is to read: Python files and notebooks of a tree, and the text of each. A bad file is one finding."""

from __future__ import annotations

import ast
import json
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from regauge.errors import RegaugeError
from regauge.findings import Finding

# Not a person's own code; left out unless the audited path itself is one of them or lies inside.
LEFT_OUT = {
    ".eggs",
    ".git",
    ".hg",
    ".ipynb_checkpoints",
    ".mypy_cache",
    ".nox",
    ".pytest_cache",
    ".ruff_cache",
    ".svn",
    ".tox",
    ".venv",
    "__pycache__",
    "build",
    "dist",
    "node_modules",
    "site-packages",
    "venv",
}
PYTHON = (".py", ".pyi", ".ipynb")
LARGEST = 4 * 2**20  # bytes; a Python file beyond it is data


class BadAudit(RegaugeError):
    """There is nothing to audit at the path that was given."""

    default_code = "A100"


@dataclass(frozen=True)
class Tree:
    """The files under a path, relative to `root`, in alphabetical order.

    Attributes:
        python: Python files and notebooks.
        others: all other files: the tool chain is looked for among them.
        findings: links that were not followed, directories that could not be read.
    """

    root: Path
    python: tuple[str, ...]
    others: tuple[str, ...]
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Source:
    """The text of a file as Python can parse it; for a notebook the line before each cell's first, in order."""

    tree: ast.Module
    lines: int
    cells: tuple[int, ...] = ()
    findings: tuple[Finding, ...] = ()


def discover(path: Path, exclude: Sequence[str] = ()) -> Tree:
    """The files of a directory, or the one file that was named.

    Raises:
        BadAudit: nothing there, not a directory or Python file, or no Python file in it.
    """
    if not path.exists():
        raise BadAudit("no such file or directory", where=str(path), next="check the path")
    if path.is_file():
        if path.suffix not in PYTHON:
            raise BadAudit(
                "an audit reads a directory, a Python file or a notebook",
                where=str(path),
                received=f"a file that ends in {path.suffix or 'nothing'}",
                next="name a directory, or a file that ends in .py or .ipynb",
            )
        return Tree(path.parent.resolve(), (path.name,), (), ())
    root = path.resolve()
    python, others, findings = [], [], []
    for name, note in _walk(root, tuple(exclude)):
        if note is not None:
            findings.append(note)
        elif name.endswith(PYTHON):
            python.append(name)
        else:
            others.append(name)
    if not python:
        raise BadAudit(
            "no Python file in this directory",
            code="A110",
            where=str(path),
            why="environments, build directories and what --exclude names are left out",
            next="name the directory that holds the code",
        )
    return Tree(root, tuple(sorted(python)), tuple(sorted(others)), tuple(findings))


def _walk(root: Path, exclude: tuple[str, ...]) -> Iterator[tuple[str, Finding | None]]:
    problems: list[OSError] = []
    for directory, inner, files in os.walk(root, onerror=problems.append, followlinks=False):
        place = Path(directory)
        relative = "" if place == root else place.relative_to(root).as_posix() + "/"
        kept = []
        for name in sorted(inner):
            environment = (place / name / "pyvenv.cfg").is_file()
            if environment or name in LEFT_OUT or name.endswith(".egg-info") or _excluded(relative + name, exclude):
                continue
            if (place / name).is_symlink():
                yield relative + name, Finding("A210", "info", relative + name, "a link to a directory: not followed")
                continue
            kept.append(name)
        inner[:] = kept
        for name in files:
            if not _excluded(relative + name, exclude):
                yield relative + name, None
    for problem in problems:
        where = _relative(str(problem.filename), root)
        yield where, Finding("A211", "warning", where, f"the directory cannot be read: {problem.strerror}")


def _relative(name: str, root: Path) -> str:
    return Path(name).relative_to(root).as_posix() if name.startswith(str(root)) else name


def _excluded(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern.rstrip("/")) for pattern in patterns)


def read_text(path: Path) -> bytes:
    """The bytes of a file of reasonable size.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no regular file, larger than `LARGEST`, or binary.
    """
    if not path.is_file():
        raise ValueError("it is not a regular file")
    size = path.stat().st_size
    if size > LARGEST:
        raise ValueError(f"it has {size / 2**20:.0f} MiB, more than source code has")
    data = path.read_bytes()
    if b"\0" in data[:8192]:
        raise ValueError("it is binary")
    return data


def read_source(path: Path, name: str) -> Source | Finding:
    """A file as a syntax tree, or the one finding that says why there is none."""
    try:
        data = read_text(path)
    except OSError as error:
        return Finding("A220", "warning", name, f"the file cannot be read: {error.strerror or error}")
    except ValueError as error:
        return Finding("A221", "warning", name, f"the file is left out: {error}")
    if path.suffix == ".ipynb":
        return _notebook(data, name)
    parsed = _parse(data)
    if isinstance(parsed, ast.Module):
        return Source(parsed, _filled(data))
    line, problem = parsed
    return Finding("A230", "warning", f"{name}:{line}", f"the file is not Python 3: {problem}")


def _parse(data: bytes | str) -> ast.Module | tuple[int, str]:
    """The tree, or the line and the reason."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes and the like are the author's business
            return ast.parse(data)
    except SyntaxError as error:
        return error.lineno or 1, error.msg
    except (ValueError, UnicodeError, LookupError) as error:
        return 1, str(error)
    except (RecursionError, MemoryError):
        return 1, "it is nested too deeply to be parsed"


def _filled(data: bytes) -> int:
    return sum(1 for line in data.splitlines() if line.strip())


# Notebooks ----------------------------------------------------------------------------------------------------------


def _notebook(data: bytes, name: str) -> Source | Finding:
    """All code cells as one module; a cell that is no Python becomes empty lines and a finding."""
    try:
        cells = json.loads(data)["cells"]
        texts = [
            "".join(cell["source"]) if isinstance(cell["source"], list) else str(cell["source"])
            for cell in cells
            if cell.get("cell_type") == "code"
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return Finding("A231", "warning", name, f"the notebook cannot be read: {type(error).__name__}: {error}")
    lines: list[str] = []
    starts: list[int] = []
    findings: list[Finding] = []
    for number, text in enumerate(texts, 1):
        starts.append(len(lines))
        cell = _without_magics(text)
        parsed = _parse("\n".join(cell))
        if not isinstance(parsed, ast.Module):
            where = f"{name}, cell {number}, line {parsed[0]}"
            findings.append(Finding("A232", "warning", where, f"the cell is not Python 3: {parsed[1]}"))
            cell = [""] * len(cell)
        lines += cell
    whole = _parse("\n".join(lines))
    if not isinstance(whole, ast.Module):  # only a __future__ import in a later cell can do this
        return Finding("A231", "warning", name, f"the notebook cannot be read: {whole[1]}")
    return Source(whole, sum(1 for line in lines if line.strip()), tuple(starts), tuple(findings))


def _without_magics(text: str) -> list[str]:
    """Lines of a cell in which IPython's own notation is replaced by ``pass``, so that positions stay."""
    lines = text.splitlines()
    first = next((line.strip() for line in lines if line.strip()), "")
    if first.startswith("%%") and first.split()[0] not in ("%%time", "%%timeit", "%%capture", "%%prun"):
        return [""] * len(lines)  # another language
    cleaned = []
    for line in lines:
        code = line.strip()
        magic = code.startswith(("%", "!", "?")) or (code.endswith("?") and not code.startswith("#"))
        cleaned.append(line[: len(line) - len(line.lstrip())] + "pass" if magic else line)
    return cleaned


def place(name: str, line: int, cells: Sequence[int] = ()) -> str:
    """``file.py:12``, or ``notebook.ipynb, cell 3, line 2``."""
    if not cells:
        return f"{name}:{line}"
    number = sum(start < line for start in cells)
    return f"{name}, cell {number}, line {line - cells[number - 1]}"
