"""Which values of two traces are the same, and where on each side they stop being so.

Values are compared by fingerprints that do not depend on the order of elements, so layouts, reshapes and fused or split
computation do not matter. A value without a counterpart is no difference by itself: a formula may be factored in
another way. What counts is what leads from there to a differing result through nothing but values without counterparts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

SAME = 1e-10  # the largest relative difference of fingerprints of one value


@dataclass(frozen=True)
class TracedSide:
    """A trace as `run.tracing` describes it."""

    data: Mapping[str, Any]

    @property
    def nodes(self) -> Sequence[Mapping[str, Any]]:
        return self.data["nodes"]

    @property
    def calls(self) -> Sequence[Mapping[str, Any]]:
        return self.data["calls"]

    @property
    def results(self) -> Mapping[str, int]:
        return self.data["results"]

    @property
    def is_fine(self) -> bool:
        """Whether its calls are single operations, as those of a jaxpr are."""
        return "weight_names" in self.data

    def own_names(self, names: Iterable[str]) -> set[str]:
        """What this side calls weights that are named as the original names them."""
        wanted, known = set(names), self.data.get("weight_names")
        return {name for name, sources in known.items() if wanted & set(sources)} if known else wanted

    def place(self, node: int) -> tuple[str, int]:
        """File and line of a node; ``("", 0)`` where they are unknown."""
        frame = self.nodes[node]["frame"]
        return tuple(self.data["frames"][frame]) if frame >= 0 else ("", 0)  # type: ignore[return-value]

    @cached_property
    def consumers(self) -> list[list[int]]:
        found: list[list[int]] = [[] for _ in self.nodes]
        for number, node in enumerate(self.nodes):
            for origin in node["from"]:
                found[origin].append(number)
        return found

    @cached_property
    def depends_on_input(self) -> list[bool]:
        """Of each value, whether an input of the model is among what it is made of."""
        found: list[bool] = []
        for node in self.nodes:
            found.append(node["op"] == "input" or any(found[origin] for origin in node["from"]))
        return found

    def module(self, node: int) -> str:
        """The module that a node belongs to: its own, else that of the weights nearest to it."""
        if self.nodes[node]["module"]:
            return self.nodes[node]["module"]
        return self._by_weight(node) or self._by_weight_after(node)

    def _by_weight(self, node: int, depth: int = 4) -> str:
        origins = self.nodes[node]["from"]
        for origin in origins:
            if self.nodes[origin]["op"] == "weight":
                return self.nodes[origin]["module"]
        found = (self._by_weight(origin, depth - 1) for origin in origins) if depth else iter(())
        return next((name for name in found if name), "")

    def _by_weight_after(self, node: int, depth: int = 3) -> str:
        for consumer in self.consumers[node]:
            if name := self._by_weight(consumer, 1):
                return name
        found = (self._by_weight_after(consumer, depth - 1) for consumer in self.consumers[node]) if depth else iter(())
        return next((name for name in found if name), "")


class Alignment:
    """Two traces side by side.

    Args:
        original: of the original.
        converted: of the converted model.
    """

    def __init__(self, original: TracedSide, converted: TracedSide) -> None:
        self.sides = (original, converted)
        prints = [[node["print"] for node in side.nodes] for side in self.sides]
        self.counterparts = (_nearest(prints[0], prints[1]), _nearest(prints[1], prints[0]))

    def is_same(self, role: int, node: int) -> bool:
        """Whether a value has a counterpart; integers and what the pass is given count as the same."""
        if self.sides[role].nodes[node]["print"] is None:
            return True
        found = self.counterparts[role][node]
        return found is not None and found[1] <= SAME

    def distance(self, role: int, node: int) -> float | None:
        """How far a value is from the nearest of the other side, in fingerprints; None without a candidate."""
        found = self.counterparts[role][node]
        return None if found is None else found[1]

    def region(self, role: int, results: Iterable[str]) -> list[int]:
        """The values that lead to differing results through nothing but values without a counterpart, in order."""
        side = self.sides[role]
        pending = [side.results[name] for name in results if name in side.results]
        found = set(pending)
        while pending:
            for origin in side.nodes[pending.pop()]["from"]:
                if origin not in found and not self.is_same(role, origin):
                    found.add(origin)
                    pending.append(origin)
        return sorted(found)

    def first(self, role: int, region: Sequence[int]) -> int | None:
        """Where a region begins: the first value that is made of values that both sides have.

        What another value with a counterpart is made of, too, is a part of a formula that the other side writes in
        another way; and what is made of weights and constants alone, such as a mask, differs where it is used.
        """
        side = self.sides[role]
        fed = [n for n in region if side.depends_on_input[n]] or list(region)
        inside = set(fed)
        sources = [n for n in fed if not any(origin in inside for origin in side.nodes[n]["from"])]
        blamed = [n for n in sources if not self._rejoins(role, n, set(region))] or sources
        return blamed[0] if blamed else None

    def _rejoins(self, role: int, node: int, region: set[int]) -> bool:
        nodes = self.sides[role].nodes
        return any(
            consumer not in region and nodes[consumer]["print"] is not None and self.is_same(role, consumer)
            for consumer in self.sides[role].consumers[node]
        )


def _nearest(
    prints: Sequence[list[float] | None], others: Sequence[list[float] | None]
) -> list[tuple[int, float] | None]:
    """For each fingerprint the nearest of the other side with as many elements, and the distance."""
    groups: dict[tuple[float, float], list[int]] = defaultdict(list)
    for index, item in enumerate(others):
        if item is not None:
            groups[item[0], item[1]].append(index)
    tables = {key: np.array([others[i][2:] for i in indices]) for key, indices in groups.items()}  # type: ignore[index]
    found: list[tuple[int, float] | None] = []
    for item in prints:
        key = (item[0], item[1]) if item is not None else None
        if item is None or key not in tables:
            found.append(None)
            continue
        distances = _apart(np.array(item[2:]), tables[key])
        best = int(np.argmin(distances))
        found.append((groups[key][best], float(distances[best])))
    return found


def _apart(one: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The largest relative difference of sum, magnitudes, squares, largest and smallest element."""
    magnitude = np.maximum(abs(one[1]), np.abs(others[:, 1]))
    largest = np.maximum(np.abs(one[3:]).max(), np.abs(others[:, 3:]).max(axis=1))
    scales = np.stack(
        [magnitude, magnitude, np.maximum(abs(one[2]), others[:, 2]), largest, largest], axis=1
    )  # fmt: skip
    scales[scales == 0] = 1.0
    with np.errstate(invalid="ignore", over="ignore"):  # squares of huge values are infinite
        apart = np.where(others == one, 0.0, np.abs(others - one) / scales)
    found: np.ndarray = np.nan_to_num(apart, nan=np.inf, posinf=np.inf).max(axis=1)
    return found
