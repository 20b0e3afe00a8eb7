"""Whether each step of a scan draws random numbers of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from regauge.capture import jax_compat

_DRAWS = frozenset({"random_bits", "random_gamma"})


def draws_anew(jaxpr: Any, constants: int, carried: int, shared: Iterable[int] = ()) -> bool:
    """Whether all that one step draws comes of a key that no other step has: a slice, or one that is carried on.

    Args:
        jaxpr: of the step, open; its arguments are constants, carry and slices.
        constants: how many of them every step is given alike.
        carried: how many are the carry.
        shared: places among the slices that hold one and the same key for every step.
    """
    first = constants + carried
    same = {first + place for place in shared}
    steady = {constants + n for n in range(carried) if jaxpr.outvars[n] is jaxpr.invars[constants + n]}
    own = [place >= constants and place not in same | steady for place in range(len(jaxpr.invars))]
    return _all_own(jaxpr, own)[0]


def _all_own(jaxpr: Any, given: Sequence[bool]) -> tuple[bool, list[bool]]:
    """Whether everything is drawn from what depends on a step's own values; and which results do."""
    own = {variable for variable, is_own in zip(jaxpr.invars, given, strict=True) if is_own}
    for equation in jaxpr.eqns:
        inputs = [not jax_compat.is_literal(atom) and atom in own for atom in equation.invars]
        if equation.primitive.name in _DRAWS and not inputs[0]:
            return False, []
        results = [any(inputs)] * len(equation.outvars)
        bodies = [jax_compat.opened(body)[0] for body in jax_compat.branches(equation.params)]
        for body in bodies:
            if len(body.invars) == len(inputs) and len(bodies) == 1:
                anew, found = _all_own(body, inputs)
                results = found if len(found) == len(results) else results
            else:  # of conditions and branches only what they are given is known
                anew, _ = _all_own(body, [any(inputs)] * len(body.invars))
            if not anew:
                return False, []
        own.update(variable for variable, is_own in zip(equation.outvars, results, strict=True) if is_own)
    return True, [not jax_compat.is_literal(atom) and atom in own for atom in jaxpr.outvars]
