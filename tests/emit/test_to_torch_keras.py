"""Models of Keras as they are given: module structure by the names of layers, layers of torch.nn, what is refused."""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "jax"

import re
from collections.abc import Callable
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
import torch
from comparing_jax import assert_same, close

import regauge
from regauge.errors import BadCase, CaptureError
from regauge.run.frameworks import framework_of
from regauge.run.jax_dropout import dropout_control
from regauge.run.jax_keras_model import layers_of, model_name
from regauge.run.jax_program import program_of

LAYERS = keras.layers
X2, X3, X4 = (
    np.random.default_rng(0).normal(size=size).astype(np.float32) for size in ((3, 8), (2, 9, 4), (2, 6, 6, 4))
)
X5 = np.random.default_rng(0).normal(size=(2, 4, 4, 4, 2)).astype(np.float32)
TOKENS = jnp.array([[0, 6], [3, 3]])

# what a layer is in torch, the layer, and its input
ALONE: tuple[tuple[str, Callable[[], Any], Any], ...] = (
    ("nn.Linear(8, 5)", lambda: LAYERS.Dense(5), X2),
    ("nn.Linear(4, 5, bias=False)", lambda: LAYERS.Dense(5, use_bias=False), X4),
    ("nn.Linear(4, 6)", lambda: LAYERS.EinsumDense("abcd,def->abcef", (6, 6, 2, 3), bias_axes="ef"), X4),
    ("nn.Linear(24, 5)", lambda: LAYERS.EinsumDense("abcd,cde->abe", (6, 5), bias_axes="e"), X4),
    ('nn.Conv1d(4, 5, 3, padding="same")', lambda: LAYERS.Conv1D(5, 3, padding="same"), X3),
    ("nn.Conv2d(4, 6, (3, 2), stride=2, groups=2)", lambda: LAYERS.Conv2D(6, (3, 2), strides=2, groups=2), X4),
    ("nn.Conv2d(4, 5, 3, dilation=2, bias=False)", lambda: LAYERS.Conv2D(5, 3, dilation_rate=2, use_bias=False), X4),
    ('nn.Conv3d(2, 3, 2, padding="same")', lambda: LAYERS.Conv3D(3, 2, padding="same"), X5),
    ("nn.Conv2d(4, 8, 3, groups=4)", lambda: LAYERS.DepthwiseConv2D(3, depth_multiplier=2), X4),
    ('nn.Conv1d(4, 4, 3, padding="same", groups=4, bias=False)', lambda: LAYERS.DepthwiseConv1D(
        3, padding="same", use_bias=False), X3),
    ("nn.ConvTranspose2d(4, 5, 3, stride=2)", lambda: LAYERS.Conv2DTranspose(5, 3, strides=2), X4),
    ("BatchNorm(4, eps=0.001)", LAYERS.BatchNormalization, X4),
    ("BatchNorm(8, momentum=0.9, scale=False)", lambda: LAYERS.BatchNormalization(
        momentum=0.9, epsilon=1e-5, scale=False), X2),
    ("nn.LayerNorm(8, eps=0.001)", LAYERS.LayerNormalization, X2),
    ("nn.LayerNorm(4, eps=1e-06, bias=False)", lambda: LAYERS.LayerNormalization(epsilon=1e-6, center=False), X4),
    ("nn.Embedding(7, 3)", lambda: LAYERS.Embedding(7, 3), TOKENS),
    ("nn.RMSNorm(4, eps=1e-06)", LAYERS.RMSNormalization, X3),
    ("nn.GroupNorm(2, 4, eps=0.001)", lambda: LAYERS.GroupNormalization(2), X4),
    ("nn.ConvTranspose1d(4, 5, 3, stride=2)", lambda: LAYERS.Conv1DTranspose(5, 3, strides=2), X3),
    ("nn.ConvTranspose3d(2, 3, 2, stride=2)", lambda: LAYERS.Conv3DTranspose(3, 2, strides=2), X5),
)  # fmt: skip


class Sides(keras.Model):
    """Each input through a layer of its own: one conversion for many layers."""

    def __init__(self, layers: list[Any]) -> None:
        super().__init__()
        self.sides = layers

    def call(self, inputs: Any, training: Any = None) -> Any:
        found = []
        for layer, x in zip(self.sides, inputs, strict=True):
            norm = isinstance(layer, LAYERS.BatchNormalization)
            found.append(layer(x, training=training) if norm else layer(x))
        return found


