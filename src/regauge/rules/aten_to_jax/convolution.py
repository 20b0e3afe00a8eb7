"""Convolutions and transposed convolutions. Weights keep torch's layout; `channels_last` is about the data only."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array, lax

from regauge.rules.table import RuleTable

TABLE = RuleTable("convolution")

Sizes = int | tuple[int, ...]

# Operands of lax.conv_general_dilated: data, kernel as torch stores it (output, input, window), result.
CONV_AXES = {1: ("NCH", "OIH", "NCH"), 2: ("NCHW", "OIHW", "NCHW"), 3: ("NCDHW", "OIDHW", "NCDHW")}
CONV_AXES_LAST = {1: ("NHC", "OIH", "NHC"), 2: ("NHWC", "OIHW", "NHWC"), 3: ("NDHWC", "OIDHW", "NDHWC")}


def conv_sizes(value: Sizes, rank: int) -> tuple[int, ...]:
    """One number for each axis of the window; torch repeats a single one."""
    sizes = value if isinstance(value, tuple) else (value,)
    return sizes * rank if len(sizes) == 1 else sizes


def conv_padding(padding: str | Sizes, rank: int) -> str | tuple[tuple[int, int], ...]:
    """torch's padding (the same number on both sides) as lax takes it."""
    if isinstance(padding, str):
        return padding.upper()  # the odd element of "same" goes to the end in both
    return tuple((size, size) for size in conv_sizes(padding, rank))


@TABLE.rule("aten.conv1d.default")
def conv1d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Sizes = (1,),
    padding: str | Sizes = (0,),
    dilation: Sizes = (1,),
    groups: int = 1,
    channels_last: bool = False,
) -> Array:
    """conv1d(Tensor input, Tensor weight, Tensor? bias=None, SymInt[1] stride=[1], SymInt[1] padding=[0], SymInt[1] dilation=[1], SymInt groups=1) -> Tensor"""  # noqa: E501
    if input.ndim == 2:
        return conv1d(input[None], weight, bias, stride, padding, dilation, groups)[0]
    result = lax.conv_general_dilated(
        input,
        weight,
        conv_sizes(stride, 1),
        conv_padding(padding, 1),
        rhs_dilation=conv_sizes(dilation, 1),
        dimension_numbers=CONV_AXES_LAST[1] if channels_last else CONV_AXES[1],
        feature_group_count=groups,
    )
    if bias is None:
        return result
    return result + bias if channels_last else result + bias[:, None]


@TABLE.rule("aten.conv1d.padding")
def conv1d_padding(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Sizes = (1,),
    padding: str = "valid",
    dilation: Sizes = (1,),
    groups: int = 1,
    channels_last: bool = False,
) -> Array:
    """conv1d.padding(Tensor input, Tensor weight, Tensor? bias=None, SymInt[1] stride=[1], str padding="valid", SymInt[1] dilation=[1], SymInt groups=1) -> Tensor"""  # noqa: E501
    return conv1d(input, weight, bias, stride, padding, dilation, groups, channels_last)


@TABLE.rule("aten.conv2d.default")
def conv2d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Sizes = (1, 1),
    padding: str | Sizes = (0, 0),
    dilation: Sizes = (1, 1),
    groups: int = 1,
    channels_last: bool = False,
) -> Array:
    """conv2d(Tensor input, Tensor weight, Tensor? bias=None, SymInt[2] stride=[1, 1], SymInt[2] padding=[0, 0], SymInt[2] dilation=[1, 1], SymInt groups=1) -> Tensor"""  # noqa: E501
    if input.ndim == 3:
        return conv2d(input[None], weight, bias, stride, padding, dilation, groups)[0]
    result = lax.conv_general_dilated(
        input,
        weight,
        conv_sizes(stride, 2),
        conv_padding(padding, 2),
        rhs_dilation=conv_sizes(dilation, 2),
        dimension_numbers=CONV_AXES_LAST[2] if channels_last else CONV_AXES[2],
        feature_group_count=groups,
    )
    if bias is None:
        return result
    return result + bias if channels_last else result + bias[:, None, None]


