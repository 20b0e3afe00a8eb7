"""NEEDS.yaml as plain values, each with the line and column that it stands in.

The document is composed, not constructed: nodes keep their place, no tag makes an object, and what would explode
(aliases of aliases, thousands of levels) is refused before it is expanded.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from regauge.errors import BadNeeds

# A needs file is a page long. A hundred times that is a mistake or an attack.
LARGEST_FILE = 256 * 1024
DEEPEST = 12
MOST_VALUES = 5_000

Path_ = tuple[str | int, ...]

_SCALARS = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null")}
# A date or a base64 text is taken as the text that was written; the models then say what they want instead.
_AS_WRITTEN = {f"tag:yaml.org,2002:{name}" for name in ("timestamp", "binary")}


# YAML 1.1 takes 1e3 for text; whoever writes it means a number.
_SCIENTIFIC = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d{1,3}")


@dataclass(frozen=True)
class Mark:
    """A place in the file, counted from 1."""

    line: int
    column: int


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with the needs.

    Attributes:
        what: a plain sentence without values.
        field: dotted path such as ``hardware.train[0]``; empty for the file as a whole.
        read: what was found.
        allowed: what could stand there.
        mark: where, if the needs come from a file.
    """

    what: str
    field: str = ""
    read: str = ""
    allowed: str = ""
    mark: Mark | None = None

    def line(self, file: str) -> str:
        """One line for the reader: place, field, what is wrong, what was read, what is allowed."""
        place = f"{file}:{self.mark.line}:{self.mark.column}" if self.mark else file
        what = f"{place}, field {self.field}: {self.what}" if self.field else f"{place}, the whole: {self.what}"
        parts = [what]
        if self.read:
            note = f"read: {self.read}"
            parts.append(note)
        if self.allowed:
            note = f"allowed: {self.allowed}"
            parts.append(note)
        return "; ".join(parts)


@dataclass
class Document:
    """The values of a file and their places; `problems` are those of the text itself."""

    data: Any
    marks: dict[Path_, Mark] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def mark(self, place: Path_) -> Mark | None:
        """Where a field stands; the place of what contains it where it is missing."""
        for length in range(len(place), -1, -1):
            if place[:length] in self.marks:
                return self.marks[place[:length]]
        return None


def refuse(file: str, problems: list[Problem]) -> BadNeeds:
    """One error for all that is wrong, in the order of the file."""
    ordered = sorted(dict.fromkeys(problems), key=lambda p: (p.mark.line, p.mark.column) if p.mark else (0, 0))
    first = ordered[0].mark
    return BadNeeds(
        "the needs cannot be used",
        where=f"{file}:{first.line}" if first else file,
        next="regauge choose --template writes a commented example",
        details=[problem.line(file) for problem in ordered],
    )


def read_file(path: Path) -> Document:
    """The document of a file.

    Raises:
        BadNeeds: it is missing, not readable, not text, too large, too deep or no YAML.
    """
    try:
        if path.is_dir():
            raise _unusable("NEEDS.yaml must be a file", where=str(path), received="a directory")
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except FileNotFoundError as error:
        raise BadNeeds(
            f"no such file: {path}", where=str(path), next="regauge choose --template writes a commented example"
        ) from error
    except OSError as error:
        raise _unusable(f"the needs cannot be read: {error.strerror or error}", where=str(path)) from error
    if len(content) > LARGEST_FILE:
        raise _unusable("the needs are too large", where=str(path), received=f"more than {LARGEST_FILE // 1024} KiB")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _unusable(
            "the needs are not text", where=str(path), received=f"byte {error.start} is not UTF-8"
        ) from error
    if "\0" in text:
        raise _unusable("the needs are not text", where=str(path), received="a zero byte")
    return parse(text, str(path))


def _unusable(what: str, *, where: str, received: str = "") -> BadNeeds:
    return BadNeeds(
        what,
        where=where,
        received=received,
        why="NEEDS.yaml is a short YAML text in UTF-8",
        next="regauge choose --template writes a commented example",
    )


def parse(text: str, file: str) -> Document:
    """The document of a text.

    Raises:
        BadNeeds: no YAML, several documents, too deep, or too many values.
    """
    try:
        _refuse_depth(text, file)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
        raise _unusable("the needs are not valid YAML", where=place, received=_one_line(error)) from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: an escape that stands for no character
        raise _unusable("the needs are not valid YAML", where=file, received=" ".join(str(error).split())) from error
    document = Document(None)
    if root is not None:
        document.data = _Reader(document, file).value(root, ())
    return document


