"""Weights that nothing reads stay in the folder, and the module loads without them."""

from __future__ import annotations

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import torch
from safetensors.numpy import load_file

import regauge
from regauge.run.torch_folder import load_torch_folder


def test_a_folder_with_unused_weights_loads(tmp_path: Path) -> None:
    params = {"w": jnp.full((3, 2), 2.0), "spare": jnp.arange(4.0)}
    few = jnp.array([1.0, 3.0])  # written into the code
    made = regauge.to_torch(lambda params, x: x @ params["w"] * few, (jnp.ones((5, 3)),), params=params)
    made.save(tmp_path)
    np.testing.assert_array_equal(load_file(tmp_path / "weights.safetensors")["unused.spare"], np.arange(4.0))
    x = torch.ones(5, 3)
    torch.testing.assert_close(load_torch_folder(tmp_path).model(x), made(x), rtol=0, atol=0)
