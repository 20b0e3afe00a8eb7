"""Copy a torch model's weights into the arrays of a port whose names are the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx

Arrays = dict[str, np.ndarray]

# the last name of a path in JAX libraries, and torch's
_LEAVES = {
    **dict.fromkeys(("kernel", "scale", "embedding", "w", "embeddings"), "weight"),
    "offset": "bias",
    "b": "bias",
    "mean": "running_mean",
    "var": "running_var",
}
# where the axes of torch's array stand, by rank: channels first become channels last
_AXES = {2: (1, 0), 3: (2, 1, 0), 4: (2, 3, 1, 0)}


def weights_of(model: torch.nn.Module) -> Arrays:
    """Parameters and buffers by torch's names."""
    return {name: tensor.detach().numpy().copy() for name, tensor in model.state_dict().items()}


def filled(tree: Any, weights: Mapping[str, np.ndarray]) -> Any:
    """The tree of Linen or Haiku, arrays or shapes, with torch's weights in the places of the same path."""

    def value(path: Any, leaf: Any) -> jax.Array:
        parts = [part for step in path for part in str(getattr(step, "key", step)).split("/")]
        kept = [part for part in parts if part not in ("params", "batch_stats", "~")]
        return _array(kept, weights).astype(leaf.dtype)

    return jax.tree_util.tree_map_with_path(value, tree)


def fill(model: nnx.Module, weights: Mapping[str, np.ndarray]) -> None:
    """Put torch's weights into an nnx module, whose attributes have torch's names."""
    state = nnx.state(model, nnx.Not(nnx.RngState))
    for path, variable in nnx.to_flat_state(state):
        variable.set_value(_array([str(part) for part in path], weights).astype(variable.dtype))
    nnx.update(model, state)


def _array(path: list[str], weights: Mapping[str, np.ndarray]) -> jax.Array:
    *module, leaf = path
    array = weights[".".join([*module, _LEAVES.get(leaf, leaf)])]
    return jnp.asarray(array.transpose(_AXES[array.ndim]) if leaf in ("kernel", "w") else array)
