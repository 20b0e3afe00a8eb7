"""What each module of a converted model returns, by its path: for naming the first module that differs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from flax import linen, nnx

from regauge.run.jax_layer_scan import looped


def first_outputs(model: nnx.Module, call: Callable[[], Any]) -> dict[str, jax.Array]:
    """Run `call` and keep the first array of every module's first result.

    Args:
        model: its sub-modules are observed; each class's `__call__` is replaced while `call` runs.
        call: runs the model, not jitted.

    Returns:
        Arrays by module path, in the order in which the modules return.
    """
    paths = {id(module): ".".join(map(str, path)) for path, module in nnx.iter_modules(model)}
    found: dict[str, jax.Array] = {}
    classes = {type(module) for _, module in nnx.iter_modules(model) if "__call__" in vars(type(module))}
    own = {cls: vars(cls)["__call__"] for cls in classes}

    def observed(original: Callable[..., Any]) -> Callable[..., Any]:
        def replaced(self: nnx.Module, *args: Any, **kwargs: Any) -> Any:
            output = original(self, *args, **kwargs)
            path = paths.get(id(self), "")
            arrays = [leaf for leaf in jax.tree.leaves(output) if isinstance(leaf, jax.Array)]
            if path and path not in found and arrays:
                found[path] = arrays[0]
            return output

        return replaced

    def met(stacked: Any, index: int, layer: Any) -> None:
        """The layers of a stack are called what they were in a list."""
        layers.append(layer)  # so that no other module takes the identity of one that is gone
        for path, module in nnx.iter_modules(layer):
            paths[id(module)] = ".".join(map(str, (paths.get(id(stacked), ""), index, *path)))

    layers: list[Any] = []
    for cls, function in own.items():
        cls.__call__ = observed(function)  # type: ignore[method-assign]
    try:
        with looped(met):
            call()
    finally:
        for cls, function in own.items():
            cls.__call__ = function  # type: ignore[method-assign]
    return found


def linen_outputs(call: Callable[[], Any]) -> dict[str, jax.Array]:
    """Run `call` and keep the first array of every Linen module's first result, by path."""
    found: dict[str, jax.Array] = {}

    def observe(following: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> Any:
        output = following(*args, **kwargs)
        path = ".".join(context.module.path)
        arrays = [leaf for leaf in jax.tree.leaves(output) if isinstance(leaf, jax.Array)]
        if context.method_name == "__call__" and path and path not in found and arrays:
            found[path] = arrays[0]
        return output

    with linen.intercept_methods(observe):
        call()
    return found
