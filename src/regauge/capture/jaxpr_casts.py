"""Where a JAX function computes in less than float64 though all its arguments are wide: read from its jaxpr."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax._src import source_info_util

LOW = ("float32", "bfloat16", "float16", "complex64")


def low_precision(function: Callable[..., Any], *arguments: Any) -> list[dict[str, str]]:
    """The person's lines at which a function narrows to a low float dtype, first of all the casts themselves.

    Args:
        function: traced with abstract values; nothing is computed.
        arguments: pytrees of arrays.

    Returns:
        ``{"dtype", "where": "file.py:12", "op"}`` for each line, in order of the program.
    """
    found: dict[tuple[str, str], dict[str, str]] = {}
    for equation in _equations(jax.make_jaxpr(function)(*arguments).jaxpr):
        wide = any(str(getattr(v.aval, "dtype", "")) in ("float64", "complex128") for v in equation.invars)
        for variable in equation.outvars:
            dtype = getattr(variable.aval, "dtype", None)
            if dtype is None or str(dtype) not in LOW or not jnp.issubdtype(dtype, jnp.inexact):
                continue
            begins = wide or not any(str(getattr(v.aval, "dtype", "")) in LOW for v in equation.invars)
            if begins and not _has_bodies(equation):
                where = _where(equation)
                found.setdefault(
                    (where, str(dtype)), {"dtype": str(dtype), "where": where, "op": str(equation.primitive)}
                )
    return list(found.values())


def _equations(jaxpr: Any) -> Iterator[Any]:
    for equation in jaxpr.eqns:
        yield equation
        for body in _bodies(equation):
            yield from _equations(body)


def _bodies(equation: Any) -> Iterator[Any]:
    for value in equation.params.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            inner = getattr(item, "jaxpr", item)
            if hasattr(inner, "eqns"):
                yield inner


def _has_bodies(equation: Any) -> bool:
    return any(True for _ in _bodies(equation))


def _where(equation: Any) -> str:
    frame = source_info_util.user_frame(equation.source_info.traceback)
    return f"{frame.file_name}:{frame.start_line}" if frame else ""
