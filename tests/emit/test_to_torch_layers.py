"""Modules of Flax and Equinox as layers of torch.nn, and modules that only look like them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from comparing_jax import assert_same
from flax import linen, nnx

import regauge
from regauge.errors import CaptureError

KEY = jax.random.key(0)
RNGS = nnx.Rngs(0)


class Holder(nnx.Module):
    """A person's module with one module of a library."""

    def __init__(self, layer: Any) -> None:
        self.layer = layer

    def __call__(self, x: Any) -> Any:
        return self.layer(x) * 2.0


class Many(nnx.Module):
    """Each input through a module of its own: one conversion for many layers."""

    def __init__(self, layers: list[Any]) -> None:
        self.layers = nnx.List(layers)

    def __call__(self, inputs: Any) -> Any:
        return [layer(x) for layer, x in zip(self.layers, inputs, strict=True)]


class LinenHolder(linen.Module):
    make: Any

    @linen.compact
    def __call__(self, x: Any) -> Any:
        return self.make.clone(parent=self, name="layer")(x) * 2.0


class EquinoxHolder(eqx.Module):
    layer: eqx.Module
    axes: int = 1

    def __call__(self, x: Any) -> Any:
        layer: Any = self.layer
        for _ in range(self.axes):
            layer = jax.vmap(layer)
        return layer(x) * 2.0


def own(holder: Any, number: int) -> Any:
    """A class of its own for each layer: those of one class that differ in options become one class."""
    return type(f"{holder.__name__}{number}", (holder,), {"__module__": __name__})


def image(*shape: int) -> jax.Array:
    return jax.random.normal(jax.random.key(3), shape)


def shuffled(model: nnx.Module) -> nnx.Module:
    """All weights random: scales of one and biases of zero would hide what is forgotten."""
    graphdef, state = nnx.split(model)
    leaves, structure = jax.tree.flatten(state)
    keys = jax.random.split(KEY, len(leaves))
    floats = [jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in leaves]
    made = [
        jax.random.uniform(key, leaf.shape, leaf.dtype, 0.5, 1.5) if is_float else leaf
        for key, leaf, is_float in zip(keys, leaves, floats, strict=True)
    ]
    return nnx.merge(graphdef, jax.tree.unflatten(structure, made))


X2, X4 = image(3, 8), image(2, 6, 6, 4)

NNX_LAYERS = {
    "nn.Linear(8, 5)": (lambda: nnx.Linear(8, 5, rngs=RNGS), X2),
    "nn.Linear(8, 5, bias=False)": (lambda: nnx.Linear(8, 5, use_bias=False, rngs=RNGS), X2),
    "nn.Linear(8, 6)": (lambda: nnx.LinearGeneral(8, (2, 3), rngs=RNGS), X2),
    "nn.Linear(24, 5)": (lambda: nnx.LinearGeneral((6, 4), 5, axis=(-2, -1), rngs=RNGS), X4),
    'nn.Conv2d(4, 5, 3, padding="same")': (lambda: nnx.Conv(4, 5, (3, 3), rngs=RNGS), X4),
    "nn.Conv2d(4, 5, (3, 2))": (lambda: nnx.Conv(4, 5, (3, 2), padding="VALID", rngs=RNGS), X4),
    "nn.Conv2d(4, 6, 3, stride=2, groups=2, bias=False)": (
        lambda: nnx.Conv(4, 6, (3, 3), strides=2, feature_group_count=2, use_bias=False, rngs=RNGS),
        X4,
    ),
    "nn.Conv2d(4, 5, 3, padding=1, dilation=2)": (
        lambda: nnx.Conv(4, 5, (3, 3), padding=1, kernel_dilation=2, rngs=RNGS),
        X4,
    ),
    'nn.Conv1d(4, 5, 3, padding="same")': (lambda: nnx.Conv(4, 5, (3,), rngs=RNGS), image(2, 9, 4)),
    'nn.Conv3d(2, 3, 2, padding="same")': (lambda: nnx.Conv(2, 3, (2, 2, 2), rngs=RNGS), image(2, 4, 4, 4, 2)),
    "nn.ConvTranspose2d(4, 5, 4, stride=2, padding=1)": (
        lambda: nnx.ConvTranspose(4, 5, (4, 4), strides=(2, 2), transpose_kernel=True, rngs=RNGS),
        X4,
    ),
    "nn.ConvTranspose2d(4, 5, 3, stride=2)": (
        lambda: nnx.ConvTranspose(4, 5, (3, 3), strides=(2, 2), transpose_kernel=True, rngs=RNGS),
        X4,
    ),
    "nn.LayerNorm(8, eps=0.001)": (lambda: nnx.LayerNorm(8, epsilon=1e-3, rngs=RNGS), X2),
    "nn.LayerNorm(8, eps=1e-06, bias=False)": (
        lambda: nnx.LayerNorm(8, use_bias=False, use_fast_variance=False, rngs=RNGS),
        X2,
    ),
    "nn.LayerNorm(8, eps=1e-06, elementwise_affine=False)": (
        lambda: nnx.LayerNorm(8, use_bias=False, use_scale=False, rngs=RNGS),
        X2,
    ),
    "nn.RMSNorm(8, eps=1e-06)": (lambda: nnx.RMSNorm(8, rngs=RNGS), X2),
    "nn.GroupNorm(2, 4, eps=1e-06)": (lambda: nnx.GroupNorm(4, 2, rngs=RNGS), X4),
    "nn.Embedding(7, 3)": (lambda: nnx.Embed(7, 3, rngs=RNGS), jnp.array([[0, 6], [3, 3]])),
    "BatchNorm(4, momentum=0.9)": (lambda: nnx.BatchNorm(4, momentum=0.9, rngs=RNGS), X4),
    "BatchNorm(8, eps=0.001, bias=False)": (
        lambda: nnx.BatchNorm(8, epsilon=1e-3, use_bias=False, rngs=RNGS),
        X2,
    ),
}


