"""Modules that draw random numbers in the functions of a condition, which gets them as arguments.

A random stream counts its draws, and what runs inside of `jax.lax.cond` cannot count on a stream of the code around it.
`nnx.cond` gives the functions modules, and takes back what they changed:

def when_true(expert):
    return y + expert(x)

y = nnx.cond(mask.any(), when_true, lambda expert: y, self.experts[2])
"""

from __future__ import annotations

import ast
import itertools
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from regauge.emit.lines import Body
from regauge.emit.loops import singular
from regauge.emit.scopes import Item, Scope
from regauge.emit.syntax import member_expression
from regauge.ir.graph import Node
from regauge.lower.plan import is_random

if TYPE_CHECKING:
    from regauge.emit.body import BodyWriter

_PLACE = re.compile(r"\[\d+\]$")


def lent_modules(writer: BodyWriter, bodies: Iterable[Scope]) -> dict[str, str]:
    """The modules that draw in functions (``self.experts[2]``), and what each may be called (``expert``).

    Dropouts and streams of the code's own are among them. Of several modules of one list it is the list.
    """
    found = {text: name for body in bodies for item in body.own_items() for text, name in _drawing(writer, body, item)}
    lists = Counter(_PLACE.sub("", text) for text in found)
    whole = {text: _PLACE.sub("", text) for text in found if lists[_PLACE.sub("", text)] > 1}
    return {whole.get(text, text): _attribute(whole[text]) if text in whole else name for text, name in found.items()}


def _drawing(writer: BodyWriter, body: Scope, item: Item) -> Iterator[tuple[str, str]]:
    rules = writer.plan.rules
    holder = writer.structure.holders[body]
    if isinstance(item, Node):
        drop = holder.dropouts.get(item.outputs[0].name) if item.outputs else None
        if drop is not None:
            yield member_expression([drop.attribute]), drop.attribute
        elif is_random(item, rules.get(item.op)):
            yield member_expression([writer.random_stream()]), writer.random_stream()
    elif any(_may_draw(node) or is_random(node, rules.get(node.op)) for node in item.nodes()):
        member = holder.members[item.path]
        text = member_expression([member.target])
        is_dropout = member.layer is not None and member.layer.constructor == "nnx.Dropout"
        named = "dropout" if is_dropout else singular(text.removeprefix("self."))
        yield text, named if _PLACE.search(text) else _attribute(text)


def _may_draw(node: Node) -> bool:
    """Whether a dropout that is off in this mode is a module that draws in the other one."""
    return node.op == "aten.dropout.default" and bool(node.argument("p"))


def _attribute(text: str) -> str:
    name = text.rpartition(".")[2]
    return name if name.isidentifier() else singular(text)


def reserve(writer: BodyWriter, names: Iterable[str]) -> None:
    """Keep names of parameters from the arrays in a function, as far as it does not read other arrays by them."""
    for name in names:
        writer.left[f"module {name}"] = 1
        writer.names.setdefault(name, f"module {name}")


def with_parameters(written: Body, lent: Mapping[str, str], taken: Collection[str]) -> tuple[list[str], Body]:
    """Names of parameters for lent modules, and the function that calls them by these names.

    Args:
        written: the function as it would read without.
        lent: as `lent_modules` gives them.
        taken: names of its other parameters.
    """
    names: list[str] = []
    lines = written.lines
    tree = ast.parse("\n".join(line.text for line in lines))
    for text, wanted in lent.items():
        numbered = itertools.chain([wanted], (f"{wanted}_{number}" for number in itertools.count(2)))
        name = next(n for n in numbered if n not in {*taken, *names} and _is_free(n, text, tree))
        names.append(name)
        called = re.compile(rf"(?<![\w.]){re.escape(text)}(?!\w)")
        lines = [replace(line, text=called.sub(name, line.text)) for line in lines]
    return names, replace(written, lines=lines)


def _is_free(name: str, text: str, tree: ast.AST) -> bool:
    """Whether a name can stand for a module in some code: functions that do without the module may have it."""
    if isinstance(tree, ast.FunctionDef | ast.Lambda) and name in {arg.arg for arg in tree.args.args}:
        return text not in ast.unparse(tree)
    if name in (getattr(tree, "id", ""), getattr(tree, "name", "")):
        return False
    return all(_is_free(name, text, child) for child in ast.iter_child_nodes(tree))
