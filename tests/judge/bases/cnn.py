"""A convolutional network with batch norm, pooling and dropout; the port in nnx, channels last."""

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


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.depth = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
        self.second = nn.BatchNorm2d(8)
        self.pool = nn.AvgPool2d(2, ceil_mode=True)
        self.mean = nn.AvgPool2d(3, stride=1, padding=1)
        self.drop = nn.Dropout(0.25)
        self.head = nn.Linear(72, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = (x - x.mean((1, 2, 3), keepdim=True)) / (x.var((1, 2, 3), keepdim=True) + 1e-3).sqrt()
        x = F.relu(self.norm(self.conv(x)))
        x = self.pool(F.relu(self.second(self.depth(x))))
        return self.head(self.drop(self.mean(x).flatten(1)))


class BatchNorm(nnx.Module):
    """torch's: the variance that is kept is unbiased."""

    def __init__(self, features: int, epsilon: float = 1e-5, momentum: float = 0.1) -> None:
        self.scale, self.bias = nnx.Param(jnp.ones(features)), nnx.Param(jnp.zeros(features))
        self.mean, self.var = nnx.BatchStat(jnp.zeros(features)), nnx.BatchStat(jnp.ones(features))
        self.epsilon, self.momentum = epsilon, momentum
        self.use_running_average = False

    def __call__(self, x: jax.Array) -> jax.Array:
        if self.use_running_average:
            mean, var = self.mean[...], self.var[...]
        else:
            mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
            n = x.size // x.shape[-1]
            self.mean.set_value((1 - self.momentum) * self.mean[...] + self.momentum * mean)
            self.var.set_value((1 - self.momentum) * self.var[...] + self.momentum * var * n / (n - 1))
        return (x - mean) * jax.lax.rsqrt(var + self.epsilon) * self.scale[...] + self.bias[...]


class Port(nnx.Module):
    def __init__(self) -> None:
        rngs = nnx.Rngs(0)
        self.conv = nnx.Conv(3, 8, (3, 3), strides=2, padding=1, rngs=rngs)
        self.norm = BatchNorm(8)
        self.depth = nnx.Conv(8, 8, (3, 3), padding=1, feature_group_count=8, use_bias=False, rngs=rngs)
        self.second = BatchNorm(8)
        self.drop = nnx.Dropout(0.25, rngs=rngs)
        self.head = nnx.Linear(72, 5, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        centred = x - x.mean((1, 2, 3), keepdims=True)
        x = centred / jnp.sqrt(x.var((1, 2, 3), ddof=1, keepdims=True) + 1e-3)
        x = jax.nn.relu(self.norm(self.conv(x)))
        x = jax.nn.relu(self.second(self.depth(x)))
        x = nnx.avg_pool(x, (2, 2), strides=(2, 2), padding=((0, 1), (0, 1)), count_include_pad=False)
        x = nnx.avg_pool(x, (3, 3), strides=(1, 1), padding=((1, 1), (1, 1)))
        x = jnp.moveaxis(x, -1, 1)
        return self.head(self.drop(x.reshape(len(x), -1)))


def original(seed: int = 0) -> regauge.Case:
    torch.manual_seed(seed)
    model = Net()
    for norm in (model.norm, model.second):
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.uniform_(norm.bias, -0.5, 0.5)
    return regauge.Case(
        model,
        inputs=(torch.randn(6, 3, 10, 10),),
        targets=torch.randint(0, 5, (6,)),
        loss=nn.CrossEntropyLoss(label_smoothing=0.1),
        optimizer=torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True),
    )


def smoothed(logits: jax.Array, targets: jax.Array) -> jax.Array:
    labels = optax.smooth_labels(jax.nn.one_hot(targets, 5), 0.1)
    return optax.softmax_cross_entropy(logits, labels).mean()


def port(case: regauge.Case) -> regauge.Case:
    weights = weights_of(case.model)
    model = Port()
    fill(model, weights)
    return regauge.Case(
        model,
        inputs=(np.moveaxis(case.inputs[0].numpy(), 1, -1),),
        targets=case.targets.numpy().astype(np.int32),
        loss=smoothed,
        optimizer=optax.sgd(0.05, momentum=0.9, nesterov=True),
    )
