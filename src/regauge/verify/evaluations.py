"""What the workers computed, as the verdicts read it: arrays and descriptions by side and task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from regauge.run.array_files import load_arrays
from regauge.run.evaluation import array_file, step_part, task_arrays
from regauge.run.steps import SLOT
from regauge.weights.pair_map import PairMap, Part, merged_groups

Mode = Literal["train", "eval"]
Side = Literal["M64", "C64", "M32", "C32"]
WIDE: tuple[Side, Side] = ("M64", "C64")  # original and converted model in float64

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Outcome:
    """One task on one side."""

    info: Mapping[str, Any]
    file: Path

    @property
    def error(self) -> str:
        return self.info.get("error", "")

    @property
    def seconds(self) -> float:
        return self.info["seconds"]

    def arrays(self) -> Arrays:
        """What the task wrote, mapped from its files."""
        return {} if self.error else task_arrays(self.file.with_suffix(""), self.info.get("parts", ()))

    def step(self, number: int) -> Arrays:
        """What one step of a trajectory left: ``parameters.*`` and ``slot ...``; it must be among those kept."""
        return load_arrays(array_file(self.file.with_suffix(""), step_part(number)))


@dataclass
class Evaluations:
    """All outcomes so far.

    Attributes:
        map: the weights of both sides.
        constants: names of the map that are no buffers of the original.
        outcomes: by side and task id.
    """

    map: PairMap
    constants: frozenset[str] = frozenset()
    outcomes: dict[Side, dict[str, Outcome]] = field(default_factory=dict)

    def add(self, side: Side, out: Path, tasks: Mapping[str, Any]) -> None:
        found = {task: Outcome(info, out / f"{task}.safetensors") for task, info in tasks.items()}
        self.outcomes.setdefault(side, {}).update(found)

    def get(self, side: Side, task: str) -> Outcome | None:
        return self.outcomes.get(side, {}).get(task)

    def casts(self) -> dict[Side, list[dict[str, str]]]:
        """What each side casts to a lower precision in float64, by the task of that name."""
        return {side: list(self.outcomes[side]["casts"].info.get("casts", ())) for side in WIDE}

    def original(self, side: Side, task: str) -> Arrays:
        """The original's arrays, as far as the converted side can have them.

        Without weights that it has no place for (unused and tied ones); those that it holds the sum of are summed.
        """
        return self._as_converted(self.outcomes[side][task].arrays())

    def original_step(self, task: str, number: int) -> Arrays:
        """What a step of a trajectory left in M64, alike; slots of what the converted side holds the sum of are out.

        A sum of slots is no slot of the sum.
        """
        summed = set(self.map.merged_sources)
        arrays = self.outcomes["M64"][task].step(number)
        return self._as_converted(
            {n: a for n, a in arrays.items() if not (n.startswith(SLOT) and n.partition(".")[2] in summed)}
        )

    def _as_converted(self, arrays: Arrays) -> Arrays:
        kept = {name: array for name, array in arrays.items() if self._is_mapped(name)}
        sums = {}
        for group, parts in merged_groups(self.map).items():
            for kind in _WEIGHTS:
                if all(f"{kind}{part.source}" in kept for part in parts):
                    # the derivative by a sum is the derivative by each of its terms
                    terms = parts[:1] if kind == "gradients." else parts
                    sums[f"{kind}{group}"] = summed(terms, kept, kind)
        terms_of_sums = {f"{kind}{name}" for kind in _WEIGHTS for name in self.map.merged_sources}
        return {name: array for name, array in kept.items() if name not in terms_of_sums} | sums

    def converted(self, side: Side, task: str, original: Mapping[str, np.ndarray]) -> Arrays:
        """The converted model's arrays without constants, which are no buffers of the original.

        A gradient that torch leaves out, because this call does not read the tensor, is one of zero.
        """
        outcome = self.outcomes[side][task]
        found = outcome.arrays()
        left_out = [name for name in outcome.info.get("missing", ()) if name in original]
        found |= {name: np.zeros_like(original[name]) for name in left_out}
        return {
            name: array
            for name, array in found.items()
            if name in original or name.partition(".")[2] not in self.constants
        }

    def _is_mapped(self, name: str) -> bool:
        kind, _, rest = name.partition(".")
        if kind not in ("gradients", "state", "start", "first", "last", "parameters") and not kind.startswith(SLOT):
            return True
        return rest not in self.map.absent_sources and rest not in self.map.tied_sources


def summed(parts: Sequence[Part], arrays: Arrays, prefix: str = "") -> np.ndarray:
    """What the converted side holds at one place, in its layout: the sum of these parts of the original's arrays."""
    pieces = [part.in_target_layout(arrays[f"{prefix}{part.source}"]) for part in parts]
    return np.sum(pieces, axis=0, dtype=pieces[0].dtype)


# prefixes of arrays that are weights or belong to weights
_WEIGHTS = ("gradients.", "start.", "first.", "last.", "parameters.")


def kind_of(name: str) -> str:
    """The kind of a step's array, from its prefix: outputs, loss, gradients, input gradients, state, after."""
    return name.partition(".")[0]


def of_kind(arrays: Mapping[str, np.ndarray], kind: str) -> Arrays:
    """The arrays of one kind; names without the prefix, but outputs keep theirs."""
    keep = kind in ("outputs", "loss")
    return {name if keep else name.partition(".")[2]: array for name, array in arrays.items() if kind_of(name) == kind}
