"""Sizes that a call needs and no array that enters it has: an array that has them enters too.

A module that makes positions for tokens reads their number and not the tokens, so that no value of the graph enters
its call. The person's code passes the tokens; so does ours.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from regauge.ir.graph import Graph, Node, Operand, Sym, TensorSpec, every_node

if TYPE_CHECKING:
    from regauge.emit.scopes import Scope


def carry_sizes(root: Scope, graph: Graph, weights: Collection[str]) -> None:
    """Add inputs to the calls below `root`, whose own inputs are the model's."""
    if not graph.symbols:
        return
    nodes = list(every_node(graph))
    specs = {value.name: value.spec for node in nodes for value in node.outputs}
    specs |= {value.name: value.spec for node in nodes for body in node.bodies for value in body.inputs}
    given = {value.name: value.spec for value in graph.inputs}
    names = [symbol.name for symbol in graph.symbols]
    for child in root.calls():
        _carry(child, names, specs | given, given, weights)


def _carry(
    scope: Scope,
    symbols: list[str],
    specs: Mapping[str, TensorSpec],
    given: Mapping[str, TensorSpec],
    weights: Collection[str],
) -> None:
    for child in scope.calls():
        _carry(child, symbols, specs, given, weights)
        scope.inputs += [name for name in child.inputs if name in given and name not in scope.inputs]
    own = [item for item in scope.own_items() if isinstance(item, Node)]
    text = " ".join(text for node in own for _, operand in node.arguments for text in _texts(operand))
    for symbol in symbols:
        if not re.search(rf"\b{re.escape(symbol)}\b", text):
            continue
        if not any(_gives(symbol, specs[name]) for name in scope.inputs if name not in weights and name in specs):
            scope.inputs += [name for name, spec in given.items() if _gives(symbol, spec)][:1]


def _texts(operand: Operand) -> Iterator[str]:
    if isinstance(operand, Sym):
        yield operand.text
    elif isinstance(operand, tuple):
        for item in operand:
            yield from _texts(item)


def _gives(symbol: str, spec: TensorSpec) -> bool:
    """Whether a size of the array is the symbol or a multiple of it."""
    pattern = rf"(\d+ \* )?{re.escape(symbol)}"
    return any(isinstance(size, Sym) and re.fullmatch(pattern, size.text) for size in spec.shape)
