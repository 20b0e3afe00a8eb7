"""Dropouts in the attributes of modules that drop in their own code, and calls of them.

One that evaluation does not switch off gets the switch with the call.
"""

from __future__ import annotations

import ast

from regauge.emit.holders import Drop, Holder
from regauge.emit.names import unique
from regauge.emit.target import target
from regauge.ir.dropouts import dropout_rate
from regauge.ir.graph import Node


def hold_dropouts(holder: Holder, taken: set[str]) -> None:
    """Give every operator of a module's own code that drops an attribute of the module.

    Calls at one rate share it, as they would in code by hand: every call draws anew. In torch it may be a dropout that
    the original holds.

    Args:
        holder: of the module; receives them.
        taken: names that other attributes have, or must not have.
    """
    known = _members(holder) if target().framework == "torch" else {}
    for item in holder.scope.own_items():
        rate = dropout_rate(item) if isinstance(item, Node) else None
        if not isinstance(item, Node) or rate is None:
            continue
        arguments = dict(item.arguments)
        name = "attention_dropout" if "attention" in item.op else "dropout"
        name = str(arguments.get("attribute", name))
        wanted = Drop(name, rate, bool(arguments.get("shared")))
        drop = known.get(wanted) or wanted._replace(attribute=unique(name, taken))
        taken.add(drop.attribute)
        known[wanted] = drop
        holder.dropouts[item.outputs[0].name] = drop


def _members(holder: Holder) -> dict[Drop, Drop]:
    """The dropouts that are sub-modules anyway, since other code calls them."""
    found: dict[Drop, Drop] = {}
    for member in holder.members.values():
        layer = member.layer
        if layer is not None and layer.constructor in ("nn.Dropout", "SharedDropout") and len(member.path) == 1:
            drop = Drop(str(member.path[0]), layer.arguments[0], layer.constructor == "SharedDropout")
            found[drop] = drop._replace(member=True)
    return found


def dropped(attribute: str, expression: ast.expr, always: bool) -> ast.expr:
    """``self.dropout(x)``, or ``self.dropout(x, deterministic=False)``."""
    keywords = [ast.keyword("deterministic", ast.Constant(False))] if always else []
    return ast.Call(_member(attribute), [expression], keywords)


def dropout_function(attribute: str, always: bool) -> ast.expr:
    """The same as a function of an array, for helpers that drop inside."""
    if not always:
        return _member(attribute)
    return ast.parse(f"lambda x: self.{attribute}(x, deterministic=False)", mode="eval").body


def _member(attribute: str) -> ast.expr:
    return ast.parse(f"self.{attribute}", mode="eval").body
