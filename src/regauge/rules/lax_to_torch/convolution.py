"""Convolutions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from regauge.rules.lax_to_torch.matmul import computed_in
from regauge.rules.lax_to_torch.unsigned import SIGNED
from regauge.rules.table import RuleTable

TABLE = RuleTable("lax_to_torch.convolution")

Sizes = tuple[int, ...]
Padding = tuple[tuple[int, int], ...]


@TABLE.rule("lax.conv_general_dilated")
def conv_general_dilated(
    lhs: Tensor,
    rhs: Tensor,
    window_strides: Sizes,
    padding: Padding,
    lhs_dilation: Sizes,
    rhs_dilation: Sizes,
    lhs_spec: Sizes,
    rhs_spec: Sizes,
    out_spec: Sizes,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision: object = None,
    preferred_element_type: torch.dtype | None = None,
) -> Tensor:
    """conv_general_dilated(lhs, rhs, *, window_strides, padding, lhs_dilation, rhs_dilation, dimension_numbers, ...)"""
    rank, groups = len(window_strides), feature_group_count
    result = preferred_element_type if preferred_element_type is not None else lhs.dtype
    inside = computed_in(lhs.dtype, result)
    kernel = tuple(rhs.shape[axis] for axis in rhs_spec[2:])
    order = tuple(range(rank + 2))
    image = lhs if lhs_spec == order else lhs.permute(lhs_spec)
    x = image if lhs.dtype == inside else image.to(preferred_element_type)
    weight = rhs if rhs_spec == order else rhs.permute(rhs_spec)
    w = weight if rhs.dtype == inside else weight.to(preferred_element_type)
    stride, dilation, spread = shortest(window_strides), shortest(rhs_dilation), shortest(lhs_dilation)
    sizes = tuple(lhs.shape[axis] for axis in lhs_spec[2:])
    kind = form(inside, sizes, padding, window_strides, lhs_dilation, rhs_dilation, kernel, batch_group_count)
    if kind == "convolution":
        even = all(low == high and low >= 0 for low, high in padding)
        edge = shortest(tuple(low for low, _ in padding)) if even else 0
        padded = x if even else F.pad(x, around(padding))
        y = (F.conv1d, F.conv2d, F.conv3d)[rank - 1](
            padded, w, stride=stride, padding=edge, dilation=dilation, groups=groups
        )
    elif kind == "transposed":
        reach = tuple(d * (k - 1) for d, k in zip(rhs_dilation, kernel, strict=True))
        edge = shortest(tuple(far - low for far, (low, _) in zip(reach, padding, strict=True)))
        more = shortest(tuple(max(0, high - low) for low, high in padding))
        less = tuple((0, min(0, high - low)) for low, high in padding)
        swapped = rhs.permute(rhs_spec[1], rhs_spec[0], *rhs_spec[2:]).flip(order[2:])
        v = (
            mirrored(w, groups=groups)
            if groups > 1
            else swapped
            if rhs.dtype == inside
            else swapped.to(preferred_element_type)
        )
        y = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[rank - 1](
            x, v, stride=spread, padding=edge, output_padding=more, groups=groups, dilation=dilation
        )
        y = F.pad(y, around(less)) if any(size for _, size in less) else y
    else:
        y = general_convolution(
            x, w, stride=window_strides, padding=padding, lhs_dilation=lhs_dilation, rhs_dilation=rhs_dilation,
            groups=groups, batch_groups=batch_group_count,
        )  # fmt: skip
    z = y if inside == result else y.to(preferred_element_type)
    return z if out_spec == order else z.permute(tuple(out_spec.index(axis) for axis in order))


def form(
    dtype: torch.dtype,
    sizes: Sizes,
    padding: Padding,
    stride: Sizes,
    lhs_dilation: Sizes,
    rhs_dilation: Sizes,
    kernel: Sizes,
    batch_groups: int,
) -> str:
    """Which function of torch a convolution is: "convolution", "transposed" or ""."""
    if not 1 <= len(stride) <= 3 or batch_groups != 1 or dtype in SIGNED or dtype == torch.bool:
        return ""
    if any(isinstance(size, int) and size <= 0 for size in windows(sizes, padding, (1,) * 9, rhs_dilation, kernel)):
        return ""  # torch takes no window that is larger than what it slides over
    if all(d == 1 for d in lhs_dilation):
        return "convolution"
    if any(s != 1 for s in stride) or not (dtype.is_floating_point or dtype.is_complex):
        return ""
    for (low, high), step, d, k in zip(padding, lhs_dilation, rhs_dilation, kernel, strict=True):
        if d * (k - 1) < low or high - low >= max(step, d):
            return ""
    return "transposed"


def shortest(values: Sizes) -> int | Sizes:
    """One number where all axes have the same, as a person writes it."""
    return values[0] if len(set(values)) == 1 else values


def windows(sizes: Sizes, padding: Padding, stride: Sizes, dilation: Sizes, kernel: Sizes) -> Sizes:
    """The number of windows along each axis; not above 0 where none fits."""
    along = zip(sizes, padding, stride, dilation, kernel, strict=False)
    return tuple((size + low + high - d * (k - 1) - 1) // s + 1 for size, (low, high), s, d, k in along)


def around(padding: Padding) -> Sizes:
    """Padding as F.pad takes it: the last axis first."""
    return tuple(size for pair in reversed(padding) for size in pair)


def mirrored(w: Tensor, groups: int) -> Tensor:
    """The weights of a convolution (out, in / groups, ...) as those of the transposed one (in, out / groups, ...)."""
    parts = w.reshape(groups, w.shape[0] // groups, *w.shape[1:]).transpose(1, 2)
    return parts.flatten(0, 1).flip(tuple(range(2, w.ndim)))


def general_convolution(
    x: Tensor,
    w: Tensor,
    stride: Sizes,
    padding: Padding,
    lhs_dilation: Sizes,
    rhs_dilation: Sizes,
    groups: int = 1,
    batch_groups: int = 1,
) -> Tensor:
    """A convolution of any dtype with any number of spatial axes.

    Args:
        x: (batch, features, ...).
        w: (out features, features / groups, ...).
        stride: of the window.
        padding: before and after each axis; negative sizes cut off.
        lhs_dilation: distance of the elements of `x`, with zeros between them.
        rhs_dilation: distance of the elements of the window.
        groups: of features.
        batch_groups: parts of the batch, each with its own part of the out features.
    """
    dtype = x.dtype
    if dtype == torch.bool:
        return (
            general_convolution(
                x.int(), w.int(), stride, padding, lhs_dilation, rhs_dilation, groups, batch_groups
            ) != 0
        )  # fmt: skip
    if dtype in SIGNED:
        x, w = x.view(SIGNED[dtype]), w.view(SIGNED[dtype])
    if batch_groups > 1:
        x = x.reshape(batch_groups, x.shape[0] // batch_groups, *x.shape[1:]).transpose(0, 1).flatten(1, 2)
        groups = batch_groups
    for axis, step in enumerate(lhs_dilation, 2):
        if step > 1:
            size = max(0, (x.shape[axis] - 1) * step + 1)
            spread = F.pad(x.unsqueeze(-1).movedim(-1, axis + 1), (0, 0) * (x.ndim - axis - 1) + (0, step - 1))
            x = spread.flatten(axis, axis + 1).narrow(axis, 0, size)
    x = F.pad(x, around(padding)) if padding else x
    y = windows_times(x, w, stride, rhs_dilation, groups)
    return y if y.dtype == dtype else y.view(dtype)


def windows_times(x: Tensor, w: Tensor, stride: Sizes, dilation: Sizes, groups: int) -> Tensor:
    """A convolution without padding: the first spatial axis by a sum over the window, until torch knows the rest."""
    rank = w.ndim - 2
    if rank == 0:
        parts = x.reshape(x.shape[0], groups, x.shape[1] // groups)
        return torch.einsum("bgi,goi->bgo", parts, w.reshape(groups, w.shape[0] // groups, w.shape[1])).flatten(1)
    counts = windows(x.shape[2:], ((0, 0),) * rank, stride, dilation, w.shape[2:])
    if any(count <= 0 for count in counts):
        return x.new_zeros(x.shape[0], w.shape[0], *(max(0, count) for count in counts))
    if rank <= 3:
        convolve = (F.conv1d, F.conv2d, F.conv3d)[rank - 1]
        return convolve(x, w, stride=stride, dilation=dilation, groups=groups)
    total = None
    for place in range(w.shape[2]):
        begin = place * dilation[0]
        part = x[:, :, begin : begin + (counts[0] - 1) * stride[0] + 1 : stride[0]].transpose(1, 2)
        y = windows_times(part.flatten(0, 1), w[:, :, place], stride[1:], dilation[1:], groups)
        total = y if total is None else total + y
    return total.reshape(x.shape[0], counts[0], *total.shape[1:]).transpose(1, 2)  # type: ignore[union-attr]
