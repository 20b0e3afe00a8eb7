"""Equinox's modules and their state, without importing Equinox."""

from __future__ import annotations

import re
import sys
from typing import Any

import jax

_STEP = re.compile(r"\[['\"]?([^\]'\"]+)['\"]?\]|\.?([^.\[\]]+)")  # of a path as `jax.tree_util.keystr` writes it


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


def is_state(tree: Any) -> bool:
    """Whether an object is what a stateful model keeps, an `eqx.nn.State`."""
    equinox = sys.modules.get("equinox")
    return equinox is not None and isinstance(tree, equinox.nn.State)


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


def kept_by_owner(state: Any) -> list[tuple[tuple[str, ...], Any]]:
    """What a state keeps, each with the path of the `eqx.nn.StateIndex` that it belongs to, in the state's own order.

    ``Model.norms[0].state_index`` is what `eqx.nn.make_with_state` writes; without it there are numbers.
    """
    kept, owners = state.tree_flatten()
    found = []
    for number, (owner, value) in enumerate(zip(owners, kept, strict=True)):
        steps = _STEP.findall(owner) if isinstance(owner, str) else []
        found.append((tuple("".join(step) for step in steps[1:]) or (str(number),), value))
    return found
