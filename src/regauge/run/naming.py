"""What the tensors of one side are called in the original: an evaluator reports arrays by these names and layouts.

The original speaks its own names. The converted side is translated: weights through the weight map, inputs and outputs
through links that say which array of one side is which of the other, in which layout. Arrays are numpy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from regauge.errors import WeightMismatch
from regauge.run.evaluation import probe_weights
from regauge.weights import layout as layouts
from regauge.weights.layout import Layout, Shape
from regauge.weights.pair_map import PairMap, merged_groups

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Link:
    """One input, target or output that both sides have.

    Attributes:
        source: leaf name in the original, ``inputs.0``.
        target: leaf name on the converted side.
        layout: steps from the original's array to the converted side's, permutations only.
        dtype: numpy dtype that the converted side takes, for inputs and targets.
    """

    source: str
    target: str
    layout: Layout = layouts.IDENTITY
    dtype: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "target": self.target,
            "layout": layouts.to_json(self.layout),
            "dtype": self.dtype,
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Link:
        return Link(data["source"], data["target"], layouts.layout(data["layout"]), data["dtype"])

    def to_target(self, array: np.ndarray) -> np.ndarray:
        """The original's array as the converted side takes it.

        Raises:
            ValueError: a value does not survive the cast to the dtype that the converted side takes.
        """
        moved = layouts.apply(array, self.layout)
        if (
            not self.dtype
            or moved.dtype == np.dtype(self.dtype)
            or (moved.dtype.kind in "fc" and self.dtype[0] in "fc")
        ):
            return moved
        cast = moved.astype(self.dtype)
        if not np.array_equal(cast, moved):
            raise ValueError(f"{self.source} does not fit {self.dtype}: the converted side takes fewer values")
        return cast

    def to_source(self, array: np.ndarray) -> np.ndarray:
        shape = layouts.result_shape(_inverse(self.layout), array.shape)
        return layouts.invert(array, self.layout, shape)


def _inverse(steps: Layout) -> Layout:
    return tuple((kind, tuple(sizes.index(axis) for axis in range(len(sizes)))) for kind, sizes in reversed(steps))


class Names:
    """The names of one side; without a description they are the original's own.

    Args:
        description: ``{"map": a PairMap or None, "fixed": parameters of the original that do not train,
            "inputs": [links], "outputs": [links]}``, or None.
        wide: whether the side computes in float64: weights that it holds the sum of are then added in float64, as the
            original adds them, and no rounding of the sum is taken for a difference.
    """

    def __init__(self, description: Mapping[str, Any] | None = None, wide: bool = False) -> None:
        found = description or {}
        self.map = PairMap.from_json(found["map"]) if found.get("map") else None
        self._wide = wide
        self._fixed = frozenset(found.get("fixed") or ())
        self._inputs = [Link.from_json(item) for item in found.get("inputs") or ()]
        self._outputs = {item["target"]: Link.from_json(item) for item in found.get("outputs") or ()}
        self._by_input = {link.target: link for link in self._inputs}

    def weights(self, prefix: str, arrays: Mapping[str, np.ndarray], trainable: bool = False) -> Arrays:
        """Parameters and buffers by their name in the original; those without one as ``converted:name``.

        Args:
            prefix: of every name.
            arrays: by this side's own names; a source of which a part is missing is left out.
            trainable: without what the original does not train.
        """
        if self.map is None:
            return {f"{prefix}{name}": array for name, array in arrays.items()}
        known = {*self.map.by_target, *self.map.tied_targets, *self.map.absent_targets}
        named = {f"{prefix}converted:{name}": array for name, array in arrays.items() if name not in known}
        merged = set(self.map.merged_sources)
        for name, parts in self.map.by_source.items():
            whole = all(part.target in arrays for part in parts) and not (trainable and name in self._fixed)
            if whole and name not in merged:
                named[f"{prefix}{name}"] = self.map.to_source(name, arrays)
        for name, parts in merged_groups(self.map).items():
            if parts[0].target in arrays:
                named[f"{prefix}{name}"] = parts[0].region_of(arrays[parts[0].target])
        return named

    def to_side(self, arrays: Mapping[str, np.ndarray]) -> Arrays:
        """Arrays of the original, by name, as this side names and lays them out; those without a place are left out."""
        if self.map is None:
            return dict(arrays)
        by_target = self.map.by_target
        arrays = self._widened(arrays) if self._wide else arrays
        whole = [n for n, parts in by_target.items() if all(part.source in arrays for part in parts)]
        made = {name: self.map.to_target(name, arrays) for name in whole}
        return made | {name: made[kept] for name, kept in self.map.tied_targets.items() if kept in made}

    def _widened(self, arrays: Mapping[str, np.ndarray]) -> Arrays:
        """The arrays of which those that end in a sum are float64."""
        assembled = self.map.by_target.values() if self.map else ()
        summed = {part.source for parts in assembled if any(p.merged for p in parts) for part in parts}
        return {
            name: array.astype(np.float64) if name in summed and array.dtype == np.float32 else array
            for name, array in arrays.items()
        }

    @property
    def of_directions(self) -> Names:
        """The names that directions are drawn in: the original's, or this side's own where it holds sums.

        A direction of the original moves the terms of a sum one by one, which this side cannot.
        """
        return Names() if self.map is not None and self.map.merged_sources else self

    def is_fixed(self, name: str) -> bool:
        """Whether a weight of this side is a parameter that the original does not train."""
        parts = self.map.by_target.get(name, ()) if self.map else ()
        return bool(parts) and all(part.source in self._fixed for part in parts)

    def leaves(self, arrays: Mapping[str, np.ndarray]) -> Arrays:
        """Inputs and targets of the original by this side's leaf names, in its layout."""
        if not self._inputs:
            return dict(arrays)
        return {link.target: link.to_target(arrays[link.source]) for link in self._inputs if link.source in arrays}

    def inputs(self, arrays: Mapping[str, np.ndarray]) -> Arrays:
        """What belongs to inputs (their gradients), by the original's leaf names."""
        return {self._input(name).source: self._input(name).to_source(array) for name, array in arrays.items()}

    def outputs(self, arrays: Mapping[str, np.ndarray]) -> Arrays:
        """Outputs by the original's names; those without one keep theirs."""
        return {self.output(name).source: self.output(name).to_source(array) for name, array in arrays.items()}

    def output(self, name: str) -> Link:
        return self._outputs.get(name, Link(name, name))

    def _input(self, name: str) -> Link:
        return self._by_input.get(name, Link(name, name))

    def probe(self, name: str, shape: Shape) -> np.ndarray:
        """Weights of one output in the probe loss, in this side's layout: float64[shape]."""
        link = self.output(name)
        try:
            original = layouts.result_shape(_inverse(link.layout), shape)
        except WeightMismatch:  # another rank than in the reference: no layout to follow
            return probe_weights(link.source, shape)
        return layouts.apply(probe_weights(link.source, original), link.layout)
