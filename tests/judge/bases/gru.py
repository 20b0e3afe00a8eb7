"""A forecaster with a GRU; the port as a function of its parameters."""

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

Params = dict[str, jax.Array]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, 5, batch_first=True)
        self.head = nn.Linear(5, 2)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        states, last = self.rnn(x)
        return {"scores": self.head(F.elu(states)), "last": last[0], "spread": states.var(1)}


def forecast(params: Params, x: jax.Array) -> dict[str, jax.Array]:
    def step(h: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        r, z, n = jnp.split(x @ params["rnn.weight_ih_l0"].T + params["rnn.bias_ih_l0"], 3, -1)
        hr, hz, hn = jnp.split(h @ params["rnn.weight_hh_l0"].T + params["rnn.bias_hh_l0"], 3, -1)
        r, z = jax.nn.sigmoid(r + hr), jax.nn.sigmoid(z + hz)
        n = jnp.tanh(n + r * hn)
        h = (1 - z) * n + z * h
        return h, h

    start = jnp.zeros((len(x), 5), x.dtype)
    last, states = jax.lax.scan(step, start, x.swapaxes(0, 1))
    states = states.swapaxes(0, 1)
    scores = jax.nn.elu(states) @ params["head.weight"].T + params["head.bias"]
    return {"scores": scores, "last": last, "spread": states.var(1, ddof=1)}


def original(seed: int = 0) -> regauge.Case:
    torch.manual_seed(seed)
    model = Net()
    return regauge.Case(
        model,
        inputs=(torch.randn(4, 6, 3),),
        targets=torch.randn(4, 6, 2),
        loss=lambda outputs, targets: F.mse_loss(outputs["scores"], targets),
        optimizer=torch.optim.RMSprop(model.parameters(), lr=1e-2),
    )


def loss(outputs: dict[str, jax.Array], targets: jax.Array) -> jax.Array:
    return jnp.mean(jnp.square(outputs["scores"] - targets))


def port(case: regauge.Case) -> regauge.Case:
    weights = weights_of(case.model)
    params: Any = {name: jnp.asarray(array) for name, array in weights.items()}
    return regauge.Case(
        (forecast, params),
        inputs=(np.asarray(case.inputs[0]),),
        targets=np.asarray(case.targets),
        loss=loss,
        optimizer=optax.rmsprop(1e-2, decay=0.99, eps=1e-8, eps_in_sqrt=False),
    )
