"""Maximum pooling, with and without positions, adaptive too: the first of equal elements counts, as in torch."""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array, lax

from regauge.rules.table import RuleTable

TABLE = RuleTable("max_pooling")

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


def window_index(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> np.ndarray:
    """Positions [window, element] along one axis; those in the padding repeat the window's nearest real one.

    A repeated element changes neither a maximum nor which element is the first to have it.
    """
    start = np.arange(pool_output(size, kernel, stride, padding, dilation, ceil_mode)) * stride - padding
    first = np.where(start < 0, start % dilation, start)
    last = start + (size - 1 - start) // dilation * dilation
    return np.clip(start[:, None] + np.arange(kernel) * dilation, first[:, None], last[:, None])


def adaptive_index(size: int, windows: int) -> np.ndarray:
    """Positions [window, element] of windows that cover an axis evenly; shorter windows repeat their last element."""
    start = np.arange(windows) * size // windows
    end = -(-(np.arange(windows) + 1) * size // windows)
    steps = np.arange((end - start).max(initial=0))
    return np.minimum(start[:, None] + steps, end[:, None] - 1)


def first_maximum(x: Array, index: list[np.ndarray]) -> tuple[Array, Array]:
    """Maximum of every window, and its position in the flattened image.

    The first of equal elements counts, as in torch: it gets the whole derivative.

    Args:
        x: [..., images of one or more axes].
        index: for each image axis the positions [window, element].
    """
    rank = len(index)
    position = np.zeros((1,) * (2 * rank), np.int64)
    grids = []
    for axis, (positions, size) in enumerate(zip(index, x.shape[-rank:], strict=True)):
        shape = [1] * (2 * rank)
        shape[axis], shape[rank + axis] = positions.shape
        grids.append(positions.reshape(shape))
        position = position * size + grids[-1]
    windows = position.shape[:rank]
    elements = x[(..., *grids)].reshape(*x.shape[:-rank], *windows, -1)
    chosen = jnp.argmax(elements, axis=-1, keepdims=True)
    flat = jnp.asarray(position.reshape(*windows, -1), int)
    flat = jnp.broadcast_to(flat, elements.shape)
    value = jnp.take_along_axis(elements, chosen, axis=-1)[..., 0]
    return value, jnp.take_along_axis(flat, chosen, axis=-1)[..., 0]


def max_pool(
    x: Array,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    ceil_mode: bool,
    channels_last: bool,
) -> Array:
    """Maximum over windows of the image axes."""
    rank = len(kernel)
    image = x.shape[-rank - 1 : -1] if channels_last else x.shape[-rank:]
    if any(d != 1 for d in dilation):  # the derivative of a dilated reduce_window is not defined
        moved = jnp.moveaxis(x, -1, -rank - 1) if channels_last else x
        arguments = zip(image, kernel, stride, padding, dilation, strict=True)
        value, _ = first_maximum(moved, [window_index(*a, ceil_mode) for a in arguments])
        return jnp.moveaxis(value, -rank - 1, -1) if channels_last else value
    before, after = (x.ndim - rank - 1, 1) if channels_last else (x.ndim - rank, 0)
    pads = pool_padding(image, kernel, stride, padding, ceil_mode)
    low = -jnp.inf if jnp.issubdtype(x.dtype, jnp.floating) else jnp.iinfo(x.dtype).min
    return lax.reduce_window(
        x,
        np.asarray(low, x.dtype),
        lax.max,
        (1,) * before + kernel + (1,) * after,
        (1,) * before + stride + (1,) * after,
        ((0, 0),) * before + pads + ((0, 0),) * after,
    )


def max_pool_with_index(
    x: Array,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    ceil_mode: bool,
) -> tuple[Array, Array]:
    """Maximum over windows of the last axes, and its position in the flattened image."""
    arguments = zip(x.shape[-len(kernel) :], kernel, stride, padding, dilation, strict=True)
    return first_maximum(x, [window_index(*a, ceil_mode) for a in arguments])


@TABLE.rule("aten.max_pool1d.default")
def max_pool1d(
    self: Array,
    kernel_size: Sizes,
    stride: Sizes = (),
    padding: Sizes = (0,),
    dilation: Sizes = (1,),
    ceil_mode: bool = False,
    channels_last: bool = False,
) -> Array:
    """max_pool1d(Tensor self, int[1] kernel_size, int[1] stride=[], int[1] padding=[0], int[1] dilation=[1], bool ceil_mode=False) -> Tensor"""  # noqa: E501
    kernel = pool_sizes(kernel_size, 1)
    steps = pool_sizes(stride, 1) if stride else kernel
    pads = pool_sizes(padding, 1)
    if channels_last and pool_sizes(dilation, 1) == (1,):
        if not any(pads) and windows_fit(self.shape[-2:-1], kernel, steps, pads, ceil_mode):
            return nnx.max_pool(self, kernel, steps)
        return nnx.max_pool(self, kernel, steps, pool_padding(self.shape[-2:-1], kernel, steps, pads, ceil_mode))
    return max_pool(self, kernel, steps, pads, pool_sizes(dilation, 1), ceil_mode, channels_last)


@TABLE.rule("aten.max_pool2d.default")
def max_pool2d(
    self: Array,
    kernel_size: Sizes,
    stride: Sizes = (),
    padding: Sizes = (0, 0),
    dilation: Sizes = (1, 1),
    ceil_mode: bool = False,
    channels_last: bool = False,
) -> Array:
    """max_pool2d(Tensor self, int[2] kernel_size, int[2] stride=[], int[2] padding=0, int[2] dilation=1, bool ceil_mode=False) -> Tensor"""  # noqa: E501
    kernel = pool_sizes(kernel_size, 2)
    steps = pool_sizes(stride, 2) if stride else kernel
    pads = pool_sizes(padding, 2)
    if channels_last and pool_sizes(dilation, 2) == (1, 1):
        if not any(pads) and windows_fit(self.shape[-3:-1], kernel, steps, pads, ceil_mode):
            return nnx.max_pool(self, kernel, steps)
        return nnx.max_pool(self, kernel, steps, pool_padding(self.shape[-3:-1], kernel, steps, pads, ceil_mode))
    return max_pool(self, kernel, steps, pads, pool_sizes(dilation, 2), ceil_mode, channels_last)


@TABLE.rule("aten.max_pool3d.default")
def max_pool3d(
    self: Array,
    kernel_size: Sizes,
    stride: Sizes = (),
    padding: Sizes = (0, 0, 0),
    dilation: Sizes = (1, 1, 1),
    ceil_mode: bool = False,
    channels_last: bool = False,
) -> Array:
    """max_pool3d(Tensor self, int[3] kernel_size, int[3] stride=[], int[3] padding=0, int[3] dilation=1, bool ceil_mode=False) -> Tensor"""  # noqa: E501
    kernel = pool_sizes(kernel_size, 3)
    steps = pool_sizes(stride, 3) if stride else kernel
    pads = pool_sizes(padding, 3)
    if channels_last and pool_sizes(dilation, 3) == (1, 1, 1):
        if not any(pads) and windows_fit(self.shape[-4:-1], kernel, steps, pads, ceil_mode):
            return nnx.max_pool(self, kernel, steps)
        return nnx.max_pool(self, kernel, steps, pool_padding(self.shape[-4:-1], kernel, steps, pads, ceil_mode))
    return max_pool(self, kernel, steps, pads, pool_sizes(dilation, 3), ceil_mode, channels_last)


@TABLE.rule("aten.max_pool1d_with_indices.default")
def max_pool1d_with_indices(
    self: Array,
    kernel_size: Sizes,
    stride: Sizes = (),
    padding: Sizes = (0,),
    dilation: Sizes = (1,),
    ceil_mode: bool = False,
) -> tuple[Array, Array]:
    """max_pool1d_with_indices(Tensor self, int[1] kernel_size, int[1] stride=[], int[1] padding=[0], int[1] dilation=[1], bool ceil_mode=False) -> (Tensor, Tensor)"""  # noqa: E501
    kernel = pool_sizes(kernel_size, 1)
    steps = pool_sizes(stride, 1) if stride else kernel
    return max_pool_with_index(self, kernel, steps, pool_sizes(padding, 1), pool_sizes(dilation, 1), ceil_mode)


@TABLE.rule("aten.max_pool2d_with_indices.default")
def max_pool2d_with_indices(
    self: Array,
    kernel_size: Sizes,
    stride: Sizes = (),
    padding: Sizes = (0, 0),
    dilation: Sizes = (1, 1),
    ceil_mode: bool = False,
) -> tuple[Array, Array]:
    """max_pool2d_with_indices(Tensor self, int[2] kernel_size, int[2] stride=[], int[2] padding=0, int[2] dilation=1, bool ceil_mode=False) -> (Tensor, Tensor)"""  # noqa: E501
    kernel = pool_sizes(kernel_size, 2)
    steps = pool_sizes(stride, 2) if stride else kernel
    return max_pool_with_index(self, kernel, steps, pool_sizes(padding, 2), pool_sizes(dilation, 2), ceil_mode)


@TABLE.rule("aten.max_pool3d_with_indices.default")
def max_pool3d_with_indices(
    self: Array,
    kernel_size: Sizes,
    stride: Sizes = (),
    padding: Sizes = (0, 0, 0),
    dilation: Sizes = (1, 1, 1),
    ceil_mode: bool = False,
) -> tuple[Array, Array]:
    """max_pool3d_with_indices(Tensor self, int[3] kernel_size, int[3] stride=[], int[3] padding=0, int[3] dilation=1, bool ceil_mode=False) -> (Tensor, Tensor)"""  # noqa: E501
    kernel = pool_sizes(kernel_size, 3)
    steps = pool_sizes(stride, 3) if stride else kernel
    return max_pool_with_index(self, kernel, steps, pool_sizes(padding, 3), pool_sizes(dilation, 3), ceil_mode)


@TABLE.rule("aten.adaptive_max_pool1d.default")
def adaptive_max_pool1d(self: Array, output_size: Sizes) -> tuple[Array, Array]:
    """adaptive_max_pool1d(Tensor self, int[1] output_size) -> (Tensor, Tensor)"""
    sizes = zip(self.shape[-1:], pool_sizes(output_size, 1), strict=True)
    return first_maximum(self, [adaptive_index(size, windows) for size, windows in sizes])


@TABLE.rule("aten.adaptive_max_pool2d.default")
def adaptive_max_pool2d(self: Array, output_size: Sizes) -> tuple[Array, Array]:
    """adaptive_max_pool2d(Tensor self, int[2] output_size) -> (Tensor, Tensor)"""
    sizes = zip(self.shape[-2:], pool_sizes(output_size, 2), strict=True)
    return first_maximum(self, [adaptive_index(size, windows) for size, windows in sizes])


@TABLE.rule("aten.adaptive_max_pool3d.default")
def adaptive_max_pool3d(self: Array, output_size: Sizes) -> tuple[Array, Array]:
    """adaptive_max_pool3d(Tensor self, int[3] output_size) -> (Tensor, Tensor)"""
    sizes = zip(self.shape[-3:], pool_sizes(output_size, 3), strict=True)
    return first_maximum(self, [adaptive_index(size, windows) for size, windows in sizes])


def scatter_images(values: Array, indices: Array, output_size: tuple[int, ...]) -> Array:
    """Images that are zero but for the values, each put at its position in the flattened image."""
    lead = values.shape[: values.ndim - len(output_size)]
    updates, places = values.reshape(*lead, -1), indices.reshape(*lead, -1)
    zeros = jnp.zeros((*lead, math.prod(output_size)), values.dtype)
    placed = jnp.put_along_axis(zeros, places, lax.stop_gradient(updates), axis=-1, inplace=False)
    # Where windows overlap, one position is written twice with one value. torch gives each writer the derivative of
    # the position, a write in JAX only the last: so the derivative goes through a sum whose value is zero.
    finite = jnp.where(jnp.isfinite(updates), updates, 0)
    change = jnp.zeros_like(zeros)
    batch = jnp.indices(places.shape, sparse=True)[:-1]
    change = change.at[(*batch, places)].add(finite - lax.stop_gradient(finite))
    return (placed + change).reshape(*lead, *output_size)


@TABLE.rule("aten.max_pool2d_with_indices_backward.default")
def max_pool2d_with_indices_backward(
    grad_output: Array,
    self: Array,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    ceil_mode: bool,
    indices: Array,
) -> Array:
    """max_pool2d_with_indices_backward(Tensor grad_output, Tensor self, int[2] kernel_size, int[2] stride, int[2] padding, int[2] dilation, bool ceil_mode, Tensor indices) -> Tensor"""  # noqa: E501
    lead = self.shape[:-2]
    places = indices.reshape(*lead, -1)
    batch = jnp.indices(places.shape, sparse=True)[:-1]
    zeros = jnp.zeros((*lead, self.shape[-2] * self.shape[-1]), grad_output.dtype)
    return zeros.at[(*batch, places)].add(grad_output.reshape(places.shape)).reshape(self.shape)


@TABLE.rule("aten.max_unpool2d.default")
def max_unpool2d(self: Array, indices: Array, output_size: Sizes) -> Array:
    """max_unpool2d(Tensor self, Tensor indices, SymInt[2] output_size) -> Tensor"""
    return scatter_images(self, indices, pool_sizes(output_size, 2))


@TABLE.rule("aten.max_unpool3d.default")
def max_unpool3d(
    self: Array, indices: Array, output_size: Sizes, stride: tuple[int, ...], padding: tuple[int, ...]
) -> Array:
    """max_unpool3d(Tensor self, Tensor indices, SymInt[3] output_size, int[3] stride, int[3] padding) -> Tensor"""
    return scatter_images(self, indices, pool_sizes(output_size, 3))
