"""Average pooling, adaptive too, with torch's ceiling mode, padding and divisors."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array, lax

from regauge.rules.table import RuleTable

TABLE = RuleTable("average_pooling")

Sizes = int | tuple[int, ...]


def pool_sizes(value: Sizes, rank: int) -> tuple[int, ...]:
    """One number for each axis of the window; torch repeats a single one."""
    sizes = tuple(value) if isinstance(value, tuple | list) else (value,)
    return sizes * rank if len(sizes) == 1 else sizes


def pool_output(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    """Number of windows along one axis. In ceiling mode no window starts in the padding at the end.

    Formula: https://docs.pytorch.org/docs/stable/generated/torch.nn.MaxPool2d.html
    """
    free = size + 2 * padding - dilation * (kernel - 1) - 1
    count = (-(-free // stride) if ceil_mode else free // stride) + 1
    return count - 1 if ceil_mode and (count - 1) * stride >= size + padding else count


def pool_padding(
    shape: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    ceil_mode: bool,
) -> tuple[tuple[int, int], ...]:
    """Elements to add before and after each axis, so that plain windows are torch's windows."""
    if not ceil_mode:
        return tuple((p, p) for p in padding)
    pads = []
    for size, k, s, p in zip(shape, kernel, stride, padding, strict=True):
        last = (pool_output(size, k, s, p, 1, True) - 1) * s + k
        pads.append((p, max(last - size - p, 0)))
    return tuple(pads)


def is_one_window(shape: tuple[int, ...], kernel: tuple[int, ...], padding: tuple[int, ...], ceil_mode: bool) -> bool:
    """Whether one window holds the whole image or more, of which torch takes the mean.

    While sources are emitted, a size that is only named may be any.
    """
    within = (type(size) is int and size <= k for size, k in zip(shape, kernel, strict=True))
    return ceil_mode and not any(padding) and all(within)


def windows_fit(
    shape: tuple[int, ...], kernel: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...], ceil_mode: bool
) -> bool:
    """Whether all windows lie within the padded image, as they do without ceiling mode."""
    if not ceil_mode:
        return True
    for size, k, s, p in zip(shape, kernel, stride, padding, strict=True):
        if type(size) is not int or size + 2 * p < k or (size + 2 * p - k) % s:
            return False
    return True


def window_counts(
    shape: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    ceil_mode: bool,
    count_include_pad: bool,
) -> np.ndarray:
    """By what each window's sum is divided: its elements, with those of the padding or without."""
    counts = np.ones((1,) * len(shape), np.int64)
    for axis, (size, k, s, p) in enumerate(zip(shape, kernel, stride, padding, strict=True)):
        start = np.arange(pool_output(size, k, s, p, 1, ceil_mode)) * s - p
        if count_include_pad:
            count = np.minimum(start + k, size + p) - start
        else:
            count = np.minimum(start + k, size) - np.maximum(start, 0)
        counts = counts * count.reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return counts


def avg_pool(
    x: Array,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
    channels_last: bool,
) -> Array:
    """Sum over windows of the image axes, divided as torch divides."""
    rank = len(kernel)
    image = x.shape[-rank - 1 : -1] if channels_last else x.shape[-rank:]
    before, after = (x.ndim - rank - 1, 1) if channels_last else (x.ndim - rank, 0)
    if ceil_mode:  # a window may be larger than the image: what lies beyond is not padded with zeros
        kernel = tuple(min(k, size + 2 * pad) for k, size, pad in zip(kernel, image, padding, strict=True))
    pads = pool_padding(image, kernel, stride, padding, ceil_mode)
    total = lax.reduce_window(
        x,
        np.zeros((), x.dtype),
        lax.add,
        (1,) * before + kernel + (1,) * after,
        (1,) * before + stride + (1,) * after,
        ((0, 0),) * before + pads + ((0, 0),) * after,
    )
    if divisor_override is None:
        counts = window_counts(image, kernel, stride, padding, ceil_mode, count_include_pad)
        divisor = jnp.asarray(counts.reshape(counts.shape + (1,) * after), x.dtype)
    else:
        divisor = jnp.asarray(divisor_override, x.dtype)
    if jnp.issubdtype(x.dtype, jnp.integer):
        return lax.div(total, jnp.broadcast_to(divisor, total.shape))  # towards zero, as in torch
    return total / divisor


