"""Another rounding of a JAX original in float64, for its noisy copies: `torch_rounding`'s counterpart.

Saturating functions move by one unit in the last place. JAX writes softmax as a quotient and some sigmoids by their
formula, so quotients that lie where a distance to 1 loses digits belong to them. Sums are rounded to the other side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from regauge.run.jax_rewriting import Rewriting, rewritten

_SATURATING = frozenset({"logistic", "tanh", "erf", "erfc"})
_SUMS = frozenset({"add", "add_any", "sub"})
_MIX = 0x9E3779B97F4A7C1  # odd: every bit of a value decides about the sign


class LastPlace(Rewriting):
    """Moves what saturating functions return by one unit in the last place, and what sums round to.

    The direction depends on the operands alone, so that equal values stay equal and ties are not broken.
    """

    def plain(self, equation: Any, values: Sequence[Any]) -> list[Any]:
        found = super().plain(equation, values)
        name = equation.primitive.name
        if name in _SATURATING:
            return [_moved(value) for value in found]
        if name in _SUMS and found[0].dtype == jnp.float64:
            one, other = values
            return [_rounded_otherwise(found[0], one, -other if name == "sub" else other)]
        if name == "div" and found[0].dtype == jnp.float64:
            quotient = found[0]
            return [jnp.where((quotient > 0.5) & (quotient <= 1), _moved(quotient), quotient)]
        return found


def _moved(value: Any) -> Any:
    if value.dtype != jnp.float64:
        return value
    up = (jax.lax.bitcast_convert_type(value, jnp.int64) * _MIX >> 40) & 1
    return value * (1 + jnp.finfo(jnp.float64).eps * (2 * up - 1))


def _rounded_otherwise(total: Any, one: Any, other: Any) -> Any:
    """The float on the other side of the exact sum; the sum itself where that is a float (positions, zeros).

    Both are what a sum may come to if its last digit is uncertain. What is left of it when a mean is subtracted is as
    uncertain as it was large, and weights that are moved show nothing of that: a bias that moves, moves the mean too.
    """
    added = total - one
    rest = (one - (total - added)) + (other - added)  # exact (Knuth's two-sum)
    side = jnp.where(rest > 0, jnp.inf, -jnp.inf)
    return jnp.where((rest != 0) & jnp.isfinite(rest), jnp.nextafter(total, side), total)


def in_last_place(function: Callable[..., Any], noise: int | None, wide: bool) -> Callable[..., Any]:
    """The function for a noisy copy in float64; as it is otherwise."""
    return rewritten(function, LastPlace()) if noise is not None and wide else function