@TABLE.rule("aten.conv2d.padding")
def conv2d_padding(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Sizes = (1, 1),
    padding: str = "valid",
    dilation: Sizes = (1, 1),
    groups: int = 1,
    channels_last: bool = False,
) -> Array:
    """conv2d.padding(Tensor input, Tensor weight, Tensor? bias=None, SymInt[2] stride=[1, 1], str padding="valid", SymInt[2] dilation=[1, 1], SymInt groups=1) -> Tensor"""  # noqa: E501
    return conv2d(input, weight, bias, stride, padding, dilation, groups, channels_last)


@TABLE.rule("aten.conv3d.default")
def conv3d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Sizes = (1, 1, 1),
    padding: str | Sizes = (0, 0, 0),
    dilation: Sizes = (1, 1, 1),
    groups: int = 1,
    channels_last: bool = False,
) -> Array:
    """conv3d(Tensor input, Tensor weight, Tensor? bias=None, SymInt[3] stride=[1, 1, 1], SymInt[3] padding=[0, 0, 0], SymInt[3] dilation=[1, 1, 1], SymInt groups=1) -> Tensor"""  # noqa: E501
    if input.ndim == 4:
        return conv3d(input[None], weight, bias, stride, padding, dilation, groups)[0]
    result = lax.conv_general_dilated(
        input,
        weight,
        conv_sizes(stride, 3),
        conv_padding(padding, 3),
        rhs_dilation=conv_sizes(dilation, 3),
        dimension_numbers=CONV_AXES_LAST[3] if channels_last else CONV_AXES[3],
        feature_group_count=groups,
    )
    if bias is None:
        return result
    return result + bias if channels_last else result + bias[:, None, None, None]


@TABLE.rule("aten.conv3d.padding")
def conv3d_padding(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Sizes = (1, 1, 1),
    padding: str = "valid",
    dilation: Sizes = (1, 1, 1),
    groups: int = 1,
    channels_last: bool = False,
) -> Array:
    """conv3d.padding(Tensor input, Tensor weight, Tensor? bias=None, SymInt[3] stride=[1, 1, 1], str padding="valid", SymInt[3] dilation=[1, 1, 1], SymInt groups=1) -> Tensor"""  # noqa: E501
    return conv3d(input, weight, bias, stride, padding, dilation, groups, channels_last)


