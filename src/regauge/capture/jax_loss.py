"""A loss of JAX as a graph of outputs and targets; what it shares with the capture of models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import jax
import numpy as np

from regauge.capture import jaxpr_library
from regauge.capture.jax_example import Example, Leaf, Shapes, renamed_leaves, skeleton_of
from regauge.capture.jax_sizes_of_modes import named_shapes, with_sizes_of_modes
from regauge.capture.jaxpr_exact import traced_wide, with_exact_numbers
from regauge.capture.jaxpr_values import Known, constant_weights
from regauge.capture.jaxpr_walk import Walk
from regauge.capture.outputs_of_modes import OutputsOfModes
from regauge.errors import BadCase
from regauge.findings import Finding
from regauge.ir.check import check_graph
from regauge.ir.graph import Graph, ModuleStep, Node, Ref, Symbol, Value, node_inputs, references, without_dead

Arrays = Mapping[str, np.ndarray]
Loss = Callable[[Any, Any], Any]


def loss_graph(
    loss: Loss, outputs: Any, evaluation: Any, example: Example, shapes: Shapes, symbols: Sequence[Symbol]
) -> tuple[Graph, Arrays, list[Finding]]:
    """The loss as a graph of the outputs and the targets, and the arrays that it holds.

    Sizes of the outputs that are others in evaluation are symbols, where the loss can be traced with them.

    Args:
        loss: of (outputs, targets).
        outputs: abstract, of the mode that the loss is captured in.
        evaluation: abstract, of evaluation.
        example: the targets.
        shapes: of the targets.
        symbols: of the shapes.

    Returns:
        The graph, its arrays by name, and what a person should know of the outputs of the two modes.
    """
    modes = OutputsOfModes(named_shapes(evaluation), named_shapes(outputs))
    try:
        sizes = with_sizes_of_modes(modes, outputs, shapes, symbols)
        graph, arrays = _graph(loss, sizes.outputs, example, sizes.targets, sizes.symbols)
    except Exception:  # whatever a loss does with a size that has no value
        if not modes.varying:
            raise
        graph, arrays = _graph(loss, outputs, example, shapes, symbols)
    evaluated = None
    if modes.apart:
        with suppress(Exception):  # whatever a loss does with outputs of another form
            evaluated, _ = _graph(loss, evaluation, example, shapes, symbols)
    return graph, arrays, modes.findings(graph, evaluated)


def _graph(
    loss: Loss, outputs: Any, example: Example, shapes: Shapes, symbols: Sequence[Symbol]
) -> tuple[Graph, Arrays]:
    leaves, structure = jax.tree.flatten(outputs)
    order = sorted(shapes)

    def evaluate(values: Any, arrays: Any) -> Any:
        return loss(jax.tree.unflatten(structure, values), example.tree(arrays)[0])

    closed, result = jax.make_jaxpr(evaluate, return_shape=True)(leaves, shapes)
    if getattr(result, "shape", None) != () or not np.issubdtype(result.dtype, np.inexact):
        raise BadCase(
            "the loss does not return one float scalar",
            code="B130",
            received=str(jax.tree.map(lambda leaf: f"{leaf.dtype}{list(leaf.shape)}", result)),
            next="end the loss with .mean() or .sum() and return that array alone",
        )
    walk = Walk(lambda _: (ModuleStep("", "loss", "root"),), fold=jaxpr_library.fold)
    names = [*(f"output_{i}" if len(leaves) > 1 else "outputs" for i in range(len(leaves))), *order]
    given = [walk.take(name, variable.aval) for name, variable in zip(names, closed.jaxpr.invars, strict=True)]
    results = walk.run(closed.jaxpr, closed.consts, list(given))
    tree, operands = outputs_of(walk, result, results)
    nodes, read = needed_nodes(walk, operands, [])
    nodes = jaxpr_library.fold(walk, nodes, {ref.name for ref in operands})
    first = jax.tree.unflatten(structure, [Leaf(ref.name) for ref in given[: len(leaves)]])
    taken = dict(zip(order, (ref.name for ref in given[len(leaves) :]), strict=True))
    targets = renamed_leaves(example.skeleton(), taken)["tuple"][0]
    graph = Graph(
        dialect="lax",
        inputs=tuple(Value(ref.name, walk.specs[ref.name]) for ref in given),
        weights=tuple(w for w in constant_weights(walk.constants) if w.value in read),
        nodes=nodes,
        outputs=operands,
        symbols=tuple(symbols),
        in_tree={"tuple": [skeleton_of(first, "the outputs"), targets]},
        out_tree=tree,
    )
    graph = with_exact_numbers(graph, closed, lambda: traced_wide(evaluate, leaves, shapes))
    check_graph(graph)
    return graph, {name: array for name, array in walk.constants.items() if name in read}


def outputs_of(walk: Walk, shapes: Any, results: Sequence[Any]) -> tuple[Any, tuple[Ref, ...]]:
    """The tree of the outputs and the values that it holds."""
    leaves, structure = jax.tree.flatten(shapes)
    values = [
        walk.result(Known(np.asarray(result.value, leaf.dtype)) if isinstance(result, Known) else result)
        for result, leaf in zip(results, leaves, strict=False)  # what else the program returns comes after these
    ]
    tree = skeleton_of(jax.tree.unflatten(structure, [Leaf(value.name) for value in values]), "the outputs")
    return tree, tuple(values)


def needed_nodes(walk: Walk, operands: Sequence[Ref], stored: Sequence[str]) -> tuple[tuple[Node, ...], set[str]]:
    """The nodes that results are made from, and every value that they or the results read."""
    needed = {name for operand in operands for name in references(operand)} | set(stored)
    nodes = without_dead(walk.nodes, needed)
    return nodes, {name for node in nodes for name in node_inputs(node)} | needed
