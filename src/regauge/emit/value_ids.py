"""Which value a name stands for, wherever it is read in the statements of a function.

A name is assigned again and again in emitted code. Here every assignment makes a value with a number of its own; a
compound statement makes one more for each name that it assigns, which its body reads and what follows it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

Binder = ast.FunctionDef | ast.Lambda | ast.ListComp | ast.GeneratorExp | ast.SetComp | ast.DictComp


@dataclass
class Values:
    """The values of the names in some statements.

    Attributes:
        read: of a name that is read, the number of its value; negative where none of the statements made it.
        made: of a value, the statement of the list that made it and the name that it gave it.
        left: of a statement, the values that it leaves in the names that it assigns.
        entered: of a compound statement, the values before it of names that it assigns, where it can read them.
        local: names inside of functions and comprehensions that stand for their own parameters and variables.
    """

    read: dict[ast.Name, int] = field(default_factory=dict)
    made: dict[int, tuple[ast.stmt, str]] = field(default_factory=dict)
    left: dict[ast.stmt, dict[str, int]] = field(default_factory=dict)
    entered: dict[ast.stmt, dict[str, int]] = field(default_factory=dict)
    local: set[ast.Name] = field(default_factory=set)
    outside: dict[str, int] = field(default_factory=dict)
    kept: set[int] = field(default_factory=set)  # values that compound statements can read

    def of_outside(self, name: str) -> int:
        return self.outside.setdefault(name, -1 - len(self.outside))


def values_of(statements: Sequence[ast.stmt]) -> Values:
    """The values of all names in some statements, which run one after the other."""
    found = Values()
    names: dict[str, int] = {}
    for statement in statements:
        _statement(statement, statement, names, found)
        found.left[statement] = {name: names[name] for name in assigned(statement) if name in names}
    return found


def assigned(statement: ast.stmt) -> list[str]:
    """The names that a statement assigns, in order; those of functions in it are their own."""
    return list(dict.fromkeys(name.id for name in _stored(statement)))


def local_names(statement: ast.stmt, values: Values) -> set[str]:
    """The names that functions in a statement have for themselves."""
    nodes = [*ast.walk(statement)]
    return {n.id for n in nodes if n in values.local and isinstance(n, ast.Name)} | {
        n.arg for n in nodes if isinstance(n, ast.arg)
    }


def last_call(function: ast.FunctionDef | ast.Lambda, statements: Sequence[ast.stmt], values: Values) -> int | None:
    """The place of the statement that calls a function last, among those from the one on that it stands in.

    None where that is not known, as something else than a call may read it.
    """
    if isinstance(function, ast.Lambda):
        return 0 if function in _called(statements[0]) else None
    if statements[0] is not function:
        return None
    made, last = values.left[function][function.name], 0
    for place, statement in enumerate(statements):
        called = _called(statement)
        for name in _names(statement):
            if values.read.get(name) == made:
                if name not in called:
                    return None
                last = place
    return last


def _called(statement: ast.stmt) -> set[ast.expr]:
    """The functions that a statement calls, itself or by `jax.lax.cond` and others like it, which call them at once."""
    found: set[ast.expr] = set()
    waiting: list[ast.AST] = [statement]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Call):
            at_once = ast.unparse(node.func).startswith(("jax.lax.", "nnx.cond"))
            found |= {node.func, *(node.args if at_once else ())}
        waiting += [] if isinstance(node, Binder) else ast.iter_child_nodes(node)
    return found


def _stored(node: ast.AST) -> Iterator[ast.Name]:
    if isinstance(node, ast.FunctionDef):
        yield ast.Name(node.name, ast.Store())
        return
    if isinstance(node, Binder):
        return
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node
    for child in ast.iter_child_nodes(node):
        yield from _stored(child)


def _make(name: str, whole: ast.stmt, names: dict[str, int], found: Values) -> None:
    names[name] = len(found.made)
    found.made[names[name]] = (whole, name)


def _statement(node: ast.stmt, whole: ast.stmt, names: dict[str, int], found: Values) -> None:
    """Note what a statement reads and makes; `whole` is the statement of the list that it is in."""
    match node:
        case ast.Assign():
            _expression(node.value, names, found)
            for target in node.targets:
                _expression(target, names, found)
        case ast.FunctionDef():
            for part in [*node.decorator_list, *node.args.defaults, *node.args.kw_defaults]:
                if part is not None:
                    _expression(part, names, found)
            _inner([*node.body], {arg.arg for arg in ast.walk(node.args) if isinstance(arg, ast.arg)}, names, found)
        case ast.If() | ast.For() | ast.While() | ast.With():
            _compound(node, whole, names, found)
            return
        case _:
            _expression(node, names, found)
    for name in assigned(node):
        _make(name, whole, names, found)


def _compound(node: ast.stmt, whole: ast.stmt, names: dict[str, int], found: Values) -> None:
    """Note what a statement reads and makes that has others in it: it may read its own names as they were before."""
    stored = assigned(node)
    before = {name: names[name] if name in names else found.of_outside(name) for name in stored}
    for name in stored:
        _make(name, whole, names, found)
    at_first = {name: names[name] for name in stored}
    reads = len(found.read)
    children = [*ast.iter_child_nodes(node)]
    if isinstance(node, ast.For):  # what it goes through is read before its variables are assigned
        _expression(node.iter, names, found)
        for name in {name.id for name in _names(node.target)}:
            _make(name, whole, names, found)
        children = [*node.body, *node.orelse]
    for child in children:
        if isinstance(child, ast.stmt):
            _statement(child, whole, names, found)
        else:
            _expression(child, names, found)
    read = {*list(found.read.values())[reads:], *found.kept}
    ways = [node.body, node.orelse] if isinstance(node, ast.If) else []
    unchanged = {name for name in stored for way in ways if name not in {n for s in way for n in assigned(s)}}
    for name in stored:
        if at_first[name] in read or name in unchanged:
            found.kept.add(before[name])
            if before[name] < 0 or found.made[before[name]][0] is not whole:
                found.entered.setdefault(whole, {})[name] = before[name]
        _make(name, whole, names, found)


def _expression(node: ast.AST, names: dict[str, int], found: Values) -> None:
    if isinstance(node, ast.Name):
        if not isinstance(node.ctx, ast.Store):
            found.read[node] = names[node.id] if node.id in names else found.of_outside(node.id)
        return
    if isinstance(node, ast.Lambda):
        _inner([node.body], {arg.arg for arg in ast.walk(node.args) if isinstance(arg, ast.arg)}, names, found)
        return
    if isinstance(node, Binder):
        _inner(list(ast.iter_child_nodes(node)), set(), names, found)
        return
    for child in ast.iter_child_nodes(node):
        _expression(child, names, found)


def _inner(parts: Sequence[ast.AST], own: set[str], names: dict[str, int], found: Values) -> None:
    """Note what a function reads of what is around it; all names that it assigns are its own."""
    own = own | {name.id for part in parts for name in _names(part) if isinstance(name.ctx, ast.Store)}
    own |= {inner.name for part in parts for inner in ast.walk(part) if isinstance(inner, ast.FunctionDef)}
    for part in parts:
        for name in _names(part):
            if name.id in own:
                found.local.add(name)
            else:
                found.read[name] = names[name.id] if name.id in names else found.of_outside(name.id)


def _names(node: ast.AST) -> Iterator[ast.Name]:
    return (name for name in ast.walk(node) if isinstance(name, ast.Name))
