"""An LSTM that reads and a GRU that writes, with attention over what was read; the port in Linen, cells by hand."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
import torch.nn.functional as F
from flax import linen
from torch import nn

import regauge
from judge.filling import filled, weights_of

WORDS, WIDTH = 11, 6


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH, padding_idx=1)
        self.reader = nn.LSTM(WIDTH, WIDTH, batch_first=True)
        self.writer = nn.GRU(WIDTH, WIDTH, batch_first=True)
        self.mixed = nn.Linear(2 * WIDTH, WIDTH)
        self.head = nn.Linear(WIDTH, WORDS, bias=False)
        self.head.weight = self.words.weight

    def forward(self, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        memory, (last, _) = self.reader(self.words(source))
        states, _ = self.writer(self.words(target), last)
        scores = states @ memory.transpose(1, 2) / WIDTH**0.5
        scores = scores.masked_fill((source == 1)[:, None], float("-inf"))
        found = scores.softmax(-1) @ memory
        return self.head(torch.tanh(self.mixed(torch.cat([states, found], -1))))


class LSTM(linen.Module):
    @linen.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        weight = lambda name, shape: self.param(name, linen.initializers.zeros, shape)  # noqa: E731
        w_ih, w_hh = (weight(f"weight_{kind}_l0", (4 * WIDTH, WIDTH)) for kind in ("ih", "hh"))
        bias = weight("bias_ih_l0", (4 * WIDTH,)) + weight("bias_hh_l0", (4 * WIDTH,))

        def step(carry: tuple[jax.Array, jax.Array], x: jax.Array) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
            h, c = carry
            i, f, g, o = jnp.split(x @ w_ih.T + h @ w_hh.T + bias, 4, -1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        start = jnp.zeros((len(x), WIDTH), x.dtype)
        (last, _), states = jax.lax.scan(step, (start, start), x.swapaxes(0, 1))
        return states.swapaxes(0, 1), last


class GRU(linen.Module):
    @linen.compact
    def __call__(self, x: jax.Array, start: jax.Array) -> jax.Array:
        weight = lambda name, shape: self.param(name, linen.initializers.zeros, shape)  # noqa: E731
        w_ih, w_hh = (weight(f"weight_{kind}_l0", (3 * WIDTH, WIDTH)) for kind in ("ih", "hh"))
        b_ih, b_hh = (weight(f"bias_{kind}_l0", (3 * WIDTH,)) for kind in ("ih", "hh"))

        def step(h: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
            r, z, n = jnp.split(x @ w_ih.T + b_ih, 3, -1)
            hr, hz, hn = jnp.split(h @ w_hh.T + b_hh, 3, -1)
            r, z = jax.nn.sigmoid(r + hr), jax.nn.sigmoid(z + hz)
            n = jnp.tanh(n + r * hn)
            h = (1 - z) * n + z * h
            return h, h

        return jax.lax.scan(step, start, x.swapaxes(0, 1))[1].swapaxes(0, 1)


class Port(linen.Module):
    @linen.compact
    def __call__(self, source: jax.Array, target: jax.Array) -> jax.Array:
        words = linen.Embed(WORDS, WIDTH, name="words")

        def embedded(ids: jax.Array) -> jax.Array:
            x = words(ids)
            return jnp.where((ids == 1)[..., None], jax.lax.stop_gradient(x), x)

        memory, last = LSTM(name="reader")(embedded(source))
        states = GRU(name="writer")(embedded(target), last)
        scores = jnp.einsum("btd,bsd->bts", states, memory) / WIDTH**0.5
        scores = jnp.where((source == 1)[:, None], -jnp.inf, scores)
        found = jax.nn.softmax(scores, -1) @ memory
        x = jnp.tanh(linen.Dense(WIDTH, name="mixed")(jnp.concatenate([states, found], -1)))
        return words.attend(x)


def original(seed: int = 0) -> regauge.Case:
    torch.manual_seed(seed)
    model = Net()
    source, target = torch.randint(2, WORDS, (4, 5)), torch.randint(2, WORDS, (4, 6))
    labels = torch.cat([target[:, 1:], target[:, :1]], 1)
    source[1, 3:], target[2, 4:], labels[2, 4:] = 1, 1, -100
    return regauge.Case(
        model,
        inputs=(source, target),
        targets=labels,
        loss=lambda logits, labels: F.cross_entropy(logits.transpose(1, 2), labels, label_smoothing=0.05),
        optimizer=torch.optim.Adagrad(model.parameters(), lr=5e-2),
    )


def loss(logits: jax.Array, labels: jax.Array) -> jax.Array:
    kept = labels != -100
    wanted = optax.smooth_labels(jax.nn.one_hot(jnp.where(kept, labels, 0), WORDS), 0.05)
    losses = optax.softmax_cross_entropy(logits, wanted)
    return jnp.sum(losses * kept) / jnp.sum(kept)


def adagrad(rate: float, initial: float = 0.0, eps: float = 1e-10) -> optax.GradientTransformation:
    """torch's: eps outside of the root, the sum begins at 0."""

    def init(params: optax.Params) -> optax.Updates:
        return jax.tree.map(lambda p: jnp.full_like(p, initial), params)

    def update(updates: optax.Updates, sums: optax.Updates, params: optax.Params | None = None) -> tuple:
        sums = jax.tree.map(lambda s, g: s + g * g, sums, updates)
        return jax.tree.map(lambda s, g: -rate * g / (jnp.sqrt(s) + eps), sums, updates), sums

    return optax.GradientTransformation(init, update)


def port(case: regauge.Case) -> regauge.Case:
    weights = weights_of(case.model)
    inputs = tuple(ids.numpy().astype(np.int32) for ids in case.inputs)
    variables = filled(jax.eval_shape(Port().init, jax.random.key(0), *inputs), weights)
    return regauge.Case(
        (Port(), variables),
        inputs=inputs,
        targets=case.targets.numpy().astype(np.int32),
        loss=loss,
        optimizer=adagrad(5e-2),
    )
