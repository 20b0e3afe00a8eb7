"""Partial evaluation of a rule's source: from a Python function to the expression that a person would write.

A rule is ordinary Python over arrays and attributes. For one node all attributes are known, and so are ranks,
dtypes and fixed sizes: conditions on them are decided here, constant expressions become literals, parameters
become the argument expressions. What is left is an expression, sometimes after a few assignments. When the
body needs more than that (a loop, a condition on values), `specialise` gives None and the rule is called as a
helper in `ops.py`.
"""

from __future__ import annotations

import ast
import copy
import inspect
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from regauge.emit.arguments import ArrayArgument, ArrayProxy, DTypeArgument, ModuleArgument, NotStatic, SymbolicInt
from regauge.emit.literals import literal
from regauge.emit.rule_source import BUILTINS, bound_names, computes, makes_arrays, names_in
from regauge.emit.target import target
from regauge.ir.graph import Sym


class NotInlinable(Exception):
    """The body cannot be written as assignments and one expression."""


@dataclass
class Residual:
    """What is left of a rule for one node: assignments (names are the rule's own), then one expression."""

    statements: list[ast.stmt]
    expression: ast.expr
    helpers: set[str] = field(default_factory=set)  # functions of the rule's file that are still called


@cache
def function_tree(fn: Callable[..., Any]) -> ast.FunctionDef:
    """The syntax tree of a function, without decorators and docstring."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(fn))).body[0]
    if not isinstance(tree, ast.FunctionDef):
        raise NotInlinable(f"{fn.__name__} is not a plain function")
    tree.decorator_list = []
    if ast.get_docstring(tree) is not None:
        tree.body = tree.body[1:]
    return tree


class _Evaluator(ast.NodeTransformer):
    """Turns expressions into residual ones: static parts become literals, names become their expressions."""

    def __init__(self, fn: Callable[..., Any], dtype_object: Callable[[str], Any]) -> None:
        self.globals = inspect.unwrap(fn).__globals__
        self.dtype_object = dtype_object
        self.static: dict[str, Any] = {}
        self.expressions: dict[str, ast.expr] = {}
        self.local: set[str] = set()  # names bound inside a comprehension that stays
        self.helpers: set[str] = set()

    # binding -----------------------------------------------------------------------------------------------

    def bind(self, name: str, argument: Any) -> None:
        self.static.pop(name, None)
        self.expressions.pop(name, None)
        self.static[name] = self._static_value(argument)
        self.expressions[name] = literal(argument)

    def bind_expression(self, name: str, expression: ast.expr) -> None:
        self.static.pop(name, None)
        self.expressions[name] = expression

    def _static_value(self, argument: Any) -> Any:
        if isinstance(argument, ArrayArgument):
            return ArrayProxy(argument.spec, self.dtype_object(argument.spec.dtype), target().array_type)
        if isinstance(argument, ModuleArgument):
            return _Callable()
        if isinstance(argument, DTypeArgument):
            return argument.value
        if isinstance(argument, Sym):
            return SymbolicInt(argument.text)
        if isinstance(argument, tuple):
            return tuple(self._static_value(item) for item in argument)
        return argument

    # evaluation --------------------------------------------------------------------------------------------

    def evaluate(self, node: ast.expr) -> Any:
        """The value of an expression, or NotStatic."""
        if makes_arrays(node) or self._gives_arrays(node):
            raise NotStatic(ast.unparse(node))
        for name in names_in(node):
            known = name in self.static or (name in self.globals and name not in self.expressions)
            if not known and name not in BUILTINS and name not in bound_names(node):
                raise NotStatic(name)
        code = compile(ast.Expression(ast.fix_missing_locations(copy.deepcopy(node))), "<rule>", "eval")
        try:
            return eval(code, {**self.globals, **self.static})
        except NotStatic:
            raise
        except Exception as error:
            raise NotStatic(str(error)) from error

    def _gives_arrays(self, node: ast.expr) -> bool:
        """Whether an array is passed to a function that computes with it.

        Such a function cannot be tried out: torch does not survive a stand-in where it expects a tensor.
        """
        for call in ast.walk(node):
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
                continue
            given = [*call.args, *(keyword.value for keyword in call.keywords)]
            if any(isinstance(self.static.get(name), ArrayProxy) for part in given for name in names_in(part)):
                fn = self.globals.get(call.func.id)
                if inspect.isfunction(fn) and computes(fn):
                    return True
        return False

    def residual(self, node: ast.expr) -> ast.expr:
        result = self.visit(copy.deepcopy(node))
        if not isinstance(result, ast.expr):
            raise NotInlinable(ast.dump(node))
        return result

    def visit(self, node: ast.AST) -> Any:
        if isinstance(node, ast.expr) and not isinstance(node, ast.Constant | ast.Starred | ast.Slice):
            try:
                value = self.evaluate(node)
                written = literal(value)
            except (NotStatic, TypeError):
                pass
            else:
                return written
        return super().visit(node)

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id in self.expressions and node.id not in self.local:
            return copy.deepcopy(self.expressions[node.id])
        if (
            node.id not in self.local
            and node.id not in target().libraries
            and inspect.isfunction(self.globals.get(node.id))
        ):
            self.helpers.add(node.id)
        return node

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        try:
            chosen = node.body if self.evaluate(node.test) else node.orelse
        except NotStatic:
            asked = node.test.value if isinstance(node.test, ast.Attribute) else node.test
            if not isinstance(asked, ast.Name) or not isinstance(self.static.get(asked.id), _Callable):
                raise NotInlinable("a condition on values") from None
            self.generic_visit(node)
            return node  # whether a module trains: a condition of Python in the emitted code too
        return self.visit(chosen)

    def visit_Lambda(self, node: ast.Lambda) -> ast.expr:
        raise NotInlinable("a lambda")

    def _comprehension(self, node: Any) -> Any:
        raise NotInlinable("a comprehension over arrays")

    def visit_ListComp(self, node: ast.ListComp) -> ast.expr:
        return ast.List(self._comprehension_items(node), ast.Load())

    visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension

    def visit_Call(self, node: ast.Call) -> ast.expr:
        unrolled = self._unroll(node)
        if unrolled is None:
            unrolled = self._inlined(node)
        if unrolled is not None:
            return unrolled
        node.args = [self._argument(item) for item in node.args]
        node.keywords = [ast.keyword(k.arg, self.visit(k.value)) for k in node.keywords]
        node.func = self.visit(node.func)
        return node

    def _inlined(self, node: ast.Call) -> ast.expr | None:
        """A call of an `inlined` helper as its expression; None for other calls, and where values would repeat."""
        fn = self.globals.get(node.func.id) if isinstance(node.func, ast.Name) else None
        if fn is None or not getattr(fn, "__inlined__", False) or node.keywords:
            return None
        inner = _Evaluator(fn, self.dtype_object)
        written: dict[str, ast.expr] = {}
        for name, argument in zip(inspect.signature(fn).parameters, node.args, strict=True):
            try:
                inner.static[name] = self.evaluate(argument)
            except NotStatic:
                inner.static.pop(name, None)
            written[f"{name}__"] = self.visit(copy.deepcopy(argument))
            inner.expressions[name] = ast.Name(f"{name}__", ast.Load())
        statements: list[ast.stmt] = []
        try:
            expression = _run(function_tree(fn).body, inner, statements)
        except NotInlinable:
            return None
        if expression is None or statements or inner.helpers:
            return None
        for name, value in written.items():
            uses = sum(isinstance(n, ast.Name) and n.id == name for n in ast.walk(expression))
            if uses > 1 and not isinstance(value, ast.Name | ast.Constant):
                return None
        return substitute(written)(expression)  # type: ignore[no-any-return]

    def _argument(self, node: ast.expr) -> ast.expr:
        if isinstance(node, ast.Starred):
            return ast.Starred(self.visit(node.value), ast.Load())
        return self.visit(node)

    def _unroll(self, node: ast.Call) -> ast.expr | None:
        """`tuple(f(t) for t in tensors)` over a known number of arrays, written out."""
        is_sequence = isinstance(node.func, ast.Name) and node.func.id in ("tuple", "list") and len(node.args) == 1
        if not is_sequence or not isinstance(node.args[0], ast.GeneratorExp | ast.ListComp):
            return None
        items = self._comprehension_items(node.args[0])
        kind = ast.Tuple if isinstance(node.func, ast.Name) and node.func.id == "tuple" else ast.List
        return kind(items, ast.Load())

    def _comprehension_items(self, node: ast.GeneratorExp | ast.ListComp) -> list[ast.expr]:
        generator = node.generators[0]
        iterable = self.visit(generator.iter)
        target = generator.target
        if len(node.generators) != 1 or generator.ifs or not isinstance(target, ast.Name):
            raise NotInlinable("a comprehension over arrays")
        if not isinstance(iterable, ast.Tuple | ast.List):
            raise NotInlinable("a comprehension over arrays")
        items = []
        name = target.id
        # what is known of the elements decides conditions on them
        known = self.static.get(generator.iter.id) if isinstance(generator.iter, ast.Name) else None
        saved = dict(self.expressions), dict(self.static)
        for position, element in enumerate(iterable.elts):
            self.bind_expression(name, element)
            if isinstance(known, tuple) and len(known) == len(iterable.elts):
                self.static[name] = known[position]
            items.append(self.visit(copy.deepcopy(node.elt)))
        self.expressions, self.static = saved
        return items

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        value, index = self.visit(node.value), self.visit(node.slice)
        if isinstance(value, ast.Tuple) and isinstance(index, ast.Constant) and isinstance(index.value, int):
            return value.elts[index.value]
        return ast.Subscript(value, index, ast.Load())


class _Callable:
    """Stands for a module argument: it is not None, and nothing else is known."""

    def __call__(self, *_: Any) -> Any:
        raise NotStatic("a module call")


def specialise(
    fn: Callable[..., Any], arguments: Mapping[str, Any], dtype_object: Callable[[str], Any]
) -> Residual | None:
    """The residual of `fn` for these arguments, or None when it must stay a helper.

    Args:
        fn: a rule's function.
        arguments: every parameter by name: `ArrayArgument`, `ModuleArgument`, `DTypeArgument`, `Sym`, Python
            values, or tuples of these.
        dtype_object: the target framework's dtype for a framework-neutral name.
    """
    if getattr(fn, "__called__", False):
        return None
    tree = function_tree(fn)
    evaluator = _Evaluator(fn, dtype_object)
    for name, argument in arguments.items():
        evaluator.bind(name, argument)
    statements: list[ast.stmt] = []
    try:
        expression = _run(tree.body, evaluator, statements)
    except (NotInlinable, TypeError):
        return None
    if expression is None:
        return None
    left = _inline_single_uses(Residual(statements, expression, evaluator.helpers))
    used = set().union(*(names_in(part) for part in (*left.statements, left.expression)))
    return Residual(left.statements, left.expression, left.helpers & used)


def _run(body: list[ast.stmt], evaluator: _Evaluator, statements: list[ast.stmt]) -> ast.expr | None:
    """Execute statements as far as they are static; the returned expression, or None at the end of a block."""
    for statement in body:
        if isinstance(statement, ast.Return):
            return evaluator.residual(statement.value or ast.Constant(None))
        if isinstance(statement, ast.If):
            try:
                chosen = statement.body if evaluator.evaluate(statement.test) else statement.orelse
            except NotStatic:
                raise NotInlinable("a condition on values") from None
            result = _run(chosen, evaluator, statements)
            if result is not None:
                return result
        elif isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            _assign(statement.targets[0], statement.value, evaluator, statements)
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            _assign(statement.target, statement.value, evaluator, statements)
        elif isinstance(statement, ast.Pass) or (
            isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        ):
            continue
        else:
            raise NotInlinable(type(statement).__name__)
    return None


def _assign(target: ast.expr, value: ast.expr, evaluator: _Evaluator, statements: list[ast.stmt]) -> None:
    if isinstance(target, ast.Name):
        try:
            known = evaluator.evaluate(value)
        except NotStatic:
            pass
        else:
            _bind_known(target.id, known, value, evaluator)
            return
        expression = evaluator.residual(value)
        if isinstance(expression, ast.Name):
            proxy = evaluator.static.get(value.id) if isinstance(value, ast.Name) else None
            evaluator.bind_expression(target.id, expression)
            if proxy is not None:
                evaluator.static[target.id] = proxy
            return
        fresh = f"{target.id}__{len(statements)}"
        statements.append(ast.Assign([ast.Name(fresh, ast.Store())], expression))
        evaluator.bind_expression(target.id, ast.Name(fresh, ast.Load()))
        return
    if isinstance(target, ast.Tuple) and all(isinstance(item, ast.Name) for item in target.elts):
        names = [item.id for item in target.elts if isinstance(item, ast.Name)]
        expression = evaluator.residual(value)
        if isinstance(expression, ast.Tuple) and len(expression.elts) == len(names):
            for name, element in zip(names, expression.elts, strict=True):
                evaluator.bind_expression(name, element)
                if isinstance(element, ast.Constant):
                    evaluator.static[name] = element.value
            return
        fresh_names = [f"{name}__{len(statements)}" for name in names]
        store: list[ast.expr] = [ast.Name(name, ast.Store()) for name in fresh_names]
        statements.append(ast.Assign([ast.Tuple(store, ast.Store())], expression))
        for name, fresh in zip(names, fresh_names, strict=True):
            evaluator.bind_expression(name, ast.Name(fresh, ast.Load()))
        return
    raise NotInlinable("an assignment to more than names")


def _bind_known(name: str, known: Any, value: ast.expr, evaluator: _Evaluator) -> None:
    """Bind a name to a known value; what has no literal (a float dtype, a function) is written as it was asked for."""
    try:
        written = literal(known)
    except TypeError:
        written = evaluator.residual(value)
    evaluator.expressions[name] = written
    evaluator.static[name] = known


def _inline_single_uses(residual: Residual) -> Residual:
    """Put assignments that are used once where they are used."""
    kept: list[ast.stmt] = []
    pending = list(residual.statements)
    while pending:
        statement = pending.pop(0)
        target = statement.targets[0] if isinstance(statement, ast.Assign) else None
        if not isinstance(target, ast.Name):
            kept.append(statement)
            continue
        rest: list[ast.AST] = [*pending, residual.expression]
        uses = sum(
            isinstance(n, ast.Name) and n.id == target.id and isinstance(n.ctx, ast.Load)
            for part in rest
            for n in ast.walk(part)
        )
        if uses == 0:
            continue
        if uses > 1 or not isinstance(statement, ast.Assign):
            kept.append(statement)
            continue
        put = substitute({target.id: statement.value})
        pending = [put(s) for s in pending]
        residual.expression = put(residual.expression)
    return Residual(kept, residual.expression, residual.helpers)


def substitute(expressions: Mapping[str, ast.expr]) -> Callable[[Any], Any]:
    """A function that replaces names in a tree by expressions."""

    class Substitute(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:
            if isinstance(node.ctx, ast.Load) and node.id in expressions:
                return copy.deepcopy(expressions[node.id])
            return node

    return Substitute().visit
