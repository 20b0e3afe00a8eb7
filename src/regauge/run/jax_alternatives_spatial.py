"""Alternatives of convolution, pooling and of how axes are split and joined."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax

from regauge.run.jax_descriptions import spatial_axes
from regauge.run.jax_operation import Operation, alternative, arguments_of

_CONVOLUTIONS = ("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
_POOLS = ("max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d")


def _axes(operation: Operation) -> list[int]:
    """The axes of the input that a kernel or a window moves along."""
    if operation.function in _CONVOLUTIONS:
        return list(operation.equation.params["dimension_numbers"].lhs_spec[2:])
    return spatial_axes(operation.equation)


def _with_padding(operation: Operation, pads: Sequence[tuple[int, int]]) -> list[Any]:
    """With other padding along the axes of space."""
    if operation.function in _CONVOLUTIONS:
        return operation.made(padding=tuple(pads))
    every = [(0, 0)] * len(operation.equation.params["window_dimensions"])
    for axis, pad in zip(_axes(operation), pads, strict=True):
        every[axis] = pad
    return operation.made(padding=tuple(every))


@alternative
def same_padding(operation: Operation) -> Any:
    """Padding as TensorFlow's SAME: as much as the output's size needs, the larger part behind."""
    params, axes = operation.equation.params, _axes(operation)
    sizes = [operation.operand("input").shape[axis] for axis in axes]
    if operation.function in _CONVOLUTIONS:
        kernel = [operation.operand("weight").shape[a] for a in params["dimension_numbers"].rhs_spec[2:]]
        dilation, stride = params["rhs_dilation"], params["window_strides"]
    else:
        kernel = [params["window_dimensions"][axis] for axis in axes]
        stride = [params["window_strides"][axis] for axis in axes]
        dilation = [1] * len(axes)
    reach = [(size - 1) * step + 1 for size, step in zip(kernel, dilation, strict=True)]
    return _with_padding(operation, lax.padtype_to_pads(sizes, reach, stride, "SAME"))


@alternative
def zero_padding(operation: Operation) -> Any:
    """A max pool whose padding is zero for minus infinity."""
    return _padded_before(operation, mode="constant")


@alternative
def padded(operation: Operation, *, mode: str) -> Any:
    """Padding with other values than zeros."""
    return _padded_before(operation, mode={"replicate": "edge", "circular": "wrap"}.get(mode, mode))


def _padded_before(operation: Operation, mode: str) -> Any:
    x, axes, params = operation.operand("input"), _axes(operation), operation.equation.params
    whole = operation.function not in _CONVOLUTIONS
    pads = [(0, 0)] * x.ndim
    for index, axis in enumerate(axes):
        pads[axis] = params["padding"][axis if whole else index]
    return _with_padding(operation.with_operands(input=jnp.pad(x, pads, mode=mode)), [(0, 0)] * len(axes))


@alternative
def flipped_kernel(operation: Operation) -> Any:
    """Convolution with the kernel turned around in space."""
    axes = operation.equation.params["dimension_numbers"].rhs_spec[2:]
    return operation.with_operands(weight=jnp.flip(operation.operand("weight"), axes)).made()


@arguments_of(*_CONVOLUTIONS)
def of_convolution(operation: Operation, values: Mapping[str, Any]) -> Any:
    rank = len(_axes(operation))
    if "padding" in values:
        return _with_padding(operation, [(values["padding"],) * 2] * rank)
    name = {"stride": "window_strides", "dilation": "rhs_dilation"}
    return operation.made(**{name[key]: (value,) * rank for key, value in values.items()})


@arguments_of(*_POOLS)
def of_pool(operation: Operation, values: Mapping[str, Any]) -> Any:
    params, axes = operation.equation.params, _axes(operation)
    if "padding" in values:
        return _with_padding(operation, [(values["padding"],) * 2] * len(axes))
    if "stride" in values:
        strides = [values["stride"] if axis in axes else 1 for axis in range(len(params["window_strides"]))]
        return operation.made(window_strides=tuple(strides))
    if "count_include_pad" in values:
        return _counted(operation)
    raise NotImplementedError(", ".join(values))


def _counted(operation: Operation) -> Any:
    """The sum of a pool that is divided by the other number afterwards: the whole window, or what is there."""
    x = operation.operand("input")
    there = operation.with_operands(input=jnp.ones_like(x)).made()[0]
    whole = math.prod(operation.equation.params["window_dimensions"])
    if not operation.call.description.settings["count_include_pad"]:
        return jnp.full_like(there, whole)
    return operation.made()[0] * whole / there


@alternative
def split_in_order(operation: Operation, *, first: int, order: Sequence[int]) -> Any:
    """An axis split into parts that lie in another order in memory: ``(d, h)`` for ``(h, d)``."""
    x, shape, rest = operation.operand("input"), operation.shape, first + len(order)
    moved = [*range(first), *(first + part for part in order), *range(rest, len(shape))]
    found = x.reshape([shape[axis] for axis in moved])
    return found.transpose([moved.index(axis) for axis in range(len(shape))])


@alternative
def transposed_merge(operation: Operation, *, axis: int) -> Any:
    """Two axes exchanged before they are merged."""
    return operation.operand("input").swapaxes(axis, axis + 1).reshape(operation.shape)


@alternative
def channels_last(operation: Operation) -> Any:
    """Flattened with the channels last instead of first."""
    return jnp.moveaxis(operation.operand("input"), 1, -1).reshape(operation.shape)


@alternative
def channels_first(operation: Operation) -> Any:
    """Flattened with the channels first instead of last."""
    return jnp.moveaxis(operation.operand("input"), -1, 1).reshape(operation.shape)
