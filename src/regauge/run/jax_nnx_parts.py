"""Parts of an nnx.Module as regauge names them: variables, plain arrays, attributes, modes."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx

from regauge.run.jax_trees import Mode

# what nnx itself tracks in the attributes of a module
_KEPT = (nnx.Variable, nnx.Module, nnx.Rngs, nnx.RngStream)


def attributes(model: Any) -> dict[str, dict[str, Any]]:
    """What each module of a model keeps in its attributes beside what nnx tracks, by the module's path."""
    return {
        dotted(path): {n: v for n, v in vars(module).items() if not n.startswith("_") and not isinstance(v, _KEPT)}
        for path, module in nnx.iter_modules(model)
    }


def array_of(leaf: Any) -> Any:
    """The array of a variable or of a plain attribute; numpy's in the dtype in which JAX computes with it."""
    array = leaf[...]
    return jnp.asarray(array) if isinstance(array, np.ndarray) else array


def with_array(leaf: Any, array: Any) -> Any:
    """The leaf of a module's state with another array: a variable, or the array of a plain attribute itself."""
    return leaf.replace(array) if isinstance(leaf, nnx.Variable) else array


def set_mode(module: nnx.Module, mode: Mode) -> None:
    if mode == "train":
        module.train()
    else:
        module.eval()


def dotted(path: tuple[Any, ...]) -> str:
    return ".".join(map(str, path))
