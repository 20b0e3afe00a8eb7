"""The map between the weights of the two models: total and one-to-one in both directions, or refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Any, Literal

import numpy as np

from regauge.errors import WeightMismatch
from regauge.weights import layout as layouts
from regauge.weights.layout import Layout, Shape

Role = Literal["parameter", "buffer", "constant"]


@dataclass(frozen=True)
class WeightEntry:
    """One weight: its name in the original, its path in the converted module, and how its array changes.

    Layers may be stacked on either side: `sliced` where the original's are, `stacked` where the converted module's are.

    Attributes:
        source: qualified name in the original, ``blocks.0.attn.qkv.weight``.
        target: path in the converted module, ``blocks.0.attn.qkv.kernel``.
        layout: steps from the source array to the target array.
        shape: the source's shape.
        dtype: framework-neutral name, the same on both sides.
        role: parameter, buffer or constant.
        trainable: whether the optimizer may change it.
        sliced: ``(axis, index, count)``, one after the other, where the source holds this weight of `count` equal
            layers along an axis and the target is that of the layer `index`; the layout changes the slice.
        stacked: ``(index, count)`` where the target holds this weight of `count` equal layers along its first axis
            and this one is slice `index`; None where the target is this weight alone.
    """

    source: str
    target: str
    layout: Layout = layouts.IDENTITY
    shape: Shape = ()
    dtype: str = "float32"
    role: Role = "parameter"
    trainable: bool = True
    stacked: tuple[int, int] | None = None
    sliced: tuple[tuple[int, int, int], ...] = ()

    @property
    def label(self) -> str:
        """The source, ``layers.kernel``; or, ``layers.kernel[2]``, its slice."""
        places = ", ".join(str(index) for _, index, _ in self.sliced)
        return f"{self.source}[{places}]" if self.sliced else self.source

    @property
    def slice_shape(self) -> Shape:
        """The shape of what the target is made of: the source, or its slice."""
        sizes = list(self.shape)
        for axis, _, _ in self.sliced:
            del sizes[axis]
        return tuple(sizes)

    @property
    def piece_shape(self) -> Shape:
        """The shape of the source, or of its slice, in the converted module's layout."""
        return layouts.result_shape(self.layout, self.slice_shape)

    @property
    def target_shape(self) -> Shape:
        """The shape of the whole target."""
        return self.piece_shape if self.stacked is None else (self.stacked[1], *self.piece_shape)

    def to_target(self, array: np.ndarray) -> np.ndarray:
        """The source's array in the layout of the converted module: the target, or its slice of a stacked one."""
        return layouts.apply(self.slice_of(array), self.layout)

    def to_source(self, array: np.ndarray) -> np.ndarray:
        """The converted module's whole array, or its slice of a stacked one, in the layout of the original.

        Where the source is stacked this is its slice; `WeightMap.to_source` gives the whole.
        """
        piece = array if self.stacked is None else array[self.stacked[0]]
        return layouts.invert(piece, self.layout, self.slice_shape)

    def slice_of(self, array: np.ndarray) -> np.ndarray:
        """What this entry is of the source's whole array: a view."""
        for axis, index, _ in self.sliced:
            array = array[(slice(None),) * axis + (index,)]
        return array


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
    def by_source(self) -> dict[str, tuple[WeightEntry, ...]]:
        """The entries of each source: one, or those of the slices of a stacked one."""
        found: dict[str, list[WeightEntry]] = {}
        for entry in self.entries:
            found.setdefault(entry.source, []).append(entry)
        return {source: tuple(entries) for source, entries in found.items()}

    @cached_property
    def by_target(self) -> dict[str, tuple[WeightEntry, ...]]:
        """The entries of each target: one, or those of a stacked one in the order of its slices."""
        found: dict[str, list[WeightEntry]] = {}
        for entry in self.entries:
            found.setdefault(entry.target, []).append(entry)
        return {target: tuple(sorted(entries, key=_place)) for target, entries in found.items()}

    def to_target(self, target: str, sources: Mapping[str, np.ndarray]) -> np.ndarray:
        """The whole array of a target: a view where that is possible, a copy of a stacked one."""
        pieces = [entry.to_target(sources[entry.source]) for entry in self.by_target[target]]
        return pieces[0] if self.by_target[target][0].stacked is None else np.stack(pieces)

    def to_source(self, source: str, targets: Mapping[str, np.ndarray]) -> np.ndarray:
        """The whole array of a source: a view where that is possible, a copy of a stacked one."""
        first, *others = self.by_source[source]
        piece = first.to_source(targets[first.target])
        if not first.sliced:
            return piece
        whole = np.empty(first.shape, piece.dtype)
        first.slice_of(whole)[...] = piece
        for entry in others:
            entry.slice_of(whole)[...] = entry.to_source(targets[entry.target])
        return whole

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
        once = {name for name, entries in self.by_source.items() if entries[0].sliced}
        whole = [*once, *(entry.source for entry in self.entries if entry.source not in once)]
        named = Counter([*whole, *self.tied, *self.unused])
        problems = [f"original {name}: mapped {count} times" for name, count in named.items() if count > 1]
        problems += [text for name, entries in self.by_source.items() for text in _source_slices(name, entries)]
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
        named = self.by_target
        problems = [text for name, entries in named.items() for text in _slice_problems(name, entries)]
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
                    **({} if entry.stacked is None else {"stacked": list(entry.stacked)}),
                    **({"sliced": [list(step) for step in entry.sliced]} if entry.sliced else {}),
                }
                for entry in self.entries
            ],
            "tied": dict(self.tied),
            "unused": [{"source": name, "reason": reason} for name, reason in self.unused.items()],
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> WeightMap:
        entries = tuple(_entry(entry) for entry in data["entries"])
        unused = {item["source"]: item["reason"] for item in data["unused"]}
        return WeightMap(entries, dict(data["tied"]), unused)


