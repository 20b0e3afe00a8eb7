"""A word tagger with a two-layer LSTM; the port in nnx, its cells by hand under scan."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
import torch.nn.functional as F
from flax import nnx
from torch import nn

import regauge
from judge.filling import fill, weights_of

WORDS, WIDTH, TAGS = 13, 6, 5


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH, padding_idx=0)
        self.rnn = nn.LSTM(WIDTH, WIDTH, num_layers=2, batch_first=True)
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(WIDTH, TAGS)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        states, _ = self.rnn(self.words(ids))
        return self.head(self.drop(states))


class Layers(nnx.Module):
    """The weights of nn.LSTM, in torch's layout."""

    def __init__(self) -> None:
        for layer in range(2):
            for kind in ("ih", "hh"):
                setattr(self, f"weight_{kind}_l{layer}", nnx.Param(jnp.zeros((4 * WIDTH, WIDTH))))
                setattr(self, f"bias_{kind}_l{layer}", nnx.Param(jnp.zeros(4 * WIDTH)))

    def __call__(self, x: jax.Array) -> jax.Array:
        for layer in range(2):
            x = self.run(layer, x)
        return x

    def run(self, layer: int, x: jax.Array) -> jax.Array:
        w_ih, b_ih = getattr(self, f"weight_ih_l{layer}")[...], getattr(self, f"bias_ih_l{layer}")[...]
        w_hh, b_hh = getattr(self, f"weight_hh_l{layer}")[...], getattr(self, f"bias_hh_l{layer}")[...]

        def step(carry: tuple[jax.Array, jax.Array], x: jax.Array) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
            h, c = carry
            i, f, g, o = jnp.split(x @ w_ih.T + b_ih + h @ w_hh.T + b_hh, 4, -1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        start = jnp.zeros((len(x), WIDTH), x.dtype)
        _, states = jax.lax.scan(step, (start, start), x.swapaxes(0, 1))
        return states.swapaxes(0, 1)


class Port(nnx.Module):
    def __init__(self) -> None:
        rngs = nnx.Rngs(0)
        self.words = nnx.Embed(WORDS, WIDTH, rngs=rngs)
        self.rnn = Layers()
        self.drop = nnx.Dropout(0.2, rngs=rngs)
        self.head = nnx.Linear(WIDTH, TAGS, rngs=rngs)

    def __call__(self, ids: jax.Array) -> jax.Array:
        x = self.words(ids)
        x = jnp.where((ids == 0)[..., None], jax.lax.stop_gradient(x), x)
        return self.head(self.drop(self.rnn(x)))


def original(seed: int = 0) -> regauge.Case:
    torch.manual_seed(seed)
    model = Net()
    ids, targets = torch.randint(0, WORDS, (4, 6)), torch.randint(0, TAGS, (4, 6))
    ids[0, 4:], targets[0, 4:], targets[2, 1] = 0, -100, -100
    optimizer = regauge.optimizers.Adam(lr=1e-2, clip_norm=0.1)
    return regauge.Case(
        model,
        inputs=(ids,),
        targets=targets,
        loss=lambda logits, targets: F.cross_entropy(logits.flatten(0, 1), targets.flatten()),
        optimizer=optimizer,
    )


def loss(logits: jax.Array, targets: jax.Array) -> jax.Array:
    kept = targets != -100
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.where(kept, targets, 0))
    return jnp.where(kept, losses, 0).sum() / kept.sum()


def clipped(limit: float) -> optax.GradientTransformation:
    """torch's clipping by the norm of all gradients."""

    def update(updates: optax.Updates, state: optax.EmptyState, params: optax.Params | None = None) -> tuple:
        factor = jnp.minimum(1.0, limit / (optax.global_norm(updates) + 1e-6))
        return jax.tree.map(lambda g: g * factor, updates), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def port(case: regauge.Case) -> regauge.Case:
    weights = weights_of(case.model)
    model = Port()
    fill(model, weights)
    return regauge.Case(
        model,
        inputs=(case.inputs[0].numpy().astype(np.int32),),
        targets=case.targets.numpy().astype(np.int32),
        loss=loss,
        optimizer=optax.chain(clipped(0.1), optax.adam(1e-2)),
    )
