"""Reading a module: its imports, classes and functions, each use of a framework with its line and scope."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable

from regauge.decide.audit.flow import Flow
from regauge.decide.audit.names import Imports, bound_names, dotted, read_imports
from regauge.decide.audit.recorder import ClassFacts, File, Recorder
from regauge.decide.audit.scan import Class, Known, Scan, Scope
from regauge.decide.audit.tables.lookup import FRAMEWORK_OF

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def read_module(tree: ast.Module, package: str, known: Known, result: Scan) -> None:
    """Fill `result` with what a module holds; files without a framework or a library of one are not looked into."""
    imports = read_imports(tree, package)
    result.imports, result.first = sorted(imports.modules), sorted(imports.first)
    roots = {name.partition(".")[0] for name in result.imports if not name.startswith(".")}
    result.roots = sorted(
        root for root in roots - known.own if root not in sys.stdlib_module_names or root in FRAMEWORK_OF
    )
    names_of_interest = (set(FRAMEWORK_OF) | known.libraries) - known.own
    if not roots & names_of_interest:
        _declare_classes(tree, imports, result)
        return
    file = File(imports, frozenset(names_of_interest), known.libraries, "torch" in roots, "numpy" in roots)
    _Module(file, result).read(tree.body)


def _declare_classes(tree: ast.Module, imports: Imports, result: Scan) -> None:
    """Only the classes: a file without a framework may still stand between two that have one."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            result.classes.append(Class(node.name, _bases(node, imports, result.module), node.lineno))


def _bases(node: ast.ClassDef, imports: Imports, module: str) -> tuple[str, ...]:
    found = []
    for base in node.bases:
        path = dotted(base.value if isinstance(base, ast.Subscript) else base)
        if path:
            found.append(_absolute(path, imports, module))
    return tuple(found)


def _absolute_names(node: ast.expr | None, imports: Imports, module: str) -> frozenset[str]:
    """The names in an annotation."""
    parts = [dotted(part) for part in ast.walk(node) if isinstance(part, ast.Name | ast.Attribute)] if node else []
    return frozenset(_absolute(part, imports, module) for part in parts if part)


def _absolute(path: str, imports: Imports, module: str) -> str:
    head, dot, rest = path.partition(".")
    return f"{imports.names[head]}{dot}{rest}" if head in imports.names else f"{module}.{path}"


class _Module:
    """Walks classes and functions; the code in them is for `Flow`."""

    def __init__(self, file: File, result: Scan) -> None:
        self.file = file
        self.result = result
        self.recorder = Recorder(file, result)

    def read(self, body: Iterable[ast.stmt]) -> None:
        scope = self._scope(Scope(""))
        flow = Flow(self.recorder, scope, None, frozenset())
        for node in body:
            self._statement(node, flow, "")

    def _scope(self, scope: Scope) -> int:
        self.result.scopes.append(scope)
        return len(self.result.scopes) - 1

    def _statement(self, node: ast.stmt, flow: Flow, prefix: str) -> None:
        """A statement outside of functions; definitions inside of ``if`` and ``try`` are found too."""
        if isinstance(node, _FUNCTIONS):
            self._function(node, prefix, -1, None)
        elif isinstance(node, ast.ClassDef):
            self._class(node, prefix)
        elif isinstance(node, ast.If | ast.Try):
            parts = [node.body, node.orelse]
            if isinstance(node, ast.If):
                flow.truth(node.test)
            else:
                parts += [node.finalbody, *(handler.body for handler in node.handlers)]
            for part in parts:
                for inner in part:
                    self._statement(inner, flow, prefix)
        else:
            flow.statement(node)

    def _function(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef, prefix: str, owner: int, facts: ClassFacts | None
    ) -> None:
        returns = _absolute_names(node.returns, self.file.imports, self.result.module)
        scope = self._scope(Scope(f"{prefix}{node.name}", owner, returns=returns))
        flow = Flow(self.recorder, scope, facts, frozenset(bound_names(node)))
        flow.function(node)

    def _class(self, node: ast.ClassDef, prefix: str) -> None:
        index = len(self.result.classes)
        name = f"{prefix}{node.name}"
        bases = _bases(node, self.file.imports, self.result.module)
        self.result.classes.append(Class(name, bases, node.lineno))
        facts = ClassFacts.of(node, self.file)
        flow = Flow(self.recorder, self._scope(Scope(name, index)), facts, frozenset())
        for part in (*node.decorator_list, *node.bases, *(keyword.value for keyword in node.keywords)):
            flow.kind(part)
        self._body(node.body, flow, name, index, facts)

    def _body(self, body: Iterable[ast.stmt], flow: Flow, name: str, index: int, facts: ClassFacts) -> None:
        for inner in body:
            if isinstance(inner, _FUNCTIONS):
                self._function(inner, f"{name}.", index, facts)
            elif isinstance(inner, ast.ClassDef):
                self._class(inner, f"{name}.")
            elif isinstance(inner, ast.If):
                flow.truth(inner.test)
                self._body((*inner.body, *inner.orelse), flow, name, index, facts)
            else:
                flow.statement(inner)
