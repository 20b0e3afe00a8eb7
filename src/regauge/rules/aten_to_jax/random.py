"""Randomness. Every rule takes an explicit key: the streams of torch and JAX can never be equal, their laws are;
without a key jax.random raises. `dropout` is a function (an nnx.Dropout), so that one mechanism of the model controls
it; without it nothing may drop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from regauge.rules.table import Limit, RuleTable

TABLE = RuleTable("random")

# What selu tends to for very negative inputs: -scale * alpha; https://arxiv.org/abs/1706.02515
SELU_FLOOR = -1.7580993408473766


def kept(key: Any, p: float, shape: tuple[int, ...]) -> Array:
    """True with probability 1 - p."""
    return jax.random.bernoulli(key, 1 - p, shape)


def drop(x: Array, mask: Array, p: float) -> Array:
    """Scaled by a mask so that the mean stays, as in torch: a check gives 1 - p for it; with p = 1 nothing is left."""
    return x * (mask / (1 - p)).astype(x.dtype) if p < 1 else x * 0


@TABLE.rule("aten.dropout.default")
def dropout(
    input: Array,
    p: float,
    train: bool,
    dropout: Callable[[Array], Array] | None = None,
    rng_key: Any = None,
) -> Array:
    """dropout(Tensor input, float p, bool train) -> Tensor"""
    if not train or p == 0:
        return input
    if dropout is not None:
        return dropout(input)
    return drop(input, kept(rng_key, p, input.shape), p)


@TABLE.rule("aten.native_dropout.default")
def native_dropout(input: Array, p: float, train: bool | None, rng_key: Any = None) -> tuple[Array, Array]:
    """native_dropout(Tensor input, float p, bool? train) -> (Tensor, Tensor)"""
    if train is False or p == 0:
        return input, jnp.ones(input.shape, bool)
    mask = kept(rng_key, p, input.shape)
    return drop(input, mask, p), mask


@TABLE.rule("aten.native_dropout_backward.default")
def native_dropout_backward(grad_output: Array, mask: Array, scale: float) -> Array:
    """native_dropout_backward(Tensor grad_output, Tensor mask, float scale) -> Tensor"""
    return grad_output * mask.astype(grad_output.dtype) * scale


@TABLE.rule("aten.feature_dropout.default")
def feature_dropout(input: Array, p: float, train: bool, rng_key: Any = None) -> Array:
    """feature_dropout(Tensor input, float p, bool train) -> Tensor"""
    if not train or p == 0:
        return input
    return drop(input, kept(rng_key, p, (*input.shape[:2], *(1,) * (input.ndim - 2))), p)


def alpha_drop(x: Array, mask: Array, p: float) -> Array:
    """Dropout to the lower limit of selu, then an affine map that keeps mean 0 and variance 1."""
    if p == 1:
        return x * 0
    a = ((1 - p) * (1 + p * SELU_FLOOR**2)) ** -0.5
    return a * ((x - SELU_FLOOR) * mask.astype(x.dtype) + (1 - p) * SELU_FLOOR)


@TABLE.rule("aten.alpha_dropout.default")
def alpha_dropout(input: Array, p: float, train: bool, rng_key: Any = None) -> Array:
    """alpha_dropout(Tensor input, float p, bool train) -> Tensor"""
    if not train or p == 0:
        return input
    return alpha_drop(input, kept(rng_key, p, input.shape), p)


@TABLE.rule("aten.feature_alpha_dropout.default")
def feature_alpha_dropout(input: Array, p: float, train: bool, rng_key: Any = None) -> Array:
    """feature_alpha_dropout(Tensor input, float p, bool train) -> Tensor"""
    if not train or p == 0:
        return input
    return alpha_drop(input, kept(rng_key, p, (*input.shape[:2], *(1,) * (input.ndim - 2))), p)


@TABLE.rule("aten.bernoulli.default")
def bernoulli(self: Array, *, generator: Any = None, rng_key: Any = None) -> Array:
    """bernoulli(Tensor self, *, Generator? generator=None) -> Tensor"""
    return jax.random.bernoulli(rng_key, jax.lax.stop_gradient(self)).astype(self.dtype)


@TABLE.rule("aten.bernoulli.p")
def bernoulli_p(self: Array, p: float, *, generator: Any = None, rng_key: Any = None) -> Array:
    """bernoulli.p(Tensor self, float p, *, Generator? generator=None) -> Tensor"""
    return jax.random.bernoulli(rng_key, p, self.shape).astype(self.dtype)


@TABLE.rule("aten.bernoulli.Tensor")
def bernoulli_each(self: Array, p: Array, *, generator: Any = None, rng_key: Any = None) -> Array:
    """bernoulli.Tensor(Tensor self, Tensor p, *, Generator? generator=None) -> Tensor"""
    return jax.random.bernoulli(rng_key, jax.lax.stop_gradient(p), self.shape).astype(self.dtype)


def complex_uniform(key: Any, shape: tuple[int, ...], dtype: Any, low: float = 0.0, high: float = 1.0) -> Array:
    """Complex numbers whose parts are uniform."""
    parts = jax.random.uniform(key, (2, *shape), jnp.finfo(dtype).dtype, low, high)
    return jax.lax.complex(parts[0], parts[1])


@TABLE.rule("aten.rand.default")
def rand(
    size: tuple[int, ...],
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = None,
    rng_key: Any = None,
) -> Array:
    """rand(SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor"""  # noqa: E501
    if dtype is not None and jnp.issubdtype(dtype, jnp.complexfloating):
        return complex_uniform(rng_key, size, dtype)
    return jax.random.uniform(rng_key, size, jnp.float32 if dtype is None else dtype)


@TABLE.rule("aten.rand_like.default")
def rand_like(
    self: Array,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = None,
    memory_format: Any = None,
    rng_key: Any = None,
) -> Array:
    """rand_like(Tensor self, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor"""  # noqa: E501
    if jnp.issubdtype(self.dtype if dtype is None else dtype, jnp.complexfloating):
        return complex_uniform(rng_key, self.shape, self.dtype if dtype is None else dtype)
    return jax.random.uniform(rng_key, self.shape, self.dtype if dtype is None else dtype)


@TABLE.rule("aten.randn.default")
def randn(
    size: tuple[int, ...],
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = None,
    rng_key: Any = None,
) -> Array:
    """randn(SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor"""  # noqa: E501
    return jax.random.normal(rng_key, size, jnp.float32 if dtype is None else dtype)


@TABLE.rule("aten.randn_like.default")
def randn_like(
    self: Array,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = None,
    memory_format: Any = None,
    rng_key: Any = None,
) -> Array:
    """randn_like(Tensor self, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor"""  # noqa: E501
    return jax.random.normal(rng_key, self.shape, self.dtype if dtype is None else dtype)


@TABLE.rule("aten.normal.Tensor_float")
def normal_tensor_float(mean: Array, std: float = 1.0, *, generator: Any = None, rng_key: Any = None) -> Array:
    """normal.Tensor_float(Tensor mean, float std=1., *, Generator? generator=None) -> Tensor"""
    return jax.lax.stop_gradient(mean) + std * jax.random.normal(rng_key, mean.shape, mean.dtype)


@TABLE.rule("aten.normal.float_Tensor")
def normal_float_tensor(mean: float, std: Array, *, generator: Any = None, rng_key: Any = None) -> Array:
    """normal.float_Tensor(float mean, Tensor std, *, Generator? generator=None) -> Tensor"""
    return mean + jax.lax.stop_gradient(std) * jax.random.normal(rng_key, std.shape, std.dtype)


@TABLE.rule("aten.normal.Tensor_Tensor")
def normal_tensor_tensor(mean: Array, std: Array, *, generator: Any = None, rng_key: Any = None) -> Array:
    """normal.Tensor_Tensor(Tensor mean, Tensor std, *, Generator? generator=None) -> Tensor"""
    # no derivative by mean and std, as in torch: a reparametrised sample is written mean + std * randn
    shape = jnp.broadcast_shapes(mean.shape, std.shape)
    noise = jax.random.normal(rng_key, shape, mean.dtype)
    return jax.lax.stop_gradient(mean) + jax.lax.stop_gradient(std) * noise


@TABLE.rule("aten.normal.float_float")
def normal_float_float(
    mean: float,
    std: float,
    size: tuple[int, ...],
    *,
    generator: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = None,
    rng_key: Any = None,
) -> Array:
    """normal.float_float(float mean, float std, SymInt[] size, *, Generator? generator=None, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor"""  # noqa: E501
    noise = jax.random.normal(rng_key, size, jnp.float32 if dtype is None else dtype)
    return noise if mean == 0 and std == 1 else mean + std * noise


@TABLE.rule("aten.normal_functional.default")
def normal_functional(
    self: Array, mean: float = 0.0, std: float = 1.0, *, generator: Any = None, rng_key: Any = None
) -> Array:
    """normal_functional(Tensor self, float mean=0., float std=1., *, Generator? generator=None) -> Tensor"""
    noise = jax.random.normal(rng_key, self.shape, self.dtype)
    return noise if mean == 0 and std == 1 else mean + std * noise


@TABLE.rule("aten.uniform.default")
def uniform(self: Array, from_: float = 0.0, to: float = 1.0, *, generator: Any = None, rng_key: Any = None) -> Array:
    """uniform(Tensor self, float from=0., float to=1., *, Generator? generator=None) -> Tensor"""
    if jnp.issubdtype(self.dtype, jnp.complexfloating):
        return complex_uniform(rng_key, self.shape, self.dtype, from_, to)
    return jax.random.uniform(rng_key, self.shape, self.dtype, from_, to)


@TABLE.rule("aten.exponential.default")
def exponential(self: Array, lambd: float = 1.0, *, generator: Any = None, rng_key: Any = None) -> Array:
    """exponential(Tensor self, float lambd=1., *, Generator? generator=None) -> Tensor"""
    return jax.random.exponential(rng_key, self.shape, self.dtype) / lambd


@TABLE.rule("aten.randint.default")
def randint(
    high: int,
    size: tuple[int, ...],
    *,
    dtype: Any = int,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = None,
    rng_key: Any = None,
) -> Array:
    """randint(SymInt high, SymInt[] size, *, ScalarType? dtype=4, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor"""  # noqa: E501
    return jax.random.randint(rng_key, size, 0, high).astype(int if dtype is None else dtype)


@TABLE.rule("aten.randint.low")
def randint_low(
    low: int,
    high: int,
    size: tuple[int, ...],
    *,
    dtype: Any = int,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = None,
    rng_key: Any = None,
) -> Array:
    """randint.low(SymInt low, SymInt high, SymInt[] size, *, ScalarType? dtype=4, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor"""  # noqa: E501
    return jax.random.randint(rng_key, size, low, high).astype(int if dtype is None else dtype)


@TABLE.rule("aten.randint_like.default")
def randint_like(
    self: Array,
    high: int,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = None,
    memory_format: Any = None,
    rng_key: Any = None,
) -> Array:
    """randint_like(Tensor self, SymInt high, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor"""  # noqa: E501
    return jax.random.randint(rng_key, self.shape, 0, high).astype(self.dtype if dtype is None else dtype)


@TABLE.rule("aten.randint_like.low_dtype")
def randint_like_from(
    self: Array,
    low: int,
    high: int,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = None,
    memory_format: Any = None,
    rng_key: Any = None,
) -> Array:
    """randint_like.low_dtype(Tensor self, SymInt low, SymInt high, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor"""  # noqa: E501
    return jax.random.randint(rng_key, self.shape, low, high).astype(self.dtype if dtype is None else dtype)


@TABLE.rule("aten.random.default")
def random_of_dtype(self: Array, *, generator: Any = None, rng_key: Any = None) -> Array:
    """random(Tensor self, *, Generator? generator=None) -> Tensor"""
    if self.dtype == bool:
        return jax.random.bernoulli(rng_key, 0.5, self.shape)
    if jnp.issubdtype(self.dtype, jnp.floating):  # up to the last integer below which the dtype holds all of them
        return jax.random.randint(rng_key, self.shape, 0, 2 ** (jnp.finfo(self.dtype).nmant + 1) + 1).astype(self.dtype)
    bits = jax.random.bits(rng_key, self.shape, f"uint{jnp.iinfo(self.dtype).bits}")
    return (bits >> 1 if jnp.issubdtype(self.dtype, jnp.signedinteger) else bits).astype(self.dtype)


@TABLE.rule("aten.random.to")
def random_below(self: Array, to: int, *, generator: Any = None, rng_key: Any = None) -> Array:
    """random.to(Tensor self, int to, *, Generator? generator=None) -> Tensor"""
    return jax.random.randint(rng_key, self.shape, 0, to).astype(self.dtype)


@TABLE.rule(
    "aten.random.from",
    limits=[
        Limit(
            "without an upper end",
            lambda arguments: arguments["to"] is None,
            "unsupported",
            "torch then draws up to the largest integer of the dtype, which jax.random.randint, whose upper end is "
            "excluded, cannot name: give the upper end",
        )
    ],
)
def random_between(self: Array, from_: int, to: int | None, *, generator: Any = None, rng_key: Any = None) -> Array:
    """random.from(Tensor self, int from, int? to, *, Generator? generator=None) -> Tensor"""
    return jax.random.randint(rng_key, self.shape, from_, to).astype(self.dtype)  # type: ignore[arg-type]


@TABLE.rule("aten.randperm.default")
def randperm(
    n: int,
    *,
    dtype: Any = int,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = None,
    rng_key: Any = None,
) -> Array:
    """randperm(SymInt n, *, ScalarType? dtype=4, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor"""  # noqa: E501
    return jax.random.permutation(rng_key, n).astype(int if dtype is None else dtype)


@TABLE.rule(
    "aten.multinomial.default",
    limits=[
        Limit(
            "fewer non-zero probabilities than samples, without replacement",
            lambda arguments: not arguments.get("replacement", False) and arguments["num_samples"] != 1,
            "approximate",
            "torch raises when a row has fewer non-zero probabilities than samples; a compiled JAX function cannot, "
            "and gives classes of probability zero",
        )
    ],
)
def multinomial(
    self: Array, num_samples: int, replacement: bool = False, *, generator: Any = None, rng_key: Any = None
) -> Array:
    """multinomial(Tensor self, SymInt num_samples, bool replacement=False, *, Generator? generator=None) -> Tensor"""
    logits = jnp.log(self)
    if replacement or num_samples == 1:
        shape = (num_samples, *self.shape[:-1])
        return jnp.moveaxis(jax.random.categorical(rng_key, logits, shape=shape), 0, -1).astype(int)
    # the largest Gumbel-perturbed logits are a sample without replacement
    noise = jax.random.gumbel(rng_key, self.shape, self.dtype)
    return jax.lax.top_k(logits + noise, num_samples)[1].astype(int)


@TABLE.rule("aten.cauchy.default")
def cauchy(
    self: Array, median: float = 0.0, sigma: float = 1.0, *, generator: Any = None, rng_key: Any = None
) -> Array:
    """cauchy(Tensor self, float median=0., float sigma=1., *, Generator? generator=None) -> Tensor"""
    return median + sigma * jax.random.cauchy(rng_key, self.shape, self.dtype)


@TABLE.rule("aten.log_normal.default")
def log_normal(
    self: Array, mean: float = 1.0, std: float = 2.0, *, generator: Any = None, rng_key: Any = None
) -> Array:
    """log_normal(Tensor self, float mean=1., float std=2., *, Generator? generator=None) -> Tensor"""
    return jnp.exp(mean + std * jax.random.normal(rng_key, self.shape, self.dtype))


@TABLE.rule("aten.geometric.default")
def geometric(self: Array, p: float, *, generator: Any = None, rng_key: Any = None) -> Array:
    """geometric(Tensor self, float p, *, Generator? generator=None) -> Tensor"""
    return jax.random.geometric(rng_key, p, self.shape).astype(self.dtype)
