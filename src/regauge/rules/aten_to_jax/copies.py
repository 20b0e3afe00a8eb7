"""Copies, casts and other views of one array's elements."""

from __future__ import annotations

from typing import Any

from jax import Array, lax
from jax.typing import DTypeLike

from regauge.rules.table import RuleTable

TABLE = RuleTable("copies")


@TABLE.rule("aten.clone.default")
def clone(self: Array, memory_format: Any = None) -> Array:
    """clone(Tensor self, *, MemoryFormat? memory_format=None) -> Tensor"""
    return self


@TABLE.rule("aten.contiguous.default")
def contiguous(self: Array, memory_format: Any = 0) -> Array:
    """contiguous(Tensor(a) self, *, MemoryFormat memory_format=0) -> Tensor(a)"""
    return self


@TABLE.rule("aten.alias.default", "aten.alias_copy.default", "aten.lift_fresh.default", "aten.lift_fresh_copy.default")
def alias(self: Array) -> Array:
    """alias(Tensor(a) self) -> Tensor(a)
    lift_fresh(Tensor(a) self) -> Tensor(a)
    lift_fresh_copy(Tensor self) -> Tensor
    alias_copy(Tensor self) -> Tensor
    """
    return self


@TABLE.rule("aten.detach.default", "aten.detach_copy.default")
def detach(self: Array) -> Array:
    """detach(Tensor(a) self) -> Tensor(a)
    detach_copy(Tensor self) -> Tensor
    """
    return lax.stop_gradient(self)


@TABLE.rule("aten._to_copy.default")
def cast(
    self: Array,
    dtype: DTypeLike | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = None,
    non_blocking: bool = False,
    memory_format: Any = None,
) -> Array:
    """_to_copy(Tensor self, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool?
    pin_memory=None, bool non_blocking=False, MemoryFormat? memory_format=None) -> Tensor
    """
    return self if dtype is None else self.astype(dtype)


@TABLE.rule("aten.to.dtype_layout")
def cast_with_layout(
    self: Array,
    dtype: DTypeLike | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = None,
    non_blocking: bool = False,
    copy: bool = False,
    memory_format: Any = None,
) -> Array:
    """to.dtype_layout(Tensor(a) self, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool?
    pin_memory=None, bool non_blocking=False, bool copy=False, MemoryFormat? memory_format=None) ->
    Tensor(a)
    """
    return self if dtype is None else self.astype(dtype)


@TABLE.rule("aten.to.dtype")
def cast_to(
    self: Array, dtype: DTypeLike, non_blocking: bool = False, copy: bool = False, memory_format: Any = None
) -> Array:
    """to.dtype(Tensor(a) self, ScalarType dtype, bool non_blocking=False, bool copy=False, MemoryFormat?
    memory_format=None) -> Tensor(a)
    """
    return self.astype(dtype)


@TABLE.rule("aten.to.device")
def cast_on(
    self: Array,
    device: Any,
    dtype: DTypeLike,
    non_blocking: bool = False,
    copy: bool = False,
    memory_format: Any = None,
) -> Array:
    """to.device(Tensor(a) self, Device device, ScalarType dtype, bool non_blocking=False, bool copy=False,
    MemoryFormat? memory_format=None) -> Tensor(a)
    """
    return self.astype(dtype)


@TABLE.rule("aten.to.other")
def cast_like(
    self: Array, other: Array, non_blocking: bool = False, copy: bool = False, memory_format: Any = None
) -> Array:
    """to.other(Tensor(a) self, Tensor other, bool non_blocking=False, bool copy=False, MemoryFormat?
    memory_format=None) -> Tensor(a)
    """
    return self.astype(other.dtype)


@TABLE.rule("aten.type_as.default")
def cast_as(self: Array, other: Array) -> Array:
    """type_as(Tensor self, Tensor other) -> Tensor"""
    return self.astype(other.dtype)


@TABLE.rule("aten.view.dtype", "aten.view_copy.dtype")
def view_as_dtype(self: Array, dtype: DTypeLike) -> Array:
    """view.dtype(Tensor(a) self, ScalarType dtype) -> Tensor(a)
    view_copy.dtype(Tensor self, ScalarType dtype) -> Tensor
    """
    return self.view(dtype)
