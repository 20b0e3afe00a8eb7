"""Softmax and its relatives."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from regauge.rules.table import RuleTable

TABLE = RuleTable("softmax")


@TABLE.rule("aten.softmax.int")
def softmax(self: Array, dim: int, dtype: DTypeLike | None = None) -> Array:
    """softmax.int(Tensor self, int dim, ScalarType? dtype=None) -> Tensor"""
    if self.ndim == 0:
        return jax.nn.softmax(self.reshape(1).astype(self.dtype if dtype is None else dtype)).reshape(())
    if dtype is None or self.dtype == dtype:
        return jax.nn.softmax(self, axis=dim)
    return jax.nn.softmax(self.astype(dtype), axis=dim)


@TABLE.rule("aten.log_softmax.int")
def log_softmax(self: Array, dim: int, dtype: DTypeLike | None = None) -> Array:
    """log_softmax.int(Tensor self, int dim, ScalarType? dtype=None) -> Tensor"""
    if self.ndim == 0:
        return jax.nn.log_softmax(self.reshape(1).astype(self.dtype if dtype is None else dtype)).reshape(())
    if dtype is None or self.dtype == dtype:
        return jax.nn.log_softmax(self, axis=dim)
    return jax.nn.log_softmax(self.astype(dtype), axis=dim)


@TABLE.rule("aten._softmax.default")
def softmax_without_dtype(self: Array, dim: int, half_to_float: bool) -> Array:
    """_softmax(Tensor self, int dim, bool half_to_float) -> Tensor"""
    if self.ndim == 0:
        return jax.nn.softmax(self.reshape(1)).reshape(())
    return jax.nn.softmax(self.astype(jnp.float32) if half_to_float else self, axis=dim)


@TABLE.rule("aten._log_softmax.default")
def log_softmax_without_dtype(self: Array, dim: int, half_to_float: bool) -> Array:
    """_log_softmax(Tensor self, int dim, bool half_to_float) -> Tensor"""
    if self.ndim == 0:
        return jax.nn.log_softmax(self.reshape(1)).reshape(())
    return jax.nn.log_softmax(self.astype(jnp.float32) if half_to_float else self, axis=dim)


@TABLE.rule("aten._safe_softmax.default")
def safe_softmax(self: Array, dim: int, dtype: DTypeLike | None = None) -> Array:
    """_safe_softmax(Tensor self, int dim, ScalarType? dtype=None) -> Tensor"""
    x = self if dtype is None else self.astype(dtype)
    # a row of -inf gives zeros, with derivative 0
    empty = jnp.all(x == -jnp.inf, axis=dim, keepdims=True)
    return jnp.where(empty, 0, jax.nn.softmax(jnp.where(empty, 0, x), axis=dim))


@TABLE.rule("aten.special_softmax.default")
def special_softmax(self: Array, dim: int, dtype: DTypeLike | None = None) -> Array:
    """special_softmax(Tensor self, int dim, ScalarType? dtype=None) -> Tensor"""
    if dtype is None or self.dtype == dtype:
        return jax.nn.softmax(self, axis=dim)
    return jax.nn.softmax(self.astype(dtype), axis=dim)


@TABLE.rule("aten.special_log_softmax.default")
def special_log_softmax(self: Array, dim: int, dtype: DTypeLike | None = None) -> Array:
    """special_log_softmax(Tensor self, int dim, *, ScalarType? dtype=None) -> Tensor"""
    if dtype is None or self.dtype == dtype:
        return jax.nn.log_softmax(self, axis=dim)
    return jax.nn.log_softmax(self.astype(dtype), axis=dim)


@TABLE.rule("aten._softmax_backward_data.default")
def softmax_backward(grad_output: Array, output: Array, dim: int, input_dtype: DTypeLike) -> Array:
    """_softmax_backward_data(Tensor grad_output, Tensor output, int dim, ScalarType input_dtype) -> Tensor"""
    product = grad_output * output
    total = jnp.sum(product, axis=dim, keepdims=True) if output.ndim else product
    return (product - output * total).astype(input_dtype)


@TABLE.rule("aten._log_softmax_backward_data.default")
def log_softmax_backward(grad_output: Array, output: Array, dim: int, input_dtype: DTypeLike) -> Array:
    """_log_softmax_backward_data(Tensor grad_output, Tensor output, int dim, ScalarType input_dtype) -> Tensor"""
    total = jnp.sum(grad_output, axis=dim, keepdims=True) if output.ndim else grad_output
    return (grad_output - jnp.exp(output) * total).astype(input_dtype)
