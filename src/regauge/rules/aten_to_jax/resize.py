"""Linear and cubic resizing of images by torch's conventions; jax.image.resize antialiases and has a = -0.5."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array

from regauge.rules.table import RuleTable

TABLE = RuleTable("resize")

Scales = tuple[float | None, ...] | None
Sizes = tuple[int, ...]


def resized(image: Sizes, output_size: Sizes | None, scale_factors: Scales) -> Sizes:
    """Sizes after resizing: those asked for, or the product with the factors, rounded down."""
    if output_size is not None:
        return output_size
    return tuple(int(size * (factor or 1)) for size, factor in zip(image, scale_factors or (), strict=True))


def source_step(size: int, windows: int, factor: float | None, align_corners: bool) -> float:
    """Source elements for one step in the result."""
    if align_corners:
        return (size - 1) / (windows - 1) if windows > 1 else 0.0
    return 1 / factor if factor is not None and factor > 0 else size / windows


def linear_taps(size: int, windows: int, factor: float | None, align_corners: bool) -> tuple[np.ndarray, np.ndarray]:
    """Source positions [element, 2] and their weights [element, 2]; positions before the first one are the first."""
    step = source_step(size, windows, factor, align_corners)
    steps = np.arange(windows)
    position = steps * step if align_corners else np.maximum((steps + 0.5) * step - 0.5, 0.0)
    low = np.minimum(position.astype(np.int64), size - 1)
    fraction = np.clip(position - low, 0.0, 1.0)
    return np.stack([low, np.minimum(low + 1, size - 1)], 1), np.stack([1 - fraction, fraction], 1)


def cubic_taps(size: int, windows: int, factor: float | None, align_corners: bool) -> tuple[np.ndarray, np.ndarray]:
    """Source positions [element, 4] and weights [element, 4] of the cubic kernel with a = -0.75, ends repeated."""
    step = source_step(size, windows, factor, align_corners)
    position = np.arange(windows) * step if align_corners else (np.arange(windows) + 0.5) * step - 0.5
    low = np.floor(position).astype(np.int64)
    steps = np.arange(-1, 3)
    distance = np.abs((position - low)[:, None] - steps)
    a = -0.75
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return np.clip(low[:, None] + steps, 0, size - 1), np.where(distance <= 1, near, far)


def antialiasing_taps(
    size: int, windows: int, factor: float | None, align_corners: bool, cubic: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Source positions and weights of a triangle or cubic (a = -0.5) filter as wide as the reduction, normalized."""
    step = source_step(size, windows, factor, align_corners)
    width = 2 if cubic else 1
    support = width * max(step, 1.0)
    centre = step * (np.arange(windows) + 0.5)
    first = np.maximum((centre - support + 0.5).astype(np.int64), 0)
    count = np.minimum((centre + support + 0.5).astype(np.int64), size) - first
    steps = np.arange(count.max(initial=1))
    position = first[:, None] + steps
    distance = np.abs((position - centre[:, None] + 0.5) / max(step, 1.0))
    if cubic:
        a = -0.5
        near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
        far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
        weight = np.where(distance < 1, near, np.where(distance < 2, far, 0.0))
    else:
        weight = np.maximum(1 - distance, 0.0)
    weight = np.where(steps < count[:, None], weight, 0.0)
    total = weight.sum(1, keepdims=True)
    return np.minimum(position, size - 1), weight / np.where(total == 0, 1, total)


def weighted_taps(x: Array, axis: int, position: np.ndarray, weight: np.ndarray) -> Array:
    """Sum over taps of weight * x at their positions along one axis."""
    after = (1,) * (x.ndim - axis - 1)
    terms = [
        jnp.take(x, p, axis) * jnp.asarray(w.reshape(-1, *after), x.dtype)
        for p, w in zip(position.T, weight.T, strict=True)
    ]
    return sum(terms[1:], terms[0])


