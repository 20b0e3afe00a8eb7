"""The settings by which a module's own code chooses what it does: `if self.shift_size > 0`, `causal=self.is_decoder`.

An exported graph has one way of each such choice. Where two modules of one class went different ways, their settings
say what told them apart, in the person's words.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Hashable, Iterator
from functools import cache

from torch import nn

from regauge.ir.graph import Scalar, Setting

_NOT_READ = frozenset({"training", "gradient_checkpointing"})  # of the run, not of the module
_AXES = 3  # at most, that a size is given for
_ASIDE = frozenset({"extra_repr", "reset_parameters", "init_weights"})


def settings(module: nn.Module) -> tuple[tuple[str, Setting], ...]:
    """The attributes that the module's methods choose by, with their values; those that a condition reads come first.

    Truth values that are read count too: they are passed on to functions that choose by them. Constructors do not
    count, nor do the methods of torch's own classes. Properties are not asked: they may compute, or fail.
    """
    found: dict[str, Setting] = {}
    for name, asked in _read(type(module)):  # type: ignore[arg-type]
        value = inspect.getattr_static(module, name, ...)
        if isinstance(value, bool) or (asked and (value is None or isinstance(value, int | str))):
            found[name] = value
    return tuple(found.items())


def scalars(module: nn.Module) -> tuple[tuple[str, Scalar], ...]:
    """The public attributes of a module that are numbers or texts, or one several times, as ``(8, 8)``."""
    found: dict[str, Scalar] = {}
    for name, value in vars(module).items():
        parts = value if isinstance(value, tuple | list) and 0 < len(value) <= _AXES else (value,)
        if all(type(part) in (int, float, str) and part == parts[0] for part in parts) and not name.startswith("_"):
            found[name] = parts[0]
    return tuple(found.items())


@cache
def _read(cls: Hashable) -> tuple[tuple[str, bool], ...]:
    """The attributes of itself that a class reads, and whether a condition asks for them; these come first.

    A condition asks whether one is true, or compares it with constants: `self.inputs != self.outputs` says nothing of
    either alone.
    """
    asked: dict[str, bool] = {}
    for base in inspect.getmro(cls):  # type: ignore[arg-type]
        if base.__module__.split(".")[0] in ("torch", "builtins"):
            continue
        for method in _methods(base):
            for name, in_condition in _attributes(method):
                asked[name] = asked.get(name, False) or in_condition
    names = [name for name in asked if name not in _NOT_READ]
    return tuple((name, asked[name]) for name in sorted(names, key=lambda name: not asked[name]))


def _methods(cls: type) -> Iterator[ast.FunctionDef]:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    except (OSError, TypeError, SyntaxError):  # a class without a file
        return
    for part in tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else ():
        aside = isinstance(part, ast.FunctionDef) and (part.name in _ASIDE or part.name.startswith("__"))
        if isinstance(part, ast.FunctionDef) and not aside and part.args.args:
            yield part


def _asked(condition: ast.expr) -> Iterator[ast.expr]:
    """The expressions whose truth or equality to constants a condition depends on."""
    match condition:
        case ast.BoolOp(values=parts):
            for part in parts:
                yield from _asked(part)
        case ast.UnaryOp(op=ast.Not(), operand=part):
            yield from _asked(part)
        case ast.Compare(left=left, comparators=others):
            sides = [side for side in (left, *others) if not _is_constant(side)]
            yield from sides if len(sides) == 1 else ()
        case _:
            yield condition


def _is_constant(node: ast.expr) -> bool:
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return all(map(_is_constant, node.elts))
    return isinstance(node.operand if isinstance(node, ast.UnaryOp) else node, ast.Constant)


def _attributes(method: ast.FunctionDef) -> Iterator[tuple[str, bool]]:
    own = method.args.args[0].arg
    conditions = [node.test for node in ast.walk(method) if isinstance(node, ast.If | ast.IfExp)]
    inside = {id(part) for condition in conditions for part in _asked(condition)}
    for node in ast.walk(method):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and ast.unparse(node.value) == own:
            yield node.attr, id(node) in inside
