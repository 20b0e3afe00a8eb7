"""A JAX function with some of its operations computed in another way, through jit, scan, loops and branches.

The function is traced, and its jaxpr evaluated again under a `Rewriting`, which decides about each operation. What is
rewritten can be compiled as the function itself can.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
from jax.extend import core

from regauge.run.jax_calls import Calls
from regauge.run.jax_equations import body_of, evaluated


class Rewriting:
    """What is done with each operation; this one leaves all as they are.

    Attributes:
        calls: of the function, where operations are to be known by their numbers.
    """

    calls: Calls | None = None

    def plain(self, equation: Any, values: Sequence[Any]) -> list[Any]:
        """The results of an operation that holds no function."""
        return evaluated(equation, values)

    def entering(self, value: Any, aval: Any) -> Any:
        """What enters a loop or a branch in the place of a value of an abstract one."""
        return value

    def numbered(self, equation: Any, values: Sequence[Any], first: int) -> list[Any] | None:
        """The results of an equation that holds the operations from a number on; None if it is to be gone through."""
        return None

    def size(self, equation: Any) -> int:
        return self.calls.size(equation) if self.calls else 0

    def size_of(self, jaxpr: Any) -> int:
        return self.calls.size_of(jaxpr) if self.calls else 0

    def run(self, closed: Any, given: Sequence[Any]) -> list[Any]:
        """The results of a closed jaxpr."""
        return _run(self, closed.jaxpr, closed.consts, given, 0)


def rewritten(function: Callable[..., Any], rewriting: Rewriting) -> Callable[..., Any]:
    """The function under a rewriting.

    Args:
        function: of pytrees of arrays.
        rewriting: of its operations, those of its derivative among them if it takes one.
    """

    def changed(*arguments: Any) -> Any:
        closed, shapes = jax.make_jaxpr(function, return_shape=True)(*arguments)
        found = rewriting.run(closed, jax.tree.leaves(arguments))
        return jax.tree.unflatten(jax.tree.structure(shapes), found)

    return changed


def _run(rewriting: Rewriting, jaxpr: Any, constants: Sequence[Any], given: Sequence[Any], first: int) -> list[Any]:
    values: dict[Any, Any] = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*constants, *given], strict=True))

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, core.Literal) else values[atom]

    for equation in jaxpr.eqns:
        found = _equation(rewriting, equation, [read(atom) for atom in equation.invars], first)
        first += rewriting.size(equation)
        values.update(zip(equation.outvars, found, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _equation(rewriting: Rewriting, equation: Any, values: list[Any], first: int) -> list[Any]:
    name, params = equation.primitive.name, equation.params
    made = rewriting.numbered(equation, values, first)
    if made is not None:
        return made
    body = body_of(equation)
    if body is not None:
        jaxpr, constants = (body.jaxpr, body.consts) if hasattr(body, "jaxpr") else (body, ())
        return _run(rewriting, jaxpr, constants, values, first)
    if name not in ("scan", "while", "cond"):
        return rewriting.plain(equation, values)
    values = [rewriting.entering(value, atom.aval) for value, atom in zip(values, equation.invars, strict=True)]
    if name == "scan":
        return _scan(rewriting, params, values, first)
    if name == "while":
        return _while(rewriting, params, values)
    branches = []
    for branch in params["branches"]:
        branches.append(partial(_closed, rewriting, branch, first))
        first += rewriting.size_of(branch.jaxpr)
    return list(jax.lax.switch(values[0], branches, *values[1:]))


def _closed(rewriting: Rewriting, closed: Any, first: int, *given: Any) -> list[Any]:
    """The results of a closed jaxpr, as what calls it expects them."""
    found = _run(rewriting, closed.jaxpr, closed.consts, given, first)
    return [rewriting.entering(value, atom.aval) for value, atom in zip(found, closed.jaxpr.outvars, strict=True)]


def _scan(rewriting: Rewriting, params: Any, values: list[Any], first: int) -> list[Any]:
    fixed, carried = params["num_consts"], params["num_carry"]
    constants = values[:fixed]

    def step(carry: Any, taken: Any) -> Any:
        found = _closed(rewriting, params["jaxpr"], first, *constants, *carry, *taken)
        return found[:carried], found[carried:]

    carry, stacked = jax.lax.scan(
        step,
        values[fixed : fixed + carried],
        values[fixed + carried :],
        length=params["length"],
        reverse=params["reverse"],
        unroll=params["unroll"],
    )
    return [*carry, *stacked]


def _while(rewriting: Rewriting, params: Any, values: list[Any]) -> list[Any]:
    ours, theirs = params["cond_nconsts"], params["body_nconsts"]
    for_condition, for_body, start = values[:ours], values[ours : ours + theirs], values[ours + theirs :]
    return list(
        jax.lax.while_loop(
            lambda carry: _closed(rewriting, params["cond_jaxpr"], 0, *for_condition, *carry)[0],
            lambda carry: _closed(rewriting, params["body_jaxpr"], 0, *for_body, *carry),
            start,
        )
    )
