"""Modules that draw random numbers in the functions of a condition, which gets them as arguments.

A random stream counts its draws, and what runs inside of `jax.lax.cond` cannot count on a stream of the code around it.
`nnx.cond` gives the functions modules, and takes back what they changed:

def when_true(expert):
    return y + expert(x)

y = nnx.cond(mask.any(), when_true, lambda expert: y, self.experts[2])
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from regauge.emit.lines import Body
from regauge.emit.loops import singular
from regauge.emit.names import unique
from regauge.emit.scopes import Item, Scope
from regauge.emit.syntax import member_expression
from regauge.ir.graph import Node
from regauge.lower.plan import is_random

if TYPE_CHECKING:
    from regauge.emit.body import BodyWriter

_NAME = re.compile(r"(?<![\w.])[A-Za-z_]\w*")  # not of an attribute


def lent_modules(writer: BodyWriter, bodies: Iterable[Scope]) -> list[str]:
    """The modules that draw in functions, ``self.experts[2]``; dropouts and streams of the code's own among them."""
    found = (text for body in bodies for item in body.own_items() for text in _drawing(writer, body, item))
    return list(dict.fromkeys(found))


def _drawing(writer: BodyWriter, body: Scope, item: Item) -> Iterator[str]:
    rules = writer.plan.rules
    holder = writer.structure.holders[body]
    if isinstance(item, Node):
        drop = holder.dropouts.get(item.outputs[0].name) if item.outputs else None
        if drop is not None:
            yield member_expression([drop.attribute])
        elif is_random(item, rules.get(item.op)):
            yield member_expression([writer.random_stream()])
    elif any(_may_draw(node) or is_random(node, rules.get(node.op)) for node in item.nodes()):
        yield member_expression([holder.members[item.path].target])


def _may_draw(node: Node) -> bool:
    """Whether a dropout that is off in this mode is a module that draws in the other one."""
    return node.op == "aten.dropout.default" and bool(node.argument("p"))


def with_parameters(written: Body, lent: Sequence[str], taken: Iterable[str]) -> tuple[list[str], Body]:
    """Names of parameters for lent modules, and the function that calls them by these names.

    Args:
        written: the function as it would read without.
        lent: as `lent_modules` gives them.
        taken: names of its other parameters.
    """
    used = {*taken, *(name for line in written.lines for name in _NAME.findall(line.text))}
    names: list[str] = []
    lines = written.lines
    for text in lent:
        path = text.removeprefix("self.")
        name = unique(singular(path) if path.endswith("]") else path.rsplit(".", 1)[-1], used)
        used.add(name)
        names.append(name)
        called = re.compile(rf"(?<![\w.]){re.escape(text)}(?![\w\[])")
        lines = [replace(line, text=called.sub(name, line.text)) for line in lines]
    return names, replace(written, lines=lines)
