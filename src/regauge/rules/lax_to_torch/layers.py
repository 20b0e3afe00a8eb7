"""Layers of Flax and Equinox that stay whole (`regauge.capture.jaxpr_modules`), where torch's own layer does not serve.

Data is channels-last unless `channels_first`; kernels have the axes of JAX unless `as_torch`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from regauge.rules.table import RuleTable

TABLE = RuleTable("lax_to_torch.layers")

Sizes = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]


@TABLE.rule("layer.linear")
def linear(
    x: Tensor, kernel: Tensor, in_features: int, out_features: int, bias: Tensor | None = None, as_torch: bool = False
) -> Tensor:
    """linear(x, kernel, bias)"""
    if as_torch:
        return F.linear(x, kernel, bias)
    if kernel.ndim == 2 and bias is None:
        return x @ kernel
    if kernel.ndim == 2:
        return x @ kernel + bias  # type: ignore[operator]
    if bias is None:
        return x @ kernel.reshape(in_features, out_features)
    return x @ kernel.reshape(in_features, out_features) + bias.reshape(out_features)


@TABLE.rule("layer.conv")
def conv(
    x: Tensor,
    kernel: Tensor,
    strides: Sizes,
    padding: Pads,
    lhs_dilation: Sizes,
    rhs_dilation: Sizes,
    groups: int,
    bias: Tensor | None = None,
    channels_first: bool = False,
    as_torch: bool = False,
    depthwise: bool = False,
) -> Tensor:
    """conv(x, kernel, bias), x [batch, ..., channels] or [batch, channels, ...]

    The kernel of a depthwise one is [..., channels, kernels of each channel].
    """
    rank = len(strides)
    if depthwise:
        kernel = kernel.flatten(-2).unsqueeze(-2)
    weight = kernel if as_torch else kernel.permute(rank + 1, rank, *range(rank))
    image = x if channels_first else x.movedim(-1, 1)
    image = F.pad(image, [size for pair in reversed(padding) for size in pair])
    convolve = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[rank]
    flat = None if bias is None else bias.reshape(-1)
    y = convolve(image, weight, flat, strides, 0, rhs_dilation, groups)
    return y if channels_first else y.movedim(1, -1)


@TABLE.rule("layer.pad")
def pad(x: Tensor, padding: Sizes, value: float = 0.0) -> Tensor:
    """A border around an image: sizes from the last axis to the first, as torch has them."""
    if value == 0:
        return F.pad(x, padding)
    return F.pad(x, padding, value=value)


def shortest(values: Sizes) -> int | Sizes:
    """One number where all axes have the same, as a person writes it."""
    return values[0] if len(set(values)) == 1 else values


@TABLE.rule("layer.max_pool")
def max_pool(x: Tensor, sizes: Sizes, strides: Sizes, padding: Sizes, dilation: Sizes) -> Tensor:
    """max_pool(x) over the last axes of an image that is channels-first"""
    size, stride = shortest(sizes), None if strides == sizes else shortest(strides)
    pad, step = shortest(padding), shortest(dilation)
    if len(sizes) == 1:
        return F.max_pool1d(x, size, stride=stride, padding=pad, dilation=step)
    if len(sizes) == 2:
        return F.max_pool2d(x, size, stride=stride, padding=pad, dilation=step)
    return F.max_pool3d(x, size, stride=stride, padding=pad, dilation=step)


@TABLE.rule("layer.avg_pool")
def avg_pool(x: Tensor, sizes: Sizes, strides: Sizes, padding: Sizes) -> Tensor:
    """avg_pool(x) over the last axes of an image that is channels-first, the padding counted"""
    size, stride, pad = shortest(sizes), None if strides == sizes else shortest(strides), shortest(padding)
    if len(sizes) == 1:
        return F.avg_pool1d(x, size, stride=stride, padding=pad)  # type: ignore[arg-type]
    if len(sizes) == 2:
        return F.avg_pool2d(x, size, stride=stride, padding=pad)
    return F.avg_pool3d(x, size, stride=stride, padding=pad)


@TABLE.rule("layer.conv_transpose")
def conv_transpose(
    x: Tensor,
    kernel: Tensor,
    strides: Sizes,
    padding: Pads,
    lhs_dilation: Sizes,
    rhs_dilation: Sizes,
    groups: int,
    bias: Tensor | None = None,
    channels_first: bool = False,
) -> Tensor:
    """A convolution over an image with zeros between its pixels, and its kernel [..., out, in] reversed."""
    rank = len(strides)
    image = x if channels_first else x.movedim(-1, 1)
    sizes = kernel.shape[:rank]
    reach = tuple(d * (k - 1) for k, d in zip(sizes, rhs_dilation, strict=True))
    crop = tuple(r - low for r, (low, _) in zip(reach, padding, strict=True))
    rest = tuple(high - low for low, high in padding)
    convolve = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}[rank]
    weight = kernel.permute(rank + 1, rank, *range(rank))
    y = convolve(image, weight, bias, lhs_dilation, crop, rest, groups, rhs_dilation)
    return y if channels_first else y.movedim(1, -1)


@TABLE.rule("layer.layer_norm")
def layer_norm(x: Tensor, features: int, eps: float, scale: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    """layer_norm(x, scale, bias) over the last axis"""
    return F.layer_norm(x, (features,), scale, bias, eps)


@TABLE.rule("layer.rms_norm")
def rms_norm(x: Tensor, features: int, eps: float, scale: Tensor | None = None) -> Tensor:
    """rms_norm(x, scale) over the last axis"""
    return F.rms_norm(x, (features,), scale, eps)


@TABLE.rule("layer.group_norm")
def group_norm(
    x: Tensor,
    num_groups: int,
    features: int,
    eps: float,
    scale: Tensor | None = None,
    bias: Tensor | None = None,
    channels_first: bool = False,
) -> Tensor:
    """group_norm(x, scale, bias)"""
    if channels_first:
        return F.group_norm(x, num_groups, scale, bias, eps)
    return F.group_norm(x.movedim(-1, 1), num_groups, scale, bias, eps).movedim(1, -1)


@TABLE.rule("layer.batch_norm")
def batch_norm(
    x: Tensor,
    mean: Tensor,
    var: Tensor,
    eps: float,
    momentum: float,
    scale: Tensor | None = None,
    bias: Tensor | None = None,
    channels_first: bool = False,
    train: bool = False,
    follows: bool = False,
) -> Tensor | tuple[Tensor, Tensor, Tensor]:
    """batch_norm(x, mean, var, scale, bias); in training also the new mean and variance"""
    if train:
        return batch_norm_training(x, mean, var, scale, bias, eps, momentum, channels_first)
    if channels_first:
        return F.batch_norm(x, mean, var, scale, bias, eps=eps)
    return F.batch_norm(x.movedim(-1, 1), mean, var, scale, bias, eps=eps).movedim(1, -1)


def batch_norm_training(
    x: Tensor,
    mean: Tensor,
    var: Tensor,
    scale: Tensor | None,
    bias: Tensor | None,
    eps: float,
    momentum: float,
    channels_first: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Normalised by its own mean and biased variance, and the new running statistics of Flax."""
    image = x if channels_first else x.movedim(-1, 1)
    axes = [axis for axis in range(image.ndim) if axis != 1]
    batch_var, batch_mean = torch.var_mean(image.detach(), axes, correction=0)
    y = F.batch_norm(image, None, None, scale, bias, True, 0.0, eps)
    return (
        y if channels_first else y.movedim(1, -1),
        momentum * mean + (1 - momentum) * batch_mean,
        momentum * var + (1 - momentum) * batch_var,
    )