def _one_line(error: yaml.MarkedYAMLError) -> str:
    return "; ".join(str(part) for part in (error.context, error.problem) if part)


def _refuse_depth(text: str, file: str) -> None:
    """Events come from a state machine, so that depth is known before anything recurses."""
    depth = 0
    for count, event in enumerate(_events(text)):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST or count > MOST_VALUES:
            raise _unusable(
                "the needs are nested too deeply" if depth > DEEPEST else "the needs hold too many values",
                where=f"{file}:{mark.line + 1}:{mark.column + 1}" if (mark := event.start_mark) else file,
                received=f"more than {DEEPEST} levels" if depth > DEEPEST else f"more than {MOST_VALUES} values",
            )


def _events(text: str) -> Iterator[yaml.Event]:
    yield from yaml.parse(text, Loader=yaml.SafeLoader)


class _Reader:
    """Turns nodes into values and notes their places; counts every value, also those that an alias repeats."""

    def __init__(self, document: Document, file: str) -> None:
        self.document = document
        self.file = file
        self.count = 0
        self.constructor = yaml.SafeLoader("")

    def value(self, node: yaml.Node, place: Path_) -> Any:
        self._count(node, place)
        self.document.marks.setdefault(place, _mark(node))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place)
        if isinstance(node, yaml.SequenceNode):
            return tuple(self.value(item, (*place, index)) for index, item in enumerate(node.value))
        return self._scalar(node, place)

    def _count(self, node: yaml.Node, place: Path_) -> None:
        self.count += 1
        if self.count > MOST_VALUES or len(place) > DEEPEST:
            mark = _mark(node)
            raise _unusable(
                "aliases repeat each other too often",
                where=f"{self.file}:{mark.line}:{mark.column}",
                received=f"more than {MOST_VALUES} values or {DEEPEST} levels after expanding them",
            )

    def _mapping(self, node: yaml.MappingNode, place: Path_) -> dict[Hashable, Any]:
        found: dict[Hashable, Any] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node, place)
            if key is None:
                continue
            if key in found:
                self._problem("the field stands here twice", (*place, key), key, "", key_node)
                continue
            found[key] = self.value(value_node, (*place, key))
            self.document.marks[(*place, key)] = _mark(key_node)
        return found

    def _key(self, node: yaml.Node, place: Path_) -> str | None:
        if isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:str":
            return str(node.value)
        read = node.value if isinstance(node, yaml.ScalarNode) else type(node).__name__.removesuffix("Node").lower()
        self._problem("the name of a field must be text", place, str(read), "a name", node)
        return None

    def _scalar(self, node: yaml.Node, place: Path_) -> Any:
        if node.tag in _AS_WRITTEN:
            return node.value
        if isinstance(node, yaml.ScalarNode) and node.style is None and _SCIENTIFIC.fullmatch(node.value):
            return float(node.value)
        if node.tag not in _SCALARS:
            self._problem("a tag that NEEDS.yaml does not have", place, node.tag, "plain values", node)
            return None
        try:
            value = self.constructor.construct_object(node)
        except (ValueError, OverflowError, yaml.YAMLError):
            self._problem("the value cannot be read", place, str(node.value), "", node)
            return None
        if isinstance(value, float) and not math.isfinite(value):
            self._problem("not a finite number", place, str(node.value), "a number", node)
            return None
        return value

    def _problem(self, what: str, place: Path_, read: str, allowed: str, node: yaml.Node) -> None:
        self.document.problems.append(Problem(what, dotted(place), shortened(read), allowed, _mark(node)))


def _mark(node: yaml.Node) -> Mark:
    return Mark(node.start_mark.line + 1, node.start_mark.column + 1)


def dotted(place: Path_) -> str:
    """``hardware.train[0]`` of ``("hardware", "train", 0)``."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def shortened(text: str, width: int = 60) -> str:
    """On one line and not longer than `width` characters."""
    line = " ".join(text.split()).encode("utf-8", "backslashreplace").decode()
    return line if len(line) <= width else f"{line[: width - 3]}..."
