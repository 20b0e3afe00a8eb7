"""JAX arrays as numpy: copied, or seen where they lie; and Python values that come out of a jitted function."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from regauge.run.array_files import Arrays
from regauge.run.protocol import flatten_tree


@jax.tree_util.register_static
class Static:
    """A Python value that a jitted function returns beside its arrays."""

    def __init__(self, value: Any = None) -> None:
        self.value = value

    def __hash__(self) -> int:
        return hash(repr(self.value))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Static) and self.value == other.value


def named_outputs(outputs: Any) -> dict[str, Any]:
    """The outputs' arrays by name, ``outputs.logits`` and so on."""
    return flatten_tree(outputs, lambda leaf: isinstance(leaf, jax.Array), "outputs")[1]


def numpy_of(array: Any) -> np.ndarray:
    """A copy as numpy; floats that numpy does not know become float32, which holds them exactly."""
    found = np.array(array)
    return found.astype(np.float32) if str(array.dtype) in ("bfloat16", "float16") else found


def seen(arrays: Mapping[str, Any]) -> Arrays:
    """As numpy without a copy where numpy knows the dtype: for what is written or read at once."""
    odd = ("bfloat16", "float16")
    return {name: numpy_of(array) if str(array.dtype) in odd else np.asarray(array) for name, array in arrays.items()}


def numpy_all(arrays: Mapping[str, Any]) -> Arrays:
    """Copies as numpy, by name."""
    return {name: numpy_of(array) for name, array in arrays.items()}
