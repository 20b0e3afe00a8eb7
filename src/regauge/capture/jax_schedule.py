"""A schedule of a JAX case as data: optax's own by their arguments, a person's function as a graph of the count."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from types import CellType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from regauge.capture.jaxpr_exact import traced_wide, with_exact_numbers
from regauge.capture.jaxpr_values import constant_weights
from regauge.capture.jaxpr_walk import Walk
from regauge.errors import RegaugeError, UnsupportedOptimizer
from regauge.ir.check import check_graph
from regauge.ir.graph import Graph, ModuleStep, Value, node_inputs, references, without_dead
from regauge.ir.serial import graph_to_json
from regauge.optax_schedules import (
    CosineDecay,
    Curve,
    ExponentialDecay,
    Joined,
    PiecewiseConstant,
    PiecewiseInterpolate,
    Polynomial,
    Traced,
)

_EMPTY = CellType()  # of a name that was never given a value


def closure(function: Any) -> dict[str, Any]:
    """What a function holds from around its definition, by name."""
    code = getattr(function, "__code__", None)
    cells = getattr(function, "__closure__", None) or ()
    pairs = zip(code.co_freevars, cells, strict=True) if code else ()
    return {name: cell.cell_contents for name, cell in pairs if cell != _EMPTY}


def place(function: Any) -> str:
    """Where a function of optax is defined, ``scale_by_adam.update_fn``; empty for functions of others."""
    if not getattr(function, "__module__", "").startswith("optax."):
        return ""
    return str(getattr(function, "__qualname__", "")).replace(".<locals>", "")


def number(value: Any, what: str) -> float:
    """A Python number, or an array of one element.

    Raises:
        UnsupportedOptimizer: anything else, and what is not finite.
    """
    shape = getattr(value, "shape", ())
    if isinstance(value, jax.core.Tracer | str | bool) or shape != ():
        found = None
    else:
        try:
            found = value if isinstance(value, int | float) else np.asarray(value).item()
        except (TypeError, ValueError):
            found = None
    if not isinstance(found, int | float) or not np.isfinite(found):
        raise UnsupportedOptimizer(f"{what} of the optimizer is no finite number", received=repr(value)[:200])
    return found


def read_schedule(value: Any, what: str) -> float | Curve:
    """A number or schedule of optax.

    Args:
        value: a number, or a function of the number of steps taken.
        what: of the optimizer, for messages: ``learning_rate``.

    Raises:
        UnsupportedOptimizer: neither a number nor a function that can be traced.
    """
    if not callable(value):
        return number(value, what)
    value = getattr(value, "schedule_fn", value)  # as inject_hyperparams wraps it
    held, reader = closure(value), _READERS.get(place(value))
    if reader is None:
        return _traced(value, what)
    try:
        return reader(held)
    except KeyError as error:  # another version of optax holds it under another name
        raise UnsupportedOptimizer(
            f"the schedule of {what} is written differently in this version of optax",
            received=place(value),
            why=f"regauge looks for {error} there",
            next="use an optax that regauge was tested with, or write the schedule as a function of your own",
        ) from error


def _whole(value: float) -> float:
    return int(value) if value == int(value) else value


def _polynomial(held: Mapping[str, Any]) -> float | Curve:
    names = ("init_value", "end_value", "power", "transition_steps", "transition_begin")
    return Polynomial(**{name: number(held[name], name) for name in names})


def _piecewise_constant(held: Mapping[str, Any]) -> float | Curve:
    start = number(held["init_value"], "init_value")
    steps = sorted((held["boundaries_and_scales"] or {}).items())
    if not steps:
        return start
    return PiecewiseConstant(start, tuple(int(step) for step, _ in steps), tuple(number(s, "scale") for _, s in steps))


def _piecewise_interpolate(held: Mapping[str, Any]) -> float | Curve:
    kinds = {"_linear_interpolate": "linear", "_cosine_interpolate": "cosine"}
    kind = kinds[held["interpolate_fn"].__name__]
    values = [number(held["init_value"], "init_value")]
    for scale in held["scales"]:
        values.append(values[-1] * number(scale, "scale"))
    if len(values) == 1:
        return values[0]
    return PiecewiseInterpolate(kind, tuple(int(step) for step in held["boundaries"]), tuple(values))


def _exponential(held: Mapping[str, Any]) -> float | Curve:
    names = ("init_value", "transition_steps", "decay_rate", "transition_begin")
    end = held["end_value"]
    return ExponentialDecay(
        **{name: number(held[name], name) for name in names},
        staircase=bool(held["staircase"]),
        end_value=None if end is None else number(end, "end_value"),
    )


def _cosine(held: Mapping[str, Any]) -> float | Curve:
    return CosineDecay(
        **{name: number(held[name], name) for name in ("init_value", "alpha", "exponent")},
        decay_steps=_whole(number(held["decay_steps"], "decay_steps")),  # which optax makes a float at its first call
    )


def _joined(held: Mapping[str, Any]) -> float | Curve:
    curves = [read_schedule(schedule, "a joined schedule") for schedule in held["schedules"]]
    boundaries = [int(number(boundary, "boundary")) for boundary in held["boundaries"]]
    used = len(boundaries) + 1  # as many as zip takes
    return Joined(tuple(curves[:used]), tuple(boundaries[: len(curves) - 1])) if used > 1 else curves[0]


def _same(name: str) -> Callable[[Mapping[str, Any]], float | Curve]:
    return lambda held: number(held[name], name)


_READERS: dict[str, Callable[[Mapping[str, Any]], float | Curve]] = {
    "constant_schedule.<lambda>": _same("value"),
    "polynomial_schedule.schedule": _polynomial,
    "polynomial_schedule.<lambda>": _same("init_value"),
    "piecewise_constant_schedule.schedule": _piecewise_constant,
    "piecewise_interpolate_schedule.schedule": _piecewise_interpolate,
    "exponential_decay.schedule": _exponential,
    "exponential_decay.<lambda>": _same("init_value"),
    "cosine_decay_schedule.schedule": _cosine,
    "join_schedules.schedule": _joined,
}


def _traced(function: Callable[[Any], Any], what: str) -> float | Curve:
    """Any function of the count, by its jaxpr."""
    name = getattr(function, "__name__", "schedule")
    try:
        closed, shape = jax.make_jaxpr(function, return_shape=True)(jnp.zeros((), jnp.int32))
        if shape.shape != ():
            raise TypeError(f"it returns an array of shape {list(shape.shape)}")
        graph, constants = _graph(closed, name)
        graph = with_exact_numbers(graph, closed, lambda: traced_wide(function, jnp.zeros((), jnp.int32)))
    except RegaugeError as error:
        raise UnsupportedOptimizer(
            f"the schedule of {what} cannot be captured: {error.what}", received=name, details=error.details
        ) from error
    except Exception as error:  # whatever a person's function does with an abstract count
        raise UnsupportedOptimizer(
            f"the schedule of {what} cannot be traced: {str(error).strip().split(chr(10), 1)[0][:200]}",
            received=name,
            why="a schedule is a pure function of jax from the count to one number",
            next="write it with jnp.where and jnp.minimum, or with the schedules of optax",
        ) from error
    return Traced(name, json.dumps(graph_to_json(graph)), json.dumps(constants))


def _graph(closed: Any, name: str) -> tuple[Graph, dict[str, Any]]:
    walk = Walk(lambda _: (ModuleStep("", name, "root"),))
    count = walk.take("count", closed.jaxpr.invars[0].aval)
    result = walk.result(walk.run(closed.jaxpr, closed.consts, [count])[0])
    needed = set(references(result))
    nodes = without_dead(walk.nodes, needed)
    read = {value for node in nodes for value in node_inputs(node)} | needed
    graph = Graph(
        dialect="lax",
        inputs=(Value(count.name, walk.specs[count.name]),),
        weights=tuple(w for w in constant_weights(walk.constants) if w.value in read),
        nodes=nodes,
        outputs=(result,),
        in_tree={"tuple": [{"leaf": count.name}]},
        out_tree={"leaf": result.name},
    )
    check_graph(graph)
    held = {key: [str(array.dtype), array.tolist()] for key, array in walk.constants.items() if key in read}
    return graph, held
