"""Calls of `jnp.searchsorted` stay whole: JAX writes them as a loop over bits of unsigned integers.

A call is known by its name and proved by its jaxpr, which must be the one that `jnp.searchsorted` leaves on these
shapes, alone or under `jax.vmap`. `jnp.interp`, `jnp.digitize` and `jnp.histogram` search in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from regauge.capture import jax_compat

_NAME = "searchsorted"


def search(equation: Any) -> tuple[str, bool] | None:
    """The side of a search, and whether it is one value in each row of a matrix; None for other calls.

    A value in a row is searched there; else all values are searched in one sorted row.
    """
    if equation.params.get("name") != _NAME or len(equation.invars) != 2 or len(equation.outvars) != 1:
        return None
    avals = [variable.aval for variable in equation.invars]
    rows, values = (jax.ShapeDtypeStruct(a.shape, a.dtype, weak_type=a.weak_type) for a in avals)
    if rows.dtype != values.dtype or not (_is_float(rows) or jnp.issubdtype(rows.dtype, jnp.signedinteger)):
        return None
    jaxpr, _ = jax_compat.called(equation)
    written = str(jaxpr)
    for side in ("left", "right"):
        for call, by_row in _calls(len(rows.shape), len(values.shape), partial(jnp.searchsorted, side=side)):
            if _is_it(call, rows, values, written):
                return side, by_row
    return None


def _is_float(aval: Any) -> bool:
    return bool(jnp.issubdtype(aval.dtype, jnp.floating)) and aval.dtype.itemsize > 1


def _calls(rank: int, values: int, call: Callable[..., Any]) -> Iterator[tuple[Callable[..., Any], bool]]:
    """The search as JAX may have been asked for it, and whether each row has one value."""
    if rank == 1:
        for _ in range(values + 1):
            yield call, False
            call = jax.vmap(call, (None, 0))
    elif values == rank - 1:
        for _ in range(values):
            call = jax.vmap(call)
        yield call, True


def _is_it(call: Callable[..., Any], rows: Any, values: Any, written: str) -> bool:
    try:
        (equation,) = jax.make_jaxpr(call)(rows, values).jaxpr.eqns
    except (TypeError, ValueError):  # shapes on which there is no such call, or more than one equation
        return False
    return equation.params.get("name") == _NAME and str(jax_compat.called(equation)[0]) == written
