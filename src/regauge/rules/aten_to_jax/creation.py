"""New arrays: constants, ranges, identities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from regauge.rules.table import RuleTable

TABLE = RuleTable("creation")


@TABLE.rule("aten.zeros.default")
def zeros(
    size: Sequence[int],
    dtype: DTypeLike | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = None,
) -> Array:
    """zeros(SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool?
    pin_memory=None) -> Tensor
    """
    return jnp.zeros(tuple(size), jnp.float32 if dtype is None else dtype)


@TABLE.rule("aten.ones.default")
def ones(
    size: Sequence[int],
    dtype: DTypeLike | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = None,
) -> Array:
    """ones(SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool?
    pin_memory=None) -> Tensor
    """
    return jnp.ones(tuple(size), jnp.float32 if dtype is None else dtype)


@TABLE.rule("aten.full.default")
def full(
    size: Sequence[int],
    fill_value: float,
    dtype: DTypeLike | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = None,
) -> Array:
    """full(SymInt[] size, Scalar fill_value, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None,
    bool? pin_memory=None) -> Tensor
    """
    if dtype is not None:
        return jnp.full(tuple(size), fill_value, dtype)
    if isinstance(fill_value, bool):
        return jnp.full(tuple(size), fill_value, bool)
    return jnp.full(tuple(size), fill_value, int if isinstance(fill_value, int) else jnp.float32)


@TABLE.rule("aten.empty.memory_format")
def empty(
    size: Sequence[int],
    dtype: DTypeLike | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = None,
    memory_format: Any = None,
) -> Array:
    """empty.memory_format(SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None,
    bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor
    """
    # torch leaves the values undefined
    return jnp.zeros(tuple(size), jnp.float32 if dtype is None else dtype)


@TABLE.rule("aten.empty_strided.default")
def empty_permuted(
    size: Sequence[int],
    stride: Sequence[int],
    dtype: DTypeLike | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = None,
) -> Array:
    """empty_strided(SymInt[] size, SymInt[] stride, *, ScalarType? dtype=None, Layout? layout=None, Device?
    device=None, bool? pin_memory=None) -> Tensor
    """
    return jnp.zeros(tuple(size), jnp.float32 if dtype is None else dtype)


@TABLE.rule("aten.empty_permuted.default")
def empty_in_layout(
    size: Sequence[int],
    physical_layout: Sequence[int],
    dtype: DTypeLike | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = None,
) -> Array:
    """empty_permuted(SymInt[] size, int[] physical_layout, *, ScalarType? dtype=None, Layout? layout=None, Device?
    device=None, bool? pin_memory=None) -> Tensor
    """
    return jnp.zeros(tuple(size), jnp.float32 if dtype is None else dtype)


@TABLE.rule("aten.new_empty_strided.default")
def new_empty_by_strides(
    self: Array,
    size: Sequence[int],
    stride: Sequence[int],
    dtype: DTypeLike | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = None,
) -> Array:
    """new_empty_strided(Tensor self, SymInt[] size, SymInt[] stride, *, ScalarType? dtype=None, Layout?
    layout=None, Device? device=None, bool? pin_memory=None) -> Tensor
    """
    return jnp.zeros(tuple(size), self.dtype if dtype is None else dtype)


@TABLE.rule("aten.zeros_like.default", "aten.empty_like.default")
def zeros_like(
    self: Array,
    dtype: DTypeLike | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = None,
    memory_format: Any = None,
) -> Array:
    """zeros_like(Tensor self, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool?
        pin_memory=None, MemoryFormat? memory_format=None) -> Tensor
    empty_like(Tensor self, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool?
        pin_memory=None, MemoryFormat? memory_format=None) -> Tensor
    """
    return jnp.zeros_like(self) if dtype is None else jnp.zeros_like(self, dtype)


@TABLE.rule("aten.ones_like.default")
def ones_like(
    self: Array,
    dtype: DTypeLike | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = None,
    memory_format: Any = None,
) -> Array:
    """ones_like(Tensor self, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool?
    pin_memory=None, MemoryFormat? memory_format=None) -> Tensor
    """
    return jnp.ones_like(self) if dtype is None else jnp.ones_like(self, dtype)


@TABLE.rule("aten.full_like.default")
def full_like(
    self: Array,
    fill_value: float,
    dtype: DTypeLike | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = None,
    memory_format: Any = None,
) -> Array:
    """full_like(Tensor self, Scalar fill_value, *, ScalarType? dtype=None, Layout? layout=None, Device?
    device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor
    """
    return jnp.full_like(self, fill_value) if dtype is None else jnp.full_like(self, fill_value, dtype)


@TABLE.rule("aten.new_zeros.default", "aten.new_empty.default")
def new_zeros(
    self: Array,
    size: Sequence[int],
    dtype: DTypeLike | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = None,
) -> Array:
    """new_zeros(Tensor self, SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None,
        bool? pin_memory=None) -> Tensor
    new_empty(Tensor self, SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None,
        bool? pin_memory=None) -> Tensor
    """
    return jnp.zeros(tuple(size), self.dtype if dtype is None else dtype)


@TABLE.rule("aten.new_ones.default")
def new_ones(
    self: Array,
    size: Sequence[int],
    dtype: DTypeLike | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = None,
) -> Array:
    """new_ones(Tensor self, SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None,
    bool? pin_memory=None) -> Tensor
    """
    return jnp.ones(tuple(size), self.dtype if dtype is None else dtype)


@TABLE.rule("aten.new_full.default")
def new_full(
    self: Array,
    size: Sequence[int],
    fill_value: float,
    dtype: DTypeLike | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = None,
) -> Array:
    """new_full(Tensor self, SymInt[] size, Scalar fill_value, *, ScalarType? dtype=None, Layout? layout=None,
    Device? device=None, bool? pin_memory=None) -> Tensor
    """
    return jnp.full(tuple(size), fill_value, self.dtype if dtype is None else dtype)


@TABLE.rule("aten.fill.Scalar")
def fill(self: Array, value: float) -> Array:
    """fill.Scalar(Tensor self, Scalar value) -> Tensor"""
    return jnp.full_like(self, value)


@TABLE.rule("aten.fill.Tensor")
def fill_with(self: Array, value: Array) -> Array:
    """fill.Tensor(Tensor self, Tensor value) -> Tensor"""
    return jnp.broadcast_to(value, self.shape).astype(self.dtype)


@TABLE.rule("aten.zero.default")
def zeros_of(self: Array) -> Array:
    """zero(Tensor self) -> Tensor"""
    return jnp.zeros_like(self)


@TABLE.rule("aten.scalar_tensor.default")
def scalar_tensor(
    s: float, dtype: DTypeLike | None = None, layout: Any = None, device: Any = None, pin_memory: bool | None = None
) -> Array:
    """scalar_tensor(Scalar s, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool?
    pin_memory=None) -> Tensor
    """
    if dtype is not None:
        return jnp.array(s, dtype)
    return jnp.array(s, jnp.float32)


@TABLE.rule("aten.arange.default")
def range_to(
    end: float, dtype: DTypeLike | None = None, layout: Any = None, device: Any = None, pin_memory: bool | None = None
) -> Array:
    """arange(Scalar end, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool?
    pin_memory=None) -> Tensor
    """
    if isinstance(end, float) and dtype is not None and jnp.issubdtype(dtype, jnp.integer):
        return jnp.arange(int(end), dtype=dtype)  # torch cuts fractions off first
    if dtype is not None:
        return jnp.arange(end, dtype=dtype)
    return jnp.arange(end, dtype=jnp.float32 if isinstance(end, float) else int)


@TABLE.rule("aten.arange.start")
def range_from(
    start: float,
    end: float,
    dtype: DTypeLike | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = None,
) -> Array:
    """arange.start(Scalar start, Scalar end, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None,
    bool? pin_memory=None) -> Tensor
    """
    is_fraction = any(isinstance(v, float) for v in (start, end))
    if is_fraction and dtype is not None and jnp.issubdtype(dtype, jnp.integer):
        return jnp.arange(int(start), int(end), dtype=dtype)
    if dtype is not None:
        return jnp.arange(start, end, dtype=dtype)
    return jnp.arange(start, end, dtype=jnp.float32 if is_fraction else int)


@TABLE.rule("aten.arange.start_step")
def range_by(
    start: float,
    end: float,
    step: float = 1,
    dtype: DTypeLike | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = None,
) -> Array:
    """arange.start_step(Scalar start, Scalar end, Scalar step=1, *, ScalarType? dtype=None, Layout? layout=None,
    Device? device=None, bool? pin_memory=None) -> Tensor
    """
    # multiplied out as torch does; jnp.arange of fractions may differ in length and rounding
    is_fraction = any(isinstance(v, float) for v in (start, end, step))
    kind = (jnp.float32 if is_fraction else int) if dtype is None else dtype
    if not is_fraction:
        return jnp.arange(start, end, step, dtype=kind)
    if jnp.issubdtype(kind, jnp.integer):
        return jnp.arange(int(start), int(end), int(step), dtype=kind)
    return (start + step * jnp.arange(math.ceil((end - start) / step))).astype(kind)


@TABLE.rule("aten.eye.default")
def identity_matrix(
    n: int, dtype: DTypeLike | None = None, layout: Any = None, device: Any = None, pin_memory: bool | None = None
) -> Array:
    """eye(SymInt n, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) ->
    Tensor
    """
    return jnp.eye(n, dtype=jnp.float32 if dtype is None else dtype)


@TABLE.rule("aten.eye.m")
def identity_matrix_of(
    n: int,
    m: int,
    dtype: DTypeLike | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = None,
) -> Array:
    """eye.m(SymInt n, SymInt m, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool?
    pin_memory=None) -> Tensor
    """
    return jnp.eye(n, m, dtype=jnp.float32 if dtype is None else dtype)


@TABLE.rule("aten.tril_indices.default")
def lower_triangle_indices(
    row: int,
    col: int,
    offset: int = 0,
    dtype: DTypeLike | None = int,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = None,
) -> Array:
    """tril_indices(int row, int col, int offset=0, *, ScalarType? dtype=4, Layout? layout=None, Device?
    device=None, bool? pin_memory=None) -> Tensor
    """
    return jnp.stack(jnp.tril_indices(row, offset, col)).astype(int if dtype is None else dtype)


@TABLE.rule("aten.triu_indices.default")
def upper_triangle_indices(
    row: int,
    col: int,
    offset: int = 0,
    dtype: DTypeLike | None = int,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = None,
) -> Array:
    """triu_indices(int row, int col, int offset=0, *, ScalarType? dtype=4, Layout? layout=None, Device?
    device=None, bool? pin_memory=None) -> Tensor
    """
    return jnp.stack(jnp.triu_indices(row, offset, col)).astype(int if dtype is None else dtype)
