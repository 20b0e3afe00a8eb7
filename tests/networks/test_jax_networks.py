"""Networks of JAX, converted to PyTorch, are the originals; most of them, and the whole check, in slow tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from emit.comparing_jax import assert_same

import regauge
from networks.test_networks import assert_equal
from networks.zoo import JAX_NETWORKS
from regauge.case import load_case

# Recurrences in both forms, cells that one is given, second derivatives, statistics, a density, a Keras model.
CONVERTED_QUICKLY = (
    "nnx_mamba_scan",
    "nnx_mamba_parallel",
    "linen_gru",
    "equinox_realnvp",
    "haiku_cnn",
    "pinn_burgers",
    "keras_cnn",
)


def assert_converts(name: str) -> None:
    case = load_case(JAX_NETWORKS[name])
    made = assert_same(case.model, case.inputs)
    assert [symbol.name for symbol in made._conversion.symbols] == ["batch"], "the batch size should be symbolic"


@pytest.mark.parametrize("name", CONVERTED_QUICKLY)
def test_outputs_and_gradients_are_the_originals(name: str) -> None:
    assert_converts(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(JAX_NETWORKS.keys() - set(CONVERTED_QUICKLY)))
def test_outputs_and_gradients_of_the_others_are_the_originals(name: str) -> None:
    assert_converts(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", JAX_NETWORKS)
def test_the_whole_check_says_equal(name: str, tmp_path: Path) -> None:
    assert_equal(regauge.check(JAX_NETWORKS[name], out=tmp_path))
