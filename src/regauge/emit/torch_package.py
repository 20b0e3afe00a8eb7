"""What a saved folder of a torch module is checked for before it is written."""

from __future__ import annotations

from types import ModuleType

import torch

from regauge.emit.conversion import Conversion
from regauge.errors import WeightMismatch


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


def versions() -> dict[str, str]:
    """Versions of the libraries that the emitted code uses."""
    return {"torch": torch.__version__}
