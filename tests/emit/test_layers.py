"""Equal layers as a scan over stacked weights: the same function, the same gradients, the same weights back."""

from __future__ import annotations

import re
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from deep import GPT, WIDTH, WORDS, Block, Chain, Encoder, Gated, Noisy, Positions, Residuals
from flax import nnx
from torch import nn

import regauge
from regauge.errors import BadCase
from regauge.weights.files import load_restored
from regauge.weights.mapping import WeightMap

TOKENS = torch.randint(1, WORDS, (3, 6), generator=torch.Generator().manual_seed(0))
PADDED = TOKENS.where(torch.arange(6) < torch.tensor([[6], [4], [3]]), 0)
IMAGES = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
VECTORS = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))

MODELS: dict[str, tuple[Callable[[], nn.Module], torch.Tensor]] = {
    "gpt": (GPT, TOKENS),
    "gpt without dropout": (lambda: GPT(rate=0.0), TOKENS),
    "encoder": (Encoder, PADDED),
    "residuals": (Residuals, IMAGES),
}


def distance(found, expected):
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    return float(np.linalg.norm(found - expected) / max(np.linalg.norm(expected), 1e-30))


def as_scan(model, inputs, **options):
    torch.manual_seed(0)
    return regauge.to_jax(model, (inputs,), layers="scan", **options)


@pytest.mark.parametrize("name", MODELS)
def test_outputs_and_gradients_are_torchs(name):
    torch.manual_seed(0)
    make, inputs = MODELS[name]
    model = make().eval()
    converted = as_scan(model, inputs)
    assert converted.source.count("nnx.scan(") == 1
    assert not re.search(r"^ +for ", converted.source.split("def load")[0], re.MULTILINE)
    with jax.default_matmul_precision("highest"):
        assert distance(converted(inputs.numpy()), model(inputs).detach()) < 1e-5
        outputs = model(inputs)
        weights = torch.randn(outputs.shape, generator=torch.Generator().manual_seed(1))
        (outputs * weights).sum().backward()

        def loss(params):
            found, _ = converted.apply(params, converted.state, jnp.asarray(inputs.numpy()))
            return (found * weights.numpy()).sum()

        gradients = jax.grad(loss)(converted.params)
    by_target = converted._conversion.weight_map.by_target
    parameters = dict(model.named_parameters())
    seen = set()
    for path, variable in nnx.to_flat_state(gradients):
        for entry in by_target[".".join(map(str, path))]:
            expected = parameters[entry.source].grad.numpy()
            found = entry.to_source(np.asarray(variable[...]))
            assert distance(found, expected) < 1e-4 or np.abs(expected).max() < 1e-5, entry.source
            seen.add(entry.source)
    assert seen == set(parameters)


@pytest.mark.parametrize("name", MODELS)
def test_the_saved_weights_are_the_originals_bit_for_bit(name, tmp_path):
    torch.manual_seed(0)
    make, inputs = MODELS[name]
    model = make()
    converted = as_scan(model, inputs, train=True)
    converted.save(tmp_path)
    weight_map = converted._conversion.weight_map
    stacked = [entry for entry in weight_map.entries if entry.stacked is not None]
    assert {entry.stacked for entry in stacked} == {(index, 4) for index in range(4)}
    restored = load_restored(tmp_path / "weights.safetensors", weight_map)
    for key, tensor in model.state_dict().items():
        assert np.ascontiguousarray(restored[key]).tobytes() == tensor.numpy().tobytes(), key


def test_the_emitted_source_reads_like_the_loop_it_stands_for():
    text = as_scan(GPT(), TOKENS).source
    assert "self.h = nnx.vmap(lambda rngs: Block(rngs=rngs))(rngs.split(4))" in text
    assert (
        """
        @nnx.scan(in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)
        def layers(x, layer):
            return layer(x, self.mask[...])

        x = layers(x, self.h)  # [batch, 6, 16]
"""
        in text
    )


def test_products_alone_are_kept_for_the_gradient_where_the_rest_is_cheap():
    policy = "@nnx.remat(policy=jax.checkpoint_policies.dots_saveable, prevent_cse=False)"
    assert policy in as_scan(GPT(rate=0.0), TOKENS).source
    assert policy not in as_scan(GPT(rate=0.1), TOKENS).source
    assert policy not in as_scan(Residuals(), IMAGES).source


def test_unrolled_and_scanned_give_the_same_numbers():
    torch.manual_seed(0)
    model = GPT(depth=5).eval()
    loop = regauge.to_jax(model, (TOKENS,), layers="unroll")
    scan = as_scan(model, TOKENS)
    assert "nnx.scan" not in loop.source
    assert distance(scan(TOKENS.numpy()), loop(TOKENS.numpy())) < 1e-6


def test_each_layer_drops_by_itself():
    torch.manual_seed(0)
    model = Chain([Gated(8, 8, rate=0.5) for _ in range(3)])
    for layer in model.layers:  # the layers pass a row of ones on, so that only dropout changes it
        nn.init.zeros_(layer.up.weight)
        nn.init.zeros_(layer.up.bias)
        nn.init.ones_(layer.norm.bias)
    converted = as_scan(model, torch.ones(64, 8), train=True)
    x = jnp.ones((64, 8))
    masks = []
    for seed in (0, 0, 1):
        outputs, state = converted.apply(converted.params, converted.state, x, rng=jax.random.key(seed))
        masks.append(np.asarray(outputs))
    np.testing.assert_array_equal(masks[0], masks[1])
    assert (masks[0] != masks[2]).any()
    assert 0.4 < (masks[0] == 0).mean() < 0.6
    keys = {
        ".".join(map(str, path)): np.asarray(jax.random.key_data(variable[...]))
        for path, variable in nnx.to_flat_state(state)
        if isinstance(variable, nnx.RngKey)
    }
    (drawn,) = keys.values()
    assert len(np.unique(drawn, axis=0)) == 3
    following, _ = converted.apply(converted.params, state, x)
    assert (np.asarray(following) != masks[2]).any()


