"""The capture job of a JAX case: what it writes about the inputs."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import regauge
from regauge.run.array_files import load_arrays
from regauge.run.jax_capture import _write_reference


def test_a_key_among_the_inputs_is_kept_as_its_words(tmp_path: Path) -> None:
    key = jax.random.key(3)
    case = regauge.Case(lambda x, key: x, inputs=(jnp.ones(2), key))
    skeletons = _write_reference(case, jnp.ones(2), tmp_path)
    arrays = load_arrays(tmp_path / "reference.safetensors")
    np.testing.assert_array_equal(arrays["inputs.1"], np.asarray(jax.random.key_data(key)))
    assert skeletons["inputs"]["tuple"][1] == {"leaf": "inputs.1"}
