"""Sampling images at given positions: bilinear, nearest, bicubic, in two and three dimensions.

Modes are torch's numbers: interpolation 0 linear, 1 nearest, 2 cubic; padding 0 zeros, 1 border, 2 reflection.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import DTypeLike

from regauge.rules.table import RuleTable

TABLE = RuleTable("grid_sample")


def pixel_position(coordinate: Array, size: int, align_corners: bool) -> Array:
    """The position in pixels of a coordinate in which the image reaches from -1 to 1.

    Args:
        coordinate: any shape.
        size: pixels along this axis.
        align_corners: -1 and 1 are the centres of the outermost pixels, else their outer edges.
    """
    if align_corners:
        return (coordinate + 1) / 2 * (size - 1)
    return ((coordinate + 1) * size - 1) / 2


def inside_image(position: Array, size: int, padding_mode: int, align_corners: bool) -> Array:
    """The position after clamping to the border (1) or reflecting at it (2); its derivative is 0 where it is held."""
    if padding_mode == 2:
        low, span = (0.0, size - 1.0) if align_corners else (-0.5, float(size))
        if span == 0:
            return jnp.zeros_like(position)
        offset = jnp.where(position < low, low - position, position - low)
        flips = jnp.floor(offset / span)
        rest = offset - flips * span
        position = jnp.where(flips % 2 == 0, rest, span - rest) + low
    return jnp.where(position <= 0, 0, jnp.where(position >= size - 1, size - 1, position))


def pixels_at(images: Array, places: list[Array]) -> Array:
    """Pixels at whole positions, 0 outside of the image: [batch, *points, channels].

    Args:
        images: [batch, channels, *sizes].
        places: for each axis of the image [batch, *points].
    """
    within = jnp.ones(places[0].shape, bool)
    index = []
    for place, size in zip(places, images.shape[2:], strict=True):
        within = within & (place >= 0) & (place <= size - 1)
        index.append(jnp.clip(place, 0, size - 1).astype(int))
    batch = np.arange(images.shape[0]).reshape(-1, *(1,) * (places[0].ndim - 1))
    return jnp.where(within[..., None], jnp.moveaxis(images, 1, -1)[(batch, *index)], 0)


def sample_linear(images: Array, positions: list[Array]) -> Array:
    """The mean of the pixels around each position, weighted by nearness."""
    low = [jnp.floor(position) for position in positions]
    total = jnp.zeros((), images.dtype)
    for corner in np.ndindex(*(2,) * len(positions)):
        weight = jnp.ones((), images.dtype)
        for position, start, step in zip(positions, low, corner, strict=True):
            weight = weight * (position - start if step else start + 1 - position)
        pixels = pixels_at(images, [start + step for start, step in zip(low, corner, strict=True)])
        total = total + pixels * weight[..., None]
    return total


def cubic_weights(fraction: Array) -> list[Array]:
    """Weights of the four pixels around a position, by cubic convolution with a = -0.75.

    Formula: https://en.wikipedia.org/wiki/Bicubic_interpolation#Bicubic_convolution_algorithm
    """
    a = -0.75

    def near(t: Array) -> Array:
        return ((a + 2) * t - (a + 3)) * t * t + 1

    def far(t: Array) -> Array:
        return ((a * t - 5 * a) * t + 8 * a) * t - 4 * a

    return [far(fraction + 1), near(fraction), near(1 - fraction), far(2 - fraction)]


def sample_cubic(images: Array, positions: list[Array], padding_mode: int, align_corners: bool) -> Array:
    """Cubic convolution of the 4 x 4 pixels around each position; padding applies to each of these pixels."""
    low = [jnp.floor(position) for position in positions]
    rows, columns = (cubic_weights(position - start) for position, start in zip(positions, low, strict=True))
    total = jnp.zeros((), images.dtype)
    for i, j in np.ndindex(4, 4):
        places = [low[0] + (i - 1), low[1] + (j - 1)]
        if padding_mode:
            sizes = zip(places, images.shape[2:], strict=True)
            places = [inside_image(place, size, padding_mode, align_corners) for place, size in sizes]
        total = total + pixels_at(images, places) * (rows[i] * columns[j])[..., None]
    return total


@TABLE.rule(
    "aten.grid_sampler.default",
    "aten.grid_sampler_2d.default",
    "aten.grid_sampler_3d.default",
)
def grid_sample(input: Array, grid: Array, interpolation_mode: int, padding_mode: int, align_corners: bool) -> Array:
    """grid_sampler(Tensor input, Tensor grid, int interpolation_mode, int padding_mode, bool align_corners) ->
    Tensor
    """
    # the last axis of the grid names x first, which is the last axis of the image
    sizes = input.shape[2:]
    positions = [pixel_position(grid[..., -1 - i], size, align_corners) for i, size in enumerate(sizes)]
    if interpolation_mode == 2:
        return jnp.moveaxis(sample_cubic(input, positions, padding_mode, align_corners), -1, 1)
    if padding_mode:
        given = zip(positions, sizes, strict=True)
        positions = [inside_image(position, size, padding_mode, align_corners) for position, size in given]
    if interpolation_mode == 1:
        return jnp.moveaxis(pixels_at(input, [jnp.round(position) for position in positions]), -1, 1)
    return jnp.moveaxis(sample_linear(input, positions), -1, 1)


def centres(n: int, align_corners: bool, dtype: DTypeLike) -> Array:
    """Places of n elements between -1 and 1: the ends are the outermost elements, or their outer edges."""
    places = jnp.linspace(-1, 1, n, dtype=dtype) if n > 1 else jnp.zeros(n, dtype)
    return places if align_corners else places * ((n - 1) / n)


@TABLE.rule("aten.affine_grid_generator.default")
def affine_grid(theta: Array, size: Sequence[int], align_corners: bool) -> Array:
    """affine_grid_generator(Tensor theta, SymInt[] size, bool align_corners) -> Tensor"""
    axes = [centres(n, align_corners, theta.dtype) for n in size[2:]]
    places = jnp.meshgrid(*axes, indexing="ij")[::-1]  # x first
    points = jnp.stack([*places, jnp.ones_like(places[0])], axis=-1)
    return jnp.einsum("...k,njk->n...j", points, theta)
