"""Arrays that a program of JAX holds itself, in the precision that its person's run gives them.

Code such as ``x + np.sin(positions)`` or ``x * jnp.array([0.1, 0.2])`` brings arrays of its own. A person's run rounds
them to float32, and so does the conversion, which keeps them like weights. In 64-bit mode the same code holds them in
float64, 1e-8 away: a check would compare two functions of different tables. So a program that is widened computes in
float64 with the tables of its person's run, as it computes with the weights of that run. Single numbers stay as the
source has them, on both sides (`capture/jaxpr_exact.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from regauge.case import Case
from regauge.run.jax_precision import wide_names, widen_array
from regauge.run.jax_program import JaxProgram
from regauge.run.jax_trees import Leaves, is_array

_SHORTER = {"float64": np.float32, "complex128": np.complex64}


def in_float64(case: Case) -> bool:
    """Whether a person's own run is in 64-bit mode: JAX makes float64 arrays in no other."""
    leaves = jax.tree.leaves((case.model, case.inputs, case.targets))
    return any(isinstance(leaf, jax.Array) and str(leaf.dtype) in _SHORTER for leaf in leaves)


def as_given(arrays: Mapping[str, Any]) -> Leaves:
    """Weights that numpy gave in float64, in float64 with the values that float32 has of them."""
    return {name: jnp.asarray(_rounded(array)) for name, array in arrays.items()}


def holds_arrays(program: JaxProgram, case: Case) -> bool:
    """Whether a program or its loss holds float arrays of its own; 64-bit mode is on.

    A program that does not run as it stands holds none: the check meets its error again and says what it is.
    """

    def whole(params: Any, state: Any, inputs: Any, targets: Any) -> Any:
        outputs, changed = program.call(params, state, inputs, "train", jax.random.key(0))
        return (outputs, changed) if case.loss is None else (case.loss(outputs, targets), changed)

    run, given = _of_arrays(whole, (program.params, program.state, case.inputs, case.targets), {})
    try:
        with wide_names():
            return is_holding(jax.make_jaxpr(run)(*given))
    except Exception:
        return False


def is_holding(closed: Any) -> bool:
    """Whether a closed jaxpr, or a jitted function in it, holds float64 arrays with axes."""
    return any(str(getattr(c, "dtype", "")) in _SHORTER and np.ndim(c) > 0 for c in closed.consts) or any(
        is_holding(body) for equation in closed.jaxpr.eqns for body in _closed_bodies(equation).values()
    )


def with_rounded(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function of pytrees, with the arrays that it holds rounded to float32; what is no array stays as it is."""

    @wraps(function)
    def changed(*arguments: Any, **named: Any) -> Any:
        run, given = _of_arrays(function, arguments, named)
        closed, shapes = jax.make_jaxpr(run, return_shape=True)(*given)
        found = core.jaxpr_as_fun(_with_rounded_constants(closed))(*given)
        return jax.tree.unflatten(jax.tree.structure(shapes), found)

    return changed


def _of_arrays(
    function: Callable[..., Any], arguments: tuple[Any, ...], named: Mapping[str, Any]
) -> tuple[Callable[..., Any], list[Any]]:
    """A function of the arrays among some arguments alone, and these arrays."""
    leaves, structure = jax.tree.flatten((arguments, dict(named)))
    places = [place for place, leaf in enumerate(leaves) if is_array(leaf)]

    def run(*given: Any) -> Any:
        all_leaves = list(leaves)
        for place, leaf in zip(places, given, strict=True):
            all_leaves[place] = leaf
        positional, keyword = jax.tree.unflatten(structure, all_leaves)
        return function(*positional, **keyword)

    return run, [leaves[place] for place in places]


def _with_rounded_constants(closed: Any) -> Any:
    """A closed jaxpr with its arrays rounded, and those of the jitted functions in it."""
    constants = [_rounded(constant) if np.ndim(constant) else constant for constant in closed.consts]
    return core.ClosedJaxpr(closed.jaxpr.replace(eqns=[_equation(e) for e in closed.jaxpr.eqns]), constants)


def _equation(equation: Any) -> Any:
    bodies = {key: _with_rounded_constants(body) for key, body in _closed_bodies(equation).items()}
    return equation.replace(params={**equation.params, **bodies}) if bodies else equation


def _closed_bodies(equation: Any) -> dict[str, Any]:
    """The bodies that may hold arrays: loops, branches and functions with derivatives of their own are given theirs."""
    return {key: value for key, value in equation.params.items() if isinstance(value, core.ClosedJaxpr)}


def _rounded(array: Any) -> Any:
    """An array rounded to float32, in float64 as it was; a tracer, which is no array of the program, as it is."""
    shorter = _SHORTER.get(str(getattr(array, "dtype", "")))
    if shorter is None or isinstance(array, jax.core.Tracer):
        return array
    narrow: Any = np.asarray(array).astype(shorter)
    return array if np.array_equal(narrow, array, equal_nan=True) else widen_array(narrow)
