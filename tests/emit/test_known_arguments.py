"""Inputs that are known at conversion: the argument stays, other values are refused, and every check keeps them."""

from __future__ import annotations

import json

import jax
import numpy as np
import pytest
import torch
from torch import Tensor

import regauge
from regauge.errors import BadCase
from regauge.run.jax_model import JaxModel
from regauge.verify.inputs import make_input_sets

X, LENGTHS = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([2, 4])


def means(x: Tensor, lengths: Tensor) -> Tensor:
    return torch.stack([part.mean(0) for part in x.split(lengths.tolist())]) / lengths[:, None]


@pytest.fixture(scope="module")
def converted() -> JaxModel:
    return regauge.to_jax(means, (X, LENGTHS), known=("lengths",))


def test_the_values_are_part_of_the_code(converted) -> None:
    np.testing.assert_allclose(converted(X.numpy(), LENGTHS.numpy()), means(X, LENGTHS), atol=1e-6)
    assert "def __call__(self, x, lengths):" in converted.source


def test_other_values_are_refused(converted) -> None:
    for other in (np.array([3, 3]), np.array([2, 4, 0])):
        with pytest.raises(BadCase, match="other values than the model was converted for") as caught:
            converted(X.numpy(), lengths=other)
        assert caught.value.code == "C192"
        assert "[2, 4]" in caught.value.why
    with pytest.raises(BadCase):
        jax.jit(lambda x: converted(x, np.array([1, 5])))(X.numpy())
    assert jax.jit(converted)(X.numpy(), LENGTHS.numpy()).shape == (2, 3)  # values of a trace are not there to compare


class Chooses(torch.nn.Module):
    def forward(self, x: Tensor, sign: float = 1.0, mode: str = "relu", bias: Tensor | None = None) -> Tensor:
        y = torch.relu(x) if mode == "relu" else torch.tanh(x)
        return sign * y if bias is None else sign * y + bias


def test_another_flag_number_or_text_is_refused() -> None:
    model = regauge.to_jax(Chooses(), (), {"x": X, "sign": -0.1, "mode": "tanh", "bias": None})
    expected = -0.1 * torch.tanh(X)
    np.testing.assert_allclose(model(x=X.numpy(), sign=-0.1, mode="tanh"), expected, atol=1e-6)
    np.testing.assert_allclose(model(X.numpy(), np.float32(-0.1)), expected, atol=1e-6)
    for other in ({"sign": 1.0}, {"mode": "relu"}, {"bias": X.numpy()}):
        with pytest.raises(BadCase, match=f"{next(iter(other))} has another value than the model") as caught:
            model(x=X.numpy(), **other)
        assert caught.value.code == "C192"


def test_the_saved_folder_says_which_arrays_are_known(converted, tmp_path) -> None:
    converted.save(tmp_path)
    assert json.loads((tmp_path / "conversion.json").read_text(encoding="utf-8"))["known"] == ["inputs.1"]
    assert "lengths = [2, 4]" in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_every_input_set_of_a_check_keeps_known_inputs() -> None:
    reference = {"inputs.x": X.numpy(), "inputs.n": LENGTHS.numpy(), "inputs.ids": np.arange(6)}
    symbols = [{"name": "batch", "hint": 6, "low": 1, "high": None}]
    sets = make_input_sets(reference, symbols, False, {"inputs.n"})
    assert {item.name for item in sets} >= {"random 1", "smallest index", "batch of 1", "another batch size"}
    assert all(np.array_equal(item.arrays["inputs.n"], LENGTHS.numpy()) for item in sets)
    assert not all(np.array_equal(item.arrays["inputs.ids"], np.arange(6)) for item in sets)
