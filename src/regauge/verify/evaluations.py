"""What the workers computed, as the verdicts read it: arrays and descriptions by side and task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from safetensors.numpy import load_file

from regauge.weights.mapping import WeightMap

Mode = Literal["train", "eval"]
Side = Literal["M64", "C64", "M32", "C32"]

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
        return load_file(self.file) if not self.error else {}


@dataclass
class Evaluations:
    """All outcomes so far.

    Attributes:
        outcomes: by side and task id.
        names: the weight map, which says what the tensors of both sides are called.
        dtypes: float dtypes of the original's parameters.
    """

    names: WeightMap
    outcomes: dict[Side, dict[str, Outcome]] = field(default_factory=dict)
    dtypes: tuple[str, ...] = ()

    def add(self, side: Side, out: Path, tasks: Mapping[str, Any]) -> None:
        found = {task: Outcome(info, out / f"{task}.safetensors") for task, info in tasks.items()}
        self.outcomes.setdefault(side, {}).update(found)

    def get(self, side: Side, task: str) -> Outcome | None:
        return self.outcomes.get(side, {}).get(task)

    def original(self, side: Side, task: str) -> Arrays:
        """The original's arrays without those that the conversion has no place for: unused and tied weights."""
        outcome = self.outcomes[side][task]
        return {name: array for name, array in outcome.arrays().items() if self._is_mapped(name)}

    def converted(self, side: Side, task: str, original: Mapping[str, np.ndarray]) -> Arrays:
        """The converted model's arrays without constants, which are no buffers of the original."""
        constants = {entry.source for entry in self.names.entries if entry.role == "constant"}
        found = self.outcomes[side][task].arrays()
        return {
            name: array for name, array in found.items() if name in original or name.partition(".")[2] not in constants
        }

    def _is_mapped(self, name: str) -> bool:
        kind, _, rest = name.partition(".")
        if kind not in ("gradients", "state", "start", "first", "last"):
            return True
        return rest not in self.names.unused and rest not in self.names.tied


def kind_of(name: str) -> str:
    """The kind of a step's array, from its prefix: outputs, loss, gradients, input gradients, state, after."""
    return name.partition(".")[0]


def of_kind(arrays: Mapping[str, np.ndarray], kind: str) -> Arrays:
    """The arrays of one kind; names without the prefix, but outputs keep theirs."""
    keep = kind in ("outputs", "loss")
    return {name if keep else name.partition(".")[2]: array for name, array in arrays.items() if kind_of(name) == kind}
