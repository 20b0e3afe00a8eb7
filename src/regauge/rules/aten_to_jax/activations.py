"""Activation functions, with torch's derivative at their kinks."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from regauge.rules.table import Promotes, RuleTable

TABLE = RuleTable("activations")

SIXTH = 0.16666667163372040  # 1 / 6 as torch holds it, in float32, in the derivative of hardsigmoid


@TABLE.rule("aten.relu.default")
def relu(self: Array) -> Array:
    """relu(Tensor self) -> Tensor"""
    return jax.nn.relu(self)


@TABLE.rule("aten.relu6.default")
def relu6(self: Array) -> Array:
    """relu6(Tensor self) -> Tensor"""
    return jax.nn.relu6(self).astype(self.dtype)


@TABLE.rule("aten.leaky_relu.default")
def leaky_relu(self: Array, negative_slope: float = 0.01) -> Array:
    """leaky_relu(Tensor self, Scalar negative_slope=0.01) -> Tensor"""
    # jax.nn.leaky_relu has the derivative 1 at 0, torch has the slope
    return jnp.where(self > 0, self, negative_slope * self)


@TABLE.rule("aten.rrelu.default")
def rrelu(
    self: Array,
    lower: float = 0.125,
    upper: float = 0.3333333333333333,
    training: bool = False,
    generator: Any = None,
    rng_key: Any = None,
) -> Array:
    """rrelu(Tensor self, Scalar lower=0.125, Scalar upper=0.33333333333333331, bool training=False, Generator?
    generator=None) -> Tensor
    """
    if training and lower != upper:
        return jnp.where(self > 0, self, jax.random.uniform(rng_key, self.shape, self.dtype, lower, upper) * self)
    return jnp.where(self > 0, self, (lower + upper) / 2 * self)


@TABLE.rule("aten.prelu.default", "aten._prelu_kernel.default")
def prelu(self: Array, weight: Array) -> Array:
    """prelu(Tensor self, Tensor weight) -> Tensor
    _prelu_kernel(Tensor self, Tensor weight) -> Tensor
    """
    if self.ndim == 0:
        return jnp.where(self > 0, self, weight.reshape(()) * self)
    if self.ndim <= 2 or weight.ndim != 1:
        return jnp.where(self > 0, self, weight * self)
    return jnp.where(self > 0, self, weight.reshape((-1,) + (1,) * (self.ndim - 2)) * self)


@TABLE.rule("aten.elu.default")
def elu(self: Array, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Array:
    """elu(Tensor self, Scalar alpha=1, Scalar scale=1, Scalar input_scale=1) -> Tensor"""
    if scale == 1 and input_scale == 1:
        return jax.nn.elu(self, alpha)
    return scale * jnp.where(self > 0, self, alpha * jnp.expm1(input_scale * jnp.where(self > 0, 0, self)))


@TABLE.rule("aten.selu.default")
def selu(self: Array) -> Array:
    """selu(Tensor self) -> Tensor"""
    return jax.nn.selu(self)


@TABLE.rule("aten.celu.default")
def celu(self: Array, alpha: float = 1.0) -> Array:
    """celu(Tensor self, Scalar alpha=1.) -> Tensor"""
    return jax.nn.celu(self, alpha)


@TABLE.rule("aten.gelu.default")
def gelu(self: Array, approximate: str = "none") -> Array:
    """gelu(Tensor self, *, str approximate="none") -> Tensor"""
    return jax.nn.gelu(self, approximate=approximate == "tanh")


@TABLE.rule("aten.silu.default")
def silu(self: Array) -> Array:
    """silu(Tensor self) -> Tensor"""
    return jax.nn.silu(self)


@TABLE.rule("aten.mish.default")
def mish(self: Array) -> Array:
    """mish(Tensor self) -> Tensor"""
    return jax.nn.mish(self)


@TABLE.rule("aten.sigmoid.default", "aten.special_expit.default", promotes=Promotes.INT_TO_FLOAT)
def sigmoid(self: Array) -> Array:
    """sigmoid(Tensor self) -> Tensor
    special_expit(Tensor self) -> Tensor
    """
    return jax.nn.sigmoid(self)


@TABLE.rule("aten.log_sigmoid.default")
def log_sigmoid(self: Array) -> Array:
    """log_sigmoid(Tensor self) -> Tensor"""
    return jax.nn.log_sigmoid(self)


@TABLE.rule("aten.softplus.default")
def softplus(self: Array, beta: float = 1, threshold: float = 20) -> Array:
    """softplus(Tensor self, Scalar beta=1, Scalar threshold=20) -> Tensor"""
    # torch is the identity above the threshold
    if beta == 1:
        return jnp.where(self > threshold, self, jax.nn.softplus(self))
    return jnp.where(self * beta > threshold, self, jax.nn.softplus(self * beta) / beta)


@TABLE.rule("aten.hardtanh.default")
def hardtanh(self: Array, min_val: float = -1, max_val: float = 1) -> Array:
    """hardtanh(Tensor self, Scalar min_val=-1, Scalar max_val=1) -> Tensor"""
    # jnp.clip has another derivative at the bounds: torch's is 0 there
    if jnp.issubdtype(self.dtype, jnp.integer):
        return jnp.clip(self, int(min_val), int(max_val))
    return jnp.where(self <= min_val, min_val, jnp.where(self >= max_val, max_val, self))


@TABLE.rule("aten.hardsigmoid.default")
def hardsigmoid(self: Array) -> Array:
    """hardsigmoid(Tensor self) -> Tensor"""
    if self.dtype == jnp.float64:
        held = lax.stop_gradient(self)
        return jax.nn.hard_sigmoid(held) + jnp.where((held > -3) & (held < 3), (self - held) * SIXTH, 0)
    return jax.nn.hard_sigmoid(self)


@TABLE.rule("aten.hardswish.default")
def hardswish(self: Array) -> Array:
    """hardswish(Tensor self) -> Tensor"""
    return jax.nn.hard_swish(self)


@TABLE.rule("aten.threshold.default")
def threshold(self: Array, threshold: float, value: float) -> Array:
    """threshold(Tensor self, Scalar threshold, Scalar value) -> Tensor"""
    return jnp.where(self <= threshold, value, self)


@TABLE.rule("aten.hardshrink.default")
def hardshrink(self: Array, lambd: float = 0.5) -> Array:
    """hardshrink(Tensor self, Scalar lambd=0.5) -> Tensor"""
    return jnp.where((self >= -lambd) & (self <= lambd), 0, self)


@TABLE.rule("aten.softshrink.default")
def softshrink(self: Array, lambd: float = 0.5) -> Array:
    """softshrink(Tensor self, Scalar lambd=0.5) -> Tensor"""
    return jnp.where(self > lambd, self - lambd, jnp.where(self < -lambd, self + lambd, 0 * self))


@TABLE.rule("aten.glu.default")
def glu(self: Array, dim: int = -1) -> Array:
    """glu(Tensor self, int dim=-1) -> Tensor"""
    return jax.nn.glu(self, axis=dim)