def test_layers_of_nnx() -> None:
    holders = [own(Holder, number)(make()) for number, (make, _) in enumerate(NNX_LAYERS.values())]
    made = assert_same(shuffled(Many(holders)), (tuple(x for _, x in NNX_LAYERS.values()),))
    assert_written(made, NNX_LAYERS)


def assert_written(made: Any, texts: Any) -> None:
    found = re.findall(r"self\.layer = (.*)", made.source)
    assert sorted(found) == sorted(texts)


@pytest.mark.parametrize("x", [X2, X4], ids=["features", "images"])
def test_batch_norm_in_training_updates_statistics_as_flax_does(x: Any) -> None:
    model = shuffled(Holder(nnx.BatchNorm(x.shape[-1], momentum=0.8, rngs=RNGS)))
    made = assert_same(model, (x,), train=True)
    assert made.training
    assert f"self.layer = BatchNorm({x.shape[-1]}, momentum=0.8)" in made.source


LINEN_LAYERS = {
    "nn.Linear(4, 5)": linen.Dense(5),
    "nn.Linear(4, 6)": linen.DenseGeneral((2, 3)),
    "nn.Conv2d(4, 5, 3, stride=2, padding=1)": linen.Conv(5, (3, 3), strides=2, padding=1),
    "nn.ConvTranspose2d(4, 5, 2, stride=2)": linen.ConvTranspose(5, (2, 2), strides=(2, 2), transpose_kernel=True),
    "nn.LayerNorm(4, eps=1e-06)": linen.LayerNorm(),
    "nn.RMSNorm(4, eps=1e-06)": linen.RMSNorm(),
    "nn.GroupNorm(2, 4, eps=1e-06)": linen.GroupNorm(2),
}


class ManyOfLinen(linen.Module):
    @linen.compact
    def __call__(self, x: Any) -> Any:
        return [own(LinenHolder, number)(layer)(x) for number, layer in enumerate(LINEN_LAYERS.values())]


def test_layers_of_linen() -> None:
    model = ManyOfLinen()
    made = assert_same((model, model.init(KEY, X4)), (X4,))
    assert_written(made, LINEN_LAYERS)


EQUINOX_LAYERS = {
    "nn.Linear(8, 5)": (lambda: eqx.nn.Linear(8, 5, key=KEY), 1, X2),
    "nn.Conv2d(6, 5, 3, stride=2, padding=1)": (lambda: eqx.nn.Conv2d(6, 5, 3, 2, 1, key=KEY), 1, X4),
    "nn.LayerNorm(8)": (lambda: eqx.nn.LayerNorm(8), 1, X2),
    "nn.RMSNorm(8, eps=1e-05)": (lambda: eqx.nn.RMSNorm(8, use_bias=False), 1, X2),
    "nn.GroupNorm(3, 6)": (lambda: eqx.nn.GroupNorm(3, 6), 1, X4),
    "nn.GroupNorm(2, 8, eps=0.001)": (lambda: eqx.nn.GroupNorm(2, 8, eps=1e-3), 1, X2),
    "nn.Embedding(7, 3)": (lambda: eqx.nn.Embedding(7, 3, key=KEY), 2, jnp.array([[0, 6], [3, 3]])),
}


