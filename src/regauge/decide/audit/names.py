"""Which module and name an expression means: imports, aliases, and names that hide them."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass
class Imports:
    """What the names of one file stand for.

    Attributes:
        names: name -> dotted path, ``F`` -> ``torch.nn.functional``.
        stars: modules of ``from module import *``.
        modules: absolute dotted names of everything that is imported.
        first: those of them that are imported when the module is: not for types alone, not inside of functions.
    """

    names: dict[str, str] = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)
    modules: set[str] = field(default_factory=set)
    first: set[str] = field(default_factory=set)


def read_imports(tree: ast.Module, package: str) -> Imports:
    """All imports of a file, wherever they stand, and module-level aliases such as ``Conv = nn.Conv2d``.

    Args:
        package: dotted name of the package that the file lies in, for relative imports; may be empty.
    """
    found = Imports()
    for node, deferred in _statements(tree.body):
        before = set(found.modules)
        if isinstance(node, ast.Import):
            for alias in node.names:
                bound = alias.asname or alias.name.partition(".")[0]
                found.names[bound] = alias.name if alias.asname else bound
                found.modules.add(alias.name)
        elif isinstance(node, ast.ImportFrom):
            _read_from(found, node, package)
        elif isinstance(node, ast.Assign) and node in tree.body:
            _read_alias(found, node)
        if not deferred:
            found.first |= found.modules - before
    return found


def _read_alias(found: Imports, node: ast.Assign) -> None:
    if len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        head, _, rest = dotted(node.value).partition(".")
        if rest and head in found.names:
            found.names[node.targets[0].id] = f"{found.names[head]}.{rest}"


def _read_from(found: Imports, node: ast.ImportFrom, package: str) -> None:
    module = absolute(node, package)
    for alias in node.names:
        if alias.name == "*":
            found.stars.append(module)
            found.modules.add(module)
            continue
        path = f"{module}.{alias.name}" if module else alias.name
        found.names[alias.asname or alias.name] = path
        found.modules.add(path)


def absolute(node: ast.ImportFrom, package: str) -> str:
    """The module of ``from .x import y`` by its full name."""
    if not node.level:
        return node.module or ""
    parts = package.split(".") if package else []
    above = node.level - 1
    # Above the topmost package nothing is known: a leading dot keeps the name from meaning a package of the index.
    if above >= len(parts):
        return "." + (node.module or "")
    kept = parts[: len(parts) - above]
    return ".".join([*kept, *([node.module] if node.module else [])])


def _statements(body: Iterable[ast.stmt]) -> Iterator[tuple[ast.stmt, bool]]:
    """All statements, inner ones too, without visiting expressions; whether each waits for more than the import."""
    stack = [(node, False) for node in reversed(list(body))]
    while stack:
        node, deferred = stack.pop()
        yield node, deferred
        later = deferred or isinstance(node, FUNCTIONS) or _for_types(node)
        parts = [getattr(node, name, ()) for name in ("body", "orelse", "finalbody")]
        parts += [handler.body for handler in getattr(node, "handlers", ())]
        parts += [case.body for case in getattr(node, "cases", ())]
        inner = [(node, later) for part in parts if isinstance(part, list) for node in part]
        stack += reversed(inner)


def _for_types(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and dotted(node.test).endswith("TYPE_CHECKING")


def dotted(node: ast.expr) -> str:
    """``a.b.c`` of a chain of names; empty for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    parts.append(node.id)
    return ".".join(reversed(parts))


def bound_names(function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> set[str]:
    """Names that are local to a function: parameters and what it assigns, without what it imports."""
    arguments = function.args
    names = {a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
    names |= {a.arg for a in (arguments.vararg, arguments.kwarg) if a is not None}
    if isinstance(function, ast.Lambda):
        return names
    imported: set[str] = set()
    outer: set[str] = set()
    stack: list[ast.AST] = [*function.body]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            imported |= {(a.asname or a.name).partition(".")[0] for a in node.names}
        elif isinstance(node, ast.Global | ast.Nonlocal):
            outer |= set(node.names)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
            continue
        stack += ast.iter_child_nodes(node)
    return names - imported - outer