@TABLE.rule("aten.avg_pool1d.default")
def avg_pool1d(
    self: Array,
    kernel_size: Sizes,
    stride: Sizes = (),
    padding: Sizes = (0,),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    channels_last: bool = False,
) -> Array:
    """avg_pool1d(Tensor self, int[1] kernel_size, int[1] stride=[], int[1] padding=[0], bool ceil_mode=False, bool count_include_pad=True) -> Tensor"""  # noqa: E501
    kernel = pool_sizes(kernel_size, 1)
    steps = pool_sizes(stride, 1) if stride else kernel
    pads = pool_sizes(padding, 1)
    if channels_last:
        if is_one_window(self.shape[-2:-1], kernel, pads, ceil_mode):
            return jnp.mean(self, axis=(1,), keepdims=True)
        fits = windows_fit(self.shape[-2:-1], kernel, steps, pads, ceil_mode)
        if fits and not any(pads):
            return nnx.avg_pool(self, kernel, steps)
        if fits and count_include_pad:
            return nnx.avg_pool(self, kernel, steps, tuple((p, p) for p in pads))
        if self.dtype == jnp.float32 and not (count_include_pad and any(pads)):  # in which NNX counts
            around = pool_padding(self.shape[-2:-1], kernel, steps, pads, ceil_mode)
            return nnx.avg_pool(self, kernel, steps, around, count_include_pad=False)
    return avg_pool(self, kernel, steps, pads, ceil_mode, count_include_pad, None, channels_last)


@TABLE.rule("aten.avg_pool2d.default")
def avg_pool2d(
    self: Array,
    kernel_size: Sizes,
    stride: Sizes = (),
    padding: Sizes = (0, 0),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    channels_last: bool = False,
) -> Array:
    """avg_pool2d(Tensor self, int[2] kernel_size, int[2] stride=[], int[2] padding=0, bool ceil_mode=False, bool count_include_pad=True, int? divisor_override=None) -> Tensor"""  # noqa: E501
    kernel = pool_sizes(kernel_size, 2)
    steps = pool_sizes(stride, 2) if stride else kernel
    pads = pool_sizes(padding, 2)
    if channels_last and divisor_override is None:
        if is_one_window(self.shape[-3:-1], kernel, pads, ceil_mode):
            return jnp.mean(self, axis=(1, 2), keepdims=True)
        fits = windows_fit(self.shape[-3:-1], kernel, steps, pads, ceil_mode)
        if fits and not any(pads):
            return nnx.avg_pool(self, kernel, steps)
        if fits and count_include_pad:
            return nnx.avg_pool(self, kernel, steps, tuple((p, p) for p in pads))
        if self.dtype == jnp.float32 and not (count_include_pad and any(pads)):  # in which NNX counts
            around = pool_padding(self.shape[-3:-1], kernel, steps, pads, ceil_mode)
            return nnx.avg_pool(self, kernel, steps, around, count_include_pad=False)
    return avg_pool(self, kernel, steps, pads, ceil_mode, count_include_pad, divisor_override, channels_last)