def _entry(data: Mapping[str, Any]) -> WeightEntry:
    stacked = None if data.get("stacked") is None else (int(data["stacked"][0]), int(data["stacked"][1]))
    sliced = tuple((int(axis), int(index), int(count)) for axis, index, count in data.get("sliced", ()))
    arrays = {"layout": layouts.layout(data["layout"]), "shape": tuple(data["shape"])}
    return WeightEntry(**{**data, **arrays, "stacked": stacked, "sliced": sliced})


def _place(entry: WeightEntry) -> int:
    return 0 if entry.stacked is None else entry.stacked[0]


def _source_slices(source: str, entries: Sequence[WeightEntry]) -> list[str]:
    """What keeps the entries of one source from being all of it, each part once."""
    if not any(entry.sliced for entry in entries):
        return []
    axes = {tuple((axis, count) for axis, _, count in entry.sliced) for entry in entries}
    if len(axes) > 1 or len({entry.shape for entry in entries}) > 1:
        return [f"original {source}: its slices are not those of one array"]
    places = [tuple(index for _, index, _ in entry.sliced) for entry in entries]
    every = product(*(range(count) for _, count in axes.pop()))
    return [] if sorted(places) == list(every) else [f"original {source}: its slices are mapped as {sorted(places)}"]


def _slice_problems(target: str, entries: tuple[WeightEntry, ...]) -> list[str]:
    """What keeps the entries of one target from being all of it, each part once."""
    if len(entries) == 1 and entries[0].stacked is None:
        return []
    if any(entry.stacked is None for entry in entries):
        return [f"converted {target}: mapped {len(entries)} times"]
    counts = {entry.stacked[1] for entry in entries if entry.stacked is not None}
    places = [_place(entry) for entry in entries]
    problems = []
    if len(counts) > 1 or places != list(range(max(counts))):
        problems.append(f"converted {target}: its {max(counts)} slices are mapped as {', '.join(map(str, places))}")
    if len({(entry.dtype, entry.role, entry.trainable) for entry in entries}) > 1:
        problems.append(f"converted {target}: its slices differ in dtype, in role or in whether they train")
    return problems