def shuffled(model: keras.Model) -> keras.Model:
    """All weights random: scales of one and biases of zero would hide what is forgotten."""
    keys = jax.random.split(jax.random.key(1), len(model.variables))
    for variable, key in zip(model.variables, keys, strict=True):
        if jnp.issubdtype(variable.value.dtype, jnp.floating):
            variable.assign(jax.random.uniform(key, variable.shape, minval=0.5, maxval=1.5))
    return model


def lines(source: str) -> str:
    """A source in which each statement is one line."""
    return re.sub(r"\s+", " ", source)


def test_layers_are_those_of_torch() -> None:
    model = Sides([make() for _, make, _ in ALONE])
    inputs = [x for _, _, x in ALONE]
    model([jnp.asarray(x) for x in inputs])
    for train in (False, True):
        made = assert_same(shuffled(model), (inputs,), train=train)
        for expected, _, _ in ALONE:
            assert expected in lines(made.source), expected


class Head(keras.layers.Layer):
    """A person's layer, with layers in a list and in attributes, and a weight of its own."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.blocks = [LAYERS.Dense(8, activation="relu"), LAYERS.Dense(8)]
        self.drop = LAYERS.Dropout(0.5)
        self.scale = self.add_weight(name="scale", shape=(8,), initializer="ones")

    def call(self, x: Any, training: Any = None) -> Any:
        for block in self.blocks:
            x = block(x)
        return self.drop(x, training=training) * self.scale


def encoder() -> keras.Model:
    steps = [
        keras.Input((6, 6, 4)),
        LAYERS.Conv2D(4, 3, activation="gelu", name="conv"),
        LAYERS.BatchNormalization(name="norm"),
        LAYERS.GlobalAveragePooling2D(),
    ]
    return keras.Sequential(steps, name="encoder")


def nested(frozen: bool = False) -> keras.Model:
    """Models and a person's layer in a functional model."""
    inner = encoder()
    inner.trainable = not frozen
    image = keras.Input((6, 6, 4))
    outputs = LAYERS.Dense(3, activation="silu", name="out-1")(Head(name="head")(inner(image)))
    return shuffled(keras.Model(image, outputs, name="two_step.net"))


def test_models_and_layers_are_modules_by_their_names() -> None:
    made = assert_same(nested(), (X4,))
    for text in (
        "class TwoStepNet(nn.Module):", "class Encoder(nn.Module):", "class Head(nn.Module):",
        "self.encoder = Encoder()", "self.head = Head()", "self.out_1 = nn.Linear(8, 3)",
        "self.conv = nn.Conv2d(4, 4, 3)", "self.norm = BatchNorm(4, eps=0.001)",
        "self.norm(F.gelu(self.conv(x)))", "F.silu(self.out_1(x))",
        "self.blocks = nn.ModuleList([nn.Linear(4, 8), nn.Linear(8, 8)])", "self.drop = nn.Dropout(0.5)",
        "self.scale = nn.Parameter(torch.empty(8))",
    ):  # fmt: skip
        assert text in made.source, text
    assert "head.blocks.0.kernel" in program_of(nested()).params


def test_a_separable_convolution_is_two_layers() -> None:
    model = keras.Sequential([keras.Input((6, 6, 4)), LAYERS.SeparableConv2D(5, 3, padding="same", activation="relu")])
    made = assert_same(shuffled(model), (X4,))
    assert 'self.depthwise = nn.Conv2d(4, 4, 3, padding="same", groups=4, bias=False)' in made.source
    assert "self.pointwise = nn.Conv2d(4, 5, 1)" in made.source
    assert "F.relu(self.separable_conv2d(" in made.source


def test_frozen_layers_do_not_train() -> None:
    made = assert_same(nested(frozen=True), (X4,))
    assert "self.conv = nn.Conv2d(4, 4, 3).requires_grad_(False)" in made.source
    trains = {name for name, parameter in made.named_parameters() if parameter.requires_grad}
    assert trains == {
        "head.blocks.0.weight", "head.blocks.0.bias", "head.blocks.1.weight", "head.blocks.1.bias", "head.scale",
        "out_1.weight", "out_1.bias",
    }  # fmt: skip
    before = {name: array.clone() for name, array in made.named_buffers()}
    made.train()(torch.from_numpy(X4))
    assert before
    assert all(torch.equal(array, before[name]) for name, array in made.named_buffers()), "it is in evaluation always"


def test_dropout_and_statistics_follow_the_mode() -> None:
    model = nested()
    made = regauge.to_torch(model, (X4,))
    x = torch.from_numpy(X4)
    assert torch.equal(made(x), made(x))
    made.train()
    assert not torch.equal(made(x), made(x))
    before = program_of(model).state["encoder.norm.moving_mean"]
    assert not np.array_equal(made.encoder.norm.running_mean.numpy(), np.asarray(before))


