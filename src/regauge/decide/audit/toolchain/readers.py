"""Which lines of which files say what is installed, and how each is written for the other side."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any

from regauge.decide.audit.toolchain import notations
from regauge.decide.audit.toolchain.notations import Edit
from regauge.decide.audit.toolchain.packages import OLDEST_PYTHON, SPECIFIER, Replacer
from regauge.language import N_

Numbered = Iterator[tuple[int, Edit]]
LOCKED = N_("a lock file is made anew from the requirements")
PYTHON = N_("the packages of the other side need a newer Python")
CHANNEL = N_("the channel has builds of PyTorch only")


def reader_of(path: str) -> Callable[[str, Replacer], Numbered] | None:
    """The reader of a file by its name; None for a file that is no part of the tool chain."""
    pure = PurePosixPath(path)
    name = pure.name
    folder = pure.parent.name
    for patterns, reader in _READERS:
        if any(fnmatchcase(name.lower(), pattern) for pattern in patterns):
            return reader
    if folder in ("requirements", "constraints") and pure.suffix in (".txt", ".in"):
        return read_requirements
    if ".github/workflows" in path and pure.suffix in (".yml", ".yaml"):
        return read_commands
    return None


def read_requirements(text: str, replacer: Replacer) -> Numbered:
    """requirements.txt and its like."""
    lines = text.split("\n")
    for line in lines:
        replacer.see(line.partition("#")[0])
    replacer.cuda = bool(re.search(r"/whl/cu\d|\+cu\d", text))
    for number, line in enumerate(lines, 1):
        edit = notations.requirement(line, replacer)
        if edit is not None:
            yield number, edit


def read_commands(text: str, replacer: Replacer) -> Numbered:
    """Containers, workflows and scripts: commands, also over several lines."""
    replacer.cuda = bool(re.search(r"/whl/cu\d|nvidia/cuda|pytorch[\w./:-]*cuda", text))
    continued = False
    for number, line in enumerate(text.split("\n"), 1):
        edit = notations.command(line, replacer)
        if continued and edit is None and not line.lstrip().startswith("#"):
            reasons: list[str] = []
            new = notations.packages(line, replacer, reasons)
            edit = (new, "; ".join(dict.fromkeys(reasons))) if reasons else None
        if edit is not None:
            yield number, edit
        installs = bool(re.search(r"\b(?:pip3?|conda|mamba|uv)\s+(?:pip\s+)?(?:install|add)\b", line)) or continued
        continued = installs and line.rstrip().endswith("\\")


def read_environment(text: str, replacer: Replacer) -> Numbered:
    """environment.yml of conda: channels, dependencies, and pip's list inside."""
    lines = text.split("\n")
    replacer.cuda = "cuda" in text
    for line in lines:
        replacer.see(line.strip().removeprefix("- "))
    section, pip = "", False
    for number, line in enumerate(lines, 1):
        head = re.match(r"(\w+):", line)
        if head:
            section = head[1]
        if section == "channels" and re.match(r"\s*-\s*[\"']?(pytorch|nvidia|pyg)[\"']?\s*(#.*)?$", line):
            if replacer.target == "jax":
                yield number, ("", CHANNEL)
        elif section == "dependencies":
            pip = pip or bool(re.match(r"\s*-\s*pip:", line))
            edit = notations.item(line, replacer, extras=pip)
            if edit is not None:
                yield number, edit


