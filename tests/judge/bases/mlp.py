"""A small network of two layers for losses and optimizers; the port as a function."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
import torch
import torch.nn.functional as F
from torch import nn

import regauge
from judge.filling import weights_of


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = (x - x.mean(1, keepdim=True)) / (x.std(1, keepdim=True) + 1e-2)
        return self.second(torch.tanh(self.first(x)))


def network(params: Any, x: jax.Array) -> jax.Array:
    centred = x - x.mean(1, keepdims=True)
    squares = jnp.sum(centred**2, 1, keepdims=True)
    varied = squares > 0
    spread = jnp.where(varied, jnp.sqrt(jnp.where(varied, squares, 1.0) / (x.shape[1] - 1)), 0.0)
    x = centred / (spread + 1e-2)
    x = jnp.tanh(x @ params["first.weight"].T + params["first.bias"])
    return x @ params["second.weight"].T + params["second.bias"]


def original(seed: int = 0) -> regauge.Case:
    torch.manual_seed(seed)
    model = Net()
    return regauge.Case(
        model,
        inputs=(torch.randn(6, 4),),
        targets=torch.randint(0, 3, (6,)),
        loss=F.cross_entropy,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
    )


def loss(logits: jax.Array, targets: jax.Array) -> jax.Array:
    return optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean()


def port(case: regauge.Case) -> regauge.Case:
    weights = weights_of(case.model)
    params: Any = {name: jnp.asarray(array) for name, array in weights.items()}
    return regauge.Case(
        (network, params),
        inputs=(case.inputs[0].numpy(),),
        targets=case.targets.numpy().astype("int32"),
        loss=loss,
        optimizer=optax.sgd(0.1),
    )