def resize_weighted(
    x: Array,
    output_size: Sizes | None,
    scale_factors: Scales,
    align_corners: bool,
    filter: str,
    channels_last: bool = False,
) -> Array:
    """Separable resizing of the image axes.

    Args:
        x: [N, C, ...], or [N, ..., C] with `channels_last`.
        output_size: sizes of the image axes, or None where the factors decide.
        scale_factors: one for each image axis, or None.
        align_corners: the corner elements keep their places.
        filter: "linear", "cubic", or one of these with "antialiased " before it.
    """
    axes = range(1, x.ndim - 1) if channels_last else range(2, x.ndim)
    image = tuple(x.shape[axis] for axis in axes)
    sizes = resized(image, output_size, scale_factors)
    half = x.dtype in (jnp.bfloat16, jnp.float16)
    result = x.astype(jnp.float32) if half else x
    for axis, size, windows, factor in zip(axes, image, sizes, scale_factors or (None,) * len(image), strict=True):
        if filter == "linear":
            position, weight = linear_taps(size, windows, factor, align_corners)
        elif filter == "cubic":
            position, weight = cubic_taps(size, windows, factor, align_corners)
        else:
            position, weight = antialiasing_taps(size, windows, factor, align_corners, filter.endswith("cubic"))
        result = weighted_taps(result, axis, position, weight)
    return result.astype(x.dtype) if half else result


@TABLE.rule("aten.upsample_linear1d.default")
def upsample_linear1d(
    self: Array,
    output_size: Sizes,
    align_corners: bool,
    scales: float | None = None,
    channels_last: bool = False,
) -> Array:
    """upsample_linear1d(Tensor self, SymInt[1] output_size, bool align_corners, float? scales=None) -> Tensor"""
    return resize_weighted(self, output_size, (scales,), align_corners, "linear", channels_last)


@TABLE.rule("aten.upsample_linear1d.vec")
def upsample_linear1d_vec(
    input: Array,
    output_size: Sizes | None,
    align_corners: bool,
    scale_factors: Scales,
    channels_last: bool = False,
) -> Array:
    """upsample_linear1d.vec(Tensor input, SymInt[]? output_size, bool align_corners, float[]? scale_factors) -> Tensor"""  # noqa: E501
    return resize_weighted(input, output_size, scale_factors, align_corners, "linear", channels_last)


@TABLE.rule("aten.upsample_bilinear2d.default")
def upsample_bilinear2d(
    self: Array,
    output_size: Sizes,
    align_corners: bool,
    scales_h: float | None = None,
    scales_w: float | None = None,
    channels_last: bool = False,
) -> Array:
    """upsample_bilinear2d(Tensor self, SymInt[2] output_size, bool align_corners, float? scales_h=None, float? scales_w=None) -> Tensor"""  # noqa: E501
    return resize_weighted(self, output_size, (scales_h, scales_w), align_corners, "linear", channels_last)


@TABLE.rule("aten.upsample_bilinear2d.vec")
def upsample_bilinear2d_vec(
    input: Array,
    output_size: Sizes | None,
    align_corners: bool,
    scale_factors: Scales,
    channels_last: bool = False,
) -> Array:
    """upsample_bilinear2d.vec(Tensor input, SymInt[]? output_size, bool align_corners, float[]? scale_factors) -> Tensor"""  # noqa: E501
    return resize_weighted(input, output_size, scale_factors, align_corners, "linear", channels_last)


@TABLE.rule("aten.upsample_trilinear3d.default")
def upsample_trilinear3d(
    self: Array,
    output_size: Sizes,
    align_corners: bool,
    scales_d: float | None = None,
    scales_h: float | None = None,
    scales_w: float | None = None,
    channels_last: bool = False,
) -> Array:
    """upsample_trilinear3d(Tensor self, SymInt[3] output_size, bool align_corners, float? scales_d=None, float? scales_h=None, float? scales_w=None) -> Tensor"""  # noqa: E501
    return resize_weighted(self, output_size, (scales_d, scales_h, scales_w), align_corners, "linear", channels_last)


