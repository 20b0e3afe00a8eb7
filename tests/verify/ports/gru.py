"""A recurrent network: nn.GRU, and a port by hand as a function of its parameters."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch import nn

import regauge


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, 4, batch_first=True)
        self.head = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        states, last = self.rnn(x)
        return {"scores": self.head(states), "last": last[0]}


def network(bug: str) -> Any:
    """The port as a function; `bug` puts in one mistake by its name."""

    def gru(params: Any, x: jax.Array) -> dict[str, jax.Array]:
        rnn, head = params["rnn"], params["head"]

        def step(h: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
            r, z, n = jnp.split(x @ rnn["weight_ih_l0"].T + rnn["bias_ih_l0"], 3, -1)
            hr, hz, hn = jnp.split(h @ rnn["weight_hh_l0"].T + rnn["bias_hh_l0"], 3, -1)
            if bug == "gates exchanged":
                r, z, hr, hz = z, r, hz, hr
            r, z = jax.nn.sigmoid(r + hr), jax.nn.sigmoid(z + hz)
            n = jnp.tanh(n + r * hn)
            h = z * n + (1 - z) * h if bug == "update gate inverted" else (1 - z) * n + z * h
            return h, h

        last, states = jax.lax.scan(step, jnp.zeros((len(x), 4), x.dtype), x.swapaxes(0, 1))
        return {"scores": states.swapaxes(0, 1) @ head["weight"].T + head["bias"], "last": last}

    return gru


def original(seed: int = 0) -> regauge.Case:
    torch.manual_seed(seed)
    return regauge.Case(Recurrent(), inputs=(torch.randn(3, 5, 3),))


def port(case: regauge.Case, bug: str = "") -> regauge.Case:
    """The port with the weights of the original."""
    params: dict[str, dict[str, jax.Array]] = {"rnn": {}, "head": {}}
    for name, tensor in case.model.state_dict().items():
        layer, _, kind = name.partition(".")
        params[layer][kind] = jnp.asarray(tensor.detach().numpy())
    return regauge.Case((network(bug), params), inputs=(np.asarray(case.inputs[0]),))