def transposed_convolution(
    input: Array,
    weight: Array,
    bias: Array | None,
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    output_padding: tuple[int, ...],
    groups: int,
    dilation: tuple[int, ...],
    channels_last: bool,
) -> Array:
    """The derivative of a convolution with respect to its input, as torch's transposed convolution is.

    Args:
        input: [N, C, ...], or [N, ..., C] with `channels_last`.
        weight: [C, O / groups, ...], the kernel of the convolution whose derivative this is.
        bias: [O] or None.
        stride, padding, output_padding, dilation: one number for each axis of the window.
        groups: channel groups.
        channels_last: the order of `input` and of the result.
    """
    rank = len(stride)
    channels, out_per_group, *window = weight.shape
    grouped = weight.reshape(groups, channels // groups, out_per_group, *window).swapaxes(1, 2)
    kernel = jnp.flip(grouped.reshape(groups * out_per_group, channels // groups, *window), range(2, rank + 2))
    reach = [d * (k - 1) for d, k in zip(dilation, window, strict=True)]
    result = lax.conv_general_dilated(
        input,
        kernel,
        (1,) * rank,
        [(r - p, r - p + extra) for r, p, extra in zip(reach, padding, output_padding, strict=True)],
        lhs_dilation=stride,
        rhs_dilation=dilation,
        dimension_numbers=CONV_AXES_LAST[rank] if channels_last else CONV_AXES[rank],
        feature_group_count=groups,
    )
    if bias is None:
        return result
    return result + (bias if channels_last else bias.reshape(-1, *(1,) * rank))


@TABLE.rule("aten.conv_transpose1d.default")
def conv_transpose1d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Sizes = (1,),
    padding: Sizes = (0,),
    output_padding: Sizes = (0,),
    groups: int = 1,
    dilation: Sizes = (1,),
    channels_last: bool = False,
) -> Array:
    """conv_transpose1d(Tensor input, Tensor weight, Tensor? bias=None, SymInt[1] stride=[1], SymInt[1] padding=[0], SymInt[1] output_padding=[0], SymInt groups=1, SymInt[1] dilation=[1]) -> Tensor"""  # noqa: E501
    if input.ndim == 2:
        return conv_transpose1d(input[None], weight, bias, stride, padding, output_padding, groups, dilation)[0]
    return transposed_convolution(
        input,
        weight,
        bias,
        conv_sizes(stride, 1),
        conv_sizes(padding, 1),
        conv_sizes(output_padding, 1),
        groups,
        conv_sizes(dilation, 1),
        channels_last,
    )


@TABLE.rule("aten.conv_transpose2d.input")
def conv_transpose2d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Sizes = (1, 1),
    padding: Sizes = (0, 0),
    output_padding: Sizes = (0, 0),
    groups: int = 1,
    dilation: Sizes = (1, 1),
    channels_last: bool = False,
) -> Array:
    """conv_transpose2d.input(Tensor input, Tensor weight, Tensor? bias=None, SymInt[2] stride=[1, 1], SymInt[2] padding=[0, 0], SymInt[2] output_padding=[0, 0], SymInt groups=1, SymInt[2] dilation=[1, 1]) -> Tensor"""  # noqa: E501
    if input.ndim == 3:
        return conv_transpose2d(input[None], weight, bias, stride, padding, output_padding, groups, dilation)[0]
    return transposed_convolution(
        input,
        weight,
        bias,
        conv_sizes(stride, 2),
        conv_sizes(padding, 2),
        conv_sizes(output_padding, 2),
        groups,
        conv_sizes(dilation, 2),
        channels_last,
    )


@TABLE.rule("aten.conv_transpose3d.input")
def conv_transpose3d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Sizes = (1, 1, 1),
    padding: Sizes = (0, 0, 0),
    output_padding: Sizes = (0, 0, 0),
    groups: int = 1,
    dilation: Sizes = (1, 1, 1),
    channels_last: bool = False,
) -> Array:
    """conv_transpose3d.input(Tensor input, Tensor weight, Tensor? bias=None, SymInt[3] stride=[1, 1, 1], SymInt[3] padding=[0, 0, 0], SymInt[3] output_padding=[0, 0, 0], SymInt groups=1, SymInt[3] dilation=[1, 1, 1]) -> Tensor"""  # noqa: E501
    if input.ndim == 4:
        return conv_transpose3d(input[None], weight, bias, stride, padding, output_padding, groups, dilation)[0]
    return transposed_convolution(
        input,
        weight,
        bias,
        conv_sizes(stride, 3),
        conv_sizes(padding, 3),
        conv_sizes(output_padding, 3),
        groups,
        conv_sizes(dilation, 3),
        channels_last,
    )


@TABLE.rule("aten.convolution.default")
def convolution(
    input: Array,
    weight: Array,
    bias: Array | None,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    transposed: bool,
    output_padding: Sizes,
    groups: int,
) -> Array:
    """convolution(Tensor input, Tensor weight, Tensor? bias, SymInt[] stride, SymInt[] padding, SymInt[] dilation, bool transposed, SymInt[] output_padding, SymInt groups) -> Tensor"""  # noqa: E501
    rank = weight.ndim - 2
    if transposed:
        return transposed_convolution(
            input,
            weight,
            bias,
            conv_sizes(stride, rank),
            conv_sizes(padding, rank),
            conv_sizes(output_padding, rank),
            groups,
            conv_sizes(dilation, rank),
            False,
        )
    result = lax.conv_general_dilated(
        input,
        weight,
        conv_sizes(stride, rank),
        conv_padding(padding, rank),
        rhs_dilation=conv_sizes(dilation, rank),
        dimension_numbers=CONV_AXES[rank],
        feature_group_count=groups,
    )
    if bias is None:
        return result
    return result + bias.reshape(-1, *(1,) * rank)


@TABLE.rule("aten.conv_tbc.default")
def conv_tbc(self: Array, weight: Array, bias: Array, pad: int = 0) -> Array:
    """conv_tbc(Tensor self, Tensor weight, Tensor bias, int pad=0) -> Tensor"""
    return lax.conv_general_dilated(self, weight, (1,), [(pad, pad)], dimension_numbers=("HNC", "HIO", "HNC")) + bias
