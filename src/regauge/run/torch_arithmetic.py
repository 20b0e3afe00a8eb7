"""Control over what torch computes during a check: float64 throughout, and dropout without its own randomness."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from regauge.run.dropout_masks import (
    DropoutCall,
    MasksDoNotFit,
    align,
    keep_mask,
    too_many_calls,
    unlike_shapes,
)
from regauge.run.evaluation import signs, with_silent_units
from regauge.run.naming import Names
from regauge.run.protocol import flatten_tree
from regauge.run.torch_exact import EXACT
from regauge.run.torch_flow import as_loops
from regauge.run.torch_noise import SharedNoise
from regauge.run.torch_packed import Packings

_WIDER = {
    torch.float32: torch.float64,
    torch.float16: torch.float64,
    torch.bfloat16: torch.float64,
    torch.complex64: torch.complex128,
}
_PRODUCTS = (torch.ops.aten.mul.Tensor, torch.ops.aten.mul_.Tensor)


def widen_tensor(tensor: torch.Tensor) -> torch.Tensor:
    """A float tensor as float64, a complex one as complex128; others as they are."""
    return tensor.to(_WIDER[tensor.dtype]) if tensor.dtype in _WIDER else tensor


def narrowed(leaves: Mapping[str, torch.Tensor], own: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Inputs in the dtype of the case's own, where that is shorter than float32, which is what files hold."""
    low = {key: tensor.dtype for key, tensor in own.items() if tensor.dtype in (torch.bfloat16, torch.float16)}
    return {key: tensor.to(low.get(key, tensor.dtype)) for key, tensor in leaves.items()}


def widen_module(model: nn.Module) -> None:
    """Make every parameter and buffer of a module wide, in place."""
    model._apply(widen_tensor)


