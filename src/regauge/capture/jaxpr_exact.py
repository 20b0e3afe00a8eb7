"""The numbers of a JAX program as its source has them.

A trace in JAX's default precision holds every number of the source (``x * jnp.pi``, ``jnp.log(2 * jnp.pi)``) rounded to
float32, 1e-8 from what was written. The same source traced in 64-bit mode holds them exactly, and what is computed from
them. A number of the graph takes the value of that trace that is nearest to it, if it is the same in float32 or nearly:
the program then means in float64 what its source says, and in float32 what it did. A difference of numbers
(``1 - 0.9``) may be further off; it takes the value that stands in the same place of that trace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from regauge.capture import jax_compat
from regauge.capture.jaxpr_values import Known, folded
from regauge.ir.graph import Graph, Node, Operand, every_node
from regauge.run.jax_draws import draws_of_float32
from regauge.run.jax_held import is_holding
from regauge.run.jax_precision import wide_names

_DIGITS = 6  # significant ones that float32 always keeps
_NEAR = 2.0**-22  # two units in the last place of float32: functions of numbers round once more there
_ALIKE = 1e-3  # of numbers in the same place of two traces; 1 - 0.9999 is 2e-4 off in float32


def traced_wide(function: Callable[..., Any], *arguments: Any) -> Any:
    """The closed jaxpr of a function in 64-bit mode, for arrays (abstract or not) with their floats widened."""
    closed = None
    try:
        with jax.enable_x64(True), wide_names(), draws_of_float32():
            closed = jax.make_jaxpr(function)(*jax.tree.map(_widened, arguments))
        return closed
    finally:
        if closed is None or is_holding(closed):
            # An operation that was traced with a float64 array of numpy is taken from JAX's caches afterwards, outside
            # of 64-bit mode, and then fails for the same array (jax 0.10: RuntimeProgramInputMismatch).
            jax.clear_caches()


def with_exact_numbers(graph: Graph, narrow: Any, wide: Callable[[], Any]) -> Graph:
    """The graph with the numbers that its source has, where the trace has rounded them.

    Args:
        graph: of a trace in which floats are float32.
        narrow: the closed jaxpr of that trace.
        wide: the closed jaxpr of the same program in 64-bit mode; it is asked only if a number has been rounded. What
            it raises leaves the graph as it is: code that names its dtypes may not run there.
    """
    rounded = {number for node in every_node(graph) for _, o in node.arguments for number in _floats(o)}
    rounded = {number for number in rounded if _is_rounded(number)}
    if not rounded or jax.enable_x64.value:
        return graph
    try:
        with jax.enable_x64(True):
            found = list(_numbers(wide()))
    except Exception:  # whatever a program says about dtypes that it was not written for
        return graph
    exact = np.unique([number for number in found if np.isfinite(number)])
    table = {number: near for number in rounded if (near := _nearest(number, exact)) is not None}
    if len(table) < len(rounded):
        table = {number: same for number, same in _in_place(narrow, found).items() if number in rounded} | table
    return _with_numbers(graph, table) if table else graph


def _in_place(narrow: Any, exact: Sequence[float]) -> dict[float, float]:
    """Numbers of the 64-bit trace by those in the same places of the narrow one, as the graph writes them.

    Empty where the two traces are not the same program.
    """
    rounded = list(_numbers(narrow))
    if len(rounded) != len(exact):
        return {}
    pairs = [
        (a, b) for a, b in zip(rounded, exact, strict=True) if abs(a - b) <= _ALIKE * abs(b) and not _is_step(a, b)
    ]
    if 2 * len(pairs) < len(exact):
        return {}
    return {float(str(np.float32(a))): b for a, b in pairs}


def _widened(leaf: Any) -> Any:
    dtype = getattr(leaf, "dtype", None)
    wider = {"float32": np.float64, "bfloat16": np.float64, "float16": np.float64, "complex64": np.complex128}
    if str(dtype) not in wider:
        return leaf
    return jax.ShapeDtypeStruct(leaf.shape, wider[str(dtype)])


def _is_rounded(number: float) -> bool:
    """Whether a number may be another one's float32: it has as many digits as that keeps, and is no short fraction."""
    if not np.isfinite(number) or float(np.float32(number)) == number:
        return False
    digits = repr(abs(number)).partition("e")[0].replace(".", "").strip("0")
    return len(digits) > _DIGITS


