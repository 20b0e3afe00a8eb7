"""Equinox's modules, without importing Equinox: what one is."""

from __future__ import annotations

import sys
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
