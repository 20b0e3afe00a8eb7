"""What a JAX program computes again for its gradient (`jax.checkpoint`, `nnx.remat`, ...).

A function that is recomputed changes no value, so that its equations are written down as any others. Where it is one
call of a module, the call is marked; else its nodes become the function of a node `regauge.checkpoint`. Both are
written with `torch.utils.checkpoint`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count

from regauge.findings import Finding
from regauge.ir.graph import (
    Graph,
    Node,
    Operand,
    Origin,
    Ref,
    Value,
    every_node,
    free_values,
    node_inputs,
    references,
    with_names,
)

# Emission turns images around where they are convolved, and does not look into functions for it.
_IMAGES = frozenset({
    "layer.conv", "layer.conv_transpose", "layer.group_norm", "lax.conv_general_dilated", "lax.reduce_window",
    "lax.reduce_window_max", "lax.reduce_window_min", "lax.reduce_window_sum", "lax.select_and_scatter_add",
})  # fmt: skip
_ALL_SAVED, _NONE_SAVED = "everything_saveable", "nothing_saveable"


@dataclass(frozen=True)
class Region:
    """What one function that is recomputed has left in the walk.

    Attributes:
        values: names of all that it makes.
        origin: of its call.
        policy: name of the function that says what is saved after all; "" where nothing is.
        inside: whether it is called in a function of control flow.
        arguments: the values that it is given, with the names of its parameters.
        results: the values that it gives.
    """

    values: frozenset[str]
    origin: Origin
    policy: str = ""
    inside: bool = False
    arguments: tuple[tuple[str, str], ...] = ()
    results: tuple[str, ...] = ()


Calls = Mapping[Region, str | None]  # the call of a module that each region is


def region(
    nodes: Sequence[Node],
    origin: Origin,
    policy: str,
    inside: bool,
    arguments: Mapping[str, str],
    results: Sequence[str],
) -> list[Region]:
    """The region of nodes; none where all is saved.

    Args:
        nodes: that the function has left.
        origin: of its call.
        policy: name of one of `jax.checkpoint_policies`, or of the person's own; "" for none.
        inside: whether it is called in a function of control flow.
        arguments: names of its parameters by the values that it is given.
        results: the values that it gives.
    """
    values = frozenset(value.name for node in nodes for value in node.outputs)
    if not values or policy == _ALL_SAVED:
        return []
    policy = "" if policy == _NONE_SAVED else policy
    return [Region(values, origin, policy, inside, tuple(arguments.items()), tuple(dict.fromkeys(results)))]


def calls_of(nodes: Sequence[Node], regions: Sequence[Region]) -> Calls:
    """The call of a module that each region is, by its key; None where it is less or more than one call.

    Args:
        nodes: of the graph, without dead ones; layers must not be one node yet.
        regions: of the walk, inner ones first; those that nothing reads are left out.
    """
    places: dict[str, set[int]] = {}
    makers: dict[str, int] = {}
    for position, node in enumerate(nodes):
        makers |= {value.name: position for value in node.outputs}
        for step in node.origin.modules:
            if step.path:
                places.setdefault(step.call, set()).add(position)
    called = {frozenset(inside): call for call, inside in reversed(places.items())}  # of several, the outermost
    alive = {value.name for node in nodes for body in node.bodies for n in every_node(body) for value in n.outputs}
    found: dict[Region, str | None] = {}
    for one in regions:
        inside = frozenset(makers[name] for name in one.values if name in makers)
        if inside or one.values & alive:
            found[one] = called.get(inside)
    return found


def widened(calls: Calls, nodes: Sequence[Node], known: Collection[str]) -> Calls:
    """The regions with the values that the folding of layers has added to them.

    Args:
        calls: as `calls_of` gives them.
        nodes: with layers as one node each.
        known: the values before.
    """
    readers: dict[str, list[Node]] = {}
    for node in nodes:
        for name in node_inputs(node):
            readers.setdefault(name, []).append(node)
    found: dict[Region, str | None] = {}
    for one, call in calls.items():
        values = set(one.values)
        for node in reversed(nodes):
            new = [value.name for value in node.outputs if value.name not in known]
            inside = [reader for name in new for reader in readers.get(name, ())]
            if inside and all(values.intersection(_made(reader)) for reader in inside):
                values.update(new)
        found[replace(one, values=frozenset(values))] = call
    return found


def with_recomputation(graph: Graph, calls: Calls, other: Collection[str] | None = None) -> Graph:
    """The graph that says what is recomputed, with findings about what is not.

    Args:
        graph: with layers as one node each.
        calls: as `calls_of` gives them.
        other: calls that the other mode of the model recomputes, if it has a graph of its own: what a module is
            called through must be the same.
    """
    findings: list[Finding] = []
    recomputed: set[str] = set()
    nodes = list(graph.nodes)
    taken = {name for node in every_node(graph) for name in _names(node)} | _given(graph)
    for one, call in calls.items():
        if (obstacle := _obstacle(one, call, graph)) is not None:
            findings.append(obstacle)
            continue
        if call is None:
            nodes = _with_function(replace(graph, nodes=tuple(nodes)), one, taken)
        elif other is None or call in other:
            recomputed.add(call)
        findings += _policy_left_out(one)
    marked = tuple(_with_marks(node, recomputed) for node in nodes)
    return replace(graph, nodes=marked, findings=tuple(dict.fromkeys((*graph.findings, *findings))))


def recomputed_calls(graph: Graph, calls: Calls) -> set[str]:
    """The calls of modules that `with_recomputation` would mark."""
    return {call for one, call in calls.items() if call is not None and _obstacle(one, call, graph) is None}


def _obstacle(one: Region, call: str | None, graph: Graph) -> Finding | None:
    """Why a region is not recomputed."""
    ops = {node.op for node in graph.nodes if one.values.intersection(_made(node))}
    if one.inside:
        text = (
            "The function of a loop or branch is not recomputed: torch.export does not take that. Values and gradients "
            "are the same, memory is not: put torch.utils.checkpoint around it where the module is not exported."
        )
    elif "layer.batch_norm" in ops or any(value in one.values for _, value in graph.mutations):
        text = (
            "What changes the state of a module is not recomputed: torch.utils.checkpoint would change it twice. "
            "Values and gradients are the same, memory is not: recompute the parts around it."
        )
    elif call is None and not ops.isdisjoint(_IMAGES):
        text = (
            "Convolutions and pools are recomputed in modules only, not in other functions. "
            "Values and gradients are the same, memory is not: make a module of the function, and recompute that."
        )
    else:
        return None
    return Finding("C165", "info", one.origin.line, text)


def _policy_left_out(one: Region) -> list[Finding]:
    if not one.policy:
        return []
    text = (
        f"The policy {one.policy} is left out: torch.utils.checkpoint computes the whole function again, "
        "which takes less memory and more time."
    )
    return [Finding("C166", "info", one.origin.line, text)]


def _with_marks(node: Node, calls: Collection[str]) -> Node:
    """A node, and those of its functions, with the mark at its steps through these calls."""
    steps = tuple(replace(s, recomputed=True) if s.call in calls else s for s in node.origin.modules)
    bodies = tuple(replace(body, nodes=tuple(_with_marks(n, calls) for n in body.nodes)) for body in node.bodies)
    return replace(node, origin=replace(node.origin, modules=steps), bodies=bodies)


# functions -----------------------------------------------------------------------------------------------------------


def _with_function(graph: Graph, one: Region, taken: set[str]) -> list[Node]:
    """The nodes in which those of a region are the function of one node.

    What the function reads it is given: the name of a value around it may stand for another one when it runs again.
    Weights alone it reads where they are.
    """
    inside = [at for at, node in enumerate(graph.nodes) if one.values.intersection(_made(node))]
    if not inside:  # all of it went into a library function that began before
        return list(graph.nodes)
    before, own, after = (
        graph.nodes[: inside[0]],
        graph.nodes[inside[0] : inside[-1] + 1],
        graph.nodes[inside[-1] + 1 :],
    )
    specs = {value.name: value.spec for node in graph.nodes for value in node.outputs}
    specs |= {value.name: value.spec for value in graph.inputs}
    read = {name for node in after for name in node_inputs(node)} | {value for _, value in graph.mutations}
    read |= {name for operand in graph.outputs for name in references(operand)}
    results = _in_order([name for node in own for name in _made(node) if name in read], one.results)
    weights = {weight.value for weight in graph.weights}
    made = {value.name for node in own for value in node.outputs}
    free = list(dict.fromkeys(n for node in own for n in node_inputs(node) if n not in made and n not in weights))
    free = _in_order(free, [name for name, _ in one.arguments])
    names = {name: _new_name(name, taken) for name in (*free, *results)}
    nodes = tuple(_renamed(node, names) for node in own)
    given = tuple(Value(names[name], specs[name]) for name in free)
    body = Graph("lax", given, (), nodes, tuple(Ref(names[name]) for name in results))
    called = dict(one.arguments)
    arguments: dict[str, Operand] = {
        "xs": tuple(Ref(name) for name in free),
        "parameters": (tuple((called.get(name, name), ("",)) for name in free),),
        "returned": ((len(results),),),
        "closure": tuple(Ref(name) for name in free_values(body)),
    }
    values = tuple(Value(name, specs[name]) for name in results)
    return [*before, Node("regauge.checkpoint", tuple(arguments.items()), values, (body,), one.origin), *after]


def _in_order(names: Sequence[str], order: Sequence[str]) -> list[str]:
    """Names in an order that does not have all of them; the others come last."""
    places = {name: place for place, name in enumerate(order)}
    return sorted(names, key=lambda name: places.get(name, len(places)))


def _new_name(name: str, taken: set[str]) -> str:
    number = next(n for n in count(1) if f"{name}_inside_{n}" not in taken)
    taken.add(f"{name}_inside_{number}")
    return f"{name}_inside_{number}"


def _renamed(node: Node, names: Mapping[str, str]) -> Node:
    outputs = tuple(Value(names.get(value.name, value.name), value.spec) for value in node.outputs)
    return replace(with_names(node, names), outputs=outputs)


def _made(node: Node) -> list[str]:
    return [value.name for value in node.outputs]


def _names(node: Node) -> list[str]:
    return [*_made(node), *(value.name for body in node.bodies for value in body.inputs)]


def _given(graph: Graph) -> set[str]:
    return {value.name for value in graph.inputs} | {weight.value for weight in graph.weights}
