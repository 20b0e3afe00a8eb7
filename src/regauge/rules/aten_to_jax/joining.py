"""Joining arrays, cutting them apart, and padding them."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array

from regauge.rules.table import Promotes, RuleTable

TABLE = RuleTable("joining")

# names of torch's padding modes in jnp.pad
PAD_MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


@TABLE.rule("aten.cat.default", "aten.concat.default", "aten.concatenate.default", promotes=Promotes.DEFAULT)
def concatenate(tensors: Sequence[Array], dim: int = 0) -> Array:
    """cat(Tensor[] tensors, int dim=0) -> Tensor
    concat(Tensor[] tensors, int dim=0) -> Tensor
    concatenate(Tensor[] tensors, int dim=0) -> Tensor
    """
    # torch ignores one-dimensional empty tensors whatever the other shapes are
    if any(t.ndim != 1 for t in tensors) and any(t.ndim == 1 and t.shape[0] == 0 for t in tensors):
        return jnp.concatenate([t for t in tensors if t.shape != (0,)], axis=dim)
    return jnp.concatenate(tensors, axis=dim)


@TABLE.rule("aten.stack.default", promotes=Promotes.DEFAULT)
def stack(tensors: Sequence[Array], dim: int = 0) -> Array:
    """stack(Tensor[] tensors, int dim=0) -> Tensor"""
    return jnp.stack(tensors, axis=dim)


@TABLE.rule("aten.hstack.default", promotes=Promotes.DEFAULT)
def stack_horizontally(tensors: Sequence[Array]) -> Array:
    """hstack(Tensor[] tensors) -> Tensor"""
    return jnp.hstack(tensors)


@TABLE.rule("aten.vstack.default", "aten.row_stack.default", promotes=Promotes.DEFAULT)
def stack_vertically(tensors: Sequence[Array]) -> Array:
    """vstack(Tensor[] tensors) -> Tensor
    row_stack(Tensor[] tensors) -> Tensor
    """
    return jnp.vstack(tensors)


@TABLE.rule("aten.dstack.default", promotes=Promotes.DEFAULT)
def stack_in_depth(tensors: Sequence[Array]) -> Array:
    """dstack(Tensor[] tensors) -> Tensor"""
    return jnp.dstack(tensors)


@TABLE.rule("aten.column_stack.default", promotes=Promotes.DEFAULT)
def stack_columns(tensors: Sequence[Array]) -> Array:
    """column_stack(Tensor[] tensors) -> Tensor"""
    return jnp.column_stack(tensors)


@TABLE.rule("aten.block_diag.default", promotes=Promotes.DEFAULT)
def block_diagonal(tensors: Sequence[Array]) -> Array:
    """block_diag(Tensor[] tensors) -> Tensor"""
    parts = [jnp.atleast_2d(t) for t in tensors]
    rows, columns = sum(p.shape[0] for p in parts), sum(p.shape[1] for p in parts)
    result = jnp.zeros((rows, columns), jnp.result_type(*parts))
    row = column = 0
    for part in parts:
        result = result.at[row : row + part.shape[0], column : column + part.shape[1]].set(part)
        row, column = row + part.shape[0], column + part.shape[1]
    return result


@TABLE.rule("aten.split.Tensor", "aten.split_copy.Tensor", "aten.unsafe_split.Tensor")
def split_by_size(self: Array, split_size: int, dim: int = 0) -> list[Array]:
    """split.Tensor(Tensor(a -> *) self, SymInt split_size, int dim=0) -> Tensor(a)[]
    unsafe_split.Tensor(Tensor self, SymInt split_size, int dim=0) -> Tensor[]
    split_copy.Tensor(Tensor self, SymInt split_size, int dim=0) -> Tensor[]
    """
    if self.shape[dim] == 0:
        return [self]
    if self.shape[dim] % split_size == 0:
        return jnp.split(self, self.shape[dim] // split_size, axis=dim)
    return jnp.split(self, tuple(range(split_size, self.shape[dim], split_size)), axis=dim)


@TABLE.rule(
    "aten.split_with_sizes.default", "aten.split_with_sizes_copy.default", "aten.unsafe_split_with_sizes.default"
)
def split_by_sizes(self: Array, split_sizes: Sequence[int], dim: int = 0) -> list[Array]:
    """split_with_sizes(Tensor(a -> *) self, SymInt[] split_sizes, int dim=0) -> Tensor(a)[]
    unsafe_split_with_sizes(Tensor self, SymInt[] split_sizes, int dim=0) -> Tensor[]
    split_with_sizes_copy(Tensor self, SymInt[] split_sizes, int dim=0) -> Tensor[]
    """
    return jnp.split(self, tuple(sum(split_sizes[:i]) for i in range(1, len(split_sizes))), axis=dim)


@TABLE.rule("aten.split.sizes")
def split_sizes(self: Array, split_size: Sequence[int], dim: int = 0) -> list[Array]:
    """split.sizes(Tensor(a -> *) self, SymInt[] split_size, int dim=0) -> Tensor(a)[]"""
    return jnp.split(self, tuple(sum(split_size[:i]) for i in range(1, len(split_size))), axis=dim)


@TABLE.rule("aten.chunk.default", "aten.unsafe_chunk.default")
def chunk(self: Array, chunks: int, dim: int = 0) -> list[Array]:
    """chunk(Tensor(a -> *) self, int chunks, int dim=0) -> Tensor(a)[]
    unsafe_chunk(Tensor self, int chunks, int dim=0) -> Tensor[]
    """
    # ceil(size / chunks) each, so there may be fewer chunks
    size = -(-self.shape[dim] // chunks)
    if self.shape[dim] == 0:
        return [self] * chunks
    if self.shape[dim] % size == 0:
        return jnp.split(self, self.shape[dim] // size, axis=dim)
    return jnp.split(self, tuple(range(size, self.shape[dim], size)), axis=dim)


@TABLE.rule("aten.tensor_split.sections")
def split_evenly(self: Array, sections: int, dim: int = 0) -> list[Array]:
    """tensor_split.sections(Tensor(a -> *) self, SymInt sections, int dim=0) -> Tensor(a)[]"""
    return jnp.array_split(self, sections, axis=dim)


@TABLE.rule("aten.tensor_split.indices")
def split_at(self: Array, indices: Sequence[int], dim: int = 0) -> list[Array]:
    """tensor_split.indices(Tensor(a -> *) self, SymInt[] indices, int dim=0) -> Tensor(a)[]"""
    return jnp.split(self, tuple(indices), axis=dim)


@TABLE.rule("aten.unbind.int", "aten.unbind_copy.int")
def unstack(self: Array, dim: int = 0) -> tuple[Array, ...]:
    """unbind.int(Tensor(a -> *) self, int dim=0) -> Tensor(a)[]
    unbind_copy.int(Tensor self, int dim=0) -> Tensor[]
    """
    return jnp.unstack(self, axis=dim)


@TABLE.rule("aten.hsplit.int")
def split_columns(self: Array, sections: int) -> list[Array]:
    """hsplit.int(Tensor(a -> *) self, int sections) -> Tensor(a)[]"""
    return jnp.split(self, sections, axis=0 if self.ndim == 1 else 1)


@TABLE.rule("aten.hsplit.array")
def split_columns_at(self: Array, indices: Sequence[int]) -> list[Array]:
    """hsplit.array(Tensor(a -> *) self, int[] indices) -> Tensor(a)[]"""
    return jnp.split(self, tuple(indices), axis=0 if self.ndim == 1 else 1)


@TABLE.rule("aten.vsplit.int")
def split_rows(self: Array, sections: int) -> list[Array]:
    """vsplit.int(Tensor(a -> *) self, int sections) -> Tensor(a)[]"""
    return jnp.split(self, sections, axis=0)


@TABLE.rule("aten.vsplit.array")
def split_rows_at(self: Array, indices: Sequence[int]) -> list[Array]:
    """vsplit.array(Tensor(a -> *) self, int[] indices) -> Tensor(a)[]"""
    return jnp.split(self, tuple(indices), axis=0)


@TABLE.rule("aten.dsplit.int")
def split_depth(self: Array, sections: int) -> list[Array]:
    """dsplit.int(Tensor(a -> *) self, int sections) -> Tensor(a)[]"""
    return jnp.split(self, sections, axis=2)


@TABLE.rule("aten.dsplit.array")
def split_depth_at(self: Array, indices: Sequence[int]) -> list[Array]:
    """dsplit.array(Tensor(a -> *) self, int[] indices) -> Tensor(a)[]"""
    return jnp.split(self, tuple(indices), axis=2)


@TABLE.rule("aten.meshgrid.default")
def meshgrid(tensors: Sequence[Array]) -> list[Array]:
    """meshgrid(Tensor[] tensors) -> Tensor[]"""
    return jnp.meshgrid(*[jnp.atleast_1d(x) if x.ndim == 0 else x for x in tensors], indexing="ij")


@TABLE.rule("aten.meshgrid.indexing")
def meshgrid_indexed(tensors: Sequence[Array], indexing: str) -> list[Array]:
    """meshgrid.indexing(Tensor[] tensors, *, str indexing) -> Tensor[]"""
    return jnp.meshgrid(*[jnp.atleast_1d(x) if x.ndim == 0 else x for x in tensors], indexing=indexing)


@TABLE.rule("aten.constant_pad_nd.default")
def pad_constant(self: Array, pad: Sequence[int], value: float = 0) -> Array:
    """constant_pad_nd(Tensor self, SymInt[] pad, Scalar value=0) -> Tensor"""
    if all(width >= 0 for width in pad):
        return jnp.pad(self, pad_widths(self.ndim, pad), constant_values=value)
    return padded(self, pad, "constant", value)


@TABLE.rule("aten.pad.default")
def pad(self: Array, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Array:
    """pad(Tensor self, SymInt[] pad, str mode="constant", float? value=None) -> Tensor"""
    if all(width >= 0 for width in pad):
        if mode == "constant":
            return jnp.pad(self, pad_widths(self.ndim, pad), constant_values=0 if value is None else value)
        return jnp.pad(self, pad_widths(self.ndim, pad), mode=PAD_MODES[mode])
    return padded(self, pad, mode, value)


@TABLE.rule("aten.reflection_pad1d.default", "aten.reflection_pad2d.default", "aten.reflection_pad3d.default")
def pad_by_reflection(self: Array, padding: Sequence[int]) -> Array:
    """reflection_pad1d(Tensor self, SymInt[2] padding) -> Tensor
    reflection_pad2d(Tensor self, SymInt[4] padding) -> Tensor
    reflection_pad3d(Tensor self, SymInt[6] padding) -> Tensor
    """
    return padded(self, padding, "reflect", None)


@TABLE.rule("aten.replication_pad1d.default", "aten.replication_pad2d.default", "aten.replication_pad3d.default")
def pad_by_replication(self: Array, padding: Sequence[int]) -> Array:
    """replication_pad1d(Tensor self, SymInt[2] padding) -> Tensor
    replication_pad2d(Tensor self, SymInt[4] padding) -> Tensor
    replication_pad3d(Tensor self, SymInt[6] padding) -> Tensor
    """
    return padded(self, padding, "replicate", None)


def pad_widths(ndim: int, pad: Sequence[int]) -> list[tuple[int, int]]:
    """torch's list of padding, which begins with the last dimension, as one pair for each dimension."""
    return [(0, 0)] * (ndim - len(pad) // 2) + [(pad[i], pad[i + 1]) for i in range(len(pad) - 2, -1, -2)]


def padded(x: Array, pad: Sequence[int], mode: str, value: float | None) -> Array:
    """`x` with torch's padding: pairs from the last dimension backwards; negative numbers cut off."""
    pairs = pad_widths(x.ndim, pad)
    cut = x[tuple(slice(max(-low, 0), n - max(-high, 0)) for (low, high), n in zip(pairs, x.shape, strict=True))]
    widths = [(max(low, 0), max(high, 0)) for low, high in pairs]
    if mode == "constant":
        return jnp.pad(cut, widths, constant_values=0 if value is None else value)
    if mode == "replicate" and any(low < 0 or high < 0 for low, high in pairs):
        # torch repeats the outermost elements of the whole, even where all of them are cut off
        for axis, (low, high) in enumerate(pairs):
            if low or high:
                x = jnp.take(x, np.clip(np.arange(x.shape[axis] + low + high) - low, 0, x.shape[axis] - 1), axis=axis)
        return x
    return jnp.pad(cut, widths, mode=PAD_MODES[mode])


@TABLE.rule("aten.cartesian_prod.default")
def cartesian_product(tensors: Sequence[Array]) -> Array:
    """cartesian_prod(Tensor[] tensors) -> Tensor"""
    if len(tensors) == 1:
        return tensors[0]
    return jnp.stack([jnp.ravel(grid) for grid in jnp.meshgrid(*tensors, indexing="ij")], axis=-1)


@TABLE.rule("aten._chunk_cat.default")
def join_chunks(tensors: Sequence[Array], dim: int, num_chunks: int) -> Array:
    """_chunk_cat(Tensor[] tensors, int dim, int num_chunks) -> Tensor"""
    axis, pieces = dim % tensors[0].ndim, []
    for x in tensors:
        missing = -x.shape[axis] % num_chunks
        filled = jnp.pad(x, [(0, missing if i == axis else 0) for i in range(x.ndim)])
        pieces.append(jnp.reshape(filled, (*x.shape[:axis], num_chunks, -1)))
    return jnp.concatenate(pieces, axis=axis + 1)


@TABLE.rule("aten.pad_sequence.default")
def pad_sequence(
    sequences: Sequence[Array], batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Array:
    """pad_sequence(Tensor[] sequences, bool batch_first=False, float padding_value=0., str padding_side="right")
    -> Tensor
    """
    longest = max(s.shape[0] for s in sequences)
    padded = []
    for s in sequences:
        missing = longest - s.shape[0]
        ends = (missing, 0) if padding_side == "left" else (0, missing)
        # the result has the dtype of the first sequence
        s = s.astype(sequences[0].dtype)
        padded.append(jnp.pad(s, [ends] + [(0, 0)] * (s.ndim - 1), constant_values=padding_value))
    return jnp.stack(padded, axis=0 if batch_first else 1)
