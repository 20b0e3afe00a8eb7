"""Products of groups of rows, each with a matrix of its own: the experts of a mixture."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array, lax
from jax.typing import DTypeLike

from regauge.rules.table import Limit, RuleTable

TABLE = RuleTable("grouped")

ROWS_ONLY = Limit(
    when="the groups are not rows of self with one matrix each",
    applies=lambda arguments: (
        len(arguments["mat2"].shape) != 3 or (arguments.get("offs") is not None and len(arguments["self"].shape) != 2)
    ),
    effect="unsupported",
    reason="groups of columns and of the contracted axis occur in gradients only, which JAX takes itself",
)


@TABLE.rule("transformers.grouped_mm_fallback.default")
def product_by_groups(input: Array, weight: Array, offs: Array) -> Array:
    """grouped_mm_fallback(Tensor input, Tensor weight, Tensor offs) -> Tensor"""
    return lax.ragged_dot(input, weight, jnp.diff(offs, prepend=0).astype(jnp.int32))


@TABLE.rule("aten._grouped_mm.default", limits=[ROWS_ONLY])
def grouped_product(
    self: Array,
    mat2: Array,
    offs: Array | None = None,
    bias: Array | None = None,
    out_dtype: DTypeLike | None = None,
) -> Array:
    """_grouped_mm(Tensor self, Tensor mat2, Tensor? offs=None, Tensor? bias=None, ScalarType? out_dtype=None) ->
    Tensor
    """
    if offs is None:
        return self @ mat2
    return lax.ragged_dot(self, mat2, jnp.diff(offs, prepend=0).astype(jnp.int32))
