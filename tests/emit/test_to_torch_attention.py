"""Dropout inside of attention: one text for both modes, with one mask for all where Flax has one."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from comparing_jax import evaluated
from flax import linen, nnx

import regauge
from regauge.run.dropout_masks import DropoutCall
from regauge.run.jax_dropout import dropout_control
from regauge.run.jax_program import program_of
from regauge.run.torch_arithmetic import controlled

X = np.random.default_rng(0).normal(size=(4, 6, 8)).astype(np.float32)


class Attending(linen.Module):
    shared: bool

    @linen.compact
    def __call__(self, x, train=False):
        attention = linen.MultiHeadDotProductAttention(
            2, dropout_rate=0.25, deterministic=not train, broadcast_dropout=self.shared
        )
        return x + attention(x, x)


class NnxAttending(nnx.Module):
    def __init__(self, shared, rngs):
        self.attention = nnx.MultiHeadAttention(
            2, 8, dropout_rate=0.25, broadcast_dropout=shared, decode=False, rngs=rngs
        )

    def __call__(self, x):
        return x + self.attention(x)


def attending(library: str, shared: bool):
    if library == "nnx":
        return NnxAttending(shared, nnx.Rngs(0))
    module = Attending(shared)
    return module, module.init(jax.random.key(0), X)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("library", ["linen", "nnx"])
def test_masks_of_attention_weights(library, shared):
    model = attending(library, shared)
    made = regauge.to_torch(model, (X,), train=True)
    name = "SharedDropout" if shared else "nn.Dropout"
    assert f"self.dropout = {name}(0.25)" in made.source
    x = torch.from_numpy(X)
    assert not torch.equal(made(x), made(x))
    np.testing.assert_allclose(made.eval()(x).detach().numpy(), evaluated(model, (X,))[0], rtol=1e-5, atol=1e-6)
    (dropout,) = (module for path, module in made.named_modules() if path.endswith("dropout"))
    factors = dropout.train()(torch.ones(5, 2, 30, 30))
    assert set(factors.unique().tolist()) == {0.0, float(torch.tensor(1 / 0.75))}
    assert torch.equal(factors[:1, :1].expand_as(factors), factors) == shared
    assert abs(float((factors[0, 0] > 0).float().mean()) - 0.75) < 0.06


def test_decoding_keeps_its_tokens_in_both_modes():
    module = linen.MultiHeadDotProductAttention(2, decode=True)
    variables = module.init(jax.random.key(0), X, X)
    made = regauge.to_torch((module, variables), {"inputs_q": X[:, :1]})
    for step in range(3):
        token = X[:, step : step + 1]
        expected, changed = module.apply(variables, token, mutable=["cache"])
        variables = {**variables, **changed}
        found = made.eval()(torch.from_numpy(token)).detach().numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def root(library: str):
    """A library's attention as the whole model, and its inputs."""
    if library == "nnx":
        return nnx.MultiHeadAttention(2, 8, dropout_rate=0.25, decode=False, rngs=nnx.Rngs(0)), (X,)
    if library == "linen":
        module = linen.MultiHeadDotProductAttention(2, dropout_rate=0.25)
        return (module, module.init(jax.random.key(0), X, deterministic=True)), (X,)
    return eqx.nn.MultiheadAttention(2, 8, dropout_p=0.25, key=jax.random.key(0)), (X[0], X[0], X[0])


@pytest.mark.parametrize("library", ["nnx", "linen", "equinox"])
def test_attention_may_be_the_model_itself(library):
    model, inputs = root(library)
    made = regauge.to_torch(model, inputs, train=True)
    assert made.findings == ()
    assert isinstance(made.dropout, torch.nn.Module)
    assert made.dropout.p == 0.25
    tensors = [torch.from_numpy(x) for x in inputs]
    assert not torch.equal(made(*tensors), made(*tensors))
    np.testing.assert_allclose(made.eval()(*tensors).detach(), evaluated(model, inputs)[0], rtol=1e-5, atol=1e-6)