class Widen(TorchDispatchMode):
    """Reads every low float dtype that an operator is given as float64, and every low constant as a wide one.

    Casts inside a model (rotary tables, softmax in float32) would otherwise round to float32 in the float64 run.
    Operators whose own float64 kernel is not exact run as their formula (`torch_exact`).
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # an operator that writes into its argument must get the argument itself
        tensors = not func._schema.is_mutable

        def wide(value: Any) -> Any:
            if isinstance(value, torch.dtype):
                return _WIDER.get(value, value)
            if tensors and isinstance(value, torch.Tensor):
                return widen_tensor(value)
            return value

        return EXACT.get(func, func)(*tree_map(wide, args), **tree_map(wide, kwargs or {}))


class DropoutControl(TorchDispatchMode):
    """Replaces the random part of dropout, wherever it is: modules, functions, attention, recurrent networks.

    Normal and uniform numbers that the model draws itself are those of `shared_noise`, unless "free".

    Attributes:
        setting: "off" keeps everything and scales by 1, "masks" takes `keep_mask`, "free" leaves torch's own numbers.
        calls: what was dropped, in order; of a packed sequence the padded batch.
        noise: counts the other draws.
        packings: the packed sequences of recurrent layers.
        factors: what each element was multiplied by, with "free" only.
        elementwise: the numbers of calls in which every element was seen to have a draw of its own.

    Args:
        setting: see above.
        given: the original's calls, whose masks are taken by number and aligned by shape; None where this side is the
            original, which draws the masks of its own calls.
    """

    def __init__(self, setting: Literal["off", "masks", "free"], given: Sequence[DropoutCall] | None = None) -> None:
        super().__init__()
        self.setting = setting
        self.given = given
        self.calls: list[DropoutCall] = []
        self.factors: list[torch.Tensor] = []
        self.elementwise: set[int] = set()
        self._drawn: dict[int, int] = {}  # calls whose mask has not been multiplied with yet, by its memory
        self.noise = SharedNoise()
        self.packings = Packings()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self.setting != "free" and (given := self.noise.draw(func, args, kwargs or {})) is not None:
            return given
        if func is torch.ops.aten.bernoulli_.float:
            noise = args[0]
            keep = args[1] if len(args) > 1 else 0.5
            mask = self._mask(tuple(noise.shape), keep)
            self._drawn[noise.data_ptr()] = len(self.calls) - 1
            if mask is not None:
                return noise.fill_(keep) if self.setting == "off" else noise.copy_(mask.to(noise.device))
            drawn = func(*args, **(kwargs or {}))
            self.factors.append(drawn.clone() / keep)
            return drawn
        if func is torch.ops.aten.native_dropout.default and args[2] is not False:
            x, rate = args[0], args[1]
            mask = self._mask(tuple(x.shape), 1 - rate)
            self.elementwise.add(len(self.calls) - 1)
            if mask is not None:
                mask = mask.to(x.device)
                return (x.clone(), mask * (1 - rate)) if self.setting == "off" else (x * mask / (1 - rate), mask)
            dropped, mask = func(*args, **(kwargs or {}))
            self.factors.append(mask / (1 - rate))
            return dropped, mask
        result = func(*args, **(kwargs or {}))
        if func is torch.ops.aten._pack_padded_sequence.default:
            padded, _, batch_first = args
            self.packings.packed(result[1], padded.shape[1 if batch_first else 0])
        if self._drawn and func in _PRODUCTS:
            self._multiplied(args)
        return result

    def _multiplied(self, factors: Sequence[Any]) -> None:
        """Note whether a mask that is multiplied with an array has its shape."""
        for mask, array in (factors[:2], factors[1::-1]):
            index = self._drawn.pop(mask.data_ptr(), None) if isinstance(mask, torch.Tensor) else None
            if index is not None and isinstance(array, torch.Tensor) and array.shape == mask.shape:
                self.elementwise.add(index)

    def _mask(self, shape: tuple[int, ...], keep: float) -> torch.Tensor | None:
        rows = self.packings.rows
        call = DropoutCall(rows.padded(shape) if rows else shape, keep)
        self.calls.append(call)
        if self.setting == "free":
            return None
        if self.setting == "off":
            return torch.ones(shape, dtype=torch.bool)
        mask = self._shared(len(self.calls) - 1, call)
        return rows.of(mask, shape) if rows else mask

    def _shared(self, index: int, call: DropoutCall) -> torch.Tensor:
        """The mask of a call that both sides can compute."""
        if self.given is None:
            return torch.from_numpy(keep_mask(index, call))
        if index >= len(self.given):
            raise MasksDoNotFit(too_many_calls(len(self.given)))
        original = self.given[index]
        aligned = align(keep_mask(index, original), call.shape)
        if aligned is None:
            raise MasksDoNotFit(unlike_shapes(index, call.shape, original.shape))
        return torch.from_numpy(aligned.copy())


@contextmanager
def controlled(
    widen: bool,
    dropout: Literal["off", "masks", "free"],
    seed: int = 0,
    given: Sequence[DropoutCall] | None = None,
) -> Iterator[DropoutControl]:
    """Arithmetic of one evaluation: deterministic random numbers, and attention in its formula where it must be exact.

    Fused attention has no float64 kernel on some devices and draws its own dropout, so float64 and masked runs take
    the formula; a float32 run without dropout takes what torch chooses. Control flow runs as loops of Python.
    """
    control = DropoutControl(dropout, given)
    fastpath = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    backends = [SDPBackend.MATH] if widen or dropout != "off" else [*SDPBackend.__members__.values()]
    backends = [backend for backend in backends if backend not in (SDPBackend.ERROR, SDPBackend.OVERRIDEABLE)]
    try:
        with torch.random.fork_rng(), sdpa_kernel(backends), as_loops(), control.packings.watched(), control:
            torch.manual_seed(seed)
            if widen:
                with Widen():
                    yield control
            else:
                yield control
    finally:
        torch.backends.mha.set_fastpath_enabled(fastpath)


@contextmanager
def perturbed(model: nn.Module, seed: int | None) -> Iterator[None]:
    """Within the block every float weight is larger or smaller by one unit in the last place, by chance.

    What changes by that is as far as any other implementation may be away. No seed: as they are. Whoever keeps the
    weights puts them back.
    """
    if seed is None:
        yield
        return
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if tensor.dtype.is_floating_point:
                noise = torch.from_numpy(signs(name, seed, tuple(tensor.shape)))
                tensor.mul_(1 + torch.finfo(tensor.dtype).eps * noise.to(tensor))
    yield


def perturb_gradients(outputs: Any, seed: int | None) -> None:
    """What a backward pass gives the outputs will be larger or smaller by one unit in the last place, by chance.

    The loss rounds it. Where the gradient of a weight is a sum of it that nearly cancels, as that of a last bias, no
    other noise shows how far that rounding reaches. No seed: as it is.
    """
    if seed is None:
        return
    named = flatten_tree(outputs, lambda leaf: isinstance(leaf, torch.Tensor), "outputs")[1]
    for name, tensor in {id(tensor): (name, tensor) for name, tensor in named.items()}.values():
        if tensor.requires_grad and tensor.dtype.is_floating_point:
            noise = torch.from_numpy(signs(name, seed, tuple(tensor.shape))).to(tensor)
            tensor.register_hook(partial(torch.mul, 1 + torch.finfo(tensor.dtype).eps * noise))


@torch.no_grad()
def silence(model: nn.Module, names: Names, given: Mapping[str, np.ndarray] | None, axis: int) -> None:
    """About half of the units of the original's weights become zero.

    Args:
        model: whoever keeps its weights puts them back.
        names: of its weights in the original.
        given: the original's weights, None where this is the original.
        axis: of the units in the original.
    """
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    own = {name: parameter.detach().to(torch.float64).numpy() for name, parameter in trained.items()}
    for name, array in names.to_side(with_silent_units(given or own, axis)).items():
        if name in trained:
            trained[name].copy_(torch.from_numpy(np.array(array)).reshape(trained[name].shape))
