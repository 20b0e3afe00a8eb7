"""The saved folder of a torch module: checks of its weight map, and writing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

from regauge.emit.conversion import Conversion
from regauge.errors import WeightMismatch
from regauge.ir.captured import Reference

Arrays = Mapping[str, np.ndarray]


def check_map(conversion: Conversion, model: ModuleType) -> None:
    """Compare the weight map with the parameters and buffers that the emitted module really has.

    Raises:
        WeightMismatch: names that are unmapped, doubly mapped, unknown or changed in shape or dtype.
    """
    weight_map = conversion.weight_map
    with torch.device("meta"):
        tensors = getattr(model, conversion.root)().state_dict()
    sources = {entry.source: entry.shape for entry in weight_map.entries}
    sources |= dict.fromkeys([*weight_map.tied, *weight_map.unused], ())
    weight_map.validate(sources, {name: tuple(tensor.shape) for name, tensor in tensors.items()})
    wrong = [
        f"{entry.target}: {tensors[entry.target].dtype} instead of {entry.dtype}"
        for entry in weight_map.entries
        if str(tensors[entry.target].dtype) != f"torch.{entry.dtype}"
    ]
    if wrong:
        raise WeightMismatch("tensors of the emitted module have another dtype than the original", details=wrong)


def write_folder(conversion: Conversion, weights: Arrays, arrays: Arrays, reference: Reference, folder: Path) -> None:
    """Write the saved folder."""
    raise NotImplementedError
