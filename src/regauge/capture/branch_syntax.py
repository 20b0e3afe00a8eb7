"""Parts of Python's syntax that `capture.branch_source` reads and makes."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence

HELPERS = "_regauge"  # what the rewritten function calls the module with the calls
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


def helper(name: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(ast.Attribute(ast.Name(HELPERS, ast.Load()), name, ast.Load()), list(arguments), [])


def is_helper(test: ast.expr) -> bool:
    """Whether a condition was written here."""
    function = test.func if isinstance(test, ast.Call) else None
    return isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id == HELPERS


def stands_on(lines: frozenset[int], node: ast.expr) -> bool:
    """Whether an expression stands on one of the lines."""
    return not lines.isdisjoint(range(node.lineno, (node.end_lineno or node.lineno) + 1))


def tuple_of(names: Sequence[str], context: ast.expr_context) -> ast.Tuple:
    return ast.Tuple([ast.Name(name, context) for name in names], context)


def parameters(names: Sequence[str]) -> ast.arguments:
    return ast.arguments([], [ast.arg(name) for name in names], None, [], [], None, [])


def placed(statements: list[ast.stmt], where: ast.stmt) -> list[ast.stmt]:
    """The statements at the line of another, as far as they have none of their own."""
    for statement in statements:
        for node in ast.walk(statement):
            if "lineno" in node._attributes and not hasattr(node, "lineno"):
                ast.copy_location(node, getattr(where, "test", where))
    return statements


def without_defaults(function: ast.FunctionDef) -> None:
    """Take out what the definition runs and the code does not: defaults and annotations."""
    arguments = function.args
    arguments.defaults, arguments.kw_defaults = [], [None] * len(arguments.kwonlyargs)
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    # A parameter without a default may not follow one with: in the code all have the same places without.
    for argument in every:
        if argument is not None:
            argument.annotation = None
    function.returns = None


def own_nodes(statements: Iterable[ast.AST]) -> Iterable[ast.AST]:
    """All nodes of statements but those of functions and classes in them, whose heads count."""
    waiting = list(statements)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, _SCOPES):
            waiting += ast.iter_child_nodes(node)


def holds(statement: ast.stmt, kinds: type[ast.AST] | tuple[type[ast.AST], ...]) -> bool:
    """Whether one of these nodes stands in the ways of an `if`; what leaves a loop of their own is no leaving."""
    found = [node for node in own_nodes([statement]) if isinstance(node, kinds)]
    loops = [node for node in own_nodes([statement]) if isinstance(node, ast.For | ast.While)]
    within = {id(node) for loop in loops for node in own_nodes(loop.body) if isinstance(node, ast.Break | ast.Continue)}
    return any(id(node) not in within for node in found)


def ends_in_error(statement: ast.If) -> bool:
    return any(block and isinstance(block[-1], ast.Raise) for block in (statement.body, statement.orelse))


def stored_names(statements: Iterable[ast.AST]) -> list[str]:
    """Names that statements set, in order."""
    found: dict[tuple[int, int], str] = {}
    for node in own_nodes(statements):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found[node.lineno, node.col_offset] = node.id
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.lineno, node.col_offset] = node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                found[node.lineno, node.col_offset] = (alias.asname or alias.name).partition(".")[0]
    return list(dict.fromkeys(found[place] for place in sorted(found)))


def same_statement(tree: ast.AST, statement: ast.stmt) -> ast.AST:
    """The node of a tree at the place of a statement that was copied from it."""
    place = (statement.lineno, statement.col_offset)
    return next(
        node
        for node in ast.walk(tree)
        if type(node) is type(statement) and (node.lineno, node.col_offset) == place  # type: ignore[attr-defined]
    )


def is_in_loop(tree: ast.AST, statement: ast.stmt) -> bool:
    node = same_statement(tree, statement)
    loops = [loop for loop in ast.walk(tree) if isinstance(loop, ast.For | ast.While)]
    return any(node is inner for loop in loops if loop is not node for inner in ast.walk(loop))


def is_read_in_functions(name: str, definition: ast.FunctionDef) -> bool:
    """Whether a function inside another one reads a name, whenever that may be."""
    functions = [node for node in ast.walk(definition) if isinstance(node, _SCOPES) and node is not definition]
    return any(isinstance(n, ast.Name) and n.id == name for function in functions for n in ast.walk(function))


def read_first(statements: Iterable[ast.stmt]) -> set[str]:
    """Names that statements, one after the other, may read before they set them."""
    found: set[str] = set()
    known: set[str] = set()
    for statement in statements:
        if isinstance(statement, ast.For):
            inside = read_first([*statement.body, *statement.orelse]) - set(stored_names([statement.target]))
            reads = inside | read_first([ast.Expr(statement.iter)])
        else:
            reads = {n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
        if isinstance(statement, ast.AugAssign) and isinstance(statement.target, ast.Name):
            reads.add(statement.target.id)
        found |= reads - known
        if isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
            known.update(stored_names([statement]))
    return found
