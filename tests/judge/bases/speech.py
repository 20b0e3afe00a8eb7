"""A recogniser: a strided convolution in time, an LSTM in both directions, a GRU; the port as a function."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
import torch.nn.functional as F
from torch import nn

import regauge
from judge.filling import weights_of

BANDS, WIDTH, CLASSES = 3, 4, 5


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(BANDS, WIDTH, 3, stride=2, padding=1)
        self.both = nn.LSTM(WIDTH, WIDTH, batch_first=True, bidirectional=True)
        self.rnn = nn.GRU(2 * WIDTH, WIDTH, batch_first=True)
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.conv(x)).transpose(1, 2)
        states, _ = self.both(x)
        states, _ = self.rnn(states)
        return self.head(states)


def lstm(params: Any, suffix: str, x: jax.Array) -> jax.Array:
    """Over [time, batch, features]."""
    w_ih, w_hh = params[f"both.weight_ih_l0{suffix}"], params[f"both.weight_hh_l0{suffix}"]
    bias = params[f"both.bias_ih_l0{suffix}"] + params[f"both.bias_hh_l0{suffix}"]

    def step(carry: tuple[jax.Array, jax.Array], x: jax.Array) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        h, c = carry
        i, f, g, o = jnp.split(x @ w_ih.T + h @ w_hh.T + bias, 4, -1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    start = jnp.zeros((x.shape[1], WIDTH), x.dtype)
    return jax.lax.scan(step, (start, start), x)[1]


def gru(params: Any, x: jax.Array) -> jax.Array:
    """Over [time, batch, features]."""

    def step(h: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        r, z, n = jnp.split(x @ params["rnn.weight_ih_l0"].T + params["rnn.bias_ih_l0"], 3, -1)
        hr, hz, hn = jnp.split(h @ params["rnn.weight_hh_l0"].T + params["rnn.bias_hh_l0"], 3, -1)
        r, z = jax.nn.sigmoid(r + hr), jax.nn.sigmoid(z + hz)
        n = jnp.tanh(n + r * hn)
        h = (1 - z) * n + z * h
        return h, h

    return jax.lax.scan(step, jnp.zeros((x.shape[1], WIDTH), x.dtype), x)[1]


def recognise(params: Any, x: jax.Array) -> jax.Array:
    x = jax.lax.conv_general_dilated(x, params["conv.weight"], (2,), [(1, 1)], dimension_numbers=("NCH", "OIH", "NCH"))
    x = jax.nn.relu(x + params["conv.bias"][:, None]).transpose(2, 0, 1)
    backward = lstm(params, "_reverse", x[::-1])[::-1]
    states = jnp.concatenate([lstm(params, "", x), backward], -1)
    states = gru(params, states).swapaxes(0, 1)
    return states @ params["head.weight"].T + params["head.bias"]


def original(seed: int = 0) -> regauge.Case:
    torch.manual_seed(seed)
    model = Net()
    targets = torch.randint(0, CLASSES, (3, 5))
    targets[0, 3:] = -100
    return regauge.Case(
        model,
        inputs=(torch.randn(3, BANDS, 10),),
        targets=targets,
        loss=lambda logits, targets: F.cross_entropy(logits.transpose(1, 2), targets),
        optimizer=regauge.optimizers.SGD(lr=0.2, momentum=0.9, clip_norm=0.1),
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
    params: Any = {name: jnp.asarray(array) for name, array in weights.items()}
    return regauge.Case(
        (recognise, params),
        inputs=(np.asarray(case.inputs[0]),),
        targets=case.targets.numpy().astype(np.int32),
        loss=loss,
        optimizer=optax.chain(clipped(0.1), optax.sgd(0.2, momentum=0.9)),
    )
