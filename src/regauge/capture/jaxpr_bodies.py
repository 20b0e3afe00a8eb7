"""Primitives that hold a function of two numbers: named where it is one of JAX's own, written out where it is not."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from regauge.capture import jax_compat

_LARGEST_WINDOW = 256  # elements that are reduced one by one
_MOST_REPEATS = 16  # times that a function may meet one element of a scatter and be written out; a loop beyond
_COLLECTIVES: dict[str, Callable[..., Any]] = {"psum": lax.reduce_sum, "pmax": lax.reduce_max, "pmin": lax.reduce_min}


def combination(jaxpr: Any) -> str:
    """``add`` for a jaxpr that applies this one primitive to its two arguments, in whatever order; else ""."""
    body, constants = jax_compat.opened(jaxpr)
    if len(body.eqns) != 1 or constants or len(body.invars) != 2 or len(body.outvars) != 1:
        return ""
    equation = body.eqns[0]
    name = str(equation.primitive.name)
    known = name in ("add", "mul", "max", "min", "and", "or", "xor")
    return name if known and set(equation.invars) == set(body.invars) and equation.outvars == body.outvars else ""


def written_out(equation: Any) -> Callable[..., Any] | None:
    """The same function of the equation's operands without a function inside, or None for an equation that stays."""
    if equation.primitive.name == "reduce_window":
        jaxpr, consts = equation.params["jaxpr"], equation.params["consts"]
        if combination(jaxpr) or math.prod(equation.params["window_dimensions"]) > _LARGEST_WINDOW:
            return None
        return _windows(_elementwise(jaxpr, consts), equation.params)
    if equation.primitive.name in _COLLECTIVES and all(isinstance(axis, int) for axis in equation.params["axes"]):
        reduce = _COLLECTIVES[equation.primitive.name]  # what vmap left of an axis with a name
        return lambda *arrays: [reduce(array, axes=equation.params["axes"]) for array in arrays]
    if equation.primitive.name == "scatter" and _applies(equation.params["update_jaxpr"]):
        return _applied(equation)
    return None


def _applies(jaxpr: Any) -> bool:
    """Whether a scatter computes new values from old ones: JAX writes `x.at[i].apply(f)` as that."""
    if jaxpr is None:
        return False
    body, _ = jax_compat.opened(jaxpr)
    return bool(body.eqns) or list(body.outvars) != [body.invars[1]]


def _elementwise(jaxpr: Any, consts: Sequence[Any]) -> Callable[..., list[Any]]:
    """A jaxpr of numbers as a function of arrays of one shape."""
    body, own = jax_compat.opened(jaxpr)

    def scalar(*values: Any) -> list[Any]:
        return jax.core.eval_jaxpr(body, (*own, *consts), *values)  # type: ignore[no-any-return]

    def function(*arrays: Any) -> list[Any]:
        mapped = scalar
        for _ in range(arrays[0].ndim):
            mapped = jax.vmap(mapped)
        return mapped(*arrays)

    return function


def _windows(reducer: Callable[..., list[Any]], params: Any) -> Callable[..., Any]:
    sizes, strides = params["window_dimensions"], params["window_strides"]
    steps, pads, base = params["window_dilation"], params["padding"], params["base_dilation"]
    config = [(low, high, step - 1) for (low, high), step in zip(pads, base, strict=True)]
    padded = any(part != (0, 0, 0) for part in config)

    def reduce(*given: Any) -> Any:
        arrays, starts = given[: len(given) // 2], given[len(given) // 2 :]
        inside = _inside(arrays[0].shape, config) if padded else None
        wide = [lax.pad(a, s, config) if padded else a for a, s in zip(arrays, starts, strict=True)]
        spans = [(size - 1) * step + 1 for size, step in zip(sizes, steps, strict=True)]
        counts = [(n - span) // stride + 1 for n, span, stride in zip(wide[0].shape, spans, strides, strict=True)]
        total = [jnp.broadcast_to(start, counts) for start in starts]
        for offset in itertools.product(*(range(size) for size in sizes)):
            first = [at * step for at, step in zip(offset, steps, strict=True)]
            last = [at + (count - 1) * stride + 1 for at, count, stride in zip(first, counts, strides, strict=True)]
            met = reducer(*total, *(lax.slice(a, first, last, strides) for a in wide))
            if inside is None:
                total = met
            else:
                where = inside[tuple(slice(*part) for part in zip(first, last, strides, strict=True))]
                total = [jnp.where(where, new, old) for new, old in zip(met, total, strict=True)]
        return total

    return reduce


def _applied(equation: Any) -> Callable[..., Any]:
    """A scatter with a function: it meets an element once for each time that the indices name it."""
    params = equation.params
    numbers = params["dimension_numbers"]
    function = _elementwise(params["update_jaxpr"], params["update_consts"])
    operand, indices, updates = (v.aval for v in equation.invars)
    count = math.prod(indices.shape[:-1])
    fixed = isinstance(count, int)  # of symbolic sizes there may be any number
    once = params["unique_indices"] or (fixed and count == 1)
    removed = (*numbers.inserted_window_dims, *numbers.operand_batching_dims)
    window = [axis for axis in range(operand.ndim) if axis not in removed]
    sizes = [1] * operand.ndim
    for axis, at in zip(window, numbers.update_window_dims, strict=True):
        sizes[axis] = updates.shape[at]

    def apply(x: Any, where: Any, values: Any) -> Any:
        if once:
            dimension_numbers = lax.GatherDimensionNumbers(
                numbers.update_window_dims, numbers.inserted_window_dims, numbers.scatter_dims_to_operand_dims,
                numbers.operand_batching_dims, numbers.scatter_indices_batching_dims,
            )  # fmt: skip
            old = lax.gather(x, where, dimension_numbers, sizes, mode="clip")
            (new,) = function(old, values)
            return [lax.scatter(x, where, new, numbers, unique_indices=params["unique_indices"], mode=params["mode"])]
        met = lax.scatter_add(
            jnp.zeros(x.shape, jnp.int32), where, jnp.ones(values.shape, jnp.int32), numbers, mode=params["mode"]
        )

        def turned(turn: Any, x: Any) -> Any:
            return jnp.where(met > turn, function(x, jnp.zeros_like(x))[0], x)

        if fixed and count <= _MOST_REPEATS:
            for turn in range(count):
                x = turned(turn, x)
            return [x]
        return [lax.fori_loop(0, jnp.max(met), turned, x)]

    return apply


def _inside(shape: Sequence[int], config: Sequence[tuple[int, int, int]]) -> np.ndarray:
    """Where elements of an array are after padding of at least 0 around and between them."""
    sizes = [low + high + (n - 1) * (step + 1) + 1 for n, (low, high, step) in zip(shape, config, strict=True)]
    inside = np.zeros(sizes, bool)
    places = zip(shape, config, strict=True)
    inside[tuple(slice(low, low + (n - 1) * (step + 1) + 1, step + 1) for n, (low, _, step) in places)] = True
    return inside