class ManyOfEquinox(eqx.Module):
    layers: list[EquinoxHolder]

    def __call__(self, inputs: Any) -> Any:
        return [layer(x) for layer, x in zip(self.layers, inputs, strict=True)]


def test_layers_of_equinox() -> None:
    model = ManyOfEquinox([EquinoxHolder(make(), axes) for make, axes, _ in EQUINOX_LAYERS.values()])
    made = assert_same(model, (tuple(x for _, _, x in EQUINOX_LAYERS.values()),))
    assert_written(made, EQUINOX_LAYERS)


class EachWithItsKey(eqx.Module):
    """A model of one example, trained as Equinox's own examples are: `jax.vmap(model)(x, keys)`."""

    one: Any
    positions: bool = False

    def __call__(self, x: Any, key: Any = None) -> Any:
        one = self.one
        if key is None:
            return jax.vmap(jax.vmap(one) if self.positions else one)(x)

        def with_key(x: Any, key: Any) -> Any:
            if not self.positions:
                return one(x, key=key)
            return jax.vmap(lambda x, key: one(x, key=key))(x, jax.random.split(key, len(x)))

        return jax.vmap(with_key)(x, jax.random.split(key, len(x)))


class SelfAttention(eqx.Module):
    attention: eqx.nn.MultiheadAttention

    def __call__(self, x: Any, key: Any = None) -> Any:
        return self.attention(x, x, x, key=key)


def chain() -> Any:
    linear, dropout = eqx.nn.Linear(8, 8, key=KEY), eqx.nn.Dropout(0.4)
    return eqx.nn.Sequential([linear, eqx.nn.Lambda(jax.nn.relu), dropout, linear, eqx.nn.Dropout(0.2)])


KEYED: dict[str, tuple[Callable[[], Any], Any, list[str]]] = {
    "a chain": (lambda: EachWithItsKey(chain()), X2, ["0.4", "0.2"]),
    "over positions": (lambda: EachWithItsKey(chain(), positions=True), X4[0], ["0.4", "0.2"]),
    "attention": (
        lambda: EachWithItsKey(SelfAttention(eqx.nn.MultiheadAttention(2, 8, dropout_p=0.3, key=KEY))),
        X4[0],
        ["0.3"],
    ),
}


@pytest.mark.parametrize("dynamic", ["auto", None])
@pytest.mark.parametrize("name", KEYED)
def test_dropout_with_a_key_for_each_example_is_a_layer(name: str, dynamic: Any) -> None:
    make, x, rates = KEYED[name]
    x = jnp.resize(x, (*x.shape[:-1], 8))
    model = make()
    made = regauge.to_torch(model, (x,), train=True, dynamic=dynamic)
    assert re.findall(r"nn\.Dropout\((.*?)\)", made.source) == rates
    assert_same(model, (x,))


class OfEachToken(eqx.Module):
    """Layers without bias for one position each, whose results `jax.vmap` leaves in another order of axes."""

    first: eqx.nn.Linear
    second: eqx.nn.Linear

    def __call__(self, x: Any) -> Any:
        def example(x: Any) -> Any:
            y = jax.vmap(self.first)(x)
            return jax.vmap(self.second)(y) + y.T @ x, jax.nn.relu(y)

        return jax.vmap(example)(x)


def test_mapped_layers_whose_results_stay_in_another_order_are_layers() -> None:
    first, second = (eqx.nn.Linear(5, 5, use_bias=False, key=jax.random.key(seed)) for seed in range(2))
    made = assert_same(OfEachToken(first, second), (jax.random.normal(KEY, (3, 5, 5)),))
    assert "self.first = nn.Linear(5, 5, bias=False)" in made.source
    assert "self.second = nn.Linear(5, 5, bias=False)" in made.source


def test_dropout_with_one_key_for_all_examples_is_no_layer() -> None:
    """Each example would lose the same elements: no dropout of torch does that."""

    class OneKey(eqx.Module):
        dropout: eqx.nn.Dropout

        def __call__(self, x: Any, key: Any = None) -> Any:
            return jax.vmap(lambda x: self.dropout(x, key=key))(x)

    with pytest.raises(CaptureError, match="draws random numbers"):
        regauge.to_torch(OneKey(eqx.nn.Dropout(0.5)), (X2,), train=True)


class Scaled(nnx.Linear):
    """A subclass that computes something else."""

    def __call__(self, inputs: Any) -> Any:
        return super().__call__(inputs) * 3.0


class Frozen(Holder):
    """Statistics that stay what they are in training too."""

    def __call__(self, x: Any) -> Any:
        return self.layer(x, use_running_average=True)


