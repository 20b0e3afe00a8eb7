"""Functions of jax.nn that a jaxpr holds written out, such as `gelu` and `softmax`, put back into calls.

The traceback of an equation tells which function of the library made it. What one call made stands together, takes one
array of floats, and gives one result that is used outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax._src import core as jax_core
from jax.extend import core

from regauge.run.jax_equations import body_of

_FUNCTIONS = {"gelu": "gelu", "softmax": "softmax", "_softmax": "softmax", "_softmax_deprecated": "softmax"}
_FILE = "jax/_src/nn/functions.py"
_HELD = ("jaxpr", "call_jaxpr", "fun_jaxpr")


def folded(closed: Any) -> Any:
    """The same closed jaxpr, in which what those functions made is one call of that name."""
    return _Folding().closed(closed)


class _Folding:
    def __init__(self) -> None:
        self._made: dict[int, tuple[Any, Any]] = {}  # bodies are shared

    def closed(self, closed: Any) -> Any:
        return jax_core.ClosedJaxpr(self.jaxpr(closed.jaxpr), closed.consts)

    def jaxpr(self, jaxpr: Any) -> Any:
        if id(jaxpr) not in self._made:
            equations = [self._inside(equation) for equation in jaxpr.eqns]
            self._made[id(jaxpr)] = (jaxpr, jaxpr.replace(eqns=_grouped(equations, jaxpr.outvars)))
        return self._made[id(jaxpr)][1]

    def _inside(self, equation: Any) -> Any:
        """An equation with the functions that it goes through folded."""
        params, changed = equation.params, {}
        if body_of(equation) is not None or equation.primitive.name == "scan":
            key = next(key for key in _HELD if key in params)
            changed = {key: self._either(params[key])}
        elif equation.primitive.name == "cond":
            changed = {"branches": tuple(self.closed(branch) for branch in params["branches"])}
        return equation.replace(params={**params, **changed}) if changed else equation

    def _either(self, body: Any) -> Any:
        return self.closed(body) if hasattr(body, "jaxpr") else self.jaxpr(body)


def _grouped(equations: Sequence[Any], results: Sequence[Any]) -> list[Any]:
    uses: dict[Any, int] = {}
    for atom in [*results, *(atom for equation in equations for atom in equation.invars)]:
        if not isinstance(atom, core.Literal):
            uses[atom] = uses.get(atom, 0) + 1
    found: list[Any] = []
    group: list[Any] = []
    name = ""
    for equation in equations:
        own = _function_of(equation)
        if group and (own != name or len(_floats(_given([*group, equation]))) > 1):
            found += _call(name, group, uses)
            group = []
        name = own
        if not own:
            found.append(equation)
            continue
        group.append(equation)
        if _is_last(own, equation):
            found += _call(name, group, uses)
            group = []
    return found + (_call(name, group, uses) if group else [])


def _function_of(equation: Any) -> str:
    """The function of `_FUNCTIONS` that made an equation; empty for none."""
    traceback = equation.source_info.traceback
    for frame in traceback.frames if traceback else ():
        if frame.function_name in _FUNCTIONS and frame.file_name.replace("\\", "/").endswith(_FILE):
            return _FUNCTIONS[frame.function_name]
    return ""


def _is_last(name: str, equation: Any) -> bool:
    """Whether an equation ends a function: GELU is its argument times a share, softmax is divided by its sum."""
    whole = not any(isinstance(atom, core.Literal) for atom in equation.invars)
    return whole and equation.primitive.name == {"gelu": "mul", "softmax": "div"}[name]


def _given(group: Sequence[Any]) -> list[Any]:
    """What a group takes from outside, in order."""
    made = {variable for equation in group for variable in equation.outvars}
    atoms = [a for e in group for a in e.invars if not isinstance(a, core.Literal) and a not in made]
    return list(dict.fromkeys(atoms))


def _floats(atoms: Sequence[Any]) -> list[Any]:
    return [atom for atom in atoms if jnp.issubdtype(atom.aval.dtype, jnp.inexact)]


def _call(name: str, group: list[Any], uses: dict[Any, int]) -> list[Any]:
    """A group as one call; as it is where it is no whole call of the function."""
    given, last = _given(group), group[-1].outvars
    inside: dict[Any, int] = {}
    for atom in (a for equation in group for a in equation.invars if not isinstance(a, core.Literal)):
        inside[atom] = inside.get(atom, 0) + 1
    every = [variable for equation in group for variable in equation.outvars]
    outside = [variable for variable in every if uses.get(variable, 0) > inside.get(variable, 0)]
    if outside != list(last) or len(_floats(given)) != 1 or len(group) < 2:
        return group
    first = _floats(given)
    given = [*first, *(atom for atom in given if atom not in first)]
    about = jax_core.DebugInfo(name, name, None, None)
    effects = frozenset().union(*(equation.effects for equation in group))
    body = jax_core.Jaxpr((), given, list(last), group, effects, about)
    params = {"call_jaxpr": jax_core.ClosedJaxpr(body, ())}
    source = group[0].source_info
    return [jax_core.new_jaxpr_eqn(given, list(last), jax_core.closed_call_p, params, effects, source)]
