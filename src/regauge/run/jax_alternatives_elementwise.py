"""Alternatives of single elements, of softmax, reductions, masks, and of what a scatter does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from regauge.run.jax_operation import Operation, alternative, arguments_of

_FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "relu": jax.nn.relu, "silu": jax.nn.silu, "gelu": lambda x: jax.nn.gelu(x, approximate=False), "elu": jax.nn.elu,
    "selu": jax.nn.selu, "celu": jax.nn.celu, "softplus": jax.nn.softplus, "mish": jax.nn.mish, "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid, "relu6": jax.nn.relu6, "hardswish": jax.nn.hard_silu,
    "hardsigmoid": jax.nn.hard_sigmoid, "leaky_relu": jax.nn.leaky_relu, "softsign": jax.nn.soft_sign,
    "hardtanh": jax.nn.hard_tanh,
}  # fmt: skip


@alternative
def function(operation: Operation, *, name: str, options: Mapping[str, Any] | None = None) -> Any:
    """Another function of the first argument: SiLU for GELU."""
    if options or name not in _FUNCTIONS:
        raise NotImplementedError(name)
    return _FUNCTIONS[name](operation.operand("input"))


@alternative
def left_out(operation: Operation, *, operand: int | None = None) -> Any:
    """The operation does nothing: one of its arguments is its result."""
    names = ("input", "other")
    kept = operation.operand("input" if operand is None else names[operand])
    return jnp.broadcast_to(kept, operation.shape)


@alternative
def scaled(operation: Operation, *, by: float) -> Any:
    return operation.made()[0] * by


@alternative
def complement(operation: Operation) -> Any:
    """One minus the result."""
    return 1 - operation.made()[0]


@alternative
def shifted_input(operation: Operation, *, by: float) -> Any:
    x = operation.operand("input")
    return operation.with_operands(input=x + jnp.asarray(by, x.dtype)).made()


@alternative
def rounded(operation: Operation, *, to: str) -> Any:
    """The result went through a dtype of lower precision."""
    found = operation.made()[0]
    return found + lax.stop_gradient(lax.reduce_precision(found, *_BITS[to]) - found)


_BITS = {"float32": (8, 23), "bfloat16": (8, 7), "float16": (5, 10)}  # of the exponent and of the mantissa


@alternative
def with_extremes(operation: Operation) -> Any:
    """ReLU by maximum, whose derivative is shared at the bound; what is maximum or minimum with the bound's own."""
    x = operation.operand("input")
    if operation.function == "relu":
        return jnp.maximum(x, 0)
    if operation.function == "relu6":
        return jnp.minimum(jnp.maximum(x, 0), 6)
    if operation.function == "clamp_min":
        return jnp.where(x > operation.operand("min"), x, operation.operand("min"))
    return jnp.where(x < operation.operand("max"), x, operation.operand("max"))


@alternative
def root_with_eps(operation: Operation, *, eps: float, inside: bool) -> Any:
    """sqrt or rsqrt of a value with eps inside or outside of the root."""
    x = operation.operand("input")
    root = jnp.sqrt(x + eps) if inside else jnp.sqrt(x) + eps
    return 1 / root if operation.function == "rsqrt" else root


@alternative
def scattered(operation: Operation) -> Any:
    """Where several values go to one place: added instead of set, or set instead of added."""
    return _joined(operation, lax.scatter if operation.function == "scatter_add" else lax.scatter_add)


@arguments_of("scatter_reduce")
def of_scatter(operation: Operation, values: Mapping[str, Any]) -> Any:
    made = {"sum": lax.scatter_add, "amax": lax.scatter_max, "amin": lax.scatter_min, "prod": lax.scatter_mul}
    return _joined(operation, made[values["reduce"]])


def _joined(operation: Operation, scatter: Callable[..., Any]) -> Any:
    names = ("dimension_numbers", "indices_are_sorted", "unique_indices", "mode")
    return scatter(*operation.values, **{name: operation.equation.params[name] for name in names})


@alternative
def shifted_mask(operation: Operation, *, by: int) -> Any:
    """A triangular mask with its diagonal elsewhere.

    Raises:
        NotImplementedError: the mask is not the same triangle for all rows of the batch.
    """
    mask = operation.operand("mask")
    if mask.ndim < 2:
        raise NotImplementedError("a mask that is no triangle")
    rows, columns = mask.shape[-2:]
    every = jnp.arange(columns) - jnp.arange(rows)[:, None]
    for below in (True, False):
        for offset in range(-1, 2):
            triangle = every <= offset if below else every > offset
            if bool((mask == triangle).all()):
                other = every <= offset + by if below else every > offset + by
                return operation.with_operands(mask=jnp.broadcast_to(other, mask.shape)).made()
    raise NotImplementedError("a mask that is no triangle")


@alternative
def zero_where_all_is_low(operation: Operation) -> Any:
    """A softmax that gives zero in rows of which everything is masked."""
    x, axis = operation.operand("input"), operation.call.arguments["dim"]
    return jnp.where((x < -100).all(axis, keepdims=True), 0, operation.made()[0])


@alternative
def parts_in_order(operation: Operation, *, order: Sequence[int]) -> Any:
    """The parts of a split in each other's place."""
    found = operation.made()
    return [found[index] for index in order]


@alternative
def swapped(operation: Operation) -> Any:
    """A product with its factors in each other's place, where both have one shape."""
    one, other = operation.operand("input"), operation.operand("other")
    if one.shape != other.shape:
        raise NotImplementedError("factors of different shapes")
    return operation.with_operands(input=other, other=one).made()


@arguments_of("gelu")
def of_gelu(operation: Operation, values: Mapping[str, Any]) -> Any:
    return jax.nn.gelu(operation.operand("input"), approximate=values["approximate"] == "tanh")


@arguments_of("softmax", "log_softmax")
def of_softmax(operation: Operation, values: Mapping[str, Any]) -> Any:
    made = jax.nn.softmax if operation.function == "softmax" else jax.nn.log_softmax
    return made(operation.operand("input"), axis=values["dim"])


@arguments_of("sum", "amax", "amin", "prod")
def of_reduction(operation: Operation, values: Mapping[str, Any]) -> Any:
    axis = values["dim"] % operation.operand("input").ndim
    return operation.made(axes=(axis,))


@arguments_of("cumsum", "cumprod", "cummax", "cummin")
def of_cumulation(operation: Operation, values: Mapping[str, Any]) -> Any:
    return operation.made(axis=values["dim"] % operation.operand("input").ndim)


@arguments_of("pow")
def of_power(operation: Operation, values: Mapping[str, Any]) -> Any:
    return jnp.power(operation.operand("input"), values["exponent"])


@arguments_of("embedding")
def of_table(operation: Operation, values: Mapping[str, Any]) -> Any:
    """A table whose row of padding gets no gradient."""
    index, row = operation.operand("input"), values["padding_idx"]
    if row is None or index.ndim == 0 or index.shape[-1] != 1:
        raise NotImplementedError("rows that are not taken one by one")
    found = operation.made()[0]
    hidden = (index[..., 0] == row).reshape(*index.shape[:-1], *[1] * (found.ndim - index.ndim + 1))
    return jnp.where(hidden, lax.stop_gradient(found), found)
