"""Functions of libraries as patterns of nodes: what a function leaves in a graph, and where a graph holds the same.

The template is traced from the function itself, on the very shapes and dtypes of the place in question. Equal nodes,
attributes, numbers and wiring then prove that the place computes this function, whoever wrote it and whatever the
release of the library.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from regauge.capture.jaxpr_walk import Walk
from regauge.ir.graph import Node, Operand, Ref, TensorSpec, references, without_dead

_GAP = 12  # nodes of other code that may stand between two nodes of one call


@dataclass(frozen=True)
class Template:
    """The nodes of a function.

    Attributes:
        nodes: in the order of their making.
        inputs: names of the arguments.
        outputs: what it returns; numbers stay numbers.
        specs: of all values.
        constants: arrays that the function holds, by the value that reads them.
    """

    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[Operand, ...]
    specs: Mapping[str, TensorSpec]
    constants: Mapping[str, np.ndarray]


@dataclass
class Match:
    """Where a template is in a graph.

    Attributes:
        positions: of the nodes of the graph, one for each node of the template.
        bound: values of the graph by values of the template.
    """

    positions: list[int] = field(default_factory=list)
    bound: dict[str, Operand] = field(default_factory=dict)


def abstract(aval: Any) -> jax.ShapeDtypeStruct:
    """An abstract array like this one, as tracing takes it."""
    return jax.ShapeDtypeStruct(aval.shape, aval.dtype, weak_type=bool(getattr(aval, "weak_type", False)))


def trace(function: Callable[..., Any], avals: Sequence[Any]) -> Template | None:
    """The template of a function of arrays; None if it cannot be traced on these."""
    try:
        closed = jax.make_jaxpr(function)(*(abstract(aval) for aval in avals))
        walk = Walk(lambda _: ())
        given = [walk.take(f"argument{n}", aval) for n, aval in enumerate(avals)]
        results = walk.run(closed.jaxpr, closed.consts, list(given))
    except Exception:  # whatever a library says about arguments that it does not take
        return None
    outputs = tuple(walk.operand(result) for result in results)
    nodes = without_dead(walk.nodes, {name for operand in outputs for name in references(operand)})
    return Template(nodes, tuple(ref.name for ref in given), outputs, walk.specs, walk.constants)


def match(
    template: Template,
    nodes: Sequence[Node],
    first: int,
    specs: Mapping[str, TensorSpec],
    constants: Mapping[str, np.ndarray],
    bound: Mapping[str, Operand] | None = None,
) -> Match | None:
    """Where the template is in these nodes, its first node at `first`; None if it is not there.

    Args:
        template: of the function.
        nodes: of the graph.
        first: position of its first node.
        specs: of all values of the graph.
        constants: arrays that the graph holds, by value.
        bound: values of the graph for values of the template that are known beforehand.
    """
    found = Match(bound=dict(bound or {}))
    position = first
    for expected in template.nodes:
        end = min(position + _GAP, len(nodes)) if found.positions else first + 1
        for candidate in range(position, end):
            trial = dict(found.bound)
            if _fits(expected, nodes[candidate], trial, _Context(template, specs, constants)):
                found.bound = trial
                found.positions.append(candidate)
                position = candidate + 1
                break
        else:
            return None
    return found


@dataclass(frozen=True)
class _Context:
    template: Template
    specs: Mapping[str, TensorSpec]
    constants: Mapping[str, np.ndarray]


def _fits(expected: Node, node: Node, bound: dict[str, Operand], context: _Context) -> bool:
    """Whether a node is the template's, with what is bound already; binds what it finds."""
    if expected.op != node.op or len(expected.arguments) != len(node.arguments):
        return False
    if [value.spec for value in expected.outputs] != [value.spec for value in node.outputs]:
        return False
    if not _same_bodies(expected, node):
        return False
    for (key, wanted), (name, given) in zip(expected.arguments, node.arguments, strict=True):
        if key != name or not _unified(wanted, given, bound, context):
            return False
    for ours, theirs in zip(expected.outputs, node.outputs, strict=True):
        bound[ours.name] = Ref(theirs.name)
    return True


def _same_bodies(expected: Node, node: Node) -> bool:
    return (not expected.bodies and not node.bodies) or repr(expected.bodies) == repr(node.bodies)


def _unified(wanted: Operand, given: Operand, bound: dict[str, Operand], context: _Context) -> bool:
    if isinstance(wanted, tuple):
        if not isinstance(given, tuple) or len(wanted) != len(given):
            return False
        return all(_unified(a, b, bound, context) for a, b in zip(wanted, given, strict=True))
    if not isinstance(wanted, Ref):
        return type(wanted) is type(given) and (wanted == given or (wanted != wanted and given != given))
    if not isinstance(given, Ref):
        return False
    if wanted.name in bound:
        return bound[wanted.name] == given
    if wanted.name in context.template.constants:
        held = context.constants.get(given.name)
        if held is None or not np.array_equal(held, context.template.constants[wanted.name]):
            return False
    elif wanted.name not in context.template.inputs or context.template.specs[wanted.name] != context.specs[given.name]:
        return False
    bound[wanted.name] = given
    return True
