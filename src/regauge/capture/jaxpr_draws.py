"""Calls of `jax.random` stay whole: `uniform`, `normal` and `randint`, of which its other functions are made.

A call is known by its name and proved by its jaxpr, which must be the one that JAX leaves for these keys, alone or
under `jax.vmap` of the keys.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax

from regauge.capture import jax_compat

# Operators and their operands by the name of JAX's function, and the bits that are drawn by the dtype of the result.
_KEPT: dict[str, tuple[str, tuple[str, ...], dict[str, int]]] = {
    "_uniform": ("jax.random.uniform", ("key", "minval", "maxval"), {"float32": 32, "float64": 64}),
    "_normal_real": ("jax.random.normal", ("key",), {"float32": 32, "float64": 64}),
    "_randint": ("jax.random.randint", ("key", "minval", "maxval"), {"int32": 32}),
}
DRAWS = frozenset({"lax.random_bits", *(operator for operator, _, _ in _KEPT.values())})


def draw(equation: Any) -> tuple[str, tuple[str, ...], tuple[Any, ...], int] | None:
    """The operator, the names of its operands, the shape that is drawn for each key, and the bits of a number.

    None for other calls, and for bounds that are mapped together with the keys. JAX sorts the operands of a call by
    their names where they are given by name.
    """
    name = equation.params.get("name")
    if name not in _KEPT or len(equation.outvars) != 1:
        return None
    operator, operands, bits = _KEPT[name]
    key, *bounds = (variable.aval for variable in equation.invars)
    result = equation.outvars[0].aval
    if not jax_compat.is_key(key) or len(bounds) != len(operands) - 1 or str(result.dtype) not in bits:
        return None
    if any(bound.dtype != result.dtype or (key.shape and bound.shape) for bound in bounds):
        return None
    shape = result.shape[len(key.shape) :]
    avals = tuple(
        jax.ShapeDtypeStruct(a.shape, a.dtype, weak_type=getattr(a, "weak_type", False)) for a in (key, *bounds)
    )
    written = str(jax_compat.called(equation)[0])
    for names in dict.fromkeys((operands, tuple(sorted(operands)))):
        if _written(name, names, shape, result.dtype, avals) == written:
            return operator, names, shape, bits[str(result.dtype)]
    return None


@lru_cache(maxsize=256)
def _written(
    name: str, operands: tuple[str, ...], shape: tuple[Any, ...], dtype: Any, avals: tuple[Any, ...]
) -> str | None:
    """The jaxpr that one of JAX's functions leaves, as text; None if it is not written as one call."""
    function = getattr(jax_compat.RANDOM, name)

    def call(key: Any, *bounds: Any) -> Any:
        if operands == _KEPT[name][1]:
            return function(key, *bounds, shape, dtype)
        return function(key, **dict(zip(operands[1:], bounds, strict=True)), shape=shape, dtype=dtype)

    mapped: Callable[..., Any] = call
    for _ in avals[0].shape:
        mapped = jax.vmap(mapped, (0, *(None for _ in avals[1:])))
    equations = jax.make_jaxpr(mapped)(*avals).jaxpr.eqns
    return str(jax_compat.called(equations[0])[0]) if len(equations) == 1 else None
