"""Tensors of a torch model as arrays: seen without a copy, put in from outside, kept while a task changes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from regauge.run.array_files import Arrays, load_arrays, save_arrays
from regauge.run.protocol import flatten_tree

LARGE = 1 << 24  # elements: what a task may change is kept in memory below, in a file above


def named_tensors(model: nn.Module) -> list[tuple[str, Tensor]]:
    """Parameters and buffers by name, tied ones once."""
    return [*model.named_parameters(), *model.named_buffers()]


def derivatives(loss: Tensor, tensors: Sequence[Tensor]) -> list[Tensor | None]:
    """The gradient of a loss by leaves, None where nothing flows.

    A function whose backward runs its forward again may call ``backward`` in it, as reversible layers do: what that
    adds to a ``.grad`` counts. The tensors have no ``.grad`` afterwards.
    """
    for tensor in tensors:
        tensor.grad = None
    found: list[Tensor | None] = list(torch.autograd.grad(loss, tensors, allow_unused=True))
    for place, tensor in enumerate(tensors):
        if tensor.grad is not None:
            direct = found[place]
            found[place] = tensor.grad if direct is None else direct + tensor.grad
            tensor.grad = None
    return found


def attributes(model: nn.Module) -> dict[str, dict[str, Any]]:
    """What every module of a model holds besides torch's own tables, by path."""
    own = set(vars(nn.Module()))
    return {
        path: {name: value for name, value in vars(module).items() if name not in own}
        for path, module in model.named_modules()
    }


@torch.no_grad()
def transplant(model: nn.Module, arrays: Mapping[str, np.ndarray]) -> None:
    """Put arrays, by this model's own names, in the places of its weights."""
    tensors = dict(named_tensors(model))
    for name, array in arrays.items():
        tensors[name].copy_(torch.from_numpy(np.array(array)).reshape(tensors[name].shape))


def seen(tensor: Tensor) -> np.ndarray:
    """A tensor as numpy, on the same memory where it lies in that of the CPU and numpy knows its dtype.

    bfloat16 and float16 become float32, which holds them exactly.
    """
    tensor = tensor.detach().cpu()
    if tensor.dtype in (torch.bfloat16, torch.float16):
        tensor = tensor.to(torch.float32)
    return tensor.resolve_conj().resolve_neg().numpy()


def numpy_of(tensor: Tensor) -> np.ndarray:
    """A copy of a tensor as numpy."""
    return seen(tensor).copy()


def named_outputs(outputs: Any) -> Arrays:
    """The outputs' arrays by name, ``outputs.logits`` and so on."""
    _, tensors = flatten_tree(outputs, is_tensor, "outputs")
    return {name: numpy_of(tensor) for name, tensor in tensors.items()}


def is_tensor(leaf: Any) -> bool:
    """Whether a leaf of a tree is an array."""
    return isinstance(leaf, Tensor)


def first_tensor(output: Any) -> Tensor | None:
    """The first tensor of an output, in order."""
    if isinstance(output, Tensor):
        return output
    children = output.values() if isinstance(output, Mapping) else output if isinstance(output, tuple | list) else ()
    return next((found for child in children if (found := first_tensor(child)) is not None), None)


class Keeper:
    """Puts mode, parameters and buffers back after whatever a task did with them.

    Every task begins with the same weights, so those of a large model are written to a file once, and read from it
    only where torch counted a write to a parameter.

    Args:
        model: whose they are.
        directory: for the file.

    Attributes:
        large: whether the weights are too many to be copied in memory.
    """

    def __init__(self, model: nn.Module, directory: Path) -> None:
        self.model = model
        self._path = directory / "kept.safetensors"
        self.large = sum(parameter.numel() for parameter in model.parameters()) > LARGE

    @contextmanager
    def kept(self, steps: bool = False) -> Iterator[None]:
        """Within the block anything may be written; with `steps` an optimizer does, and fused ones are not counted."""
        modes = {module: module.training for module in self.model.modules()}
        parameters = list(self.model.parameters())
        with self.state_kept(), self._parameters(parameters, steps):
            try:
                yield
            finally:
                for parameter in parameters:
                    parameter.grad = None
                for module, mode in modes.items():
                    module.training = mode

    @contextmanager
    def state_kept(self) -> Iterator[None]:
        """Within the block buffers may be written, and others may take their places (``self.mean = ...``)."""
        held = [(m, name, b) for m in self.model.modules() for name, b in m._buffers.items() if b is not None]
        saved = [buffer.detach().clone() for _, _, buffer in held]
        try:
            yield
        finally:
            _put_back([buffer for _, _, buffer in held], saved)
            for module, name, buffer in held:
                module._buffers[name] = buffer

    @contextmanager
    def _parameters(self, parameters: list[nn.Parameter], steps: bool) -> Iterator[None]:
        if not self.large:
            saved = [parameter.detach().clone() for parameter in parameters]
            try:
                yield
            finally:
                _put_back(parameters, saved)
            return
        if not self._path.exists():
            save_arrays(self._path, {str(number): seen(parameter) for number, parameter in enumerate(parameters)})
        versions = [parameter._version for parameter in parameters]
        try:
            yield
        finally:
            if steps or any(p._version != before for p, before in zip(parameters, versions, strict=True)):
                arrays = load_arrays(self._path)
                stored = (torch.from_numpy(np.array(arrays[str(number)])) for number in range(len(parameters)))
                _put_back(parameters, stored)

    def forget(self) -> None:
        """Remove the file."""
        self._path.unlink(missing_ok=True)


@torch.no_grad()
def _put_back(tensors: Sequence[Tensor], saved: Iterable[Tensor]) -> None:
    for tensor, before in zip(tensors, saved, strict=True):
        tensor.copy_(before)
