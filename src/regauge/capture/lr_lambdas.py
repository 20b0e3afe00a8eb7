"""A person's ``lr_lambda`` as a formula, read from its text: what of the step it computes, and nothing else."""

from __future__ import annotations

import ast
import builtins
import functools
import inspect
import math
import types
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from regauge import formulas
from regauge.capture.lr_lambda_text import NotReadable, definition_of
from regauge.formulas import PYTHON, STEP, Formula

_MOST = 2000  # parts of a formula; more is no text that a person reads
_STEPS = (*range(40), 99, 100, 101, 500, 1000, 9999, 100_000)
_BINARY: dict[type[ast.AST], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.And: "and",
    ast.Or: "or",
}
_TRUTHS = frozenset({"<", "<=", ">", ">=", "==", "!=", "and", "or", "not"})
_NAMES = ("sin", "cos", "tanh", "exp", "log", "sqrt", "floor", "ceil", "trunc")
_FUNCTIONS: dict[Any, str] = {
    **{getattr(math, name): name for name in _NAMES},
    **{getattr(np, name): name for name in _NAMES},
    abs: "abs",
    int: "trunc",
    math.fabs: "abs",
    np.abs: "abs",
    min: "min",
    max: "max",
    pow: "**",
    math.pow: "**",
    np.minimum: "min",
    np.maximum: "max",
}
_IDLE = {"+": 0, "-": 0, "*": 1, "/": 1, "**": 1}  # the second argument with which these do nothing
_SAME = (float, np.float32, np.float64, np.asarray, np.array)  # of a float64 count


class _Symbol:
    """A value that depends on the step."""

    def __init__(self, formula: Formula) -> None:
        self.formula = formula

    def __bool__(self) -> bool:
        raise NotReadable("it decides by the step in a place where a formula cannot")


def formula_of(function: Callable[[int], float]) -> Formula:
    """The formula of a function of the step: its text, followed with the values that it holds.

    Args:
        function: a function, a method, a ``functools.partial`` or an object with ``__call__``, written in a file.

    Raises:
        NotReadable: its text is not there, does something else than to compute, or gives other numbers than it.
    """
    try:
        found = _plain(_Call().of(function, [_Symbol(STEP)], {}))
    except NotReadable:
        raise
    except Exception as error:  # of what it computes without the step, also in a way that no step takes
        raise NotReadable(f"its text cannot be followed: {type(error).__name__}: {error}") from error
    if sum(1 for _ in formulas.parts(found)) > _MOST:
        raise NotReadable("its formula would be too long to read")
    edges = [int(one) for one in formulas.parts(found) if isinstance(one, int | float) and 0 <= one < 1e9]
    for step in dict.fromkeys([*_STEPS, *(near for edge in edges for near in (edge - 1, edge, edge + 1) if near >= 0)]):
        _compare(function, found, step)
    return found


def _compare(function: Callable[[int], float], found: Formula, step: int) -> None:
    try:
        expected = float(function(step))
    except Exception as error:
        if step > min(_STEPS[-1], 1000):
            return  # a table that ends
        raise NotReadable(f"at step {step} it raises {type(error).__name__}: {error}") from error
    try:
        ours = float(formulas.value(found, step, 1.0, PYTHON))
    except ArithmeticError as error:
        raise NotReadable(f"at step {step} its formula gives {type(error).__name__}") from error
    if not math.isclose(ours, expected, rel_tol=1e-12, abs_tol=1e-300):
        raise NotReadable(f"at step {step} it gives {expected}, and its text {ours}")


def _plain(value: Any) -> Formula:
    if isinstance(value, _Symbol):
        return value.formula
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, np.generic) and value.ndim == 0:
        return value.item()
    raise NotReadable(f"it computes with {type(value).__name__}")


def _made(name: str, *arguments: Any) -> Any:
    """An operator on values: computed where all of them are known."""
    if not any(isinstance(one, _Symbol) for one in arguments):
        return PYTHON[name](*arguments)
    if name in _IDLE and not isinstance(arguments[1], _Symbol) and arguments[1] == _IDLE[name]:
        return arguments[0]
    formula = (name, *(_plain(one) for one in arguments))
    if name in ("and", "or") and not all(map(_is_truth, formula[1:])):
        raise NotReadable(f"it joins numbers by `{name}`, which gives one of them in Python alone: write a condition")
    return _Symbol(formula)


def _is_truth(formula: Formula) -> bool:
    return isinstance(formula, bool) or (isinstance(formula, tuple) and formula[0] in _TRUTHS)


class _Call:
    """Follows functions; knows how deep it is."""

    def __init__(self, depth: int = 0) -> None:
        self._depth = depth

    def of(self, function: Any, arguments: list[Any], named: dict[str, Any]) -> Any:
        """What a function returns for such arguments."""
        if self._depth > 20:
            raise NotReadable("it calls itself")
        if isinstance(function, functools.partial):
            return self.of(function.func, [*function.args, *arguments], {**function.keywords, **named})
        if isinstance(function, types.MethodType):
            return self.of(function.__func__, [function.__self__, *arguments], named)
        if not isinstance(function, types.FunctionType):
            method = vars(type(function)).get("__call__")
            if isinstance(method, types.FunctionType):
                return self.of(method, [function, *arguments], named)
            raise NotReadable(f"it calls {getattr(function, '__name__', type(function).__name__)}")
        definition = definition_of(function)
        return _Frame(function, _bound(function, arguments, named), self._depth).result(definition)


