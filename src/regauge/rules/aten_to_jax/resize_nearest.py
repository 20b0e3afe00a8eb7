"""Nearest-neighbour resizing of images, by torch's own rounding; jax.image.resize rounds as torch's "exact" does."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array

from regauge.rules.table import RuleTable, inlined

TABLE = RuleTable("resize_nearest")

Scales = tuple[float | None, ...] | None
Sizes = tuple[int, ...]


def nearest_sizes(image: Sizes, output_size: Sizes | None, scale_factors: Scales) -> Sizes:
    """Sizes after resizing: those asked for, or the product with the factors, rounded down."""
    if output_size is not None:
        return output_size
    return tuple(int(size * (factor or 1)) for size, factor in zip(image, scale_factors or (), strict=True))


def nearest_index(size: int, windows: int, factor: float | None, exact: bool, rank: int) -> np.ndarray:
    """The source element of each element of the result; torch computes it in float32, whatever the data."""
    step = np.float32(1 / factor if factor is not None and factor > 0 else np.float32(size) / np.float32(windows))
    position = np.arange(windows, dtype=np.float32) + np.float32(0.5 if exact else 0)
    if not exact and rank == 2 and windows in (size, 2 * size):  # torch's kernel of two axes ignores the factor
        return np.arange(windows) * size // windows
    return np.minimum((position * step).astype(np.int64), size - 1)


def repetitions(image: Sizes, output_size: Sizes | None, scale_factors: Scales, exact: bool) -> Sizes | None:
    """How often each element is repeated along each axis, if nearest resizing is plain repetition."""
    scales = scale_factors or (None,) * len(image)
    if output_size is None and all(scale in (1, 2, 4, 8) for scale in scales):
        return tuple(int(scale or 1) for scale in scales)  # exact in float32, whatever the sizes
    factors = []
    for size, windows, factor in zip(image, nearest_sizes(image, output_size, scale_factors), scales, strict=True):
        times = windows // size if size else 0
        index = nearest_index(size, windows, factor, exact, len(image))
        if times == 0 or windows % size or np.any(index != np.arange(windows) // times):
            return None
        factors.append(times)
    return tuple(factors)


@inlined
def along(x: Array, times: int, axis: int) -> Array:
    """Each element several times along an axis."""
    return jnp.repeat(x, times, axis=axis) if times != 1 else x


@inlined
def repeated(x: Array, times: Sizes, first: int) -> Array:
    """The elements repeated along the image axes, of which `first` is the first one."""
    if len(times) == 1:
        return along(x, times[0], first)
    if len(times) == 2:
        return along(along(x, times[0], first), times[1], first + 1)
    return along(along(along(x, times[0], first), times[1], first + 1), times[2], first + 2)


def resize_by_index(
    x: Array, output_size: Sizes | None, scale_factors: Scales, exact: bool, channels_last: bool
) -> Array:
    """Each element of the result is one of the source, which its index names."""
    axes = range(1, x.ndim - 1) if channels_last else range(2, x.ndim)
    image = tuple(x.shape[axis] for axis in axes)
    sizes = nearest_sizes(image, output_size, scale_factors)
    for axis, size, windows, factor in zip(axes, image, sizes, scale_factors or (None,) * len(image), strict=True):
        x = jnp.take(x, nearest_index(size, windows, factor, exact, len(image)), axis)
    return x


@inlined
def resize_nearest(
    x: Array, output_size: Sizes | None, scale_factors: Scales, exact: bool, channels_last: bool
) -> Array:
    """Each element of the result is one of the source, as in torch: rounded down, or `exact` from pixel centres."""
    first = 1 if channels_last else 2
    image = x.shape[first : first + x.ndim - 2]
    times = repetitions(image, output_size, scale_factors, exact)
    if times is not None:
        return repeated(x, times, first)
    return resize_by_index(x, output_size, scale_factors, exact, channels_last)


@TABLE.rule("aten.upsample_nearest1d.default")
def upsample_nearest1d(
    self: Array,
    output_size: Sizes,
    scales: float | None = None,
    channels_last: bool = False,
) -> Array:
    """upsample_nearest1d(Tensor self, SymInt[1] output_size, float? scales=None) -> Tensor"""
    return resize_nearest(self, output_size, (scales,), False, channels_last)


@TABLE.rule("aten.upsample_nearest1d.vec")
def upsample_nearest1d_vec(
    input: Array,
    output_size: Sizes | None,
    scale_factors: Scales,
    channels_last: bool = False,
) -> Array:
    """upsample_nearest1d.vec(Tensor input, SymInt[]? output_size, float[]? scale_factors) -> Tensor"""
    return resize_nearest(input, output_size, scale_factors, False, channels_last)


@TABLE.rule("aten.upsample_nearest2d.default")
def upsample_nearest2d(
    self: Array,
    output_size: Sizes,
    scales_h: float | None = None,
    scales_w: float | None = None,
    channels_last: bool = False,
) -> Array:
    """upsample_nearest2d(Tensor self, SymInt[2] output_size, float? scales_h=None, float? scales_w=None) -> Tensor"""
    return resize_nearest(self, output_size, (scales_h, scales_w), False, channels_last)


@TABLE.rule("aten.upsample_nearest2d.vec")
def upsample_nearest2d_vec(
    input: Array,
    output_size: Sizes | None,
    scale_factors: Scales,
    channels_last: bool = False,
) -> Array:
    """upsample_nearest2d.vec(Tensor input, SymInt[]? output_size, float[]? scale_factors) -> Tensor"""
    return resize_nearest(input, output_size, scale_factors, False, channels_last)


@TABLE.rule("aten.upsample_nearest3d.default")
def upsample_nearest3d(
    self: Array,
    output_size: Sizes,
    scales_d: float | None = None,
    scales_h: float | None = None,
    scales_w: float | None = None,
    channels_last: bool = False,
) -> Array:
    """upsample_nearest3d(Tensor self, SymInt[3] output_size, float? scales_d=None, float? scales_h=None, float? scales_w=None) -> Tensor"""  # noqa: E501
    return resize_nearest(self, output_size, (scales_d, scales_h, scales_w), False, channels_last)


@TABLE.rule("aten.upsample_nearest3d.vec")
def upsample_nearest3d_vec(
    input: Array,
    output_size: Sizes | None,
    scale_factors: Scales,
    channels_last: bool = False,
) -> Array:
    """upsample_nearest3d.vec(Tensor input, SymInt[]? output_size, float[]? scale_factors) -> Tensor"""
    return resize_nearest(input, output_size, scale_factors, False, channels_last)


@TABLE.rule("aten._upsample_nearest_exact1d.default")
def upsample_nearest_exact1d(
    self: Array,
    output_size: Sizes,
    scales: float | None = None,
    channels_last: bool = False,
) -> Array:
    """_upsample_nearest_exact1d(Tensor self, SymInt[1] output_size, float? scales=None) -> Tensor"""
    return resize_nearest(self, output_size, (scales,), True, channels_last)


@TABLE.rule("aten._upsample_nearest_exact1d.vec")
def upsample_nearest_exact1d_vec(
    input: Array,
    output_size: Sizes | None,
    scale_factors: Scales,
    channels_last: bool = False,
) -> Array:
    """_upsample_nearest_exact1d.vec(Tensor input, SymInt[]? output_size, float[]? scale_factors) -> Tensor"""
    return resize_nearest(input, output_size, scale_factors, True, channels_last)


@TABLE.rule("aten._upsample_nearest_exact2d.default")
def upsample_nearest_exact2d(
    self: Array,
    output_size: Sizes,
    scales_h: float | None = None,
    scales_w: float | None = None,
    channels_last: bool = False,
) -> Array:
    """_upsample_nearest_exact2d(Tensor self, SymInt[2] output_size, float? scales_h=None, float? scales_w=None) -> Tensor"""  # noqa: E501
    return resize_nearest(self, output_size, (scales_h, scales_w), True, channels_last)


@TABLE.rule("aten._upsample_nearest_exact2d.vec")
def upsample_nearest_exact2d_vec(
    input: Array,
    output_size: Sizes | None,
    scale_factors: Scales,
    channels_last: bool = False,
) -> Array:
    """_upsample_nearest_exact2d.vec(Tensor input, SymInt[]? output_size, float[]? scale_factors) -> Tensor"""
    return resize_nearest(input, output_size, scale_factors, True, channels_last)


@TABLE.rule("aten._upsample_nearest_exact3d.default")
def upsample_nearest_exact3d(
    self: Array,
    output_size: Sizes,
    scales_d: float | None = None,
    scales_h: float | None = None,
    scales_w: float | None = None,
    channels_last: bool = False,
) -> Array:
    """_upsample_nearest_exact3d(Tensor self, SymInt[3] output_size, float? scales_d=None, float? scales_h=None, float? scales_w=None) -> Tensor"""  # noqa: E501
    return resize_nearest(self, output_size, (scales_d, scales_h, scales_w), True, channels_last)


@TABLE.rule("aten._upsample_nearest_exact3d.vec")
def upsample_nearest_exact3d_vec(
    input: Array,
    output_size: Sizes | None,
    scale_factors: Scales,
    channels_last: bool = False,
) -> Array:
    """_upsample_nearest_exact3d.vec(Tensor input, SymInt[]? output_size, float[]? scale_factors) -> Tensor"""
    return resize_nearest(input, output_size, scale_factors, True, channels_last)