@TABLE.rule("aten.upsample_trilinear3d.vec")
def upsample_trilinear3d_vec(
    input: Array,
    output_size: Sizes | None,
    align_corners: bool,
    scale_factors: Scales,
    channels_last: bool = False,
) -> Array:
    """upsample_trilinear3d.vec(Tensor input, SymInt[]? output_size, bool align_corners, float[]? scale_factors) -> Tensor"""  # noqa: E501
    return resize_weighted(input, output_size, scale_factors, align_corners, "linear", channels_last)


@TABLE.rule("aten.upsample_bicubic2d.default")
def upsample_bicubic2d(
    self: Array,
    output_size: Sizes,
    align_corners: bool,
    scales_h: float | None = None,
    scales_w: float | None = None,
    channels_last: bool = False,
) -> Array:
    """upsample_bicubic2d(Tensor self, SymInt[2] output_size, bool align_corners, float? scales_h=None, float? scales_w=None) -> Tensor"""  # noqa: E501
    return resize_weighted(self, output_size, (scales_h, scales_w), align_corners, "cubic", channels_last)


@TABLE.rule("aten.upsample_bicubic2d.vec")
def upsample_bicubic2d_vec(
    input: Array,
    output_size: Sizes | None,
    align_corners: bool,
    scale_factors: Scales,
    channels_last: bool = False,
) -> Array:
    """upsample_bicubic2d.vec(Tensor input, SymInt[]? output_size, bool align_corners, float[]? scale_factors) -> Tensor"""  # noqa: E501
    return resize_weighted(input, output_size, scale_factors, align_corners, "cubic", channels_last)


@TABLE.rule("aten._upsample_bilinear2d_aa.default")
def upsample_bilinear2d_aa(
    self: Array,
    output_size: Sizes,
    align_corners: bool,
    scales_h: float | None = None,
    scales_w: float | None = None,
    channels_last: bool = False,
) -> Array:
    """_upsample_bilinear2d_aa(Tensor self, SymInt[2] output_size, bool align_corners, float? scales_h=None, float? scales_w=None) -> Tensor"""  # noqa: E501
    return resize_weighted(self, output_size, (scales_h, scales_w), align_corners, "antialiased linear", channels_last)


@TABLE.rule("aten._upsample_bilinear2d_aa.vec")
def upsample_bilinear2d_aa_vec(
    input: Array,
    output_size: Sizes | None,
    align_corners: bool,
    scale_factors: Scales,
    channels_last: bool = False,
) -> Array:
    """_upsample_bilinear2d_aa.vec(Tensor input, SymInt[]? output_size, bool align_corners, float[]? scale_factors) -> Tensor"""  # noqa: E501
    return resize_weighted(input, output_size, scale_factors, align_corners, "antialiased linear", channels_last)


@TABLE.rule("aten._upsample_bicubic2d_aa.default")
def upsample_bicubic2d_aa(
    self: Array,
    output_size: Sizes,
    align_corners: bool,
    scales_h: float | None = None,
    scales_w: float | None = None,
    channels_last: bool = False,
) -> Array:
    """_upsample_bicubic2d_aa(Tensor self, SymInt[2] output_size, bool align_corners, float? scales_h=None, float? scales_w=None) -> Tensor"""  # noqa: E501
    return resize_weighted(self, output_size, (scales_h, scales_w), align_corners, "antialiased cubic", channels_last)


@TABLE.rule("aten._upsample_bicubic2d_aa.vec")
def upsample_bicubic2d_aa_vec(
    input: Array,
    output_size: Sizes | None,
    align_corners: bool,
    scale_factors: Scales,
    channels_last: bool = False,
) -> Array:
    """_upsample_bicubic2d_aa.vec(Tensor input, SymInt[]? output_size, bool align_corners, float[]? scale_factors) -> Tensor"""  # noqa: E501
    return resize_weighted(input, output_size, scale_factors, align_corners, "antialiased cubic", channels_last)