class Borrowed(nnx.Module):
    """Two layers with one weight."""

    def __init__(self) -> None:
        self.embed = nnx.Embed(7, 8, rngs=RNGS)

    def __call__(self, tokens: Any) -> Any:
        return jnp.tanh(self.embed(tokens)) @ self.embed.embedding[...].T


def test_a_subclass_with_another_call_is_no_layer() -> None:
    made = assert_same(Holder(Scaled(8, 5, rngs=RNGS)), (X2,))
    assert "self.layer = nn.Linear" not in made.source


def test_a_norm_over_other_axes_is_no_layer() -> None:
    made = assert_same(Holder(nnx.LayerNorm(4, reduction_axes=(1, 2), rngs=RNGS)), (X4,))
    assert "nn.LayerNorm" not in made.source


def test_a_kernel_that_is_turned_round_is_no_layer() -> None:
    made = assert_same(Holder(nnx.ConvTranspose(4, 5, (4, 4), strides=(2, 2), rngs=RNGS)), (X4,))
    assert "nn.ConvTranspose2d" not in made.source


def test_zeros_before_a_convolution_are_its_padding() -> None:
    made = assert_same(Holder(nnx.Conv(8, 6, (3,), padding="CAUSAL", kernel_dilation=2, rngs=RNGS)), (image(2, 9, 8),))
    assert "F.pad(" in made.source


@pytest.mark.parametrize("padding", ["CIRCULAR", "REFLECT"])
def test_a_convolution_of_an_image_that_is_made_larger_by_itself_is_no_layer(padding: str) -> None:
    made = assert_same(Holder(nnx.Conv(8, 6, (4,), padding=padding, rngs=RNGS)), (image(2, 9, 8),))
    assert "nn.Conv1d" not in made.source


class Recurrence(linen.Module):
    """A cell that is made here runs inside of another module; a weight is also a result."""

    @linen.compact
    def __call__(self, x: Any) -> Any:
        scale = self.param("scale", linen.initializers.ones, (5,))
        return linen.RNN(linen.OptimizedLSTMCell(5), name="recurrence")(x) * scale, scale


def test_a_cell_that_another_module_is_given_keeps_its_name() -> None:
    x = image(2, 4, 3)
    module = Recurrence()
    made = assert_same((module, module.init(KEY, x)), (x,))
    assert "OptimizedLSTMCell_0.hi.kernel" in {entry.source for entry in made._conversion.weight_map.entries}
    assert "scale" in dict(made.named_parameters())


def test_a_table_that_is_read_twice_is_one_parameter() -> None:
    made = assert_same(Borrowed(), (jnp.array([[0, 6], [3, 3]]),))
    assert len(list(made.parameters())) == 1


def test_fixed_statistics_do_not_follow_the_mode() -> None:
    model = shuffled(Holder(nnx.BatchNorm(4, rngs=RNGS)))
    frozen = type("Frozen", (Holder,), {"__call__": lambda self, x: self.layer(x, use_running_average=True)})(
        model.layer
    )
    made = assert_same(frozen, (X4,), train=True)
    before = made.train()(torch.from_numpy(np.array(X4)))
    assert torch.equal(before, made.eval()(torch.from_numpy(np.array(X4))))


class Dropping(nnx.Module):
    def __init__(self) -> None:
        self.first = nnx.Linear(8, 8, rngs=RNGS)
        self.drop = nnx.Dropout(0.25, rngs=nnx.Rngs(1))

    def __call__(self, x: Any) -> Any:
        return self.drop(self.drop(self.first(x)))


def test_dropout_follows_train_and_eval() -> None:
    made = regauge.to_torch(Dropping(), (X2,))
    assert "self.drop = nn.Dropout(0.25)" in made.source
    assert not made.findings
    x = torch.from_numpy(np.array(image(400, 8)))
    plain = made.eval()(x)
    assert torch.equal(plain, made(x))
    dropped = made.train()(x)
    kept = dropped != 0
    assert abs(kept.float().mean().item() - 0.75**2) < 0.03
    torch.testing.assert_close(dropped[kept], plain[kept] / 0.75**2)


class DropPath(nnx.Module):
    """Code of its own for training."""

    def __init__(self) -> None:
        self.first = nnx.Linear(8, 8, rngs=RNGS)
        self.deterministic = False

    def __call__(self, x: Any) -> Any:
        y = self.first(x)
        return y if self.deterministic else y * 0.5


def test_code_of_a_mode_asks_for_the_mode() -> None:
    made = assert_same(DropPath(), (X2,), train=True)
    assert "if not self.training:" in made.source
    assert_same(DropPath(), (X2,), train=False)
