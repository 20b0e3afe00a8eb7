"""A JAX model as a torch module in this process: the emitted text, executed, with its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import torch
from torch import nn

from regauge.dtypes import FLOAT8
from regauge.emit.conversion import Conversion, convert
from regauge.emit.package import write_folder
from regauge.emit.target import writing
from regauge.emit.torch_package import check_map
from regauge.emit.torch_target import TORCH
from regauge.findings import Finding
from regauge.ir.captured import CapturedModel, Reference
from regauge.run.torch_source import load_sources


@dataclass(frozen=True)
class Original:
    """The original's arrays in memory.

    Attributes:
        weights: by qualified name.
        arrays: reference inputs and outputs, by the names that the skeletons of `reference` use.
        reference: describes them.
    """

    weights: Mapping[str, np.ndarray]
    arrays: Mapping[str, np.ndarray]
    reference: Reference


class Converted(nn.Module):
    """What a converted module has besides its own: its source, what was noticed, and how it is saved."""

    _conversion: Conversion
    _original: Original

    @property
    def source(self) -> str:
        """The text of model.py."""
        return self._conversion.sources["model"]

    @property
    def sources(self) -> Mapping[str, str]:
        """Text of every emitted file by module name: `model`, and `ops` if helpers are needed."""
        return self._conversion.sources

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What a person should know."""
        return self._conversion.findings

    def save(self, directory: str | Path) -> Path:
        """Write the saved folder, which runs without regauge and without JAX; weights are those of the original."""
        original = self._original
        with writing(TORCH):
            write_folder(self._conversion, original.weights, original.arrays, original.reference, Path(directory))
        return Path(directory)


def build(captured: CapturedModel, original: Original, train: bool) -> Converted:
    """Convert a capture and load it: an instance of the emitted class, which also is a `Converted`."""
    with writing(TORCH):
        conversion = convert(captured)
    modules = load_sources(conversion.sources)
    check_map(conversion, modules["model"])
    root = getattr(modules["model"], conversion.root)
    made: type[Converted] = type(root.__name__, (root, Converted), {"__module__": root.__module__})
    with torch.device("meta"):
        model = made()
    tensors = {e.target: as_tensor(e.to_target(original.weights[e.source])) for e in conversion.weight_map.entries}
    model.load_state_dict(tensors, assign=True)
    model._conversion, model._original = conversion, original
    return model.train(train)


def as_tensor(array: Any) -> torch.Tensor:
    """A copy of an array of numpy, or of one that numpy can read."""
    array = np.array(array, order="C")  # a copy: the original's memory may be read-only, or go on training
    if array.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    if array.dtype.name in FLOAT8:
        return torch.from_numpy(array.view(np.uint8)).view(getattr(torch, array.dtype.name))
    return torch.from_numpy(array)