def _nearest(number: float, exact: np.ndarray) -> float | None:
    """The number that another one was rounded from; None if there is none."""
    with np.errstate(over="ignore"):  # numbers of 64-bit code that float32 does not reach
        same = exact[exact.astype(np.float32) == np.float32(number)]
    near = same if same.size else exact[np.abs(exact - number) <= _NEAR * abs(number)]
    near = np.array([other for other in near if not _is_step(number, other)])
    return float(near[np.argmin(np.abs(near - number))]) if near.size else None


def _is_step(narrow: float, wide: float) -> bool:
    """Whether two numbers are neighbours of a third, one in float32 and one in float64: ``1 - finfo(dtype).epsneg``.

    Such a number is meant to differ between dtypes; the one of float64 would be the third itself in float32.
    """
    third, rounded = np.float32(wide), np.float32(narrow)
    if rounded == third or not np.isfinite(third):
        return False
    toward = np.float32(np.copysign(np.inf, narrow - third))
    return bool(np.nextafter(third, toward) == rounded and np.nextafter(float(third), float(toward)) == wide)


def _numbers(closed: Any) -> Iterator[float]:
    """Every real number that a program holds or computes from such alone."""
    jaxpr, constants = jax_compat.opened(closed)
    yield from _walked(jaxpr, constants, {})


def _walked(jaxpr: Any, constants: Iterable[Any], known: Mapping[Any, Known]) -> Iterator[float]:
    values: dict[Any, Any] = dict(known)
    for variable, constant in zip(jaxpr.constvars, constants, strict=False):
        if np.ndim(constant) == 0 and not jax_compat.is_key(constant):
            values[variable] = Known(np.asarray(constant))
            yield from _real(values[variable])
    for equation in jaxpr.eqns:
        inputs = [Known(np.asarray(v.val)) if jax_compat.is_literal(v) else values.get(v) for v in equation.invars]
        for atom, value in zip(equation.invars, inputs, strict=True):
            if jax_compat.is_literal(atom):
                yield from _real(value)
        if all(isinstance(value, Known) for value in inputs):
            for variable, made in zip(equation.outvars, folded(equation, inputs) or (), strict=False):
                values[variable] = made
                yield from _real(made)
        for body in jax_compat.branches(equation.params):
            inner, held = jax_compat.opened(body)
            # what a call is given is known inside it; other bodies have arguments of their own
            same = len(inner.invars) == len(inputs) and equation.primitive.name not in ("scan", "while")
            given = {v: value for v, value in zip(inner.invars, inputs, strict=True) if value} if same else {}
            yield from _walked(inner, held, given)


def _real(value: Any) -> Iterator[float]:
    if isinstance(value, Known) and value.value.ndim == 0 and jnp.issubdtype(value.value.dtype, jnp.floating):
        yield float(value.value)


def _floats(operand: Operand) -> Iterator[float]:
    if isinstance(operand, tuple):
        for item in operand:
            yield from _floats(item)
    elif isinstance(operand, float):
        yield operand


def _with_numbers(graph: Graph, table: Mapping[float, float]) -> Graph:
    return replace(graph, nodes=tuple(_node(node, table) for node in graph.nodes))


def _node(node: Node, table: Mapping[float, float]) -> Node:
    arguments = tuple((key, _operand(operand, table)) for key, operand in node.arguments)
    return replace(node, arguments=arguments, bodies=tuple(_with_numbers(body, table) for body in node.bodies))


def _operand(operand: Operand, table: Mapping[float, float]) -> Operand:
    if isinstance(operand, tuple):
        return tuple(_operand(item, table) for item in operand)
    return table.get(operand, operand) if isinstance(operand, float) else operand
