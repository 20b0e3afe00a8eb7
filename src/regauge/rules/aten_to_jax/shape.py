"""Shapes: reshaping, reordering, adding, dropping and repeating dimensions."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
from jax import Array

from regauge.rules.table import Limit, RuleTable

TABLE = RuleTable("shape")

UNKNOWN_LENGTH = Limit(
    when="output_size is not given",
    applies=lambda arguments: arguments.get("output_size") is None,
    effect="unsupported",
    reason="the length of the result depends on values; jit needs it beforehand: pass output_size",
)


@TABLE.rule("aten.view.default", "aten.view_copy.default", "aten._unsafe_view.default")
def reshape(self: Array, size: Sequence[int]) -> Array:
    """view(Tensor(a) self, SymInt[] size) -> Tensor(a)
    _unsafe_view(Tensor self, SymInt[] size) -> Tensor
    view_copy(Tensor self, SymInt[] size) -> Tensor
    """
    return jnp.reshape(self, tuple(size))


@TABLE.rule("aten.reshape.default")
def reshape_to(self: Array, shape: Sequence[int]) -> Array:
    """reshape(Tensor(a) self, SymInt[] shape) -> Tensor(a)"""
    return jnp.reshape(self, tuple(shape))


@TABLE.rule("aten.view_as.default", "aten.reshape_as.default")
def reshape_as(self: Array, other: Array) -> Array:
    """view_as(Tensor(a) self, Tensor other) -> Tensor(a)
    reshape_as(Tensor(a) self, Tensor other) -> Tensor(a)
    """
    return jnp.reshape(self, other.shape)


@TABLE.rule("aten.flatten.using_ints")
def flatten(self: Array, start_dim: int = 0, end_dim: int = -1) -> Array:
    """flatten.using_ints(Tensor(a) self, int start_dim=0, int end_dim=-1) -> Tensor(a)"""
    if self.ndim == 0:
        return jnp.reshape(self, (1,))
    start, stop = start_dim % self.ndim, end_dim % self.ndim + 1
    return jnp.reshape(self, (*self.shape[:start], -1, *self.shape[stop:]))


@TABLE.rule("aten.ravel.default")
def ravel(self: Array) -> Array:
    """ravel(Tensor(a) self) -> Tensor(a)"""
    return jnp.reshape(self, (-1,))


@TABLE.rule("aten.unflatten.int")
def unflatten(self: Array, dim: int, sizes: Sequence[int]) -> Array:
    """unflatten.int(Tensor(a) self, int dim, SymInt[] sizes) -> Tensor(a)"""
    axis = dim % self.ndim
    return jnp.reshape(self, self.shape[:axis] + tuple(sizes) + self.shape[axis + 1 :])


@TABLE.rule("aten.permute.default", "aten.permute_copy.default")
def permute(self: Array, dims: Sequence[int]) -> Array:
    """permute(Tensor(a) self, int[] dims) -> Tensor(a)
    permute_copy(Tensor self, int[] dims) -> Tensor
    """
    return jnp.transpose(self, tuple(dims))


@TABLE.rule("aten.transpose.int", "aten.transpose_copy.int")
def swap_axes(self: Array, dim0: int, dim1: int) -> Array:
    """transpose.int(Tensor(a) self, int dim0, int dim1) -> Tensor(a)
    transpose_copy.int(Tensor self, int dim0, int dim1) -> Tensor
    """
    if self.ndim == 0:
        return self
    return jnp.swapaxes(self, dim0, dim1)


@TABLE.rule("aten.swapdims.default")
def swap_dims(self: Array, dim0: int, dim1: int) -> Array:
    """swapdims(Tensor(a) self, int dim0, int dim1) -> Tensor(a)"""
    return jnp.swapaxes(self, dim0, dim1)


@TABLE.rule("aten.swapaxes.default")
def swap_axes_by_name(self: Array, axis0: int, axis1: int) -> Array:
    """swapaxes(Tensor(a) self, int axis0, int axis1) -> Tensor(a)"""
    return jnp.swapaxes(self, axis0, axis1)


@TABLE.rule("aten.t.default", "aten.t_copy.default", "aten.numpy_T.default")
def transpose_matrix(self: Array) -> Array:
    """t(Tensor(a) self) -> Tensor(a)
    numpy_T(Tensor(a) self) -> Tensor(a)
    t_copy(Tensor self) -> Tensor
    """
    return jnp.transpose(self)


@TABLE.rule("aten.mT.default")
def transpose_last(self: Array) -> Array:
    """mT(Tensor(a) self) -> Tensor(a)"""
    return jnp.swapaxes(self, -2, -1)


@TABLE.rule("aten.movedim.int", "aten.moveaxis.int")
def move_axis(self: Array, source: int, destination: int) -> Array:
    """movedim.int(Tensor(a) self, int source, int destination) -> Tensor(a)
    moveaxis.int(Tensor(a) self, int source, int destination) -> Tensor(a)
    """
    return jnp.moveaxis(self, source, destination)


@TABLE.rule("aten.movedim.intlist", "aten.moveaxis.intlist")
def move_axes(self: Array, source: Sequence[int], destination: Sequence[int]) -> Array:
    """movedim.intlist(Tensor(a) self, int[] source, int[] destination) -> Tensor(a)
    moveaxis.intlist(Tensor(a) self, int[] source, int[] destination) -> Tensor(a)
    """
    return jnp.moveaxis(self, tuple(source), tuple(destination))


@TABLE.rule("aten.squeeze.default", "aten.squeeze_copy.default")
def squeeze(self: Array) -> Array:
    """squeeze(Tensor(a) self) -> Tensor(a)
    squeeze_copy(Tensor self) -> Tensor
    """
    return jnp.squeeze(self)


@TABLE.rule("aten.squeeze.dim", "aten.squeeze_copy.dim")
def squeeze_axis(self: Array, dim: int) -> Array:
    """squeeze.dim(Tensor(a) self, int dim) -> Tensor(a)
    squeeze_copy.dim(Tensor self, int dim) -> Tensor
    """
    if self.ndim == 0 or self.shape[dim] != 1:
        return self
    return jnp.squeeze(self, axis=dim)


@TABLE.rule("aten.squeeze.dims", "aten.squeeze_copy.dims")
def squeeze_axes(self: Array, dim: Sequence[int]) -> Array:
    """squeeze.dims(Tensor(a) self, int[] dim) -> Tensor(a)
    squeeze_copy.dims(Tensor self, int[] dim) -> Tensor
    """
    return jnp.squeeze(self, axis=tuple(axis for axis in dim if self.ndim and self.shape[axis] == 1))


@TABLE.rule("aten.unsqueeze.default", "aten.unsqueeze_copy.default")
def unsqueeze(self: Array, dim: int) -> Array:
    """unsqueeze(Tensor(a) self, int dim) -> Tensor(a)
    unsqueeze_copy(Tensor self, int dim) -> Tensor
    """
    return jnp.expand_dims(self, dim)


@TABLE.rule("aten.expand.default", "aten.expand_copy.default")
def expand(self: Array, size: Sequence[int], implicit: bool = False) -> Array:
    """expand(Tensor(a) self, SymInt[] size, *, bool implicit=False) -> Tensor(a)
    expand_copy(Tensor self, SymInt[] size, *, bool implicit=False) -> Tensor
    """
    added = len(size) - self.ndim
    return jnp.broadcast_to(self, tuple(self.shape[i - added] if s == -1 else s for i, s in enumerate(size)))


@TABLE.rule("aten.expand_as.default")
def expand_as(self: Array, other: Array) -> Array:
    """expand_as(Tensor(a) self, Tensor other) -> Tensor(a)"""
    return jnp.broadcast_to(self, other.shape)


@TABLE.rule("aten.broadcast_to.default")
def broadcast_to(self: Array, size: Sequence[int]) -> Array:
    """broadcast_to(Tensor(a) self, SymInt[] size) -> Tensor(a)"""
    added = len(size) - self.ndim
    return jnp.broadcast_to(self, tuple(self.shape[i - added] if s == -1 else s for i, s in enumerate(size)))


@TABLE.rule("aten.broadcast_tensors.default")
def broadcast_together(tensors: Sequence[Array]) -> list[Array]:
    """broadcast_tensors(Tensor[] tensors) -> Tensor[]"""
    return jnp.broadcast_arrays(*tensors)


@TABLE.rule("aten.flip.default")
def flip(self: Array, dims: Sequence[int]) -> Array:
    """flip(Tensor self, int[] dims) -> Tensor"""
    return jnp.flip(self, axis=tuple(dims))


@TABLE.rule("aten.flipud.default")
def flip_rows(self: Array) -> Array:
    """flipud(Tensor self) -> Tensor"""
    return jnp.flipud(self)


@TABLE.rule("aten.fliplr.default")
def flip_columns(self: Array) -> Array:
    """fliplr(Tensor self) -> Tensor"""
    return jnp.fliplr(self)


@TABLE.rule("aten.rot90.default")
def rotate(self: Array, k: int = 1, dims: Sequence[int] = (0, 1)) -> Array:
    """rot90(Tensor self, int k=1, int[] dims=[0, 1]) -> Tensor"""
    return jnp.rot90(self, k, axes=(dims[0], dims[1]))


@TABLE.rule("aten.roll.default")
def roll(self: Array, shifts: Sequence[int], dims: Sequence[int] = ()) -> Array:
    """roll(Tensor self, SymInt[1] shifts, int[1] dims=[]) -> Tensor"""
    return jnp.roll(self, tuple(shifts), axis=tuple(dims)) if dims else jnp.roll(self, shifts[0])


@TABLE.rule("aten.repeat.default")
def repeat(self: Array, repeats: Sequence[int]) -> Array:
    """repeat(Tensor self, SymInt[] repeats) -> Tensor"""
    return jnp.tile(self, tuple(repeats))


@TABLE.rule("aten.tile.default")
def tile(self: Array, dims: Sequence[int]) -> Array:
    """tile(Tensor self, SymInt[] dims) -> Tensor"""
    return jnp.tile(self, tuple(dims))


@TABLE.rule("aten.repeat_interleave.self_int")
def repeat_elements(self: Array, repeats: int, dim: int | None = None, output_size: int | None = None) -> Array:
    """repeat_interleave.self_int(Tensor self, SymInt repeats, int? dim=None, *, SymInt? output_size=None) ->
    Tensor
    """
    return jnp.repeat(self, repeats, axis=dim)


@TABLE.rule("aten.repeat_interleave.self_Tensor", limits=[UNKNOWN_LENGTH])
def repeat_elements_by(self: Array, repeats: Array, dim: int | None = None, output_size: int | None = None) -> Array:
    """repeat_interleave.self_Tensor(Tensor self, Tensor repeats, int? dim=None, *, SymInt? output_size=None) ->
    Tensor
    """
    return jnp.repeat(self, repeats, axis=dim, total_repeat_length=output_size)


@TABLE.rule("aten.diagonal.default", "aten.diagonal_copy.default")
def diagonal(self: Array, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Array:
    """diagonal(Tensor(a) self, int offset=0, int dim1=0, int dim2=1) -> Tensor(a)
    diagonal_copy(Tensor self, int offset=0, int dim1=0, int dim2=1) -> Tensor
    """
    return jnp.diagonal(self, offset, dim1, dim2)


@TABLE.rule("aten.diag.default")
def diagonal_vector(self: Array, diagonal: int = 0) -> Array:
    """diag(Tensor self, int diagonal=0) -> Tensor"""
    return jnp.diag(self, diagonal)


@TABLE.rule("aten.diag_embed.default")
def diagonal_matrices(self: Array, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Array:
    """diag_embed(Tensor self, int offset=0, int dim1=-2, int dim2=-1) -> Tensor"""
    # the vector stands in its row, shifted to the diagonal
    size = self.shape[-1] + abs(offset)
    rows = jnp.arange(self.shape[-1]) + (0 if offset >= 0 else -offset)
    matrices = jnp.zeros((*self.shape[:-1], size, size), self.dtype).at[..., rows, rows + offset].set(self)
    return jnp.moveaxis(matrices, (-2, -1), (dim1, dim2))


@TABLE.rule("aten.tril.default")
def lower_triangle(self: Array, diagonal: int = 0) -> Array:
    """tril(Tensor self, SymInt diagonal=0) -> Tensor"""
    if diagonal == 0:
        return jnp.tril(self)
    return jnp.tril(self, diagonal)


@TABLE.rule("aten.triu.default")
def upper_triangle(self: Array, diagonal: int = 0) -> Array:
    """triu(Tensor self, SymInt diagonal=0) -> Tensor"""
    if diagonal == 0:
        return jnp.triu(self)
    return jnp.triu(self, diagonal)


@TABLE.rule("aten.pixel_shuffle.default")
def pixel_shuffle(self: Array, upscale_factor: int) -> Array:
    """pixel_shuffle(Tensor self, int upscale_factor) -> Tensor"""
    *lead, channels, height, width = self.shape
    r = upscale_factor
    blocks = jnp.reshape(self, (*lead, channels // (r * r), r, r, height, width))
    spread = jnp.moveaxis(blocks, (-4, -3), (-3, -1))
    return jnp.reshape(spread, (*lead, channels // (r * r), height * r, width * r))


@TABLE.rule("aten.pixel_unshuffle.default")
def pixel_unshuffle(self: Array, downscale_factor: int) -> Array:
    """pixel_unshuffle(Tensor self, int downscale_factor) -> Tensor"""
    *lead, channels, height, width = self.shape
    r = downscale_factor
    blocks = jnp.reshape(self, (*lead, channels, height // r, r, width // r, r))
    gathered = jnp.moveaxis(blocks, (-3, -1), (-4, -3))
    return jnp.reshape(gathered, (*lead, channels * r * r, height // r, width // r))


@TABLE.rule("aten.channel_shuffle.default")
def channel_shuffle(self: Array, groups: int) -> Array:
    """channel_shuffle(Tensor self, SymInt groups) -> Tensor"""
    split = jnp.reshape(self, (self.shape[0], groups, self.shape[1] // groups, *self.shape[2:]))
    return jnp.reshape(jnp.swapaxes(split, 1, 2), self.shape)


@TABLE.rule("aten.unfold.default", "aten.unfold_copy.default")
def windows(self: Array, dimension: int, size: int, step: int) -> Array:
    """unfold(Tensor(a) self, int dimension, int size, int step) -> Tensor(a)
    unfold_copy(Tensor self, int dimension, int size, int step) -> Tensor
    """
    axis = dimension % self.ndim if self.ndim else 0
    starts = jnp.arange(0, (self.shape[axis] if self.ndim else 1) - size + 1, step)
    taken = jnp.take(jnp.atleast_1d(self), starts[:, None] + jnp.arange(size), axis=axis)
    return jnp.moveaxis(taken, axis + 1, -1) if self.ndim else jnp.reshape(taken, (size,))


@TABLE.rule("aten.atleast_1d.default")
def at_least_1d(self: Array) -> Array:
    """atleast_1d(Tensor self) -> Tensor"""
    return jnp.atleast_1d(self)


@TABLE.rule("aten.atleast_2d.default")
def at_least_2d(self: Array) -> Array:
    """atleast_2d(Tensor self) -> Tensor"""
    return jnp.atleast_2d(self)


@TABLE.rule("aten.atleast_1d.Sequence")
def all_at_least_1d(tensors: Sequence[Array]) -> list[Array]:
    """atleast_1d.Sequence(Tensor[] tensors) -> Tensor[]"""
    return [jnp.atleast_1d(x) for x in tensors]


@TABLE.rule("aten.atleast_2d.Sequence")
def all_at_least_2d(tensors: Sequence[Array]) -> list[Array]:
    """atleast_2d.Sequence(Tensor[] tensors) -> Tensor[]"""
    return [jnp.atleast_2d(x) for x in tensors]


@TABLE.rule("aten.atleast_3d.Sequence")
def all_at_least_3d(tensors: Sequence[Array]) -> list[Array]:
    """atleast_3d.Sequence(Tensor[] tensors) -> Tensor[]"""
    return [at_least_3d(x) for x in tensors]


@TABLE.rule("aten.adjoint.default", "aten.mH.default")
def transpose_adjoint(self: Array) -> Array:
    """adjoint(Tensor(a) self) -> Tensor(a)
    mH(Tensor(a) self) -> Tensor(a)
    """
    if jnp.iscomplexobj(self):
        return jnp.swapaxes(self, -2, -1).conj()
    return jnp.swapaxes(self, -2, -1)


@TABLE.rule("aten.diagflat.default")
def diagonal_of_all(self: Array, offset: int = 0) -> Array:
    """diagflat(Tensor self, int offset=0) -> Tensor"""
    return jnp.diagflat(self, offset)


@TABLE.rule("aten.atleast_3d.default")
def at_least_3d(self: Array) -> Array:
    """atleast_3d(Tensor self) -> Tensor"""
    if self.ndim >= 3:
        return self
    return jnp.reshape(self, (*self.shape, 1) if self.ndim == 2 else (1, self.size, 1))