def read_pyproject(text: str, replacer: Replacer) -> Numbered:
    """pyproject.toml and Pipfile: the strings of their own tables, keys of Poetry's, the oldest Python."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    known = set(_requirements(data))
    for each in known:
        replacer.see(each)
    replacer.cuda = bool(re.search(r"/whl/cu\d|\+cu\d", text))
    section = ""
    for number, line in enumerate(text.split("\n"), 1):
        head = re.match(r"\s*\[+([^\]]+)\]+", line)
        if head:
            section = head[1].strip().lower()
            continue
        python = _python(line, replacer)
        by_key = section.endswith("dependencies") or section in ("packages", "dev-packages")
        edit = python or (notations.key(line, replacer) if by_key else None) or notations.strings(line, known, replacer)
        if edit is not None:
            yield number, edit


def _requirements(data: Any, inside: bool = False) -> Iterator[str]:
    """Requirement strings of a TOML document: those in lists under a key that says so."""
    if isinstance(data, dict):
        for name, value in data.items():
            said = any(
                word in str(name).lower() for word in ("dependencies", "dependency-groups", "requires", "groups")
            )
            yield from _requirements(value, inside or (said and name != "requires-python"))
    elif isinstance(data, list):
        for value in data:
            if isinstance(value, str) and inside and SPECIFIER.match(value.strip()):
                yield value
            else:
                yield from _requirements(value, inside)


def read_setup_cfg(text: str, replacer: Replacer) -> Numbered:
    """setup.cfg and tox.ini: indented lines under a key that lists requirements; commands elsewhere."""
    listed = False
    for number, line in enumerate(text.split("\n"), 1):
        head = re.match(r"([\w.\-:]+)\s*[=:]\s*(.*)$", line)
        if re.match(r"\[", line):
            listed = "extras_require" in line
        elif head and not line[:1].isspace():
            listed = head[1] in ("install_requires", "setup_requires", "tests_require", "deps", "requires") or (
                listed and "extras_require" in text[: text.find(line)].rsplit("[", 1)[-1]
            )
            edit = _python(line, replacer) or notations.command(line, replacer)
            if edit is not None:
                yield number, edit
            continue
        edit = notations.requirement(line, replacer) if listed and line.strip() else notations.command(line, replacer)
        if edit is not None:
            yield number, edit


def read_setup_py(text: str, replacer: Replacer) -> Numbered:
    """setup.py and noxfile.py: strings in what lists requirements, by the syntax tree; never run."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return
    found: dict[int, set[str]] = {}
    for value in _listing(tree):
        for node in ast.walk(value):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and SPECIFIER.match(node.value.strip()):
                found.setdefault(node.lineno, set()).add(node.value)
                replacer.see(node.value)
    for number, line in enumerate(text.split("\n"), 1):
        edit = notations.strings(line, found.get(number, ()), replacer) or _python(line, replacer)
        if edit is not None:
            yield number, edit


def _listing(tree: ast.Module) -> Iterator[ast.expr]:
    """Values of arguments and names that list requirements, and arguments of a session's install."""
    words = ("require", "deps", "dependenc")
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg and any(word in node.arg for word in words):
            yield node.value
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [ast.unparse(target).lower() for target in targets]
            if any(word in name for word in words for name in names):
                yield node.value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "install":
            yield from node.args


def _python(line: str, replacer: Replacer) -> Edit | None:
    """The oldest Python that a package says it runs on."""
    match = re.match(
        r"(\s*(?:requires-python|python_requires|python)\s*=\s*[\"']?\s*(?:>=|\^|~=))\s*(\d+)\.(\d+)", line
    )
    oldest = OLDEST_PYTHON[replacer.target]
    if match is None or (int(match[2]), int(match[3])) >= oldest:
        return None
    return f"{match[1]}{oldest[0]}.{oldest[1]}{line[match.end() :]}", PYTHON


def read_lock(text: str, replacer: Replacer) -> Numbered:
    """A lock file is named once, and not rewritten."""
    gone = "torch" if replacer.target == "jax" else "jax"
    for number, line in enumerate(text.split("\n"), 1):
        if re.search(rf"[\"']?name[\"']?\s*[=:]\s*[\"']{gone}[\"']|^\s*[\"']{gone}[\"']\s*:", line):
            yield number, (line, LOCKED)
            return


_READERS: tuple[tuple[tuple[str, ...], Callable[[str, Replacer], Numbered]], ...] = (
    (
        ("requirements*.txt", "requirements*.in", "constraints*.txt", "*-requirements.txt", "*_requirements.txt"),
        read_requirements,
    ),
    (("pyproject.toml", "pipfile"), read_pyproject),
    (("setup.cfg", "tox.ini"), read_setup_cfg),
    (("setup.py", "noxfile.py"), read_setup_py),
    (("environment*.yml", "environment*.yaml", "conda*.yml", "conda*.yaml", "env.yml", "env.yaml"), read_environment),
    (("dockerfile*", "*.dockerfile", "containerfile*"), read_commands),
    ((".gitlab-ci.yml", "azure-pipelines.yml", ".travis.yml", "docker-compose*.yml", "makefile"), read_commands),
    (("poetry.lock", "pipfile.lock", "uv.lock", "pdm.lock"), read_lock),
)
