"""Super-resolution: convolutions, a transposed one, and a resize of the input; the port in Equinox."""

from __future__ import annotations

import equinox as eqx
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
        self.enter = nn.Conv2d(2, 6, 3, padding=1, padding_mode="replicate")
        self.down = nn.Conv2d(6, 6, 3, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(6, 6, 2, stride=2)
        self.leave = nn.Conv2d(6, 2, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.gelu(self.enter(x))
        y = self.leave(self.up(F.softplus(self.down(y))) + y)
        return F.interpolate(y, scale_factor=0.5, mode="bilinear") + F.max_pool2d(x, 3, 2, 1)


class Port(eqx.Module):
    """Over one image [channels, height, width]."""

    enter: eqx.nn.Conv2d
    down: eqx.nn.Conv2d
    up: jax.Array
    up_bias: jax.Array
    leave: eqx.nn.Conv2d

    def __init__(self, weights: dict[str, jax.Array]) -> None:
        key = jax.random.key(0)

        def conv(name: str, channels: int, features: int, stride: int = 1, padding: int = 1) -> eqx.nn.Conv2d:
            layer = eqx.nn.Conv2d(channels, features, 3, stride, padding, key=key)
            new = [weights[f"{name}.weight"], weights[f"{name}.bias"][:, None, None]]
            return eqx.tree_at(lambda layer: [layer.weight, layer.bias], layer, new)

        self.enter = conv("enter", 2, 6, padding=0)
        self.down = conv("down", 6, 6, stride=2)
        self.up, self.up_bias = weights["up.weight"], weights["up.bias"]
        self.leave = conv("leave", 6, 2)

    def __call__(self, x: jax.Array) -> jax.Array:
        y = jax.nn.gelu(self.enter(jnp.pad(x, ((0, 0), (1, 1), (1, 1)), "edge")), approximate=False)
        z = jax.nn.softplus(self.down(y))
        z = jnp.einsum("chw,cfij->fhiwj", z, self.up).reshape(6, *y.shape[1:]) + self.up_bias[:, None, None]
        y = self.leave(z + y)
        y = jax.image.resize(y, (2, y.shape[1] // 2, y.shape[2] // 2), "bilinear", antialias=False)
        return y + eqx.nn.MaxPool2d(3, 2, 1)(x)


def upscale(model: Port, images: jax.Array) -> jax.Array:
    return jax.vmap(model)(images)


def original(seed: int = 0) -> regauge.Case:
    torch.manual_seed(seed)
    model = Net()
    return regauge.Case(
        model,
        inputs=(torch.randn(2, 2, 10, 10),),
        targets=torch.randn(2, 2, 5, 5),
        loss=F.mse_loss,
        optimizer=torch.optim.Adam(model.parameters(), lr=1e-3),
    )


def loss(images: jax.Array, targets: jax.Array) -> jax.Array:
    return jnp.mean((images - targets) ** 2)


def port(case: regauge.Case) -> regauge.Case:
    weights = {name: jnp.asarray(array) for name, array in weights_of(case.model).items()}
    return regauge.Case(
        (upscale, Port(weights)),
        inputs=(case.inputs[0].numpy(),),
        targets=case.targets.numpy(),
        loss=loss,
        optimizer=optax.adam(1e-3),
    )