def test_statistics_of_every_layer_move_as_torchs():
    torch.manual_seed(0)
    model = Residuals().train()
    converted = as_scan(model, IMAGES, train=True)
    for _ in range(3):
        model(IMAGES)
        converted(IMAGES.numpy())
    found = {".".join(map(str, path)): variable[...] for path, variable in nnx.to_flat_state(converted.state)}
    for entry in converted._conversion.weight_map.entries:
        if entry.role == "buffer":
            expected = dict(model.named_buffers())[entry.source]
            assert distance(entry.to_source(np.asarray(found[entry.target])), expected) < 1e-5, entry.source


def test_a_list_whose_first_layer_differs_keeps_it_beside_the_scan():
    torch.manual_seed(0)
    model = Chain([Gated(4, 8), Gated(8, 8), Gated(8, 8), Gated(8, 8)]).eval()
    x = torch.randn(3, 4)
    converted = as_scan(model, x)
    assert "self.layers[0](" in converted.source
    assert "(rngs.split(3))" in converted.source
    assert "self.layers[1])" in converted.source
    assert distance(converted(x.numpy()), model(x).detach()) < 1e-5
    targets = {entry.source: entry.target for entry in converted._conversion.weight_map.entries}
    assert targets["layers.0.up.weight"] == "layers.0.up.kernel"
    assert targets["layers.3.up.weight"] == "layers.1.up.kernel"


def half_frozen() -> nn.Module:
    model = GPT()
    model.h[0].requires_grad_(False)
    return model


def shared() -> nn.Module:
    model = Chain([Gated(8, 8) for _ in range(3)])
    model.layers[2].up.weight = model.layers[0].up.weight
    return model


REFUSED = {
    "other widths": (lambda: Chain([Gated(8, 4), Gated(4, 6), Gated(6, 8)]), VECTORS, "E110"),
    "other rates": (lambda: Chain([Gated(8, 8, rate) for rate in (0.1, 0.2, 0.3)]), VECTORS, "E110"),
    "half frozen": (half_frozen, TOKENS, "E111"),
    "shared weights": (shared, VECTORS, "E112"),
    "taps": (lambda: Chain([Gated(8, 8) for _ in range(3)], taps=True), VECTORS, "E113"),
    "one layer again and again": (lambda: Chain([Gated(8, 8)] * 3), VECTORS, "E112"),
    "other arguments": (Positions, VECTORS, "E114"),
    "other work between": (lambda: Positions(at_once=False), VECTORS, "E118"),
    "noise": (lambda: Chain([Noisy(8) for _ in range(3)]), VECTORS, "E115"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_layers_that_only_look_equal_stay_a_loop_and_it_is_said_why(case):
    torch.manual_seed(0)
    make, inputs, code = REFUSED[case]
    model = make().train()
    converted = as_scan(model, inputs, train=True)
    assert "nnx.scan" not in converted.source
    assert [f.code for f in converted.findings if f.code.startswith("E11")] == [code]
    quiet = regauge.to_jax(model, (inputs,), train=True)
    assert not [finding for finding in quiet.findings if finding.code.startswith("E11")]


def test_groups_of_an_optimizer_that_cut_through_a_stack_keep_the_loop():
    from dataclasses import replace

    from regauge.capture import in_memory
    from regauge.emit.conversion import convert

    torch.manual_seed(0)
    captured, *_ = in_memory.capture(GPT(), (TOKENS,), train=True)
    group = regauge.optimizers.Group(("h.0.*",), {"lr": 1e-4})
    optimizer = regauge.optimizers.AdamW(lr=1e-3, groups=(group,))
    found = convert(replace(captured, layers="scan", optimizer=optimizer))
    assert "nnx.scan" not in found.sources["model"]
    assert "E111" in [finding.code for finding in found.findings]


def test_auto_scans_deep_models_only():
    torch.manual_seed(0)
    assert "nnx.scan" not in regauge.to_jax(GPT(depth=4), (TOKENS,)).source
    assert "nnx.scan" in regauge.to_jax(GPT(depth=16), (TOKENS,)).source


def test_auto_leaves_convolutions_in_loops():
    torch.manual_seed(0)
    assert "nnx.scan" not in regauge.to_jax(Residuals(depth=16), (IMAGES,)).source


def test_a_choice_that_does_not_exist_is_refused():
    with pytest.raises(BadCase, match="choose from: auto, scan, unroll"):
        regauge.to_jax(Block(WIDTH, 2, 0.0), (torch.ones(1, 6, WIDTH), torch.ones(6, 6)), layers="stack")
    with pytest.raises(BadCase, match="layers='stack'"):
        regauge.Case(GPT(), (TOKENS,), layers="stack")


def test_the_map_in_the_folder_is_the_map(tmp_path):
    import json

    converted = as_scan(GPT(), TOKENS)
    converted.save(tmp_path)
    data = json.loads((tmp_path / "weights.json").read_text())
    assert WeightMap.from_json(data) == converted._conversion.weight_map


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gpt", "encoder"])
def test_every_question_of_a_check_is_answered_for_a_scan(name, tmp_path):
    """Masks of dropout for every layer, gradients, a trajectory with groups of an optimizer, clipping."""
    from pathlib import Path

    import deep

    found = regauge.check(f"{Path(deep.__file__)}:{name}", out=tmp_path, quick=True)
    assert found.equal
    assert not found.not_checked
    assert "nnx.scan" in (tmp_path / "conversion" / "model.py").read_text(encoding="utf-8")
