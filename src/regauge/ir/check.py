"""Every invariant of a graph, checked after each stage that makes one."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Any

from regauge.dtypes import is_known
from regauge.errors import GraphError
from regauge.ir.graph import Graph, Node, Operand, Sym, TensorSpec, free_values, node_inputs, references
from regauge.run.protocol import leaf_names

# What the text of a `Sym` may call besides naming symbols.
SIZE_FUNCTIONS = frozenset({"max", "min", "abs", "float"})


def check_graph(graph: Graph) -> None:
    """Check that a graph is whole.

    Names of values are unique identifiers, in bodies too against those around them; every value is made before it is
    used; argument names of a node are unique; sizes name known symbols only; mutations pair existing weights with
    existing values; and the leaves of both trees are the inputs and outputs.

    Raises:
        GraphError: the first invariant that does not hold, with the node or value.
    """
    made = _check_sources(graph)
    symbols = {symbol.name for symbol in graph.symbols}
    _check_nodes(graph, made, symbols)
    _check_mutations(graph, made)
    _check_trees(graph)


def _check_nodes(graph: Graph, made: set[str], symbols: set[str]) -> None:
    """Check the nodes and the outputs; `made` gets the values that the nodes make."""
    for node in graph.nodes:
        _check_node(node, made, symbols)
        for body in node.bodies:
            _check_body(body, node, made, symbols)
        for value in node.outputs:
            _declare(value.name, made, _place(node))
            _check_spec(value.spec, symbols, _place(node))
    for operand in graph.outputs:
        for name in references(operand):
            _require(name in made, f"output {name} is made by no node", "the outputs")
        _check_operand(operand, symbols, "the outputs")


def _check_body(body: Graph, node: Node, made: set[str], symbols: set[str]) -> None:
    """A body has no weights and no state of its own; what it reads from around it stands in the node's `closure`."""
    where = _place(node)
    _require(not body.weights and not body.mutations, "a body has weights or state of its own", where)
    inside = set(made)
    for value in body.inputs:
        _declare(value.name, inside, where)
        _check_spec(value.spec, symbols, where)
    closure = set(references(dict(node.arguments).get("closure", ())))
    unknown = [name for name in free_values(body) if name not in closure]
    _require(not unknown, f"a body reads {', '.join(unknown)}, which the closure does not name", where)
    _check_nodes(body, inside, symbols)


def _require(holds: bool, what: str, where: str) -> None:
    if not holds:
        raise GraphError(what, where=where)


def _place(node: Node) -> str:
    results = ", ".join(value.name for value in node.outputs)
    return f"{results} = {node.op} ({node.origin.line or node.origin.path or 'no origin'})"


def _declare(name: str, made: set[str], where: str) -> None:
    _require(name.isidentifier(), f"{name!r} is not an identifier", where)
    _require(name not in made, f"the name {name} is used twice", where)
    made.add(name)


def _check_sources(graph: Graph) -> set[str]:
    made: set[str] = set()
    symbols = {symbol.name for symbol in graph.symbols}
    _require(len(symbols) == len(graph.symbols), "a symbol is declared twice", "the symbols")
    for value in graph.inputs:
        _declare(value.name, made, f"input {value.name}")
        _check_spec(value.spec, symbols, f"input {value.name}")
    names: set[str] = set()
    for weight in graph.weights:
        where = f"weight {weight.name}"
        _require(weight.name not in names, f"the weight {weight.name} is declared twice", where)
        names.add(weight.name)
        _check_spec(weight.spec, set(), where)
        if weight.value:
            _declare(weight.value, made, where)
        if weight.tied_to is not None:
            _require(weight.tied_to in names, f"tied to {weight.tied_to}, which does not come before it", where)
            _require(not weight.value, "a tied weight is read through the first one only", where)
        _require(not weight.trainable or weight.role == "parameter", "only parameters are trainable", where)
    return made


def _check_node(node: Node, made: set[str], symbols: set[str]) -> None:
    where = _place(node)
    names = [name for name, _ in node.arguments]
    _require(len(set(names)) == len(names), "an argument is given twice", where)
    for name in names:
        _require(name.isidentifier(), f"the argument {name!r} is not an identifier", where)
    for name in node_inputs(node):
        _require(name in made, f"{name} is read before it is made", where)
    for _, operand in node.arguments:
        _check_operand(operand, symbols, where)


def _check_operand(operand: Operand, symbols: set[str], where: str) -> None:
    if isinstance(operand, Sym):
        _check_size(operand, symbols, where)
    elif isinstance(operand, tuple):
        for item in operand:
            _check_operand(item, symbols, where)


def _check_spec(spec: TensorSpec, symbols: set[str], where: str) -> None:
    _require(is_known(spec.dtype), f"the dtype {spec.dtype} is not known", where)
    for dim in spec.shape:
        if isinstance(dim, Sym):
            _check_size(dim, symbols, where)
        else:
            _require(dim >= 0, f"the size {dim} is negative", where)


def _check_size(size: Sym, symbols: set[str], where: str) -> None:
    unknown = sorted(size_names(size) - symbols - SIZE_FUNCTIONS)
    _require(not unknown, f"the size {size.text} names {', '.join(unknown)}, which is no symbol", where)


def size_names(size: Sym) -> set[str]:
    """Names in the expression of a size: symbols, and functions such as ``max``."""
    try:
        tree = ast.parse(size.text, mode="eval")
    except SyntaxError as error:
        raise GraphError(f"the size {size.text!r} is not an expression") from error
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def _check_mutations(graph: Graph, made: Iterable[str]) -> None:
    held = {weight.name for weight in graph.weights}
    seen: set[str] = set()
    for weight, value in graph.mutations:
        where = f"mutation of {weight}"
        _require(weight in held, f"{weight} is no weight of the model", where)
        _require(weight not in seen, f"{weight} is mutated twice", where)
        _require(value in made, f"the new value {value} is made by no node", where)
        seen.add(weight)


def _check_trees(graph: Graph) -> None:
    if graph.in_tree is not None:
        leaves = _leaves(graph.in_tree, "the input tree")
        names = [value.name for value in graph.inputs]
        _require(leaves == names, f"leaves {leaves} are not the inputs {names}", "the input tree")
    if graph.out_tree is not None:
        leaves = _leaves(graph.out_tree, "the output tree")
        names = [name for operand in graph.outputs for name in references(operand)]
        _require(leaves == names, f"leaves {leaves} are not the outputs {names}", "the output tree")


def _leaves(tree: Any, where: str) -> list[str]:
    try:
        return leaf_names(tree)
    except (KeyError, TypeError, AttributeError) as error:
        raise GraphError("not a tree skeleton", where=where, received=repr(tree)[:200]) from error
