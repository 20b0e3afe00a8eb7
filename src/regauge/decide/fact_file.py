"""The file of facts: reading it with the line of every field, and its schema."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from regauge.decide.facts import Fact, MachineCheck, Source
from regauge.errors import RegaugeError

# The prefix of an id names the framework.
FRAMEWORKS = {
    "pt": "pytorch",
    "jx": "jax",
    "tf": "tensorflow",
    "kr": "keras",
    "th": "theano",
    "ae": "aesara",
    "py": "pytensor",
    "mx": "mxnet",
    "hv": "horovod",
    "xx": "common",
}
AREAS = (
    "programming-model",
    "autodiff",
    "vectorisation",
    "data",
    "models",
    "optimisers",
    "checkpointing",
    "distributed",
    "hardware",
    "deployment",
    "ecosystem",
    "tooling",
    "governance",
    "community",
    "status",
)
VALUES = ("yes", "no", "partial")
KINDS = ("docs", "page", "thread", "repo", "registry", "package", "observed")
CONFIDENCES = ("high", "medium", "low")
LEVELS = ("api", "behaviour", "metadata")

REQUIRED = (
    "id",
    "framework",
    "area",
    "dimension",
    "statement",
    "value",
    "about",
    "source",
    "confidence",
    "check",
)
OPTIONAL = ("replaced_by", "note")

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same rules in C, where PyYAML was built with it


class BadFacts(RegaugeError):
    """The file of facts is damaged."""

    default_code = "N200"


def read_facts(path: Path) -> list[Fact]:
    """The facts of a YAML file, in its order.

    Raises:
        BadFacts: the file cannot be read, is not YAML, or breaks the schema; the message names line and field.
    """
    try:
        loader = LOADER(path.read_text(encoding="utf-8"))
        return _Reader(path, loader).facts(loader.get_single_node())
    except (OSError, UnicodeDecodeError) as error:
        raise BadFacts(f"the file of facts cannot be read: {error}", where=str(path)) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise BadFacts("the file of facts is not YAML", where=place, received=str(error).split("\n")[0]) from error


class _Reader:
    """Turns the nodes of a file into facts; every refusal names the line and the field."""

    def __init__(self, path: Path, loader: Any) -> None:
        self.path = path
        self.loader = loader

    def facts(self, root: yaml.Node | None) -> list[Fact]:
        if not isinstance(root, yaml.SequenceNode) or not root.value:
            raise BadFacts("the file of facts holds no list of facts", where=str(self.path))
        facts: list[Fact] = []
        ids: dict[str, int] = {}
        answers: dict[tuple[str, str], int] = {}
        for node in root.value:
            fact = self._fact(node)
            line = node.start_mark.line + 1
            if fact.id in ids:
                raise self._bad(node, "id", f"it is used twice, first in line {ids[fact.id]}", fact.id)
            answer = (fact.framework, fact.dimension)
            if answer in answers:
                raise self._bad(
                    node,
                    "dimension",
                    f"one framework has two answers to this question, the first in line {answers[answer]}",
                    " ".join(answer),
                )
            ids[fact.id] = answers[answer] = line
            facts.append(fact)
        return facts

    def _fact(self, node: yaml.Node) -> Fact:
        fields = self._fields(node, "fact", REQUIRED, OPTIONAL)
        fact = Fact(
            id=self._text(fields["id"], "id"),
            framework=self._one_of(fields["framework"], "framework", tuple(FRAMEWORKS.values())),
            area=self._one_of(fields["area"], "area", AREAS),
            dimension=self._text(fields["dimension"], "dimension"),
            statement=self._text(fields["statement"], "statement"),
            value=self._value(fields["value"]),
            about=self._text(fields["about"], "about"),
            sources=tuple(self._sources(fields["source"])),
            confidence=self._one_of(fields["confidence"], "confidence", CONFIDENCES),
            check=self._check(fields["check"]),
            replaced_by=self._text(fields["replaced_by"], "replaced_by") if "replaced_by" in fields else None,
            note=self._text(fields["note"], "note") if "note" in fields else None,
        )
        if FRAMEWORKS.get(fact.id.partition("-")[0]) != fact.framework:
            raise self._bad(fields["id"], "id", f"it lacks the prefix of the framework {fact.framework}", fact.id)
        if not fact.dimension.replace("_", "a").isalnum() or fact.dimension != fact.dimension.lower():
            raise self._bad(
                fields["dimension"],
                "dimension",
                "it must be lower-case words joined by underscores",
                fact.dimension,
            )
        return fact

    def _value(self, node: yaml.Node) -> str | float:
        value = self.loader.construct_object(node, deep=True)
        if isinstance(value, bool):
            raise self._bad(node, "value", "it must stand in quotes: YAML reads a bare yes or no as a boolean", value)
        if isinstance(value, int | float) and math.isfinite(value):
            return value
        if value not in VALUES:
            raise self._bad(node, "value", f"it must be a number or one of {', '.join(VALUES)}", value)
        return value

    def _sources(self, node: yaml.Node) -> Iterator[Source]:
        if not isinstance(node, yaml.SequenceNode) or not node.value:
            raise self._bad(
                node, "source", "it must be a list with at least one source", self.loader.construct_object(node)
            )
        for item in node.value:
            fields = self._fields(item, "source", ("ref", "kind"))
            yield Source(self._text(fields["ref"], "ref"), self._one_of(fields["kind"], "kind", KINDS))

    def _check(self, node: yaml.Node) -> MachineCheck | None:
        if isinstance(node, yaml.ScalarNode) and self.loader.construct_object(node) is None:
            return None
        fields = self._fields(node, "check", ("imports", "expr", "level"))
        imports = fields["imports"]
        if not isinstance(imports, yaml.SequenceNode) or not imports.value:
            raise self._bad(
                imports,
                "imports",
                "it must be a list with at least one import",
                self.loader.construct_object(imports),
            )
        names = tuple(self._text(item, "imports") for item in imports.value)
        expression = self._text(fields["expr"], "expr")
        self._compile(imports, "imports", "\n".join(f"import {name}" for name in names), "exec")
        self._compile(fields["expr"], "expr", expression, "eval")
        return MachineCheck(names, expression, self._one_of(fields["level"], "level", LEVELS))

    def _compile(self, node: yaml.Node, field: str, source: str, mode: str) -> None:
        try:
            compile(source, field, mode)
        except (SyntaxError, ValueError) as error:
            raise self._bad(node, field, f"it is not Python: {error}", source) from error

    def _fields(
        self,
        node: yaml.Node,
        what: str,
        required: tuple[str, ...],
        optional: tuple[str, ...] = (),
    ) -> dict[str, yaml.Node]:
        if not isinstance(node, yaml.MappingNode):
            raise self._bad(node, what, "it must be a mapping of fields", self.loader.construct_object(node, deep=True))
        found: dict[str, yaml.Node] = {}
        for key, value in node.value:
            name = str(key.value)
            if name in found:
                raise self._bad(key, name, "it is given twice", name)
            if name not in required + optional:
                raise self._bad(key, name, "no field has this name", name)
            found[name] = value
        for name in required:
            if name not in found:
                raise self._bad(node, name, "it is missing", ", ".join(found))
        return found

    def _text(self, node: yaml.Node, field: str) -> str:
        value = self.loader.construct_object(node, deep=True)
        if not isinstance(value, str) or not value.strip():
            raise self._bad(node, field, "it must be a text that is not empty", value)
        return value

    def _one_of(self, node: yaml.Node, field: str, allowed: tuple[str, ...]) -> str:
        value = self._text(node, field)
        if value not in allowed:
            raise self._bad(node, field, f"it must be one of {', '.join(allowed)}", value)
        return value

    def _bad(self, node: yaml.Node, field: str, rule: str, received: object) -> BadFacts:
        return BadFacts(
            f"the field {field} breaks the schema of facts; {rule}",
            where=f"{self.path}:{node.start_mark.line + 1}",
            received=str(received),
            why="every answer is traced to these facts, so a damaged file is not used in part",
        )
