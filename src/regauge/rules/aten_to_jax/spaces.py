"""Equal steps between two ends, in numbers or in exponents."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import DTypeLike

from regauge.rules.table import RuleTable

TABLE = RuleTable("spaces")


def whole_steps(start: int, end: int, steps: int) -> np.ndarray:
    """torch's steps for an integer dtype, before they are cut: float64, counted from the nearer end."""
    step, places = (end - start) / max(steps - 1, 1), np.arange(steps)
    return np.where(places < max(steps // 2, 1), start + step * places, end - step * (steps - 1 - places))


def whole_steps_of(start: Array | float, end: Array | float, steps: int) -> Array:
    """The same between arrays, whose fractions torch cuts off first."""
    first, last = jnp.trunc(jnp.asarray(start, float)), jnp.trunc(jnp.asarray(end, float))
    # behind a barrier, or XLA multiplies by the reciprocal, and a step of 1 falls short of it
    gaps = lax.optimization_barrier(jnp.asarray(max(steps - 1, 1), float))
    step, places = (last - first) / gaps, jnp.arange(steps)
    return jnp.where(places < max(steps // 2, 1), first + step * places, last - step * (steps - 1 - places))


@TABLE.rule("aten.linspace.default")
def spaced(
    start: float,
    end: float,
    steps: int,
    dtype: DTypeLike | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = None,
) -> Array:
    """linspace(Scalar start, Scalar end, int steps, *, ScalarType? dtype=None, Layout? layout=None, Device?
    device=None, bool? pin_memory=None) -> Tensor
    """
    if dtype is not None and jnp.issubdtype(dtype, jnp.integer):
        return jnp.asarray(whole_steps(int(start), int(end), steps).astype(dtype))
    return jnp.linspace(start, end, steps, dtype=jnp.float32 if dtype is None else dtype)


@TABLE.rule("aten.logspace.default")
def spaced_in_logarithm(
    start: float,
    end: float,
    steps: int,
    base: float = 10.0,
    dtype: DTypeLike | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = None,
) -> Array:
    """logspace(Scalar start, Scalar end, int steps, float base=10., *, ScalarType? dtype=None, Layout?
    layout=None, Device? device=None, bool? pin_memory=None) -> Tensor
    """
    if dtype is not None and jnp.issubdtype(dtype, jnp.integer):
        return jnp.asarray((base ** whole_steps(int(start), int(end), steps)).astype(dtype))
    return jnp.logspace(start, end, steps, base=base, dtype=jnp.float32 if dtype is None else dtype)


@TABLE.rule("aten.linspace.Tensor_Tensor", "aten.linspace.Tensor_Scalar", "aten.linspace.Scalar_Tensor")
def spaced_between(
    start: Array | float,
    end: Array | float,
    steps: int,
    dtype: DTypeLike | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = None,
) -> Array:
    """linspace.Tensor_Tensor(Tensor start, Tensor end, int steps, *, ScalarType? dtype=None, Layout?
        layout=None, Device? device=None, bool? pin_memory=None) -> Tensor
    linspace.Tensor_Scalar(Tensor start, Scalar end, int steps, *, ScalarType? dtype=None, Layout?
        layout=None, Device? device=None, bool? pin_memory=None) -> Tensor
    linspace.Scalar_Tensor(Scalar start, Tensor end, int steps, *, ScalarType? dtype=None, Layout?
        layout=None, Device? device=None, bool? pin_memory=None) -> Tensor
    """
    # torch reads the ends as numbers, through which no gradient flows
    first, last = lax.stop_gradient(start), lax.stop_gradient(end)
    if dtype is not None and jnp.issubdtype(dtype, jnp.integer):
        return whole_steps_of(first, last, steps).astype(dtype)
    return jnp.linspace(first, last, steps, dtype=jnp.float32 if dtype is None else dtype)


@TABLE.rule("aten.logspace.Tensor_Tensor", "aten.logspace.Tensor_Scalar", "aten.logspace.Scalar_Tensor")
def spaced_in_logarithm_between(
    start: Array | float,
    end: Array | float,
    steps: int,
    base: float = 10.0,
    dtype: DTypeLike | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = None,
) -> Array:
    """logspace.Tensor_Tensor(Tensor start, Tensor end, int steps, float base=10., *, ScalarType? dtype=None, Layout?
        layout=None, Device? device=None, bool? pin_memory=None) -> Tensor
    logspace.Tensor_Scalar(Tensor start, Scalar end, int steps, float base=10., *, ScalarType? dtype=None, Layout?
        layout=None, Device? device=None, bool? pin_memory=None) -> Tensor
    logspace.Scalar_Tensor(Scalar start, Tensor end, int steps, float base=10., *, ScalarType? dtype=None, Layout?
        layout=None, Device? device=None, bool? pin_memory=None) -> Tensor
    """
    # torch reads the ends as numbers, through which no gradient flows
    first, last = lax.stop_gradient(start), lax.stop_gradient(end)
    if dtype is not None and jnp.issubdtype(dtype, jnp.integer):
        return (base ** whole_steps_of(first, last, steps)).astype(dtype)
    return jnp.logspace(first, last, steps, base=base, dtype=jnp.float32 if dtype is None else dtype)
