"""Layers under a scan: a list of layers with weights of their own, as they are written with torch."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from comparing_jax import assert_same
from flax import linen, nnx

import regauge
from regauge.errors import BadCase, CaptureError
from regauge.run.jax_program import program_of
from regauge.weights.files import restore_weights

X = jax.random.normal(jax.random.key(3), (4, 5))
SPLIT = {"params": True, "dropout": True}


class Layer(linen.Module):
    @linen.compact
    def __call__(self, x: Any, train: bool) -> Any:
        y = linen.Dense(5)(linen.LayerNorm()(x))
        return x + linen.Dropout(0.1, deterministic=not train)(y), None


class Encoder(linen.Module):
    """Layers under `linen.scan`, whose weights are stacked along `axis`."""

    axis: int = 0
    split: bool = True
    remat: bool = False

    @linen.compact
    def __call__(self, x: Any, train: bool = False) -> Any:
        layer = linen.remat(Layer, static_argnums=(2,)) if self.remat else Layer
        layers = linen.scan(
            layer,
            {"params": self.axis},
            split_rngs={"params": True, "dropout": self.split},
            in_axes=(linen.broadcast,),
            length=3,
        )
        return linen.Dense(5, name="head")(layers(name="layers")(linen.Dense(5, name="stem")(x), train)[0])


class Model(linen.Module):
    """The layers in a module inside."""

    axis: int = 0

    @linen.compact
    def __call__(self, x: Any, train: bool = False) -> Any:
        return Encoder(self.axis, name="encoder")(x, train)


class Normed(linen.Module):
    @linen.compact
    def __call__(self, x: Any, train: bool) -> Any:
        x = linen.Dense(5, use_bias=False)(x)
        return linen.relu(linen.BatchNorm(use_running_average=not train)(x)), None


class NormedLayers(linen.Module):
    @linen.compact
    def __call__(self, x: Any, train: bool = False) -> Any:
        axes = {"params": 0, "batch_stats": 0}
        layers = linen.scan(Normed, axes, split_rngs={"params": True}, in_axes=(linen.broadcast,), length=3)
        return layers(name="layers")(x, train)[0]


class Plain(linen.Module):
    @linen.compact
    def __call__(self, x: Any) -> Any:
        return x + linen.tanh(linen.Dense(5)(x))


class Nested(linen.Module):
    """Two scans, the one in the other, each recomputed."""

    @linen.compact
    def __call__(self, x: Any) -> Any:
        return linen.remat_scan(Plain, lengths=(2, 3))(name="layers")(x)


class Backwards(linen.Module):
    """From the last layer to the first; each gives what it computed."""

    class Step(linen.Module):
        @linen.compact
        def __call__(self, x: Any, _: Any) -> Any:
            x = jnp.tanh(linen.Dense(5)(x))
            return x, x

    @linen.compact
    def __call__(self, x: Any) -> Any:
        layers = linen.scan(self.Step, {"params": 0}, split_rngs={"params": True}, length=3, reverse=True, unroll=2)
        return layers(name="layers")(x, None)


class Twice(linen.Module):
    def setup(self) -> None:
        layers = linen.scan(Layer, {"params": 0}, split_rngs=SPLIT, in_axes=(linen.broadcast,), length=3)
        self.layers = layers()

    def __call__(self, x: Any, train: bool = False) -> Any:
        return self.layers(self.layers(x, train)[0], train)[0]


class Lifted(linen.Module):
    """A function under `linen.scan`, whose modules are those of the module around it."""

    @linen.compact
    def __call__(self, x: Any) -> Any:
        def body(module: Any, x: Any) -> Any:
            return x + linen.Dense(5)(linen.LayerNorm()(x)), None

        return linen.scan(body, variable_axes={"params": 0}, split_rngs={"params": True}, length=3)(self, x)[0]


class LiftedInside(linen.Module):
    @linen.compact
    def __call__(self, x: Any) -> Any:
        return linen.Dense(2)(Lifted(name="trunk")(x))


class Block(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.linear = nnx.Linear(5, 5, rngs=rngs)
        self.norm = nnx.BatchNorm(5, rngs=rngs)
        self.dropout = nnx.Dropout(0.1, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        return x + self.dropout(jnp.tanh(self.norm(self.linear(x))))


class Blocks(nnx.Module):
    def __init__(self) -> None:
        @nnx.split_rngs(splits=3)
        @nnx.vmap
        def make(rngs: nnx.Rngs) -> Block:
            return Block(rngs)

        self.blocks = make(nnx.Rngs(0))
        self.head = nnx.Linear(5, 2, rngs=nnx.Rngs(1))

    def __call__(self, x: Any) -> Any:
        return self.head(
            nnx.scan(lambda x, block: block(x), in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)(x, self.blocks)
        )


class Unit(eqx.Module):
    norm: eqx.nn.LayerNorm
    linear: eqx.nn.Linear
    dropout: eqx.nn.Dropout

    def __init__(self, key: Any) -> None:
        self.norm, self.linear = eqx.nn.LayerNorm(5), eqx.nn.Linear(5, 5, key=key)
        self.dropout = eqx.nn.Dropout(0.1)

    def __call__(self, x: Any, key: Any) -> Any:
        return x + self.dropout(self.linear(self.norm(x)), key=key)


class Units(eqx.Module):
    units: Unit
    head: eqx.nn.Linear

    def __init__(self) -> None:
        self.units = eqx.filter_vmap(Unit)(jax.random.split(jax.random.key(0), 3))
        self.head = eqx.nn.Linear(5, 2, key=jax.random.key(9))

    def __call__(self, x: Any, key: Any = None) -> Any:
        arrays, static = eqx.partition(self.units, eqx.is_array)
        keys = None if key is None else jax.random.split(key, 3)

        def step(x: Any, given: Any) -> Any:
            return eqx.combine(given[0], static)(x, given[1]), None

        return self.head(jax.lax.scan(step, x, (arrays, keys))[0])


def stacked(x: Any) -> Any:
    def layer(x: Any) -> Any:
        return x + hk.Linear(5)(jax.nn.gelu(hk.LayerNorm(-1, True, True)(x)))

    return hk.Linear(2)(hk.experimental.layer_stack(3)(layer)(x))


def haiku_model() -> Any:
    transformed = hk.transform(stacked)
    return transformed, transformed.init(jax.random.key(0), X)


PARAMS = {
    "decoder": {"blocks": {"w": jax.random.normal(jax.random.key(0), (3, 5, 5)), "b": jnp.ones((3, 5))}},
    "out": jnp.ones((5, 2)),
}


def function(params: Any, x: Any) -> Any:
    def block(x: Any, layer: Any) -> Any:
        return jnp.tanh(x @ layer["w"] + layer["b"]), None

    return jax.lax.scan(block, x, params["decoder"]["blocks"])[0] @ params["out"]


def initialised(module: linen.Module) -> Any:
    return module, module.init(jax.random.key(1), X)


LAYER = ["Dense_0.bias", "Dense_0.weight", "LayerNorm_0.bias", "LayerNorm_0.weight"]
FORMS: dict[str, tuple[Any, str, list[str]]] = {
    "linen": (lambda: initialised(Encoder()), "layers", LAYER),
    "linen, inside": (lambda: initialised(Model()), "encoder.layers", LAYER),
    "linen, second axis": (lambda: initialised(Model(1)), "encoder.layers", LAYER),
    "linen, a function": (lambda: initialised(LiftedInside()), "trunk.layers", LAYER),
    "nnx": (Blocks, "blocks", ["linear.bias", "linear.weight", "norm.bias", "norm.weight"]),
    "equinox": (lambda: jax.vmap(Units()), "units", ["linear.bias", "linear.weight", "norm.bias", "norm.weight"]),
    "haiku": (haiku_model, "layers", ["layer_norm.offset", "layer_norm.scale", "linear.b", "linear.w"]),
    "function": (lambda: (function, PARAMS), "decoder.blocks", ["b", "w"]),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_scan_over_weights_is_a_list_of_layers(name: str) -> None:
    make, path, leaves = FORMS[name]
    converted = assert_same(make(), (X,))
    names = [n.removeprefix(f"{path}.") for n, _ in converted.named_parameters() if n.startswith(f"{path}.")]
    assert sorted(names) == [f"{index}.{leaf}" for index in range(3) for leaf in leaves]
    assert "nn.ModuleList([" in converted.source
    assert "ops.scan(" not in converted.source
    owner, _, name = path.rpartition(".")
    in_model = "nn.ModuleDict(" in converted.source
    assert f" in self.{f'{owner}.' if in_model else ''}{name}:" in converted.source


@pytest.mark.parametrize("model", [lambda: initialised(Encoder()), Blocks, lambda: jax.vmap(Units())])
def test_each_layer_has_a_dropout_of_its_own(model: Any) -> None:
    args = (X,)
    converted: Any = regauge.to_torch(model(), args)
    assert not [finding for finding in converted.findings if finding.code == "C155"]
    dropouts = [module for module in converted.modules() if isinstance(module, torch.nn.Dropout)]
    assert len(dropouts) == 3
    masks = []
    for dropout in dropouts:
        dropout.register_forward_hook(lambda _, given, made: masks.append(made == 0))
    converted.train()(torch.ones(64, 5))
    assert all(0 < float(mask.float().mean()) < 0.3 for mask in masks)
    assert not torch.equal(masks[0], masks[1])


def test_one_key_for_all_layers_stays_a_draw() -> None:
    model = initialised(Encoder(split=False))
    with pytest.raises(CaptureError, match=r"draws random numbers") as caught:
        regauge.to_torch(model, (X,), train=True)
    assert caught.value.code == "C153"
    assert caught.value.where.startswith("test_to_torch_layer_lists.py:")
    assert "split_rngs=dict(dropout=True)" in caught.value.next
    converted = assert_same(model, (X,))
    assert [finding.code for finding in converted.findings] == ["C155"]
    assert "ops.scan(" not in converted.source


def test_statistics_of_layers_are_buffers_of_each() -> None:
    converted = assert_same(initialised(NormedLayers()), (X,), train=True)
    assert [n for n, _ in converted.named_buffers()][:2] == [
        "layers.0.BatchNorm_0.running_mean",
        "layers.0.BatchNorm_0.running_var",
    ]
    assert_same(initialised(NormedLayers()), (X,))


def test_layers_that_are_recomputed_are_so_one_by_one() -> None:
    converted = assert_same(initialised(Encoder(remat=True)), (X,))
    assert "x = checkpoint(layer, x, use_reentrant=False)" in converted.source


def test_scans_in_scans_are_lists_of_lists() -> None:
    converted = assert_same(initialised(Nested()), (X,))
    assert sorted(n for n, _ in converted.named_parameters() if "bias" in n) == [
        f"layers.{i}.{j}.Dense_0.bias" for i in range(2) for j in range(3)
    ]


def test_a_scan_from_the_end_gives_what_each_layer_made() -> None:
    converted = assert_same(initialised(Backwards()), (X,))
    assert converted.source.index("self.layers[2](") < converted.source.index("self.layers[0](")
    assert "torch.stack(" in converted.source


def test_layers_that_are_called_twice_are_one_list() -> None:
    converted = assert_same(initialised(Twice()), (X,))
    assert converted.source.count("for layer in self.layers:") == 2


def test_what_is_scanned_over_beside_weights_is_taken_by_its_number() -> None:
    def scaled(params: Any, x: Any, scales: Any) -> Any:
        def step(x: Any, given: Any) -> Any:
            layer, scale, number = given
            return jnp.tanh(x @ layer["w"] + layer["b"]) * scale + number, x

        return jax.lax.scan(step, x, (params, scales, jnp.arange(3)))

    converted = assert_same((scaled, PARAMS["decoder"]["blocks"]), (X, jnp.arange(3.0)))
    assert "scales[2]" in converted.source


def test_weights_that_are_cast_before_the_scan_are_cast_in_the_layer() -> None:
    def cast(params: Any, x: Any) -> Any:
        def step(x: Any, layer: Any) -> Any:
            return jnp.tanh((x.astype(jnp.bfloat16) @ layer["w"] + layer["b"]).astype(jnp.float32)), None

        return jax.lax.scan(step, x, jax.tree.map(lambda array: array.astype(jnp.bfloat16), params))[0]

    converted = assert_same((cast, PARAMS["decoder"]["blocks"]), (X,), tolerance=3e-2)
    assert "self.w.to(torch.bfloat16)" in converted.source
    assert "for layer in self.layers:" in converted.source


def whole(params: Any, x: Any) -> Any:
    return function({"decoder": {"blocks": params}, "out": jnp.eye(5)}, x) * params["w"].sum()


def last_unread(params: Any, x: Any) -> Any:
    def step(carry: Any, layer: Any) -> Any:
        return (carry[1], jnp.tanh(carry[1] @ layer["w"] + layer["b"])), None

    return jax.lax.scan(step, (x, x), params)[0][0]


def branch(params: Any, x: Any) -> Any:
    return jax.lax.cond(x.sum() < 1e9, lambda x: last_unread(params, x), lambda x: x, x)


@pytest.mark.parametrize("model", [whole, last_unread, branch])
def test_weights_that_are_not_read_layer_by_layer_stay_stacked(model: Any) -> None:
    converted = assert_same((model, PARAMS["decoder"]["blocks"]), (X,))
    assert "ops.scan(" in converted.source
    assert sorted(n for n, _ in converted.named_parameters()) == ["b", "w"]


def test_a_scan_over_inputs_stays_a_scan() -> None:
    def recurrent(params: Any, xs: Any) -> Any:
        return jax.lax.scan(lambda h, x: (jnp.tanh(h @ params["w"] + x), None), jnp.zeros(5), xs)[0]

    assert "ops.scan(" in assert_same((recurrent, {"w": jnp.eye(5)}), (X,)).source


def test_a_table_that_is_read_beside_a_sequence_stays_a_table() -> None:
    def recurrent(params: Any, xs: Any) -> Any:
        def step(h: Any, given: Any) -> Any:
            return jnp.tanh(h @ params["w"] + given[0] + given[1]), None

        return jax.lax.scan(step, jnp.zeros(5), (xs, params["positions"]))[0]

    converted = assert_same((recurrent, {"w": jnp.eye(5), "positions": 2 * X}), (X,))
    assert "ops.scan(" in converted.source
    assert sorted(n for n, _ in converted.named_parameters()) == ["positions", "w"]


def test_layers_stay_a_scan_where_that_is_asked_for() -> None:
    converted = assert_same_as_asked("scan")
    assert "ops.scan(" in converted.source
    assert "ops.scan(" not in assert_same_as_asked("unroll").source
    with pytest.raises(BadCase, match="no such way"):
        regauge.to_torch((function, PARAMS), (X,), layers="list")  # type: ignore[arg-type]


def assert_same_as_asked(layers: Any) -> Any:
    converted: Any = regauge.to_torch((function, PARAMS), (X,), layers=layers)
    x = torch.from_numpy(np.array(X))
    np.testing.assert_allclose(converted(x).detach(), np.asarray(function(PARAMS, X)), rtol=1e-5, atol=1e-5)
    return converted


def test_weights_go_back_into_their_stacks() -> None:
    model = initialised(Model(1))
    converted: Any = regauge.to_torch(model, (X,))
    arrays = {name: tensor.numpy() for name, tensor in converted.state_dict().items()}
    found = restore_weights(arrays, converted._conversion.weight_map)
    for name, array in program_of(model).params.items():
        np.testing.assert_array_equal(found[name], array)
    assert converted._conversion.weight_map.by_source["encoder.layers.Dense_0.kernel"][2].sliced == ((1, 2, 3),)


@pytest.mark.parametrize("model", [lambda: initialised(Encoder()), lambda: initialised(Nested())])
def test_layers_compile_in_one_graph(model: Any) -> None:
    converted: Any = regauge.to_torch(model(), (X,))
    x = torch.from_numpy(np.array(X))
    compiled = torch.compile(converted, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x), converted(x))


def test_a_saved_folder_of_layers_runs(tmp_path: Any) -> None:
    from regauge.run.torch_source import load_sources

    converted: Any = regauge.to_torch(initialised(Encoder()), (X,))
    converted.save(tmp_path)
    sources = {path.stem: path.read_text() for path in tmp_path.glob("*.py") if path.stem in converted.sources}
    loaded = load_sources(sources)["model"].load(tmp_path)
    x = torch.from_numpy(np.array(X))
    torch.testing.assert_close(loaded(x), converted.eval()(x))


def test_there_and_back_the_layers_are_stacked_again() -> None:
    model = initialised(Encoder())
    converted: Any = regauge.to_torch(model, (X,)).eval()
    back = regauge.to_jax(converted, (torch.from_numpy(np.array(X)),), layers="scan")
    assert "nnx.scan(" in back.source
    expected = np.asarray(model[0].apply(model[1], X))
    np.testing.assert_allclose(np.asarray(back(X)), expected, rtol=1e-5, atol=1e-5)
