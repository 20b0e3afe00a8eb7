"""The modules of a JAX model in the name stack of its equations: each module's call runs within a scope of its own.

A scope is called ``module@path#3``: the path of the module and the number of the call.
"""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from itertools import count
from typing import Any
from unittest import mock

import jax
from flax import linen, nnx

from regauge.run.jax_haiku import dropout_scopes, module_scopes
from regauge.run.jax_keras_model import KerasProgram, layer_scopes, model_name

_MARK = "module@"
_NNX_MARK = "_regauge_path"
_EQUINOX_MARK = "__qualname__"  # what is no field gets lost, but for the attributes that wrapped functions have
_NUMBERS = count()
_AGAIN = "again@"
_SCOPE = re.compile(rf"{_MARK}([^#/()]*)#(\d+)")
_STEP = re.compile(rf"{_SCOPE.pattern}|{_AGAIN}(\d+)")


@dataclasses.dataclass(frozen=True)
class ModuleCall:
    """One call of a module.

    Attributes:
        path: of the module in the model.
        module: the object, with its configuration; it must not be kept longer than the trace.
    """

    path: str
    module: Any


def module_of(name_stack: str) -> str:
    """The path of the innermost module in a name stack; "" for none."""
    found = _SCOPE.findall(name_stack)
    return found[-1][0] if found else ""


def calls_in(name_stack: str) -> tuple[tuple[int, str], ...]:
    """The calls of modules in a name stack, outermost first: their numbers, and a key that no other call has.

    What JAX traced once and runs again has the names of the first time: `repeated` tells the two apart.
    """
    found: list[tuple[int, str]] = []
    again = ""
    for path, number, repetition in _STEP.findall(name_stack):
        again += f"+{repetition}" if repetition else ""
        found += [(int(number), f"{path}#{number}{again}")] if number else []
    return tuple(found)


def module_type(module: Any) -> str:
    """The full name of a module's class; a model of Keras without a class of its own gives its name for it."""
    cls = type(module)
    name = model_name(module) if cls.__module__.startswith("keras.src.models.") else cls.__qualname__
    return f"{cls.__module__}.{name}"


def repeated(name_stack: str, number: int) -> str:
    """The name stack around what is run again, for the time of this number."""
    return f"{name_stack}/{_AGAIN}{number}"


@contextmanager
def scopes(program: Any) -> Iterator[list[ModuleCall]]:
    """Within the block every call of a module of NNX, Linen, Equinox, Haiku or Keras is a scope that `module_of` reads.

    Args:
        program: of the model that is traced.

    Yields:
        The calls, as they are made; `calls_in` gives their places in this list.
    """
    calls: list[ModuleCall] = []

    def scope(path: str, module: Any) -> Any:
        calls.append(ModuleCall(path, module))
        return jax.named_scope(f"{_MARK}{path}#{len(calls) - 1}")

    with ExitStack() as stack:
        stack.enter_context(linen.intercept_methods(_linen(scope)))
        if isinstance(program, KerasProgram):
            stack.enter_context(layer_scopes(program.layers, scope))
        stack.enter_context(module_scopes(scope))
        stack.enter_context(dropout_scopes(scope))
        module = getattr(program, "module", None)
        if isinstance(module, nnx.Module):
            classes = {type(inner) for _, inner in nnx.iter_modules(module)}
            stack.enter_context(_observed(classes, _Marks(_NNX_MARK, _nnx_modules), scope))
        if "equinox" in sys.modules:
            found: set[type] = set()
            for tree in getattr(program, "trees", ()):
                found |= equinox_classes(tree.tree(tree.arrays))
            marks = _Marks(_EQUINOX_MARK, _equinox_modules)
            if hasattr(program, "met"):
                stack.enter_context(mock.patch.object(program, "met", marks.mark))
            stack.enter_context(_observed(found, marks, scope))
        yield calls


