"""Rounding of saturating functions, for the noisy copies of a JAX original in float64: `torch_rounding`'s counterpart.

JAX writes softmax as a quotient and some sigmoids by their formula, so quotients that lie where a distance to 1 loses
digits belong to them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from regauge.run.jax_rewriting import Rewriting, rewritten

_SATURATING = frozenset({"logistic", "tanh", "erf", "erfc"})
_MIX = 0x9E3779B97F4A7C1  # odd: every bit of a value decides about the sign


class LastPlace(Rewriting):
    """Moves what saturating functions return by one unit in the last place.

    The direction depends on the value alone, so that equal values stay equal and ties are not broken.
    """

    def plain(self, equation: Any, values: Sequence[Any]) -> list[Any]:
        found = super().plain(equation, values)
        name = equation.primitive.name
        if name in _SATURATING:
            return [_moved(value) for value in found]
        if name == "div" and found[0].dtype == jnp.float64:
            quotient = found[0]
            return [jnp.where((quotient > 0.5) & (quotient <= 1), _moved(quotient), quotient)]
        return found


def _moved(value: Any) -> Any:
    if value.dtype != jnp.float64:
        return value
    up = (jax.lax.bitcast_convert_type(value, jnp.int64) * _MIX >> 40) & 1
    return value * (1 + jnp.finfo(jnp.float64).eps * (2 * up - 1))


def in_last_place(function: Callable[..., Any], noise: int | None, wide: bool) -> Callable[..., Any]:
    """The function for a noisy copy in float64; as it is otherwise."""
    return rewritten(function, LastPlace()) if noise is not None and wide else function
