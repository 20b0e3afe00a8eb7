"""What one side calls the tensors of the other: weights by the map, inputs and outputs by links."""

from __future__ import annotations

import numpy as np
import pytest

from regauge.run.frameworks import framework_of
from regauge.run.naming import Link, Names
from regauge.weights.pair_map import Kind, PairMap, Part

MAP = PairMap(
    (
        Part("fc.weight", "fc.kernel", (("permute", (1, 0)),)),
        Part("rnn.bias_ih", "rnn.bias", merged=True),
        Part("rnn.bias_hh", "rnn.bias", merged=True),
    ),
    {name: Kind(shape, "float32") for name, shape in
     {"fc.weight": (2, 3), "rnn.bias_ih": (4,), "rnn.bias_hh": (4,)}.items()},
    {name: Kind(shape, "float32") for name, shape in
     {"fc.kernel": (3, 2), "fc.copy": (3, 2), "rnn.bias": (4,), "own": (1,)}.items()},
    tied_targets={"fc.copy": "fc.kernel"},
    absent_targets={"own": "a counter"},
)  # fmt: skip
SOURCES = {"fc.weight": np.arange(6.0).reshape(2, 3), "rnn.bias_ih": np.ones(4), "rnn.bias_hh": np.full(4, 2.0)}


def names(**rest: object) -> Names:
    return Names({"map": MAP.to_json(), **rest})


def test_weights_go_there_and_back() -> None:
    side = names().to_side(SOURCES)
    assert np.array_equal(side["fc.kernel"], SOURCES["fc.weight"].T)
    assert np.array_equal(side["fc.copy"], side["fc.kernel"])
    assert side["rnn.bias"].tolist() == [3.0] * 4
    back = names().weights("w.", {**side, "own": np.zeros(1), "new": np.zeros(1)})
    assert set(back) == {"w.fc.weight", "w.rnn.bias_hh + rnn.bias_ih", "w.converted:new"}
    assert np.array_equal(back["w.fc.weight"], SOURCES["fc.weight"])
    assert back["w.rnn.bias_hh + rnn.bias_ih"].tolist() == [3.0] * 4


def test_what_the_original_does_not_train_is_left_out_of_gradients() -> None:
    fixed = names(fixed=["fc.weight"])
    assert fixed.is_fixed("fc.kernel")
    assert "fc.weight" not in fixed.weights("", {"fc.kernel": np.zeros((3, 2))}, trainable=True)
    assert "fc.weight" in fixed.weights("", {"fc.kernel": np.zeros((3, 2))})
    assert Names().weights("w.", {"a": np.zeros(1)}).keys() == {"w.a"}


def test_inputs_take_layout_and_dtype_of_the_side() -> None:
    links = [
        Link("inputs.0", "inputs.x", (("permute", (0, 2, 3, 1)),), "float32"),
        Link("inputs.1", "inputs.i", (), "int32"),
    ]
    side = names(inputs=[link.to_json() for link in links])
    images, index = np.random.default_rng(0).random((2, 3, 4, 5)), np.array([1, 2])
    given = side.leaves({"inputs.0": images, "inputs.1": index})
    assert (given["inputs.x"].shape, given["inputs.x"].dtype) == ((2, 4, 5, 3), np.float64)
    assert given["inputs.i"].dtype == np.int32
    assert np.array_equal(side.inputs({"inputs.x": given["inputs.x"]})["inputs.0"], images)
    with pytest.raises(ValueError, match=r"inputs\.1 does not fit int32"):
        side.leaves({"inputs.0": images, "inputs.1": np.array([2**40, 0])})


def test_the_probe_of_an_output_is_the_originals_in_another_layout() -> None:
    link = Link("outputs.0", "outputs", (("permute", (0, 2, 1)),))
    moved = names(outputs=[link.to_json()]).probe("outputs", (2, 4, 3))
    assert np.array_equal(moved, Names().probe("outputs.0", (2, 3, 4)).transpose(0, 2, 1))


def test_the_framework_of_a_function_is_what_its_code_uses() -> None:
    import jax.numpy as jnp
    import torch

    assert framework_of(torch.nn.Linear(1, 1)) == framework_of(torch.sin) == "torch"
    assert framework_of(lambda x: jnp.sin(x).sin) == "jax"
    assert framework_of((lambda p, x: p * x, {"p": jnp.ones(1)})) == "jax"
    assert framework_of(lambda x: x + 1) == framework_of(3) == ""
    assert framework_of(lambda x: torch.sin(jnp.sin(x))) == ""
