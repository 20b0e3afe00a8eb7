"""A convolutional network with batch norm: the original in torch, a port by hand in nnx, images channels last."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
import torch.nn.functional as F
from flax import nnx
from torch import nn

import regauge


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.drop = nn.Dropout(0.25)
        self.head = nn.Linear(6 * 2 * 2, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.avg_pool2d(F.relu(self.norm(self.conv(x))), 2, padding=1)
        return self.head(self.drop(x.flatten(1)[:, :24]))


class BatchNorm(nnx.Module):
    """torch's: the variance that is kept is unbiased."""

    def __init__(self, features: int, epsilon: float = 1e-5, momentum: float = 0.1, unbiased: bool = True) -> None:
        self.scale, self.bias = nnx.Param(jnp.ones(features)), nnx.Param(jnp.zeros(features))
        self.mean, self.var = nnx.BatchStat(jnp.zeros(features)), nnx.BatchStat(jnp.ones(features))
        self.epsilon, self.momentum, self.unbiased = epsilon, momentum, unbiased
        self.use_running_average = False

    def __call__(self, x: jax.Array) -> jax.Array:
        if self.use_running_average:
            mean, var = self.mean[...], self.var[...]
        else:
            axes = tuple(range(x.ndim - 1))
            mean, var = x.mean(axes), x.var(axes)
            n = x.size // x.shape[-1]
            kept = var * n / (n - 1) if self.unbiased else var
            self.mean.set_value((1 - self.momentum) * self.mean[...] + self.momentum * mean)
            self.var.set_value((1 - self.momentum) * self.var[...] + self.momentum * kept)
        return (x - mean) * jax.lax.rsqrt(var + self.epsilon) * self.scale[...] + self.bias[...]


class Port(nnx.Module):
    """The port; `bug` puts in one mistake by its name."""

    def __init__(self, bug: str = "") -> None:
        rngs = nnx.Rngs(0)
        padding: Any = "SAME" if bug == "SAME padding" else 1
        self.conv = nnx.Conv(3, 6, (3, 3), strides=2, padding=padding, rngs=rngs)
        self.norm = BatchNorm(
            6,
            epsilon=1e-3 if bug == "batch norm eps" else 1e-5,
            momentum=0.01 if bug == "batch norm momentum" else 0.1,
            unbiased=bug != "biased running variance",
        )
        self.drop = nnx.Dropout(0.5 if bug == "dropout rate" else 0.25, rngs=rngs)
        self.head = nnx.Linear(24, 4, rngs=rngs)
        self.bug = bug

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.norm(self.conv(x))
        x = jnp.maximum(x, 0) if self.bug == "relu as maximum" else jax.nn.relu(x)
        count = self.bug != "padding not counted"
        x = nnx.avg_pool(x, (2, 2), strides=(2, 2), padding=((1, 1), (1, 1)), count_include_pad=count)
        x = x if self.bug == "flatten channels last" else jnp.moveaxis(x, -1, 1)
        return self.head(self.drop(x.reshape(len(x), -1)[:, :24]))


def original(seed: int = 0) -> regauge.Case:
    torch.manual_seed(seed)
    model = Net()
    with torch.no_grad():
        model.norm.weight.uniform_(0.5, 1.5)
        model.norm.bias.uniform_(-0.5, 0.5)
    return regauge.Case(
        model,
        inputs=(torch.randn(5, 3, 6, 6),),
        targets=torch.randint(0, 4, (5,)),
        loss=F.cross_entropy,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True),
    )


def port(case: regauge.Case, bug: str = "") -> regauge.Case:
    """The port with the weights of the original."""
    weights = {name: tensor.detach().numpy() for name, tensor in case.model.state_dict().items()}
    model = Port(bug)
    for layer, kind in ((model.conv, "conv"), (model.head, "head")):
        axes = (2, 3, 1, 0) if kind == "conv" else (1, 0)
        layer.kernel.set_value(jnp.asarray(weights[f"{kind}.weight"].transpose(axes)))
        layer.bias.set_value(jnp.asarray(weights[f"{kind}.bias"]))
    norm = {"scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
    for own, name in norm.items():
        getattr(model.norm, own).set_value(jnp.asarray(weights[f"norm.{name}"]))

    def loss(outputs: jax.Array, targets: jax.Array) -> jax.Array:
        losses = optax.softmax_cross_entropy_with_integer_labels(outputs, targets)
        return losses.sum() if bug == "sum for mean" else losses.mean()

    return regauge.Case(
        model,
        inputs=(np.moveaxis(case.inputs[0].numpy(), 1, -1),),
        targets=case.targets.numpy().astype(np.int32),
        loss=loss,
        optimizer=optax.sgd(0.1, momentum=0.9, nesterov=bug != "plain momentum"),
    )