def _bound(function: types.FunctionType, arguments: list[Any], named: dict[str, Any]) -> dict[str, Any]:
    try:
        bound = inspect.signature(function).bind(*arguments, **named)
    except TypeError as error:
        raise NotReadable(str(error)) from error
    bound.apply_defaults()
    return dict(bound.arguments)


class _Frame:
    """One call of a function.

    Args:
        function: that is called.
        local: values by name.
        depth: how many calls are around it.
    """

    def __init__(self, function: types.FunctionType, local: dict[str, Any], depth: int) -> None:
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        self._around = {name: cell.cell_contents for name, cell in cells}
        self._globals = function.__globals__
        self._local = local
        self._depth = depth

    def result(self, definition: ast.FunctionDef | ast.Lambda) -> Any:
        if isinstance(definition, ast.Lambda):
            return self._value(definition.body)
        return self._block(definition.body)

    # statements -------------------------------------------------------------------------------------------------------

    def _block(self, statements: Sequence[ast.stmt]) -> Any:
        """What statements return; each way of a condition takes what follows with it, if it may return."""
        for place, statement in enumerate(statements):
            following = statements[place + 1 :]
            if isinstance(statement, ast.Return):
                return None if statement.value is None else self._value(statement.value)
            if isinstance(statement, ast.If):
                test = self._value(statement.test)
                if not isinstance(test, _Symbol):
                    return self._block([*(statement.body if test else statement.orelse), *following])
                if any(isinstance(one, ast.Return | ast.Raise) for one in ast.walk(statement)):
                    ways = [self._apart([*way, *following]) for way in (statement.body, statement.orelse)]
                    return _Symbol(("where", test.formula, *(_plain(way) for way in ways)))
                self._both(test, statement)
            elif isinstance(statement, ast.For):
                return self._block([*self._unrolled(statement), *following])
            else:
                self._run(statement)
        raise NotReadable("one of its ways returns nothing")

    def _apart(self, statements: Sequence[ast.stmt]) -> Any:
        before = dict(self._local)
        try:
            return self._block(statements)
        finally:
            self._local = before

    def _both(self, test: _Symbol, statement: ast.If) -> None:
        """A condition whose ways set names: each is what the way gives it."""
        before = dict(self._local)
        ways = []
        for way in (statement.body, statement.orelse):
            self._local = dict(before)
            for one in way:
                if isinstance(one, ast.If):
                    inner = self._value(one.test)
                    if isinstance(inner, _Symbol):
                        self._both(inner, one)
                        continue
                    for chosen in one.body if inner else one.orelse:
                        self._run(chosen)
                else:
                    self._run(one)
            ways.append(self._local)
        after, otherwise = ways
        self._local = dict(before)
        for name in (name for name in after if name in otherwise):
            same = after[name] is otherwise[name]
            value = after[name] if same else _either(test, after[name], otherwise[name], before.get(name))
            self._local[name] = value

    def _unrolled(self, statement: ast.For) -> list[ast.stmt]:
        if statement.orelse or any(isinstance(one, ast.Break | ast.Continue) for one in ast.walk(statement)):
            raise NotReadable("it leaves a loop")
        items = self._value(statement.iter)
        if isinstance(items, _Symbol) or not isinstance(items, list | tuple | range) or len(items) > 100:
            raise NotReadable("it loops over something that is no short list")
        made: list[ast.stmt] = []
        for number, item in enumerate(items):
            name = f".{statement.lineno} {number}"  # a name that no text has
            self._local[name] = item
            made += [ast.Assign([statement.target], ast.Name(name, ast.Load())), *statement.body]
        return made

    def _run(self, statement: ast.stmt) -> None:
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            self._bind(statement.targets[0], self._value(statement.value))
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            self._bind(statement.target, self._value(statement.value))
        elif isinstance(statement, ast.AugAssign) and isinstance(statement.target, ast.Name):
            old = self._value(ast.Name(statement.target.id, ast.Load()))
            self._bind(statement.target, _made(self._operator(statement.op), old, self._value(statement.value)))
        elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            pass
        elif not isinstance(statement, ast.Pass):
            raise NotReadable(f"it has a statement that is followed no further: {ast.unparse(statement)[:60]}")

    def _bind(self, target: ast.expr, value: Any) -> None:
        if isinstance(target, ast.Name):
            self._local[target.id] = value
        elif isinstance(target, ast.Tuple) and isinstance(value, tuple | list) and len(value) == len(target.elts):
            for one, item in zip(target.elts, value, strict=True):
                self._bind(one, item)
        else:
            raise NotReadable(f"it writes to {ast.unparse(target)[:60]}")

    # expressions ------------------------------------------------------------------------------------------------------

    def _value(self, node: ast.expr) -> Any:
        follow = _FOLLOWED.get(type(node))
        if follow is None:
            raise NotReadable(f"it has an expression that is followed no further: {ast.unparse(node)[:60]}")
        return follow(self, node)

    def _name(self, node: ast.Name) -> Any:
        for scope in (self._local, self._around, self._globals, vars(builtins)):
            if node.id in scope:
                return scope[node.id]
        raise NotReadable(f"{node.id} has no value")

    def _attribute(self, node: ast.Attribute) -> Any:
        owner = self._value(node.value)
        if isinstance(owner, _Symbol):
            raise NotReadable(f"it takes {node.attr} of the step")
        return getattr(owner, node.attr)

    def _operator(self, node: ast.AST) -> str:
        if type(node) not in _BINARY:
            raise NotReadable(f"it has an operator that no formula has: {type(node).__name__}")
        return _BINARY[type(node)]

    def _binary(self, node: ast.BinOp) -> Any:
        return _made(self._operator(node.op), self._value(node.left), self._value(node.right))

    def _unary(self, node: ast.UnaryOp) -> Any:
        inner = self._value(node.operand)
        if isinstance(node.op, ast.UAdd):
            return inner
        return _made("not" if isinstance(node.op, ast.Not) else "neg", inner)

    def _bool(self, node: ast.BoolOp) -> Any:
        found = self._value(node.values[0])
        for one in node.values[1:]:
            if not isinstance(found, _Symbol):  # as Python, which may not look at the others
                found = self._value(one) if bool(found) == isinstance(node.op, ast.And) else found
            else:
                found = _made(self._operator(node.op), found, self._value(one))
        return found

    def _comparison(self, node: ast.Compare) -> Any:
        values = [self._value(one) for one in (node.left, *node.comparators)]
        pairs = zip(values, node.ops, values[1:], strict=False)
        found = [_made(self._operator(op), left, right) for left, op, right in pairs]
        return functools.reduce(functools.partial(_made, "and"), found)

    def _choice(self, node: ast.IfExp) -> Any:
        test = self._value(node.test)
        if not isinstance(test, _Symbol):
            return self._value(node.body if test else node.orelse)
        return _chosen(test, self._value(node.body), self._value(node.orelse))

    def _call(self, node: ast.Call) -> Any:
        function = self._value(node.func)
        arguments = [self._value(one) for one in node.args]
        named = {keyword.arg: self._value(keyword.value) for keyword in node.keywords if keyword.arg}
        if len(named) < len(node.keywords) or any(isinstance(one, ast.Starred) for one in node.args):
            raise NotReadable("it calls a function with arguments that are spread")
        symbols = any(isinstance(one, _Symbol) for one in (*arguments, *named.values()))
        if not symbols and not isinstance(function, types.FunctionType | types.MethodType):
            return function(*arguments, **named)
        if function in _SAME and len(arguments) == 1:
            return arguments[0]
        if function in _FUNCTIONS and not named and arguments:
            name = _FUNCTIONS[function]
            if name in ("min", "max", "**"):
                return functools.reduce(functools.partial(_made, name), arguments)
            return _made(name, *arguments)
        return _Call(self._depth + 1).of(function, arguments, named)

    def _item(self, node: ast.Subscript) -> Any:
        owner, key = self._value(node.value), self._value(node.slice)
        if isinstance(owner, _Symbol) or isinstance(key, _Symbol):
            raise NotReadable("it looks something up by the step")
        return owner[key]

    def _items(self, node: ast.Tuple | ast.List) -> Any:
        return tuple(self._value(one) for one in node.elts)


