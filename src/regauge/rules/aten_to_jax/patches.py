"""Sliding patches of images as columns, and their sum back into images."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
from jax import Array

from regauge.rules.table import RuleTable

TABLE = RuleTable("patches")


def patch_positions(size: int, kernel: int, dilation: int, padding: int, stride: int) -> Array:
    """Positions along one padded axis that the patches read: one row per patch, one column per kernel element."""
    count = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    return jnp.arange(count)[:, None] * stride + jnp.arange(kernel) * dilation


@TABLE.rule("aten.im2col.default")
def patches_to_columns(
    self: Array, kernel_size: Sequence[int], dilation: Sequence[int], padding: Sequence[int], stride: Sequence[int]
) -> Array:
    """im2col(Tensor self, int[2] kernel_size, int[2] dilation, int[2] padding, int[2] stride) -> Tensor"""
    lead, (height, width) = self.shape[:-2], self.shape[-2:]
    padded = jnp.pad(self, [(0, 0)] * len(lead) + [(padding[0], padding[0]), (padding[1], padding[1])])
    rows = patch_positions(height, kernel_size[0], dilation[0], padding[0], stride[0])
    columns = patch_positions(width, kernel_size[1], dilation[1], padding[1], stride[1])
    patches = padded[..., rows[:, None, :, None], columns[None, :, None, :]]
    patches = jnp.moveaxis(patches, (-2, -1), (-4, -3))
    channels, count = lead[-1] * kernel_size[0] * kernel_size[1], rows.shape[0] * columns.shape[0]
    return jnp.reshape(patches, (*lead[:-1], channels, count))


@TABLE.rule("aten.col2im.default")
def columns_to_image(
    self: Array,
    output_size: Sequence[int],
    kernel_size: Sequence[int],
    dilation: Sequence[int],
    padding: Sequence[int],
    stride: Sequence[int],
) -> Array:
    """col2im(Tensor self, SymInt[2] output_size, int[2] kernel_size, int[2] dilation, int[2] padding, int[2]
    stride) -> Tensor
    """
    height, width = output_size
    rows = patch_positions(height, kernel_size[0], dilation[0], padding[0], stride[0])
    columns = patch_positions(width, kernel_size[1], dilation[1], padding[1], stride[1])
    lead = (*self.shape[:-2], self.shape[-2] // (kernel_size[0] * kernel_size[1]))
    patches = jnp.reshape(self, (*lead, kernel_size[0], kernel_size[1], rows.shape[0], columns.shape[0]))
    patches = jnp.moveaxis(patches, (-4, -3), (-2, -1))
    sums = jnp.zeros((*lead, height + 2 * padding[0], width + 2 * padding[1]), self.dtype)
    sums = sums.at[..., rows[:, None, :, None], columns[None, :, None, :]].add(patches)
    return sums[..., padding[0] : padding[0] + height, padding[1] : padding[1] + width]
