"""Which values are written where they are read, later than they were made: what is nothing but a function of arrays."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from regauge.emit.holders import Holder
from regauge.emit.layers import Layer
from regauge.emit.origins import Statement
from regauge.emit.scopes import Item, item_inputs, item_outputs
from regauge.emit.stored import is_changed
from regauge.emit.syntax import is_short
from regauge.ir.graph import Node, WeightSpec

if TYPE_CHECKING:
    from regauge.emit.body import BodyWriter

# Layers of which a call neither draws a random number nor changes anything.
_STILL = frozenset(
    {"nnx.Linear", "nnx.Conv", "nnx.ConvTranspose", "nnx.Embed", "Embedding", "nnx.RMSNorm", "nnx.GroupNorm"}
    | {"nnx.LayerNorm", "LayerNorm"}
)


def later_reader(
    item: Item, readers: Sequence[Item], expression: ast.expr, holder: Holder, weights: Mapping[str, WeightSpec]
) -> Item | None:
    """The one operator that reads a value, if the value may as well be computed there.

    Calls of modules that draw or change something keep their order, and what is read of state stays where it is read.

    Args:
        item: makes the value.
        readers: of the value.
        expression: of the value.
        holder: what `self` is in the expression.
        weights: of the graph, by value.
    """
    if len(readers) != 1 or not isinstance(readers[0], Node) or not isinstance(item, Node):
        return None
    return readers[0] if may_wait(item, expression, holder, weights) else None


def may_wait(item: Item, expression: ast.expr, holder: Holder, weights: Mapping[str, WeightSpec]) -> bool:
    """Whether a value is the same wherever it is written behind its item; parameters as in `later_reader`."""
    if any(name in weights and weights[name].role != "parameter" for name in item_inputs(item)):
        return False
    still = {m.target for m in holder.members.values() if _is_still(m.layer)}
    called = [ast.unparse(node.func) for node in ast.walk(expression) if isinstance(node, ast.Call)]
    own = [name.removeprefix("self.") for name in called if name.startswith("self.")]
    methods = [name for name in own if "[...]" in name]  # self.weight[...].sum()
    return set(own) - set(methods) <= still


def is_returned(writer: BodyWriter, item: Item, expression: ast.expr, statement: Statement | None) -> bool:
    """`return {"boxes": self.boxes(h), "classes": x}`: one of several results, written in the original's return."""
    scope, holder = writer.scope, writer.structure.holders.get(writer.scope)
    if statement is None or not statement.returns or holder is None or scope.body is not None:
        return False
    if item_outputs(item)[0] not in scope.results() or not is_short(expression):
        return False
    return may_wait(item, expression, holder, writer.weights) and not is_changed(writer, expression)


def _is_still(layer: Layer | None) -> bool:
    return layer is not None and layer.constructor in _STILL


def swaps_heads(item: Item, readers: Mapping[str, list[Item]]) -> bool:
    """A swap of heads and time that attention undoes: it is written there, where both cancel."""
    if not isinstance(item, Node):
        return False
    found = readers.get(item.outputs[0].name, [])
    if len(found) != 1 or not isinstance(found[0], Node):
        return False
    return {item.op, found[0].op} == {"aten.transpose.int", "aten.scaled_dot_product_attention.default"}
