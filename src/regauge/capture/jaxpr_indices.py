"""What is known of indices at capture: values of small integer arrays, and whether windows lie inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from regauge.capture import jax_compat

_LARGEST = 256  # elements of an array of integers whose values are followed
# Primitives whose results are computed at capture if they are made of arrays that the program holds: index arithmetic.
_FOLDED = frozenset({"lt", "ge", "add", "sub", "select_n", "convert_element_type", "and", "or", "mul", "eq", "ne"})
_INDEXED = frozenset({
    "gather", "scatter", "scatter-add", "scatter-sub", "scatter-mul", "scatter-min", "scatter-max",
})  # fmt: skip


def is_followed(array: np.ndarray) -> bool:
    return array.dtype.kind in "biu" and array.size <= _LARGEST


def computed(equation: Any, values: Sequence[np.ndarray]) -> list[np.ndarray] | None:
    """The results of an equation of known integers, if they are small arrays of integers; else None."""
    avals = [v.aval for v in equation.outvars]
    if equation.effects or any(not hasattr(a, "shape") or jax_compat.is_key(a) for a in avals):
        return None
    if any(not all(isinstance(n, int) for n in a.shape) or not _is_integer(a.dtype) for a in avals):
        return None
    if any(np.prod(a.shape) > _LARGEST for a in avals):
        return None
    given = [jnp.asarray(value, v.aval.dtype) for value, v in zip(values, equation.invars, strict=True)]
    return [np.asarray(made) for made in jax_compat.evaluated(equation, given)]


def folds(equation: Any) -> bool:
    return equation.primitive.name in _FOLDED


def _is_integer(dtype: Any) -> bool:
    return bool(jnp.issubdtype(dtype, jnp.integer) or jnp.issubdtype(dtype, jnp.bool_))


def facts(equation: Any, indices: np.ndarray | None) -> Mapping[str, Any]:
    """What a gather or scatter with known indices is: ``in_bounds``; ``start`` of a single window inside; the
    bounds and the step of a slice, ``progression``, that rows at equal distances are."""
    if indices is None or equation.primitive.name not in _INDEXED:
        return {}
    numbers = equation.params["dimension_numbers"]
    operand = equation.invars[0].aval
    if equation.primitive.name == "gather":
        indexed, sizes = numbers.start_index_map, equation.params["slice_sizes"]
    else:
        indexed = numbers.scatter_dims_to_operand_dims
        sizes = _window_sizes(operand, equation.invars[2].aval, numbers)
    inside: list[bool | None] = []
    for column, axis in enumerate(indexed):
        inside.append(_inside(indices[..., column].astype(np.int64), operand.shape[axis], sizes[axis]))
    found: dict[str, Any] = {} if None in inside else {"in_bounds": all(inside)}
    promised = "PROMISE" in str(equation.params["mode"]) and False not in inside
    if indices.ndim == 1 and (promised or all(inside)):
        found["start"] = tuple(int(n) for n in indices)
    if all(inside) and indices.ndim == 2 and indices.shape[1] == 1 and len(indices) > 1:
        first, second, last = int(indices[0, 0]), int(indices[1, 0]), int(indices[-1, 0])
        if second > first and np.all(np.diff(indices[:, 0].astype(np.int64)) == second - first):
            found["progression"] = (first, last + 1, second - first)
    return found


def _inside(starts: np.ndarray, size: Any, width: Any) -> bool | None:
    """Whether windows lie inside along one axis; None where a symbolic size decides. Such a size is at least 1."""
    if isinstance(size, int) and isinstance(width, int):
        return bool(np.all((starts >= 0) & (starts <= size - width)))
    if np.any(starts < 0):
        return False
    return True if not np.any(starts) and (width is size or str(width) == str(size) or width == 1) else None


def _window_sizes(operand: Any, updates: Any, numbers: Any) -> list[Any]:
    removed = (*numbers.inserted_window_dims, *numbers.operand_batching_dims)
    sizes: list[Any] = [1] * operand.ndim
    window = [axis for axis in range(operand.ndim) if axis not in removed]
    for axis, at in zip(window, numbers.update_window_dims, strict=True):
        sizes[axis] = updates.shape[at]
    return sizes