@TABLE.rule("aten.avg_pool3d.default")
def avg_pool3d(
    self: Array,
    kernel_size: Sizes,
    stride: Sizes = (),
    padding: Sizes = (0, 0, 0),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    channels_last: bool = False,
) -> Array:
    """avg_pool3d(Tensor self, int[3] kernel_size, int[3] stride=[], int[3] padding=0, bool ceil_mode=False, bool count_include_pad=True, int? divisor_override=None) -> Tensor"""  # noqa: E501
    kernel = pool_sizes(kernel_size, 3)
    steps = pool_sizes(stride, 3) if stride else kernel
    pads = pool_sizes(padding, 3)
    if channels_last and divisor_override is None:
        if is_one_window(self.shape[-4:-1], kernel, pads, ceil_mode):
            return jnp.mean(self, axis=(1, 2, 3), keepdims=True)
        fits = windows_fit(self.shape[-4:-1], kernel, steps, pads, ceil_mode)
        if fits and not any(pads):
            return nnx.avg_pool(self, kernel, steps)
        if fits and count_include_pad:
            return nnx.avg_pool(self, kernel, steps, tuple((p, p) for p in pads))
        if self.dtype == jnp.float32 and not (count_include_pad and any(pads)):  # in which NNX counts
            around = pool_padding(self.shape[-4:-1], kernel, steps, pads, ceil_mode)
            return nnx.avg_pool(self, kernel, steps, around, count_include_pad=False)
    return avg_pool(self, kernel, steps, pads, ceil_mode, count_include_pad, divisor_override, channels_last)


def adaptive_average(x: Array, output_size: tuple[int, ...], axes: tuple[int, ...]) -> Array:
    """Means of windows that cover each of the axes evenly, whatever their size."""
    for axis, windows in zip(axes, output_size, strict=True):
        size = x.shape[axis]
        start = np.arange(windows) * size // windows
        end = -(-(np.arange(windows) + 1) * size // windows)
        steps = np.arange((end - start).max(initial=0))
        position = np.minimum(start[:, None] + steps, size - 1)
        real = steps < (end - start)[:, None]
        elements = jnp.take(x, position, axis)  # [..., window, element, ...]
        after = (1,) * (elements.ndim - axis - 2)
        total = jnp.where(real.reshape(*real.shape, *after), elements, 0).sum(axis + 1)
        x = total / jnp.asarray((end - start).reshape(-1, *after), x.dtype)
    return x


@TABLE.rule("aten.adaptive_avg_pool1d.default")
def adaptive_avg_pool1d(self: Array, output_size: Sizes, channels_last: bool = False) -> Array:
    """adaptive_avg_pool1d(Tensor self, int[1] output_size) -> Tensor"""
    axes = (self.ndim - 2,) if channels_last else (self.ndim - 1,)
    if pool_sizes(output_size, 1) == (1,):
        return jnp.mean(self, axis=axes, keepdims=True)
    return adaptive_average(self, pool_sizes(output_size, 1), axes)


@TABLE.rule("aten.adaptive_avg_pool2d.default", "aten._adaptive_avg_pool2d.default")
def adaptive_avg_pool2d(self: Array, output_size: Sizes, channels_last: bool = False) -> Array:
    """adaptive_avg_pool2d(Tensor self, SymInt[2] output_size) -> Tensor"""
    axes = (self.ndim - 3, self.ndim - 2) if channels_last else (self.ndim - 2, self.ndim - 1)
    if pool_sizes(output_size, 2) == (1, 1):
        return jnp.mean(self, axis=axes, keepdims=True)
    return adaptive_average(self, pool_sizes(output_size, 2), axes)


@TABLE.rule("aten.adaptive_avg_pool3d.default", "aten._adaptive_avg_pool3d.default")
def adaptive_avg_pool3d(self: Array, output_size: Sizes, channels_last: bool = False) -> Array:
    """adaptive_avg_pool3d(Tensor self, SymInt[3] output_size) -> Tensor"""
    axes = tuple(range(self.ndim - 4, self.ndim - 1)) if channels_last else tuple(range(self.ndim - 3, self.ndim))
    if pool_sizes(output_size, 3) == (1, 1, 1):
        return jnp.mean(self, axis=axes, keepdims=True)
    return adaptive_average(self, pool_sizes(output_size, 3), axes)
