"""The fact base: what is documented about the frameworks, each fact with its sources, date and machine check.

    from regauge.decide import facts

    fact = facts.load().get("jax", "onnx_export")
    fact.value, fact.about, [source.url for source in fact.sources]

The facts stand in ``frameworks.yaml`` beside this module; ``docs/facts.md`` describes its fields. Two facts of one
dimension answer the same question for two frameworks. A fact is never a measurement.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from regauge.decide.fact_links import links_of
from regauge.errors import RegaugeError

FILE = Path(__file__).parent / "frameworks.yaml"

# The key of facts that are about several frameworks together.
COMMON = "common"
# The dimension that says whether a framework is alive, and what `replaced_by` holds where nobody named a successor.
DEVELOPED = "actively_developed"
NO_SUCCESSOR = "none named by the project"


class UnknownFact(RegaugeError):
    """No fact, framework or dimension has the name that was asked for."""

    default_code = "N210"


@dataclass(frozen=True)
class Source:
    """Where a fact was read.

    Attributes:
        ref: an address, ``github.com/owner/name@commit:path``, a package or registry entry, or what was observed.
        kind: ``docs``, ``page``, ``thread``, ``repo``, ``registry``, ``package`` or ``observed``.
    """

    ref: str
    kind: str

    @property
    def url(self) -> str | None:
        """The address of the reference (the first of several); None for what was observed."""
        return next(iter(self.links), None)

    @property
    def links(self) -> tuple[str, ...]:
        """Every address of the reference: a registry entry may name several projects."""
        return links_of(self.ref)


@dataclass(frozen=True)
class MachineCheck:
    """An expression that is true as long as the fact holds for what is installed.

    Attributes:
        imports: what is written after ``import``, in order: ``jax.numpy as jnp``.
        expr: a Python expression over these names, ``importlib`` and the helpers of `regauge.run.fact_helpers`.
        level: ``api`` (names and signatures), ``behaviour`` (runs a tiny operation) or ``metadata`` (of a package).
    """

    imports: tuple[str, ...]
    expr: str
    level: str


@dataclass(frozen=True)
class Fact:
    """One sourced statement about a framework.

    Attributes:
        id: stable; its prefix names the framework.
        framework: ``pytorch``, ``jax``, ...; ``common`` for several together.
        area: the group of questions, such as ``deployment``.
        dimension: the question that the fact answers, unique per framework; a unit stands in its name.
        statement: one or two sentences.
        value: ``yes``, ``no``, ``partial`` or a number.
        about: the version or date that the fact is about.
        sources: at least one.
        confidence: ``high``, ``medium`` or ``low`` (a vendor's or an old claim).
        check: how a machine can confirm the fact, if it can.
        replaced_by: what to use instead, where the fact is about something that ended.
        note: a limit or a remark.
    """

    id: str
    framework: str
    area: str
    dimension: str
    statement: str
    value: str | float
    about: str
    sources: tuple[Source, ...]
    confidence: str
    check: MachineCheck | None
    replaced_by: str | None
    note: str | None


@dataclass(frozen=True)
class Retirement:
    """A framework whose development ended, as its fact says.

    Attributes:
        framework: its key.
        status: the statement of the fact.
        date: the version or date that the fact is about.
        successor: what to use instead; None where nobody named one.
        sources: of the fact.
        fact_id: the fact that all of this is taken from.
    """

    framework: str
    status: str
    date: str
    successor: str | None
    sources: tuple[Source, ...]
    fact_id: str


@dataclass(frozen=True)
class FactBase:
    """All facts, in the order of the file."""

    facts: tuple[Fact, ...]

    def by_id(self, id: str) -> Fact:
        """The fact of this id.

        Raises:
            UnknownFact: there is none; near ids are named.
        """
        if id not in self._ids:
            near = difflib.get_close_matches(id, self._ids, 3)
            raise UnknownFact(
                f"there is no fact with the id {id}",
                received=id,
                next=f"close names: {', '.join(near)}" if near else "regauge facts lists all of them",
            )
        return self._ids[id]

    def get(self, framework: str, dimension: str) -> Fact | None:
        """The answer of a framework to a question; None if it is unknown."""
        return self._answers.get((framework, dimension))

    def of(self, framework: str) -> tuple[Fact, ...]:
        """The facts of a framework, none for an unknown one."""
        return tuple(fact for fact in self.facts if fact.framework == framework)

    def about(self, dimension: str) -> tuple[Fact, ...]:
        """The answers of all frameworks to a question."""
        return tuple(fact for fact in self.facts if fact.dimension == dimension)

    def dimensions(self) -> tuple[str, ...]:
        """Every question once."""
        return tuple(dict.fromkeys(fact.dimension for fact in self.facts))

    def frameworks(self) -> tuple[str, ...]:
        """Every framework key once; the last is not a framework but `COMMON`, if there are such facts."""
        keys = dict.fromkeys(fact.framework for fact in self.facts)
        return tuple(sorted(keys, key=lambda key: key == COMMON))

    def near_dimensions(self, name: str) -> list[str]:
        """Up to three dimensions whose names look like this one or hold all its words, best first."""
        names = self.dimensions()
        near = difflib.get_close_matches(name.lower().replace("-", "_").replace(" ", "_"), names, 3)
        words = [word for word in name.lower().replace("-", "_").replace(" ", "_").split("_") if word]
        near += [known for known in names if words and all(word in known for word in words)]
        return list(dict.fromkeys(near))[:3]

    def retired(self, framework: str) -> Retirement | None:
        """What ended and when, for a framework that is not developed any more; None for all others."""
        fact = self.get(framework, DEVELOPED)
        if fact is None or fact.value != "no":
            return None
        successor = None if fact.replaced_by == NO_SUCCESSOR else fact.replaced_by
        return Retirement(framework, fact.statement, fact.about, successor, fact.sources, fact.id)

    @cached_property
    def _ids(self) -> Mapping[str, Fact]:
        return {fact.id: fact for fact in self.facts}

    @cached_property
    def _answers(self) -> Mapping[tuple[str, str], Fact]:
        return {(fact.framework, fact.dimension): fact for fact in self.facts}


@lru_cache(maxsize=1)
def load() -> FactBase:
    """The facts of the package, read and validated once per process.

    Raises:
        BadFacts: the file is missing, is not YAML or breaks the schema; the message names line and field.
    """
    from regauge.decide.fact_file import read_facts

    return FactBase(tuple(read_facts(FILE)))


def retired(framework: str) -> Retirement | None:
    """`FactBase.retired` of the facts of the package."""
    return load().retired(framework)


def near(name: str, known: Iterable[str]) -> list[str]:
    """Up to three of the known names that look like `name`."""
    return difflib.get_close_matches(name.lower(), list(known), 3)
