"""What `infer` finds: the map, or what stands in its way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from regauge.errors import WeightMismatch
from regauge.findings import Finding
from regauge.weights.layout import Shape
from regauge.weights.pair_map import PairMap

Side = Literal["original", "converted"]


@dataclass(frozen=True)
class Ambiguity:
    """A tensor for which names and values leave several answers.

    Attributes:
        name: of the original.
        candidates: names of the converted model (kind ``name``), or layouts in words (kind ``layout``).
        decides: what would settle it.
        kind: ``name`` if it is open which tensor it is, ``layout`` if it is open how its elements are arranged.
        alike: other tensors of the original with the same candidates.
        target: the name in the converted model, if that is settled.
    """

    name: str
    candidates: tuple[str, ...]
    decides: str
    kind: Literal["name", "layout"] = "name"
    alike: tuple[str, ...] = ()
    target: str = ""

    def __str__(self) -> str:
        candidates = " or ".join(self.candidates)
        if self.kind == "name":
            return f"original {self.name}: may be {candidates}; {self.decides}"
        return f"original {self.name}: is {self.target}, in a layout that may be {candidates}; {self.decides}"


@dataclass(frozen=True)
class Missing:
    """A tensor without a counterpart.

    Attributes:
        side: the model that has it.
        name: of the tensor.
        shape: its sizes.
        near: (name in the other model, why it does not fit), the nearest first.
    """

    side: Side
    name: str
    shape: Shape
    near: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        near = "".join(f"; {name}: {reason}" for name, reason in self.near)
        return f"{self.side} {self.name} {list(self.shape)}: no counterpart" + (near or "; nothing comes near")


@dataclass(frozen=True)
class Pairing:
    """The weight map between two models, or why there is none.

    Attributes:
        partial: what is settled; not total if something is ambiguous or missing.
        ambiguities: what is open.
        missing: tensors of either side without a counterpart.
        evidence: by target: given, name, value, or only shape that fits.
        findings: what a person should know about what was settled.
        mistakes: problems of what was given.
    """

    partial: PairMap
    ambiguities: tuple[Ambiguity, ...] = ()
    missing: tuple[Missing, ...] = ()
    findings: tuple[Finding, ...] = ()
    mistakes: tuple[str, ...] = ()

    @property
    def map(self) -> PairMap | None:
        """The total, one-to-one map; None if something is ambiguous, missing or wrong."""
        return None if self.ambiguities or self.missing or self.mistakes else self.partial

    @property
    def evidence(self) -> Mapping[str, str]:
        return self.partial.evidence

    @property
    def problems(self) -> tuple[str, ...]:
        """Everything that stands in the way of a map, one sentence each."""
        return (*self.mistakes, *map(str, self.missing), *map(str, self.ambiguities))

    def require(self) -> PairMap:
        """The map.

        Raises:
            WeightMismatch: there is none; with every problem, near candidates and what to do.
        """
        found = self.map
        if found is not None:
            return found
        raise WeightMismatch(
            f"the weights of the two models cannot be paired: {len(self.problems)} problems",
            code="W143",
            details=self.problems,
            why="a map must be total and one-to-one, and is never guessed",
            next="give the names that are open: a dict from the original's to the converted model's",
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "map": self.partial.to_json(),
            "complete": self.map is not None,
            "ambiguities": [
                {"name": a.name, "kind": a.kind, "target": a.target, "candidates": list(a.candidates),
                 "alike": list(a.alike), "decides": a.decides}
                for a in self.ambiguities
            ],
            "missing": [
                {"side": m.side, "name": m.name, "shape": list(m.shape), "near": [list(pair) for pair in m.near]}
                for m in self.missing
            ],
            "findings": [finding.to_json() for finding in self.findings],
            "problems": list(self.problems),
        }  # fmt: skip
