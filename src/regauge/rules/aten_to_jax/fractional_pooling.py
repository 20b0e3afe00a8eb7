"""Fractional maximum pooling: windows of one size at places that random samples move, so given them it is fixed."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from regauge.rules.table import RuleTable

TABLE = RuleTable("fractional_pooling")


def window_starts(sample: Array, size: int, kernel: int, count: int) -> Array:
    """Where the windows along one axis begin; the last one ends with the axis.

    Formula: https://arxiv.org/abs/1412.6071, the pseudo-random regions of section 2
    """
    if count == 1:
        return jnp.full(1, size - kernel)
    step = jnp.asarray((size - kernel) / (count - 1), sample.dtype)
    inner = jnp.trunc((jnp.arange(count - 1) + sample) * step) - jnp.trunc(sample * step)
    return jnp.append(inner.astype(int), size - kernel)


def fractional_maximum(
    image: Array, samples: Array, kernel: Sequence[int], count: Sequence[int]
) -> tuple[Array, Array]:
    """Maximum of every window of one image, and its position in the flattened image.

    Args:
        image: one or more axes.
        samples: the random number of each axis, from 0 to 1.
        kernel: size of the windows.
        count: windows along each axis.
    """
    rank = image.ndim
    position = jnp.zeros((1,) * (2 * rank), int)
    for axis, size in enumerate(image.shape):
        places = window_starts(samples[axis], size, kernel[axis], count[axis])[:, None] + np.arange(kernel[axis])
        shape = [1] * (2 * rank)
        shape[axis], shape[rank + axis] = places.shape
        position = position * size + places.reshape(shape)
    position = position.reshape(*count, -1)
    elements = image.reshape(-1)[position]
    chosen = jnp.argmax(elements, axis=-1, keepdims=True)  # the first of equal elements, as in torch
    value, index = jnp.take_along_axis(elements, chosen, axis=-1), jnp.take_along_axis(position, chosen, axis=-1)
    return value[..., 0], index[..., 0]


def fractional_max_pool(x: Array, kernel: Sequence[int], count: Sequence[int], samples: Array) -> tuple[Array, Array]:
    """Fractional pooling of the last axes of `x`; each image has its own random samples [images, channels, axes]."""
    rank = len(kernel)
    images = x.reshape(-1, *x.shape[-rank:])
    value, index = jax.vmap(lambda image, sample: fractional_maximum(image, sample, kernel, count))(
        images, samples.reshape(-1, rank)[: images.shape[0]]
    )
    shape = (*x.shape[:-rank], *count)
    return value.reshape(shape), index.reshape(shape)


@TABLE.rule("aten.fractional_max_pool2d.default")
def fractional_max_pool2d(
    self: Array, kernel_size: Sequence[int], output_size: Sequence[int], random_samples: Array
) -> tuple[Array, Array]:
    """fractional_max_pool2d(Tensor self, int[2] kernel_size, int[2] output_size, Tensor random_samples) -> (Tensor, Tensor)"""  # noqa: E501
    # here the first sample is of the last axis
    return fractional_max_pool(self, kernel_size, output_size, random_samples[..., ::-1])


@TABLE.rule("aten.fractional_max_pool3d.default")
def fractional_max_pool3d(
    self: Array, kernel_size: Sequence[int], output_size: Sequence[int], random_samples: Array
) -> tuple[Array, Array]:
    """fractional_max_pool3d(Tensor self, int[3] kernel_size, int[3] output_size, Tensor random_samples) -> (Tensor, Tensor)"""  # noqa: E501
    return fractional_max_pool(self, kernel_size, output_size, random_samples)
