"""A U-Net with a transposed convolution, a resize and both norms; the port in nnx, channels last."""

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
        self.enter = nn.Conv2d(2, 4, 3, padding=1, padding_mode="reflect")
        self.norm = nn.BatchNorm2d(4)
        self.deep = nn.Conv2d(6, 8, 3, padding=1)
        self.group = nn.GroupNorm(2, 8)
        self.deeper = nn.Conv2d(8, 8, 3, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(8, 4, 4, stride=2, padding=1)
        self.leave = nn.Conv2d(16, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = F.relu(self.norm(self.enter(x)))
        small = F.interpolate(x, scale_factor=0.5, mode="bilinear", align_corners=False)
        joined = torch.cat([F.avg_pool2d(first, 3, 2, 1), small], 1)
        second = F.silu(self.group(self.deep(joined)))
        third = F.silu(self.deeper(second))
        wide = F.interpolate(third, scale_factor=4, mode="bilinear", align_corners=False)
        return self.leave(torch.cat([first, self.up(second), wide], 1))


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


def resized(x: jax.Array, height: int, width: int) -> jax.Array:
    """Bilinear as torch does it by default: half-pixel centres, edges repeated, no antialias."""
    shape = (x.shape[0], height, width, x.shape[3])
    return jax.image.resize(x, shape, "bilinear", antialias=False)


class Port(nnx.Module):
    def __init__(self) -> None:
        rngs = nnx.Rngs(0)
        self.enter = nnx.Conv(2, 4, (3, 3), padding=0, rngs=rngs)
        self.norm = BatchNorm(4)
        self.deep = nnx.Conv(6, 8, (3, 3), padding=1, rngs=rngs)
        self.group = nnx.GroupNorm(8, num_groups=2, epsilon=1e-5, use_fast_variance=False, rngs=rngs)
        self.deeper = nnx.Conv(8, 8, (3, 3), strides=2, padding=1, rngs=rngs)
        self.up = nnx.ConvTranspose(8, 4, (4, 4), strides=2, padding=(2, 2), transpose_kernel=True, rngs=rngs)
        self.leave = nnx.Conv(16, 1, (1, 1), rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), "reflect")
        first = jax.nn.relu(self.norm(self.enter(padded)))
        small = resized(x, x.shape[1] // 2, x.shape[2] // 2)
        pooled = nnx.avg_pool(first, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))
        second = jax.nn.silu(self.group(self.deep(jnp.concatenate([pooled, small], -1))))
        third = jax.nn.silu(self.deeper(second))
        wide = resized(third, *first.shape[1:3])
        return self.leave(jnp.concatenate([first, self.up(second), wide], -1))


def original(seed: int = 0) -> regauge.Case:
    torch.manual_seed(seed)
    model = Net()
    for norm in (model.norm, model.group):
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.uniform_(norm.bias, -0.5, 0.5)
    return regauge.Case(
        model,
        inputs=(torch.randn(3, 2, 12, 12),),
        targets=torch.randint(0, 2, (3, 1, 12, 12)).float(),
        loss=F.binary_cross_entropy_with_logits,
        optimizer=torch.optim.Adam(model.parameters(), lr=1e-2),
    )


def loss(logits: jax.Array, targets: jax.Array) -> jax.Array:
    return optax.sigmoid_binary_cross_entropy(logits, targets).mean()


def port(case: regauge.Case) -> regauge.Case:
    weights = weights_of(case.model)
    model = Port()
    fill(model, weights)
    return regauge.Case(
        model,
        inputs=(np.moveaxis(case.inputs[0].numpy(), 1, -1),),
        targets=np.moveaxis(case.targets.numpy(), 1, -1),
        loss=loss,
        optimizer=optax.adam(1e-2),
    )