def _linen(scope: Callable[[str, Any], Any]) -> Callable[..., Any]:
    def intercept(following: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> Any:
        path = ".".join(context.module.path)
        if not path or context.method_name != "__call__":
            return following(*args, **kwargs)
        with scope(path, context.module):
            return following(*args, **kwargs)

    return intercept


class _Marks:
    """The paths of modules, which their copies bear too.

    Transformations (`nnx.remat`, `nnx.jit`, `eqx.filter_checkpoint`) call copies. A module therefore has its path in an
    attribute that a copy keeps. With a number beside it that no other trace has, JAX takes no function of another
    module, or of another trace, for one that it has traced already.

    Args:
        attribute: where the path is.
        modules_below: all modules of a tree with their paths, "" for the tree itself.
    """

    def __init__(self, attribute: str, modules_below: Callable[[Any], Iterator[tuple[str, Any]]]) -> None:
        self.attribute = attribute
        self.modules_below = modules_below
        self.number = next(_NUMBERS)
        self.marked: list[tuple[Any, Any]] = []  # modules, and what the attribute was before

    def path(self, module: Any) -> str:
        """The path of a module; one that bears none is a tree of its own."""
        if self._known(module) is None:
            self.mark(module)
        return self._known(module) or ""

    def mark(self, tree: Any) -> None:
        """Give the modules of a tree that bear no path the one that they have in it."""
        for path, inner in self.modules_below(tree):
            if self._known(inner) is None:
                self.marked.append((inner, vars(inner).get(self.attribute)))
                object.__setattr__(inner, self.attribute, f"{_MARK}{path}#{self.number}")

    def _known(self, module: Any) -> str | None:
        found = _SCOPE.fullmatch(str(vars(module).get(self.attribute)))
        return found[1] if found is not None else None

    def remove(self) -> None:
        """Leave the modules as they were."""
        for module, before in self.marked:
            vars(module).pop(self.attribute, None)
            if before is not None:
                object.__setattr__(module, self.attribute, before)


@contextmanager
def _observed(classes: set[type], marks: _Marks, scope: Callable[[str, Any], Any]) -> Iterator[None]:
    """Every call of these classes is a scope; the first object that is called gives the paths of those below it.

    Args:
        classes: whose `__call__`, their own or what they inherit, is replaced.
        marks: tell the paths; they are gone afterwards.
        scope: makes the scope of a path and a module.
    """
    active: list[str] = []

    def scoped(original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)  # `eqx.filter_vmap` asks for its signature
        def replaced(self: Any, *args: Any, **kwargs: Any) -> Any:
            path = marks.path(self)
            if not path or path in active:  # a class that calls what it inherits is one call
                return original(self, *args, **kwargs)
            active.append(path)
            try:
                with scope(path, self):
                    return original(self, *args, **kwargs)
            finally:
                active.remove(path)

        return replaced

    owners = {next((base for base in cls.__mro__ if "__call__" in vars(base)), None) for cls in classes}
    own = [(cls, vars(cls)["__call__"]) for cls in owners if cls is not None and cls is not object]
    for cls, function in own:
        type.__setattr__(cls, "__call__", scoped(function))
    try:
        yield
    finally:
        for cls, function in own:
            type.__setattr__(cls, "__call__", function)
        marks.remove()


def _nnx_modules(model: Any) -> Iterator[tuple[str, Any]]:
    for path, module in nnx.iter_modules(model):
        if callable(module):  # no list or dict of modules
            yield ".".join(map(str, path)), module


def _equinox_modules(model: Any) -> Iterator[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []

    def visit(node: Any, path: str) -> None:
        if isinstance(node, sys.modules["equinox"].Module):
            found.append((path, node))
            children = {field.name: getattr(node, field.name, None) for field in dataclasses.fields(node)}
        elif isinstance(node, dict):
            children = {str(key): child for key, child in node.items()}
        else:
            children = {str(i): child for i, child in enumerate(node)} if isinstance(node, list | tuple) else {}
        for name, child in children.items():
            visit(child, f"{path}.{name}" if path else name)

    visit(model, "")
    yield from found


def equinox_classes(tree: Any) -> set[type]:
    """The classes of all modules of Equinox in a tree."""
    equinox = sys.modules["equinox"]
    found: set[type] = set()

    def visit(node: Any) -> None:
        for child in jax.tree.leaves(node, is_leaf=lambda leaf: leaf is not node and isinstance(leaf, equinox.Module)):
            if isinstance(child, equinox.Module):
                found.add(type(child))
                visit(child)

    found |= {type(tree)} if isinstance(tree, equinox.Module) else set()
    visit(tree)
    return found