@TABLE.rule("layer.embedding")
def embedding(x: Tensor, weight: Tensor, rows: int, features: int) -> Tensor:
    """embedding(x, weight); torch refuses indices that are out of range, for which Flax gives NaN"""
    return F.embedding(x, weight)


@TABLE.rule("layer.dropout")
def dropout(x: Tensor, p: float, shared: bool = False, follows: bool = False) -> Tensor:
    """dropout(x); one that follows the mode is a module; a shared mask is one for all but the last two axes"""
    if shared:
        return x * F.dropout(x.new_ones(x.shape[-2:]), p)
    return F.dropout(x, p)


@TABLE.rule("layer.flatten")
def flatten(x: Tensor, start: int, end: int) -> Tensor:
    """Axes from start to end as one"""
    if end == -1 and start == 0:
        return x.flatten()
    if end == -1:
        return x.flatten(start)
    return x.flatten(start, end)


@TABLE.rule("layer.unflatten")
def unflatten(x: Tensor, axis: int, sizes: Sizes) -> Tensor:
    """One axis as several"""
    return x.unflatten(axis, sizes)


@TABLE.rule("layer.unsqueeze")
def unsqueeze(x: Tensor, axis: int) -> Tensor:
    """An axis of size one more"""
    return x.unsqueeze(axis)


@TABLE.rule("layer.squeeze")
def squeeze(x: Tensor, axis: int) -> Tensor:
    """An axis of size one less"""
    return x.squeeze(axis)


@TABLE.rule("layer.contiguous")
def contiguous(x: Tensor) -> Tensor:
    """The same elements, in the order of their axes"""
    return x.contiguous()
