"""A generator of images: a projection, two transposed convolutions with batch norm, a resize; the port in nnx."""

from __future__ import annotations

import jax
import jax.numpy as jnp
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
        self.enter = nn.Linear(6, 8 * 2 * 2)
        self.up = nn.ConvTranspose2d(8, 4, 4, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.last = nn.ConvTranspose2d(4, 2, 3, stride=2, padding=1, output_padding=1)
        self.mix = nn.Conv2d(2, 1, 3, padding=1, padding_mode="replicate")

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.enter(z)).unflatten(1, (8, 2, 2))
        x = F.leaky_relu(self.norm(self.up(x)), 0.2)
        x = F.interpolate(self.last(x), size=(6, 6), mode="bilinear", align_corners=True)
        return torch.tanh(self.mix(x))


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
    """Bilinear with the corners of both images at the same places."""
    shape = (x.shape[0], height, width, x.shape[3])
    scale = jnp.array([(height - 1) / (x.shape[1] - 1), (width - 1) / (x.shape[2] - 1)], x.dtype)
    shift = 0.5 - 0.5 * scale
    return jax.image.scale_and_translate(x, shape, (1, 2), scale, shift, "linear", antialias=False)


class Port(nnx.Module):
    def __init__(self) -> None:
        rngs = nnx.Rngs(0)
        self.enter = nnx.Linear(6, 8 * 2 * 2, rngs=rngs)
        self.up = nnx.ConvTranspose(
            8, 4, (4, 4), strides=2, padding=(2, 2), transpose_kernel=True, use_bias=False, rngs=rngs
        )
        self.norm = BatchNorm(4)
        around = ((1, 2), (1, 2))
        self.last = nnx.ConvTranspose(4, 2, (3, 3), strides=2, padding=around, transpose_kernel=True, rngs=rngs)
        self.mix = nnx.Conv(2, 1, (3, 3), padding=0, rngs=rngs)

    def __call__(self, z: jax.Array) -> jax.Array:
        x = jax.nn.relu(self.enter(z)).reshape(-1, 8, 2, 2).transpose(0, 2, 3, 1)
        x = self.norm(self.up(x))
        x = jnp.where(x > 0, x, 0.2 * x)
        x = resized(self.last(x), 6, 6)
        x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), "edge")
        return jnp.tanh(self.mix(x)).transpose(0, 3, 1, 2)


def original(seed: int = 0) -> regauge.Case:
    torch.manual_seed(seed)
    model = Net()
    nn.init.uniform_(model.norm.weight, 0.5, 1.5)
    nn.init.uniform_(model.norm.bias, -0.5, 0.5)
    return regauge.Case(
        model,
        inputs=(torch.randn(4, 6),),
        targets=torch.rand(4, 1, 6, 6),
        loss=nn.SmoothL1Loss(beta=0.3),
        optimizer=torch.optim.Adam(model.parameters(), lr=2e-3, betas=(0.5, 0.999)),
    )


def loss(images: jax.Array, targets: jax.Array) -> jax.Array:
    distance = images - targets
    size = jnp.where(distance < 0, -distance, distance)
    return jnp.mean(jnp.where(size < 0.3, 0.5 * distance**2 / 0.3, size - 0.15))


def port(case: regauge.Case) -> regauge.Case:
    weights = weights_of(case.model)
    model = Port()
    fill(model, weights)
    return regauge.Case(
        model,
        inputs=(case.inputs[0].numpy(),),
        targets=case.targets.numpy(),
        loss=loss,
        optimizer=optax.adam(2e-3, b1=0.5),
    )
