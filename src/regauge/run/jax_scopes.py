"""The modules of a JAX model in the name stack of its equations: each module's call runs within a scope of its own."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import jax
from flax import linen, nnx

_MARK = "module@"


def module_of(name_stack: str) -> str:
    """The path of the innermost module in a name stack; "" for none."""
    found = [part for part in name_stack.split("/") if _MARK in part]
    return found[-1].rpartition(_MARK)[2].rstrip(")") if found else ""


@contextmanager
def scopes(program: Any) -> Iterator[None]:
    """Within the block every call of a module of NNX, Linen or Equinox is a scope that `module_of` reads.

    Args:
        program: of the model that is traced.
    """
    with ExitStack() as stack:
        stack.enter_context(linen.intercept_methods(_linen))
        module = getattr(program, "module", None)
        if isinstance(module, nnx.Module):
            classes = {type(inner) for _, inner in nnx.iter_modules(module)}
            stack.enter_context(_observed(classes, _nnx_paths))
        if "equinox" in sys.modules:
            found: set[type] = set()
            for tree in getattr(program, "trees", ()):
                found |= _equinox_classes(tree.tree(tree.arrays))
            stack.enter_context(_observed(found, _equinox_paths))
        yield


def _linen(following: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> Any:
    path = ".".join(context.module.path)
    if not path or context.method_name != "__call__":
        return following(*args, **kwargs)
    with jax.named_scope(_MARK + path):
        return following(*args, **kwargs)


@contextmanager
def _observed(classes: set[type], paths_below: Callable[[Any], dict[int, str]]) -> Iterator[None]:
    """Every call of these classes is a scope; the first object that is called gives the paths of those below it.

    Args:
        classes: whose `__call__` is replaced.
        paths_below: by identity the paths of all modules of a tree, "" for the tree itself.
    """
    paths: dict[int, str] = {}
    kept: list[Any] = []  # so that no other module takes the identity of one that is gone

    def scoped(original: Callable[..., Any]) -> Callable[..., Any]:
        def replaced(self: Any, *args: Any, **kwargs: Any) -> Any:
            if id(self) not in paths:
                kept.append(self)
                for key, path in paths_below(self).items():
                    paths.setdefault(key, path)
            path = paths.get(id(self), "")
            if not path:
                return original(self, *args, **kwargs)
            with jax.named_scope(_MARK + path):
                return original(self, *args, **kwargs)

        return replaced

    own = [(cls, vars(cls)["__call__"]) for cls in classes if "__call__" in vars(cls)]
    for cls, function in own:
        type.__setattr__(cls, "__call__", scoped(function))
    try:
        yield
    finally:
        for cls, function in own:
            type.__setattr__(cls, "__call__", function)


def _nnx_paths(model: Any) -> dict[int, str]:
    return {id(module): ".".join(map(str, path)) for path, module in nnx.iter_modules(model)}


def _equinox_paths(model: Any) -> dict[int, str]:
    found: dict[int, str] = {}

    def visit(node: Any, path: str) -> None:
        if isinstance(node, sys.modules["equinox"].Module):
            found.setdefault(id(node), path)
            children = {field.name: getattr(node, field.name, None) for field in dataclasses.fields(node)}
        elif isinstance(node, dict):
            children = {str(key): child for key, child in node.items()}
        else:
            children = {str(i): child for i, child in enumerate(node)} if isinstance(node, list | tuple) else {}
        for name, child in children.items():
            visit(child, f"{path}.{name}" if path else name)

    visit(model, "")
    return found


def _equinox_classes(tree: Any) -> set[type]:
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
