"""The capture job of a JAX case: what it writes about the inputs."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import regauge
from regauge.errors import BadCase
from regauge.run.array_files import load_arrays
from regauge.run.jax_capture import _refuse_known, _write_reference


def test_a_key_among_the_inputs_is_kept_as_its_words(tmp_path: Path) -> None:
    key = jax.random.key(3)
    case = regauge.Case(lambda x, key: x, inputs=(jnp.ones(2), key))
    skeletons = _write_reference(case, jnp.ones(2), tmp_path)
    arrays = load_arrays(tmp_path / "reference.safetensors")
    np.testing.assert_array_equal(arrays["inputs.1"], np.asarray(jax.random.key_data(key)))
    assert skeletons["inputs"]["tuple"][1] == {"leaf": "inputs.1"}


def test_known_inputs_are_those_of_torch_models() -> None:
    case = regauge.Case(lambda x, n: x * n, inputs=(jnp.ones(2), jnp.ones(2, int)), known=("n",))
    with pytest.raises(BadCase, match="known values are those of a torch model") as caught:
        _refuse_known(case)
    assert caught.value.code == "C190"
