"""A graph network: messages along edges are summed at nodes, biased by clamped distance; the port as a function."""

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

NODES, WIDTH, FAR = 6, 5, 2


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.message, self.update = nn.Linear(WIDTH, WIDTH), nn.Linear(2 * WIDTH, WIDTH)
        self.near = nn.Embedding(2 * FAR + 1, WIDTH)

    def forward(self, x: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        sender, receiver = edges
        apart = (receiver - sender).clamp(-FAR, FAR) + FAR
        sent = torch.relu(self.message(x))[sender] + self.near(apart)
        received = torch.zeros_like(x).index_add(0, receiver, sent)
        best = torch.full_like(x, -1.0).scatter_reduce(0, receiver[:, None].expand_as(sent), sent, "amax")
        return self.update(torch.cat([received + best, x.clamp(-1.0, 1.0)], -1))


def clamp(x: jax.Array, low: float, high: float) -> jax.Array:
    """With torch's derivative at the bounds."""
    return jnp.where(x < low, low, jnp.where(x > high, high, x))


def network(params: Any, x: jax.Array, edges: jax.Array) -> jax.Array:
    sender, receiver = edges
    apart = jnp.clip(receiver - sender, -FAR, FAR) + FAR
    sent = jax.nn.relu(x @ params["message.weight"].T + params["message.bias"])[sender]
    sent = sent + params["near.weight"][apart]
    received = jnp.zeros_like(x).at[receiver].add(sent)
    best = jnp.full_like(x, -1.0).at[receiver].max(sent)
    both = jnp.concatenate([received + best, clamp(x, -1.0, 1.0)], -1)
    return both @ params["update.weight"].T + params["update.bias"]


def original(seed: int = 0) -> regauge.Case:
    torch.manual_seed(seed)
    model = Net()
    return regauge.Case(
        model,
        inputs=(torch.randn(NODES, WIDTH), torch.randint(0, NODES, (2, 14))),
        targets=torch.randn(NODES, WIDTH),
        loss=F.mse_loss,
        optimizer=torch.optim.Adam(model.parameters(), lr=1e-2),
    )


def loss(outputs: jax.Array, targets: jax.Array) -> jax.Array:
    return jnp.mean((outputs - targets) ** 2)


def port(case: regauge.Case) -> regauge.Case:
    weights = weights_of(case.model)
    params: Any = {name: jnp.asarray(array) for name, array in weights.items()}
    return regauge.Case(
        (network, params),
        inputs=(case.inputs[0].numpy(), case.inputs[1].numpy().astype(np.int32)),
        targets=case.targets.numpy(),
        loss=loss,
        optimizer=optax.adam(1e-2),
    )
