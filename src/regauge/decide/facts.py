"""The fact base: what is documented about the frameworks, each fact with its sources, date and machine check.

    from regauge.decide import facts

    fact = facts.load().get("jax", "onnx_export")
    fact.value, fact.about, [source.url for source in fact.sources]

The facts stand in ``frameworks.yaml`` beside this module; ``docs/facts.md`` describes its fields. Two facts of one
dimension answer the same question for two frameworks. A fact is never a measurement.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

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

    def to_json(self) -> dict[str, Any]:
        return {"ref": self.ref, "kind": self.kind, "url": self.url, "links": list(self.links)}


@dataclass(frozen=True)
class MachineCheck:
    """An expression that is true as long as the fact holds for what is installed.

    Attributes:
        imports: what is written after ``import``, in order: ``jax.numpy as jnp``.
        expr: a Python expression over these names, ``importlib``, and ``raises``, ``warns`` and ``has`` of
            `regauge.run.fact_checks`.
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

    def to_json(self) -> dict[str, Any]:
        """The fields by their names, each source with its links."""
        check = self.check and {**asdict(self.check), "imports": list(self.check.imports)}
        return {**asdict(self), "sources": [source.to_json() for source in self.sources], "check": check}


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

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "sources": [source.to_json() for source in self.sources]}


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
            close = near(id, self._ids)
            raise UnknownFact(
                f"there is no fact with the id {id}",
                received=id,
                next=f"close names: {', '.join(close)}" if close else "regauge facts lists all of them",
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
        """Up to three dimensions that look like this name or share words with it, best first."""
        return near(name, self.dimensions())

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
    """Up to three known names that look like `name`: as a whole, by holding all its words, or by words like these."""
    names = list(dict.fromkeys(known))
    words = _words(name)
    alike = difflib.get_close_matches("_".join(words), names, 3) + difflib.get_close_matches(name, names, 3)
    holding = [known for known in names if words and all(word in known for word in words)]
    scores = {known: sum(_likeness(word, _words(known)) for word in words) for known in names}
    similar = sorted(
        (known for known in names if words and scores[known] >= len(words) / 2), key=lambda known: -scores[known]
    )
    return list(dict.fromkeys([*alike, *holding, *similar]))[:3]


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[\W_]+", name.lower()) if word]


def _likeness(word: str, others: Iterable[str]) -> float:
    """How much the most similar of the others looks like `word`, from 0 to 1; nothing below 0.75 counts."""
    best = max((difflib.SequenceMatcher(None, word, other).ratio() for other in others), default=0.0)
    return best if best >= 0.75 else 0.0
