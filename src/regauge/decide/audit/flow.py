"""Statements of one function, in order: which local names hold tensors, and what decides on their values."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable

from regauge.decide.audit.expressions import Expressions
from regauge.decide.audit.kinds import MAYBE, PLAIN, TENSOR, UNKNOWN, is_tensor, join
from regauge.decide.audit.names import bound_names, dotted

_SOME_TENSOR = re.compile(r"Tensor\b")  # not TensorDict, TensorType

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Flow(Expressions):
    """Reads the statements of a scope. Branches are joined; a loop is read once."""

    def function(self, node: Function) -> None:
        """A whole function: decorators and defaults belong to the scope too."""
        for decorator in node.decorator_list:
            self.kind(decorator)
        self._parameters(node)
        if node.returns is not None:
            self.kind(node.returns)
        self.block(node.body)

    def block(self, body: Iterable[ast.stmt]) -> None:
        for node in body:
            self.statement(node)

    def statement(self, node: ast.stmt) -> None:
        handler = getattr(self, f"_{type(node).__name__}", None)
        if handler is not None:
            handler(node)
            return
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.kind(child)
            elif isinstance(child, ast.stmt):
                self.statement(child)

    # Parameters -----------------------------------------------------------------------------------------------------

    def _parameters(self, node: Function) -> None:
        arguments = node.args
        positional = [*arguments.posonlyargs, *arguments.args]
        defaults = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
        pairs = [
            *zip(positional, defaults, strict=True),
            *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
        ]
        for argument, default in pairs:
            if default is not None:
                self.kind(default)
            self.env[argument.arg] = self._parameter(argument, default, node.name)
        for extra in (arguments.vararg, arguments.kwarg):
            if extra is not None and extra.annotation is not None:
                self.kind(extra.annotation)

    def _parameter(self, argument: ast.arg, default: ast.expr | None, function: str) -> int:
        plain = default is not None and not (isinstance(default, ast.Constant) and default.value is None)
        if argument.annotation is not None:
            self.kind(argument.annotation)
            self.objects[argument.arg] = dotted(argument.annotation)
            return PLAIN if plain else self._annotated(argument.annotation)
        if plain:
            return PLAIN
        if argument.arg in ("self", "cls") or argument.arg.endswith("dict") or self.facts is None:
            return UNKNOWN
        return MAYBE if function == "forward" or self.facts.is_module else UNKNOWN

    def _annotated(self, annotation: ast.expr) -> int:
        """TENSOR for ``Tensor``, ``Optional[Tensor]`` and ``Tensor | None``; else no tensor, or unknown."""
        text = annotation.value if isinstance(annotation, ast.Constant) else ast.unparse(annotation)
        if not isinstance(text, str):
            return UNKNOWN
        short = text.replace("torch.", "").replace("Optional[", "").rstrip("]").replace("| None", "").strip()
        if short in ("Tensor", "FloatTensor", "LongTensor", "BoolTensor", "IntTensor"):
            return TENSOR
        return MAYBE if _SOME_TENSOR.search(text) and "[" not in text else PLAIN

    # Statements -----------------------------------------------------------------------------------------------------

    def _Assign(self, node: ast.Assign) -> None:
        kind = self.kind(node.value)
        for name in (target.id for target in node.targets if isinstance(target, ast.Name)):
            self.objects[name] = self._object(node.value) if isinstance(node.value, ast.Call) else ""
        values = node.value.elts if isinstance(node.value, ast.Tuple | ast.List) else None
        for target in node.targets:
            self._bind(target, kind, values)

    def _bind(self, target: ast.expr, kind: int, values: list[ast.expr] | None = None) -> None:
        if isinstance(target, ast.Name):
            self.env[target.id] = kind
        elif isinstance(target, ast.Tuple | ast.List):
            single = values if values is not None and len(values) == len(target.elts) else None
            for index, inner in enumerate(target.elts):
                inner = inner.value if isinstance(inner, ast.Starred) else inner
                self._bind(inner, self._known(single[index]) if single else kind)
        elif isinstance(target, ast.Attribute):
            self._stored(target, kind)
        else:
            self.kind(target)

    def _known(self, node: ast.expr) -> int:
        """The kind of an expression that was read already: only that of a name can be told without reading it again."""
        return self.env.get(node.id, UNKNOWN) if isinstance(node, ast.Name) else UNKNOWN

    def _stored(self, target: ast.Attribute, kind: int) -> None:
        own = isinstance(target.value, ast.Name) and target.value.id == "self"
        self.kind(target)
        if own and is_tensor(kind) and self.facts is not None and target.attr not in self.facts.tensors:
            self.recorder.hazard("state", target, self.index)

    def _AnnAssign(self, node: ast.AnnAssign) -> None:
        self.kind(node.annotation)
        kind = self.kind(node.value) if node.value is not None else self._annotated(node.annotation)
        self._bind(node.target, kind)

    def _AugAssign(self, node: ast.AugAssign) -> None:
        right = self.kind(node.value)
        left = self.kind(node.target)
        if isinstance(node.target, ast.Name):
            self.env[node.target.id] = max(left, right) if TENSOR in (left, right) else left

    def _If(self, node: ast.If) -> None:
        self.truth(node.test)
        before = dict(self.env)
        narrowed = _isinstance_of(node.test)
        if narrowed:
            self.env[narrowed] = UNKNOWN
        self.block(node.body)
        after = self.env
        self.env = dict(before)
        self.block(node.orelse)
        leaves = bool(node.body) and isinstance(node.body[-1], ast.Return | ast.Raise | ast.Continue | ast.Break)
        if not leaves:
            self._join(after)

    def _join(self, other: dict[str, int]) -> None:
        for name in {*self.env, *other}:
            self.env[name] = join(self.env.get(name, UNKNOWN), other.get(name, UNKNOWN))

    def _While(self, node: ast.While) -> None:
        self.truth(node.test)
        self.block((*node.body, *node.orelse))

    def _Assert(self, node: ast.Assert) -> None:
        self.truth(node.test)
        if node.msg is not None:
            self.kind(node.msg)

    def _For(self, node: ast.For | ast.AsyncFor) -> None:
        kind = self.kind(node.iter)
        self._bind(node.target, kind if is_tensor(kind) else MAYBE if kind == MAYBE else UNKNOWN)
        self.block((*node.body, *node.orelse))

    _AsyncFor = _For

    def _With(self, node: ast.With | ast.AsyncWith) -> None:
        for item in node.items:
            kind = self.kind(item.context_expr)
            if item.optional_vars is not None:
                self._bind(item.optional_vars, kind)
        self.block(node.body)

    _AsyncWith = _With

    def _Try(self, node: ast.Try) -> None:
        self.block(node.body)
        for handler in node.handlers:
            if handler.type is not None:
                self.kind(handler.type)
            self.block(handler.body)
        self.block((*node.orelse, *node.finalbody))

    def _Match(self, node: ast.Match) -> None:
        self.kind(node.subject)
        for case in node.cases:
            if case.guard is not None:
                self.truth(case.guard)
            self.block(case.body)

    def _FunctionDef(self, node: Function) -> None:
        """A function inside: it sees the names around it, and belongs to the same scope."""
        outer, hidden = dict(self.env), self.hidden
        self.hidden = hidden | bound_names(node)
        self.function(node)
        self.env, self.hidden = outer, hidden

    _AsyncFunctionDef = _FunctionDef

    def _ClassDef(self, node: ast.ClassDef) -> None:
        for part in (*node.decorator_list, *node.bases):
            self.kind(part)
        self.block(node.body)

    def _Global(self, node: ast.Global) -> None:
        self.recorder.hazard("global", node, self.index)

    def _Import(self, node: ast.stmt) -> None:
        """Read before: see `read_imports`."""

    _ImportFrom = _Import

    def _Delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            if isinstance(target, ast.Name):
                self.env.pop(target.id, None)


def _isinstance_of(test: ast.expr) -> str:
    """The name in ``isinstance(name, ...)``, unless it is asked whether it is a tensor."""
    if not (isinstance(test, ast.Call) and dotted(test.func) == "isinstance" and test.args):
        return ""
    first = test.args[0]
    return first.id if isinstance(first, ast.Name) and "Tensor" not in ast.unparse(test) else ""
