"""What is known of the values of a jaxpr before anything runs: which is a weight, which a number, which a constant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from regauge.run.jax_equations import evaluated


@dataclass(frozen=True)
class Origin:
    """Where a value comes from.

    Attributes:
        weight: name of the parameter that it is, whatever has been done to its shape; empty for none.
        order: its axes as axes of the parameter; None once they have been joined, split or added to.
        number: what all of its elements are, where that is known.
        fixed: whether it is made of constants alone.
    """

    weight: str = ""
    order: tuple[int, ...] | None = None
    number: float | None = None
    fixed: bool = False

    @staticmethod
    def of_weight(name: str, rank: int) -> Origin:
        return Origin(name, tuple(range(rank)))

    @staticmethod
    def of_constant(value: Any) -> Origin:
        return Origin(number=_number(value), fixed=True)


UNKNOWN = Origin()

_MOVING = frozenset({"broadcast_in_dim", "reshape", "squeeze", "expand_dims", "transpose", "convert_element_type"})
_MOVING |= {"copy", "copy_p", "stop_gradient", "reduce_precision", "rev"}
_RANDOM = ("random", "threefry", "key")


def of_atom(atom: Any, known: dict[Any, Origin]) -> Origin:
    return Origin.of_constant(atom.val) if isinstance(atom, core.Literal) else known.get(atom, UNKNOWN)


def of_results(equation: Any, given: Sequence[Origin]) -> list[Origin]:
    """Where the results of an operation come from.

    Args:
        equation: that holds no function.
        given: of its operands.
    """
    name = equation.primitive.name
    if name in _MOVING and given:
        return [_moved(equation, given[0])]
    fixed = all(origin.fixed for origin in given) and not name.startswith(_RANDOM)
    number = _folded(equation, given) if fixed else None
    return [Origin(number=number if len(equation.outvars) == 1 else None, fixed=fixed) for _ in equation.outvars]


def _moved(equation: Any, origin: Origin) -> Origin:
    name, order = equation.primitive.name, origin.order
    if name == "transpose" and order is not None:
        return replace(origin, order=tuple(order[axis] for axis in equation.params["permutation"]))
    if name in ("broadcast_in_dim", "reshape", "squeeze", "expand_dims", "rev"):
        return replace(origin, order=None)
    return origin


def _folded(equation: Any, given: Sequence[Origin]) -> float | None:
    """The one number that an operation makes of numbers; None where it makes more than one element."""
    avals = [variable.aval for variable in equation.invars]
    if any(origin.number is None for origin in given) or any(aval.shape for aval in avals):
        return None
    if any(variable.aval.shape for variable in equation.outvars) or not given:
        return None
    try:
        with jax.ensure_compile_time_eval():
            values = [jnp.asarray(o.number, aval.dtype) for o, aval in zip(given, avals, strict=True)]
            return _number(evaluated(equation, values)[0])
    except Exception:  # what cannot be computed now is no number that is known
        return None


def _number(value: Any) -> float | None:
    if np.ndim(value) != 0 or not jnp.issubdtype(jnp.result_type(value), jnp.number):
        return None
    if jnp.issubdtype(jnp.result_type(value), jnp.complexfloating):
        return None
    return float(value)