def _either(test: _Symbol, one: Any, other: Any, before: Any) -> Any:
    """What a name is after a condition; of a factor that only one way has, the factor alone depends on it."""
    found = one.formula if isinstance(one, _Symbol) else None
    if (
        other is before
        and isinstance(before, _Symbol)
        and isinstance(found, tuple)
        and found[:2] == ("*", before.formula)
    ):
        return _Symbol(("*", before.formula, ("where", test.formula, found[2], 1.0)))
    return _chosen(test, one, other)


def _chosen(test: _Symbol, one: Any, other: Any) -> Any:
    return _Symbol(("where", test.formula, _plain(one), _plain(other)))


_FOLLOWED: dict[type[ast.AST], Callable[[_Frame, Any], Any]] = {
    ast.Constant: lambda frame, node: node.value,
    ast.Name: _Frame._name,
    ast.Attribute: _Frame._attribute,
    ast.BinOp: _Frame._binary,
    ast.UnaryOp: _Frame._unary,
    ast.BoolOp: _Frame._bool,
    ast.Compare: _Frame._comparison,
    ast.IfExp: _Frame._choice,
    ast.Call: _Frame._call,
    ast.Subscript: _Frame._item,
    ast.Tuple: _Frame._items,
    ast.List: _Frame._items,
}