def assert_drops_alike(model, made, inputs):
    """Both in training, with the same mask for each call of dropout."""
    program = program_of(model)
    key, run = jax.random.key(0), lambda *given: program.call(*given, inputs, "train", key)[0]
    with dropout_control("masks", None) as log:
        expected = run(program.params, program.state)
    calls = [DropoutCall(shape, 1 - rate) for shape, rate in zip(log.shapes, log.rates, strict=True)]
    with controlled(False, "masks", given=calls) as control:
        found = made.train()(*map(torch.from_numpy, inputs))
    assert len(control.calls) == len(calls) > 0
    np.testing.assert_allclose(found.detach(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("library", ["nnx", "equinox"])
def test_attention_as_the_model_itself_drops_alike(library):
    model, inputs = root(library)
    assert_drops_alike(model, regauge.to_torch(model, inputs, train=True), inputs)


def test_a_mode_that_the_constructor_decides_is_not_given_again():
    module = linen.MultiHeadDotProductAttention(2, dropout_rate=0.25, deterministic=False)
    variables = module.init({"params": jax.random.key(0), "dropout": jax.random.key(1)}, X)
    made = regauge.to_torch((module, variables), (X,)).eval()
    x = torch.from_numpy(X)
    assert "ops.always_dropping_attention(" in made.source
    assert not torch.equal(made(x), made(x))
    still = linen.MultiHeadDotProductAttention(2, dropout_rate=0.25, deterministic=True)
    made = regauge.to_torch((still, variables), (X,), train=True)
    np.testing.assert_allclose(made(x).detach(), still.apply(variables, X), rtol=1e-5, atol=1e-6)


class Masked(nnx.Module):
    def __init__(self, shared, rngs):
        self.attention = nnx.MultiHeadAttention(
            2, 8, dropout_rate=0.25, broadcast_dropout=shared, decode=False, rngs=rngs
        )
        self.drop = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x, mask):
        return x + self.drop(self.attention(x, mask=mask))


@pytest.mark.parametrize("shared", [True, False])
def test_both_modes_of_attention_are_one_text(shared):
    made = regauge.to_torch(NnxAttending(shared, nnx.Rngs(0)), (X,), train=True)
    assert made.source.count("return self.out(") == 1
    assert "if not self.training:\n            query" not in made.source
    if shared:
        assert "ops.dropping_attention(" in made.source
    else:
        assert "dropout_p=self.dropout.p if self.dropout.training else 0.0" in made.source
        assert "ops" not in made.sources


def test_attention_drops_alike():
    model = NnxAttending(False, nnx.Rngs(0))
    assert_drops_alike(model, regauge.to_torch(model, (X,), train=True), (X,))


@pytest.mark.parametrize("shared", [True, False])
def test_masked_attention_drops_alike(shared):
    mask = np.random.default_rng(1).random((4, 1, 6, 6)) < 0.5
    mask[0, 0, 0] = False  # a query that may see nothing
    model = Masked(shared, nnx.Rngs(0))
    made = regauge.to_torch(model, (X, mask), train=True)
    assert "ops.dropping_attention(" in made.source
    assert "if not" not in made.source.partition("class Multi")[2]
    assert_drops_alike(model, made, (X, mask))


class Causal(nnx.Module):
    """A mask that Flax makes of tokens, which is of floats."""

    def __init__(self, rngs):
        self.table = nnx.Embed(5, 8, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(2, 8, dropout_rate=0.25, decode=False, rngs=rngs)

    def __call__(self, tokens):
        mask = nnx.combine_masks(nnx.make_causal_mask(tokens), nnx.make_attention_mask(tokens > 0, tokens > 0))
        return self.attention(self.table(tokens), mask=mask)


def test_masks_of_floats_are_masks():
    tokens = np.random.default_rng(0).integers(0, 5, (4, 6)).astype(np.int32)
    model = Causal(nnx.Rngs(0))
    made = regauge.to_torch(model, (tokens,), train=True)
    assert "ops.dropping_attention(" in made.source
    assert_drops_alike(model, made, (tokens,))
    found = made.eval()(torch.from_numpy(tokens)).detach()
    np.testing.assert_allclose(found, evaluated(model, (tokens,))[0], rtol=1e-5, atol=1e-6)


class Own(nnx.Module):
    """Attention by hand, whose one dropout serves its weights and its result."""

    def __init__(self, rngs):
        self.norm = nnx.LayerNorm(8, rngs=rngs)
        self.qkv, self.out = nnx.Linear(8, 24, rngs=rngs), nnx.Linear(8, 8, rngs=rngs)
        self.drop = nnx.Dropout(0.25, rngs=rngs)

    def __call__(self, x):
        q, k, v = jnp.split(self.qkv(self.norm(x)).reshape(*x.shape[:2], 2, 12), 3, axis=-1)
        scores = jnp.einsum("...qhd,...khd->...hqk", q / jnp.sqrt(q.shape[-1]).astype(q.dtype), k)
        mixed = jnp.einsum("...hqk,...khd->...qhd", self.drop(nnx.softmax(scores)), v)
        return self.drop(self.out(mixed.reshape(x.shape)))


def test_a_dropout_of_the_person_s_own_stays_it():
    model = Own(nnx.Rngs(0))
    made = regauge.to_torch(model, (X,), train=True)
    assert made.source.count("nn.Dropout(0.25)") == 1
    assert "return self.drop(self.out(" in made.source
    assert "dropout_p=self.drop.p if self.drop.training else 0.0" in made.source
    assert_drops_alike(model, made, (X,))


class Twofold(nnx.Module):
    """Something that training alone does, beside modules that differ by their dropouts."""

    def __init__(self, rngs):
        self.first, self.drop = NnxAttending(False, rngs), nnx.Dropout(0.5, rngs=rngs)
        self.last = nnx.Sequential(
            nnx.Linear(8, 8, rngs=rngs), nnx.Dropout(0.5, rngs=rngs), nnx.Dropout(0.25, rngs=rngs)
        )

    def __call__(self, x):
        x = self.first(x)
        if not self.drop.deterministic:
            x = x * 2.0
        return self.last(self.drop(x))


def test_what_differs_by_its_dropouts_alone_is_written_once():
    model = Twofold(nnx.Rngs(0))
    made = regauge.to_torch(model, (X,), train=True)
    assert made.source.count("if not self.training:") == 1
    body = made.source.partition("class Twofold")[2].partition("def forward")[2]
    assert body.index("x = self.first(x)") < body.index("if not self.training:")
    assert_drops_alike(model, made, (X,))


class Again(nnx.Module):
    def __init__(self, rngs):
        self.attention, self.scale = NnxAttending(False, rngs), nnx.Param(jnp.float32(2.0))

    def __call__(self, x):
        return nnx.remat(lambda attention, scale, x: attention(x) * scale[...])(self.attention, self.scale, x)


def test_attention_that_is_computed_again_drops_the_same():
    model = Again(nnx.Rngs(0))
    made = regauge.to_torch(model, (X,), train=True)
    assert "checkpoint(" in made.source
    assert "dropout_p=" in made.source
    assert_drops_alike(model, made, (X,))
