"""A residual network; the port in Linen, channels last."""

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


class Block(nn.Module):
    def __init__(self, channels: int, features: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, features, 3, stride=2, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(features)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(features)
        self.short = nn.Conv2d(channels, features, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.short(F.avg_pool2d(x, 3, 2, 1)))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.block = Block(4, 8)
        self.head = nn.Linear(32, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.block(self.pool(F.leaky_relu(self.stem(x), 0.1)))
        return self.head(x.flatten(1))


class BatchNorm(linen.Module):
    """torch's: the variance that is kept is unbiased."""

    epsilon: float = 1e-5
    momentum: float = 0.1

    @linen.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        features = x.shape[-1]
        scale = self.param("scale", linen.initializers.ones, (features,))
        bias = self.param("bias", linen.initializers.zeros, (features,))
        kept_mean = self.variable("batch_stats", "mean", jnp.zeros, features)
        kept_var = self.variable("batch_stats", "var", jnp.ones, features)
        mean, var = kept_mean.value, kept_var.value
        if train:
            mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
            n = x.size // features
            kept_mean.value += self.momentum * (mean - kept_mean.value)
            kept_var.value += self.momentum * (var * n / (n - 1) - kept_var.value)
        return (x - mean) * jax.lax.rsqrt(var + self.epsilon) * scale + bias


class BlockPort(linen.Module):
    features: int

    @linen.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        y = linen.Conv(self.features, (3, 3), 2, padding=1, use_bias=False, name="conv1")(x)
        y = jax.nn.relu(BatchNorm(name="norm1")(y, train))
        y = linen.Conv(self.features, (3, 3), padding=1, use_bias=False, name="conv2")(y)
        y = BatchNorm(name="norm2")(y, train)
        x = linen.avg_pool(x, (3, 3), (2, 2), padding=((1, 1), (1, 1)))
        return jax.nn.relu(y + linen.Conv(self.features, (1, 1), name="short")(x))


class Port(linen.Module):
    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        x = linen.Conv(4, (3, 3), 2, padding=1, name="stem")(x)
        x = jnp.where(x > 0, x, 0.1 * x)
        x = linen.max_pool(x, (3, 3), (2, 2), padding=((1, 1), (1, 1)))
        x = BlockPort(8, name="block")(x, train)
        x = x.transpose(0, 3, 1, 2).reshape(len(x), -1)
        return linen.Dense(3, name="head")(x)


def original(seed: int = 0) -> regauge.Case:
    torch.manual_seed(seed)
    model = Net()
    for norm in (model.block.norm1, model.block.norm2):
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.uniform_(norm.bias, -0.5, 0.5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)
    return regauge.Case(
        model,
        inputs=(torch.randn(5, 3, 16, 16),),
        targets=torch.randint(0, 3, (5,)),
        loss=F.cross_entropy,
        optimizer=(optimizer, torch.optim.lr_scheduler.StepLR(optimizer, 4, 0.5)),
    )


def loss(logits: jax.Array, targets: jax.Array) -> jax.Array:
    return optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean()


def port(case: regauge.Case) -> regauge.Case:
    weights = weights_of(case.model)
    images = np.moveaxis(case.inputs[0].numpy(), 1, -1)
    variables = filled(jax.eval_shape(Port().init, jax.random.key(0), images), weights)
    rate = optax.exponential_decay(0.05, 4, 0.5, staircase=True)
    return regauge.Case(
        (Port(), variables),
        inputs=(images,),
        targets=case.targets.numpy().astype(np.int32),
        loss=loss,
        optimizer=optax.chain(optax.add_decayed_weights(1e-3), optax.sgd(rate, momentum=0.9)),
    )