def test_dropout_takes_masks() -> None:
    program = program_of(nested())
    with dropout_control("off") as log:
        off = program.call(program.params, program.state, (X4,), "train", None)[0]
    assert (log.shapes, log.rates) == ([(2, 8)], [0.5])
    with dropout_control("masks", [np.ones((2, 8), bool)]):
        kept = program.call(program.params, program.state, (X4,), "train", None)[0]
    assert not np.allclose(off, kept), "what is kept is scaled"


def test_a_layer_that_draws_otherwise_is_for_evaluation() -> None:
    model = keras.Sequential([keras.Input((8,)), LAYERS.Dense(4), LAYERS.GaussianNoise(0.1)])
    with pytest.raises(CaptureError, match="draws random numbers") as error:
        regauge.to_torch(model, (X2,), train=True)
    assert (error.value.code, error.value.received) == ("C153", "gaussian_noise.seed_generator_state")
    made = regauge.to_torch(model, (X2,))
    close("output", np.asarray(model(X2)), made(torch.from_numpy(X2)).detach().numpy(), 1e-6)


def test_inputs_by_structure_and_layers_called_twice() -> None:
    first, second = keras.Input((8,), name="a"), keras.Input((8,), name="b")
    shared = LAYERS.Dense(5, activation="tanh", name="shared")
    model = keras.Model({"a": first, "b": second}, [shared(first), shared(second) + 1.0])
    made = regauge.to_torch(shuffled(model), ({"a": X2, "b": X2[::-1].copy()},))
    assert made.source.count("nn.Linear(8, 5)") == 1
    expected = model({"a": X2, "b": X2[::-1].copy()})
    found = made({"a": torch.from_numpy(X2), "b": torch.from_numpy(X2[::-1].copy())})
    for one, other in zip(expected, found, strict=True):
        close("output", np.asarray(one), other.detach().numpy(), 1e-6)


def test_names_are_unique_identifiers() -> None:
    odd = keras.Sequential(
        [keras.Input((8,)), LAYERS.Dense(4, name="1st layer"), LAYERS.Dense(4, name="1st-layer")], name="2.5_net v2_3"
    )
    assert list(layers_of(odd))[-2:] == ["layer_1st_layer", "layer_1st_layer_1"]
    assert model_name(odd) == "Model2_5NetV2_3"
    assert model_name(keras.Sequential([keras.Input((8,)), LAYERS.Dense(4)])) == "Model"
    assert model_name(Sides([])) == "Sides"


def test_a_model_without_variables_is_explained() -> None:
    for model in (keras.Sequential([LAYERS.Dense(4)]), Sides([LAYERS.Dense(4)])):
        with pytest.raises(BadCase, match="has no variables yet") as error:
            regauge.to_torch(model, (X2,))
        assert error.value.code == "B115"
        assert "call it once on its inputs" in error.value.next


@pytest.mark.parametrize("backend", ["tensorflow", "torch"])
def test_another_backend_is_explained(backend: str) -> None:
    model = keras.Sequential([keras.Input((8,)), LAYERS.Dense(4)])
    with mock.patch.object(keras.config, "backend", return_value=backend):
        with pytest.raises(BadCase, match="does not compute with JAX") as error:
            regauge.to_torch(model, (X2,))
        assert framework_of(model) == ("torch" if backend == "torch" else "")
    assert error.value.code == "B116"
    assert backend in error.value.received
    assert 'os.environ["KERAS_BACKEND"] = "jax"' in error.value.next
    assert framework_of(model) == "jax"


def test_recurrent_layers_with_masks_and_several_inputs_and_outputs() -> None:
    tokens, image = keras.Input((3,), dtype="int32", name="tokens"), keras.Input((6, 6, 4), name="image")
    read = LAYERS.Bidirectional(LAYERS.GRU(3))(LAYERS.Embedding(9, 4, mask_zero=True)(tokens))
    seen = LAYERS.GlobalMaxPooling2D()(LAYERS.ZeroPadding2D(1)(LAYERS.Rescaling(0.5)(image)))
    both = LAYERS.Concatenate()([read, seen])
    model = keras.Model(
        {"tokens": tokens, "image": image}, {"class": LAYERS.Dense(2)(both), "features": LAYERS.PReLU()(both)}
    )
    assert_same(shuffled(model), ({"tokens": jnp.array([[0, 6, 2], [3, 3, 0]]), "image": X4},))
