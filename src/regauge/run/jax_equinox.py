"""Equinox's modules, without importing Equinox: what one is, and one that `jax.vmap` maps over examples."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import jax


def is_equinox(model: Any) -> bool:
    """Whether an object is a module."""
    equinox = sys.modules.get("equinox")
    return equinox is not None and isinstance(model, equinox.Module)


def is_equinox_class(cls: type) -> bool:
    """Whether a class is one of modules."""
    equinox = sys.modules.get("equinox")
    return equinox is not None and issubclass(cls, equinox.Module)


def has_equinox(tree: Any) -> bool:
    """Whether a pytree holds a module."""
    return "equinox" in sys.modules and any(map(is_equinox, jax.tree.leaves(tree, is_leaf=is_equinox)))


def in_mode(tree: Any, evaluates: bool) -> Any:
    """A pytree of modules with all their flags `inference` set; those that `eqx.partition` took out stay out."""
    if not _flags(tree):
        return tree
    return sys.modules["equinox"].tree_at(_flags, tree, replace_fn=lambda _: evaluates)


def _flags(tree: Any) -> list[Any]:
    def is_flagged(part: Any) -> bool:
        return part is not tree and hasattr(part, "inference")

    own = getattr(tree, "inference", None)
    below = [part for part in jax.tree.leaves(tree, is_leaf=is_flagged) if is_flagged(part)]
    return [*([] if own is None else [own]), *(flag for part in below for flag in _flags(part))]


def mapped_module(function: Any) -> Any:
    """The module that `jax.vmap` makes a function of, ``jax.vmap(module)``; None for other functions.

    A jitted function in between would keep what an earlier trace left of the module's arrays.
    """
    while not is_equinox(function):
        if is_jitted(function) or not hasattr(function, "__wrapped__"):
            return None
        function = function.__wrapped__
    return function


def is_jitted(function: Any) -> bool:
    return hasattr(function, "__wrapped__") and hasattr(function, "lower") and hasattr(function, "trace")


def calling(function: Callable[..., Any], module: Any) -> Callable[..., Any]:
    """What ``jax.vmap(module)`` computes with other arrays in the module, as a function of module and arguments.

    The function holds the module itself, which therefore has the fields of the given one during the call. A key among
    the keyword arguments, which `jax.vmap` maps as it does all of them, becomes one for each example.
    """

    def call(given: Any, *args: Any, **kwargs: Any) -> Any:
        count = next((leaf.shape[0] for leaf in jax.tree.leaves(args) if getattr(leaf, "ndim", 0)), None)
        kwargs = {n: jax.random.split(a, count) if count and _is_one_key(a) else a for n, a in kwargs.items()}
        fields = vars(module)  # a frozen dataclass keeps its fields here
        own = dict(fields)
        fields.update(vars(given))
        try:
            return function(*args, **kwargs)
        finally:
            fields.update(own)

    return call


def _is_one_key(value: Any) -> bool:
    return isinstance(value, jax.Array) and jax.numpy.issubdtype(value.dtype, jax.dtypes.prng_key) and value.ndim == 0
