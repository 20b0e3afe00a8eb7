"""What the person's own source says about names: parameters of forward, targets of assignments, lines of classes.

Emitted code takes its local names from here. Files are read from disk; a file that is gone or has changed costs
only the names, never the meaning.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from regauge.ir.graph import Frame

_NAMED = re.compile(r"[\w.\-'\"]*")  # names, attributes and constants


@dataclass(frozen=True)
class Part:
    """One of the values that a statement assigns or returns: its text, and the functions called for it.

    `outer` is called last, '' where the value is no call; `inner` are called before. Names are without what stands
    before a dot.
    """

    text: str
    outer: str = ""
    inner: frozenset[str] = frozenset()

    @property
    def is_computed(self) -> bool:
        return _NAMED.fullmatch(self.text) is None

    def gives(self, function: str) -> bool:
        """Whether it is what the function returned."""
        return bool(self.outer) and (self.outer == function or function not in self.inner)


@dataclass(frozen=True)
class Statement:
    """A statement of the original.

    Attributes:
        line: where it begins.
        places: what it assigns, as it is written: names, attributes, elements.
        reads: the names that it reads.
        returns: whether it is what the function gives back.
        parts: the values that it assigns or returns; several where a tuple is written out.
    """

    line: int
    places: tuple[str, ...]
    reads: tuple[str, ...] = ()
    returns: bool = False
    parts: tuple[Part, ...] = ()

    @property
    def targets(self) -> tuple[str, ...]:
        """The names that it assigns, '' where not a name."""
        return tuple(place if place.isidentifier() else "" for place in self.places)


@dataclass(frozen=True)
class Function:
    """A function of the original: its parameters without self, its first line, the class around it."""

    parameters: tuple[str, ...]
    line: int
    class_name: str
    class_line: int


@cache
def parsed(file: str) -> ast.Module | None:
    """The source of a file; None where it cannot be read."""
    try:
        return ast.parse(Path(file).read_text(encoding="utf-8"))
    except (OSError, SyntaxError, UnicodeDecodeError):
        return None


@cache
def _functions(file: str) -> tuple[tuple[int, int, Function, ast.FunctionDef], ...]:
    tree = parsed(file)
    found: list[tuple[int, int, Function, ast.FunctionDef]] = []

    def visit(node: ast.AST, class_name: str, class_line: int) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef):
                visit(child, child.name, child.lineno)
            elif isinstance(child, ast.FunctionDef):
                a = child.args
                names = [p.arg for p in (*a.posonlyargs, *a.args, *a.kwonlyargs)]
                own = _own_name(child) if class_name else ""
                function = Function(tuple(n for n in names if n != own), child.lineno, class_name, class_line)
                found.append((child.lineno, child.end_lineno or child.lineno, function, child))
                visit(child, class_name, class_line)
            else:
                visit(child, class_name, class_line)

    if tree is not None:
        visit(tree, "", 0)
    return tuple(found)


def _own_name(method: ast.FunctionDef) -> str:
    """What a method calls its object: its first parameter, `self` by custom."""
    positional = [*method.args.posonlyargs, *method.args.args]
    return positional[0].arg if positional else ""


@cache
def function_at(frame: Frame) -> Function | None:
    """The innermost function around a line."""
    around = [
        (end - start, function) for start, end, function, _ in _functions(frame.file) if start <= frame.line <= end
    ]
    return min(around, key=lambda pair: pair[0])[1] if around else None


def unpacked_names(frame: Frame, name: str) -> tuple[str, ...]:
    """The names of `h, c = carry` in the innermost function around a line; none where they are not all names."""
    around = [(end - start, tree) for start, end, _, tree in _functions(frame.file) if start <= frame.line <= end]
    if not around:
        return ()
    for node in ast.walk(min(around, key=lambda pair: pair[0])[1]):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name) and node.value.id == name:
            return tuple(name for name in _places(node) if name.isidentifier())
    return ()


@cache
def statement_at(file: str, line: int) -> Statement | None:
    """The innermost statement around a line, with what it assigns; several on one line assign nothing that is known."""
    best: list[ast.stmt] = []
    own = {"self"}  # of a function that is given a module, too
    local: set[str] = set()
    for start, end, function, tree in _functions(file):
        if not start <= line <= end:
            continue
        if function.class_name:
            own.add(_own_name(tree))
        local |= {part.arg for part in ast.walk(tree) if isinstance(part, ast.arg)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                local.add(node.id)
            if not isinstance(node, ast.stmt) or isinstance(node, ast.FunctionDef | ast.ClassDef):
                continue
            if node.lineno <= line <= _last(node) and (not best or _lines(node) <= _lines(best[0])):
                best = [*(other for other in best if _lines(other) == _lines(node)), node]
    best = list(dict.fromkeys(best))  # a function within another is walked twice
    inner = [node for node in best if not any(other in ast.walk(node) for other in best if other is not node)]
    if not inner:
        return None
    reads = dict.fromkeys(name for node in inner for name in _reads(node, local - own))
    if len(inner) > 1:
        return Statement(inner[0].lineno, (), tuple(reads))
    returns = isinstance(inner[0], ast.Return)
    return Statement(inner[0].lineno, _places(inner[0]), tuple(reads), returns, _parts(inner[0]))


def _last(node: ast.stmt) -> int:
    return node.end_lineno or node.lineno


def _lines(node: ast.stmt) -> int:
    """How many lines a statement has, less one."""
    return _last(node) - node.lineno


def _reads(node: ast.stmt, local: set[str]) -> tuple[str, ...]:
    """Names of values that a statement reads, in order, of the `local` ones: not the functions that it calls.

    Nor `args` and `kwargs` of `*args` and `**kwargs`, which hold others, nor `p` of `p + 1 for p in parts`, which
    stands for one of them after the other.
    """
    steps = {
        n.id
        for part in ast.walk(node)
        if isinstance(part, ast.comprehension)
        for n in ast.walk(part.target)
        if isinstance(n, ast.Name)
    }
    called = {id(call.func) for call in ast.walk(node) if isinstance(call, ast.Call)}
    called |= {id(part.value) for part in ast.walk(node) if isinstance(part, ast.Starred)}
    called |= {id(part.value) for part in ast.walk(node) if isinstance(part, ast.keyword) and part.arg is None}
    names = [n for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)]
    found = [n for n in names if id(n) not in called and n.id in local - steps]
    return tuple(dict.fromkeys(n.id for n in sorted(found, key=lambda n: (n.lineno, n.col_offset))))


@cache
def returned_parts(frame: Frame) -> tuple[str, ...]:
    """The texts of the values that the function around a line returns next; () where it does not say."""
    around = [(end - start, tree) for start, end, _, tree in _functions(frame.file) if start <= frame.line <= end]
    if not around:
        return ()
    later = [node for node in _own_statements(min(around, key=lambda pair: pair[0])[1]) if _last(node) >= frame.line]
    returns = [node for node in later if isinstance(node, ast.Return) and node.value is not None]
    return tuple(part.text for part in _parts(min(returns, key=lambda node: node.lineno))) if returns else ()


def _own_statements(function: ast.FunctionDef) -> Iterator[ast.stmt]:
    """The statements of a function without those of functions in it."""
    waiting: list[ast.AST] = list(function.body)
    for node in waiting:
        if isinstance(node, ast.stmt) and not isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node
            waiting += ast.iter_child_nodes(node)
        elif isinstance(node, ast.ExceptHandler | ast.match_case):
            waiting += node.body


@cache
def passes_on(frame: Frame) -> bool:
    """Whether a line calls another function with all that its own was given, as that of a decorator does."""
    for start, end, _, tree in _functions(frame.file):
        rest, named = tree.args.vararg, tree.args.kwarg
        if not start <= frame.line <= end or rest is None or named is None:
            continue
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and call.lineno <= frame.line <= (call.end_lineno or call.lineno):
                given = {ast.unparse(argument) for argument in call.args}
                given |= {f"**{ast.unparse(keyword.value)}" for keyword in call.keywords if keyword.arg is None}
                if {f"*{rest.arg}", f"**{named.arg}"} <= given:
                    return True
    return False


def _parts(node: ast.stmt) -> tuple[Part, ...]:
    value = node.value if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Return) else None
    if value is None:
        return ()
    parts = value.elts if isinstance(value, ast.Tuple | ast.List) else [value]
    return tuple(Part(ast.unparse(part), *_called(part)) for part in parts)


def _called(value: ast.expr) -> tuple[str, frozenset[str]]:
    """The function that is called last for a value, and those that are called before."""
    while isinstance(value, ast.IfExp):
        value = value.body if isinstance(value.body, ast.Call | ast.IfExp) else value.orelse
    calls = [node for node in ast.walk(value) if isinstance(node, ast.Call)]
    outer = value if isinstance(value, ast.Call) else None
    inner = frozenset(_last_name(node.func) for node in calls if node is not outer)
    return _last_name(outer.func) if outer is not None else "", inner


def _last_name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else ast.unparse(function)


def _places(node: ast.stmt) -> tuple[str, ...]:
    if isinstance(node, ast.Assign):
        target = node.targets[0]
    elif isinstance(node, ast.AugAssign | ast.AnnAssign):
        target = node.target
    else:
        return ()
    items = target.elts if isinstance(target, ast.Tuple | ast.List) else [target]
    return tuple(ast.unparse(item) for item in items)
