"""Cases that break a promise: they say that all indices lie inside the array, and some do not.

JAX leaves open what such a program gives. XLA moves a gather inside and drops an update of a scatter; of a gather,
whose derivative is a scatter, JAX then has a gradient that belongs to another function than the one it computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.extend.core import Jaxpr, Literal


def breaks_promise(harness: Any, arguments: Sequence[Any]) -> bool:
    """Whether an index of a gather or a scatter in mode PROMISE_IN_BOUNDS lies outside."""
    closed = jax.make_jaxpr(harness.dyn_fun)(*arguments)
    return _breaks(closed.jaxpr, closed.consts, list(arguments))


def _breaks(jaxpr: Jaxpr, constants: Sequence[Any], arguments: Sequence[Any]) -> bool:
    values = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*constants, *arguments], strict=True))

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, Literal) else values[atom]

    for equation in jaxpr.eqns:
        inputs = [read(atom) for atom in equation.invars]
        if "PROMISE_IN_BOUNDS" in str(equation.params.get("mode")) and _is_outside(equation, inputs):
            return True
        inner = equation.params.get("jaxpr")
        if inner is not None and equation.primitive.name == "jit" and _breaks(inner.jaxpr, inner.consts, inputs):
            return True
        outputs = equation.primitive.bind(*inputs, **equation.params)
        several = outputs if equation.primitive.multiple_results else [outputs]
        values.update(zip(equation.outvars, several, strict=True))
    return False


def _is_outside(equation: Any, inputs: Sequence[Any]) -> bool:
    """Whether a window begins or ends outside of the operand."""
    operand, indices, numbers = np.shape(inputs[0]), np.asarray(inputs[1]), equation.params["dimension_numbers"]
    if equation.primitive.name == "gather":
        axes, windows = numbers.start_index_map, equation.params["slice_sizes"]
    else:
        axes, windows = numbers.scatter_dims_to_operand_dims, _window(operand, np.shape(inputs[2]), numbers)
    room = np.array([operand[axis] - windows[axis] for axis in axes])
    return bool(np.any((indices < 0) | (indices > room)))


def _window(operand: Sequence[int], updates: Sequence[int], numbers: Any) -> list[int]:
    """How many elements of each axis of the operand an update of a scatter covers."""
    single = {*numbers.inserted_window_dims, *numbers.operand_batching_dims}
    sizes = iter(updates[axis] for axis in numbers.update_window_dims)
    return [1 if axis in single else next(sizes) for axis in range(len(operand))]
