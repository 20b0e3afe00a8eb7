"""Linear systems in a jaxpr: which functions of `jax.numpy.linalg` stay one node, and `custom_linear_solve`.

`jnp.linalg.solve` and `inv` stay whole, as torch has them with a derivative of any order. Any other
`custom_linear_solve` is a function with a derivative of its own: its value is that of its `solve`, and its derivative
solves the transposed system as JAX does. Inside that derivative, and where there is no transposed solver, `solve`
stands by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from regauge.capture import jax_compat

_KEPT = {"solve": ("a", "b"), "inv": ("a",)}
_EXACT = ("float32", "float64", "complex64", "complex128")


def kept_call(equation: Any) -> tuple[str, tuple[str, ...]] | None:
    """The operator and its operands' names for a call of `jax.numpy.linalg` that stays one node; None for others."""
    jaxpr, _ = jax_compat.called(equation)
    info = getattr(jaxpr, "debug_info", None)
    name = str(getattr(info, "func_name", ""))
    file = str(getattr(info, "func_filename", "") or "").replace("\\", "/")
    if name not in _KEPT or not file.endswith("/jax/_src/numpy/linalg.py") or len(equation.outvars) != 1:
        return None
    dtypes = {str(variable.aval.dtype) for variable in (*equation.invars, *equation.outvars)}
    if len(equation.invars) != len(_KEPT[name]) or len(dtypes) > 1 or not dtypes <= set(_EXACT):
        return None
    return f"jnp.linalg.{name}", _KEPT[name]


def pseudo_inverse_as_written(equation: Any) -> bool:
    """Whether a call of `jnp.linalg.pinv` is one with a tolerance of the caller, which torch's would not have."""
    jaxpr, _ = jax_compat.called(equation)
    if len(equation.invars) > 1 or not equation.invars or "eigh" in str(jaxpr):
        return True
    aval = equation.invars[0].aval
    default = 10.0 * max(aval.shape[-2:]) * float(jnp.finfo(aval.dtype).eps)
    return not any(abs(number - default) < 1e-6 * default for number in _products(jaxpr))


def _products(jaxpr: Any) -> list[float]:
    """The products of two numbers in a jaxpr and in what it calls."""
    found = []
    for equation in jaxpr.eqns:
        if equation.primitive.name == "mul" and all(jax_compat.is_literal(atom) for atom in equation.invars):
            found.append(float(equation.invars[0].val) * float(equation.invars[1].val))
        for body in jax_compat.branches(equation.params):
            found += _products(jax_compat.opened(body)[0])
    return found


def solver(equation: Any) -> Callable[..., Sequence[Any]]:
    """The `solve` of a `custom_linear_solve`, as a function of the equation's operands."""
    lengths = equation.params["const_lengths"]
    jaxpr, held = jax_compat.opened(equation.params["jaxprs"].solve)
    begin = lengths.matvec + lengths.vecmat
    end = sum(lengths)
    constants = slice(begin, begin + lengths.solve)

    def solve(*values: Any) -> Sequence[Any]:
        return jax.core.eval_jaxpr(jaxpr, held, *values[constants], *values[end:])  # type: ignore[no-any-return]

    return solve


def has_derivative(equation: Any) -> bool:
    """Whether JAX can differentiate a `custom_linear_solve` backwards."""
    return equation.params["jaxprs"].transpose_solve is not None
