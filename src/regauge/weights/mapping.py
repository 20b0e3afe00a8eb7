"""The map between the weights of the two models: total and one-to-one in both directions, or refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np

from regauge.errors import WeightMismatch
from regauge.weights import layout as layouts
from regauge.weights.layout import Layout, Shape

Role = Literal["parameter", "buffer", "constant"]


@dataclass(frozen=True)
class WeightEntry:
    """One weight: its name in the original, its path in the converted module, and how its array changes.

    Attributes:
        source: qualified name in the original, ``blocks.0.attn.qkv.weight``.
        target: path in the converted module, ``blocks.0.attn.qkv.kernel``.
        layout: steps from the source array to the target array.
        shape: the source's shape.
        dtype: framework-neutral name, the same on both sides.
        role: parameter, buffer or constant.
        trainable: whether the optimizer may change it.
    """

    source: str
    target: str
    layout: Layout = layouts.IDENTITY
    shape: Shape = ()
    dtype: str = "float32"
    role: Role = "parameter"
    trainable: bool = True

    @property
    def target_shape(self) -> Shape:
        return layouts.result_shape(self.layout, self.shape)

    def to_target(self, array: np.ndarray) -> np.ndarray:
        """The source's array in the layout of the converted module."""
        return layouts.apply(array, self.layout)

    def to_source(self, array: np.ndarray) -> np.ndarray:
        """The converted module's array in the layout of the original."""
        return layouts.invert(array, self.layout, self.shape)


@dataclass(frozen=True)
class WeightMap:
    """Every weight of the original and where it went.

    Attributes:
        entries: the weights that the converted module holds, in the original's order.
        tied: name of a weight that shares another one's storage -> the name of that other weight.
        unused: weights that nothing reads -> why; they are stored all the same.
    """

    entries: tuple[WeightEntry, ...]
    tied: Mapping[str, str] = field(default_factory=dict)
    unused: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def by_source(self) -> dict[str, WeightEntry]:
        return {entry.source: entry for entry in self.entries}

    @cached_property
    def by_target(self) -> dict[str, WeightEntry]:
        return {entry.target: entry for entry in self.entries}

    def validate(self, sources: Mapping[str, Iterable[int]], targets: Mapping[str, Iterable[int]]) -> None:
        """Check that the map is total and one-to-one in both directions.

        Args:
            sources: shape by name of every weight of the original.
            targets: shape by path of every variable of the converted module.

        Raises:
            WeightMismatch: names that are unmapped, doubly mapped, unknown or changed in shape, all at once.
        """
        problems = [*self._source_problems(sources), *self._target_problems(targets)]
        if problems:
            raise WeightMismatch(
                f"the weight map is not total and one-to-one: {len(problems)} "
                f"{'problem' if len(problems) == 1 else 'problems'}",
                details=problems,
                why="a weight that is left out or used twice gives a model that loads and computes something else",
            )

    def _source_problems(self, sources: Mapping[str, Iterable[int]]) -> list[str]:
        named = Counter([*(entry.source for entry in self.entries), *self.tied, *self.unused])
        problems = [f"original {name}: mapped {count} times" for name, count in named.items() if count > 1]
        problems += [f"original {name}: not mapped" for name in sources if name not in named]
        problems += [f"original {name}: no such weight" for name in named if name not in sources]
        for name, kept in self.tied.items():
            if kept not in self.by_source and kept not in self.unused:
                problems.append(f"original {name}: tied to {kept}, which is not mapped itself")
        for entry in self.entries:
            shape = tuple(sources.get(entry.source, entry.shape))
            if shape != entry.shape:
                problems.append(f"original {entry.source}: has shape {shape}, the map says {entry.shape}")
        return problems

    def _target_problems(self, targets: Mapping[str, Iterable[int]]) -> list[str]:
        named = Counter(entry.target for entry in self.entries)
        problems = [f"converted {name}: mapped {count} times" for name, count in named.items() if count > 1]
        problems += [f"converted {name}: not mapped" for name in targets if name not in named]
        problems += [f"converted {name}: no such variable" for name in named if name not in targets]
        for entry in self.entries:
            try:
                expected = entry.target_shape
            except WeightMismatch as error:
                problems.append(f"converted {entry.target}: {error.what}")
                continue
            shape = tuple(targets.get(entry.target, expected))
            if shape != expected:
                problems.append(f"converted {entry.target}: has shape {shape}, the map gives {expected}")
        return problems

    def to_json(self) -> dict[str, Any]:
        """The content of weights.json."""
        return {
            "entries": [
                {
                    "source": entry.source,
                    "target": entry.target,
                    "layout": layouts.to_json(entry.layout),
                    "shape": list(entry.shape),
                    "dtype": entry.dtype,
                    "role": entry.role,
                    "trainable": entry.trainable,
                }
                for entry in self.entries
            ],
            "tied": dict(self.tied),
            "unused": [{"source": name, "reason": reason} for name, reason in self.unused.items()],
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> WeightMap:
        entries = tuple(
            WeightEntry(**{**entry, "layout": layouts.layout(entry["layout"]), "shape": tuple(entry["shape"])})
            for entry in data["entries"]
        )
        unused = {item["source"]: item["reason"] for item in data["unused"]}
        return WeightMap(entries, dict(data["tied"]), unused)
