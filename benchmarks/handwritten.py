"""The same two networks in Flax NNX as a person would write them: the yardstick for emitted code."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

VOCABULARY, WIDTH, HEADS, DEPTH, TOKENS, CLASSES = 2048, 256, 4, 4, 64, 8


class Attention(nnx.Module):
    def __init__(self, width: int, heads: int, *, rngs: nnx.Rngs):
        self.heads = heads
        self.query = nnx.Linear(width, width, rngs=rngs)
        self.key = nnx.Linear(width, width, rngs=rngs)
        self.value = nnx.Linear(width, width, rngs=rngs)
        self.out = nnx.Linear(width, width, rngs=rngs)

    def __call__(self, x):
        heads = (*x.shape[:2], self.heads, x.shape[2] // self.heads)
        q, k, v = (layer(x).reshape(heads) for layer in (self.query, self.key, self.value))
        return self.out(jax.nn.dot_product_attention(q, k, v).reshape(x.shape))


class Layer(nnx.Module):
    def __init__(self, width: int, heads: int, *, rngs: nnx.Rngs):
        self.attention = Attention(width, heads, rngs=rngs)
        self.norm1 = nnx.LayerNorm(width, epsilon=1e-12, rngs=rngs)
        self.up = nnx.Linear(width, 4 * width, rngs=rngs)
        self.down = nnx.Linear(4 * width, width, rngs=rngs)
        self.norm2 = nnx.LayerNorm(width, epsilon=1e-12, rngs=rngs)

    def __call__(self, x):
        x = self.norm1(x + self.attention(x))
        return self.norm2(x + self.down(nnx.gelu(self.up(x), approximate=False)))


class Encoder(nnx.Module):
    def __init__(self, depth: int = DEPTH, width: int = WIDTH, heads: int = HEADS, *, rngs: nnx.Rngs):
        self.tokens = nnx.Embed(VOCABULARY, width, rngs=rngs)
        self.positions = nnx.Param(jnp.zeros((TOKENS, width)))
        self.norm = nnx.LayerNorm(width, epsilon=1e-12, rngs=rngs)
        self.layers = nnx.List([Layer(width, heads, rngs=rngs) for _ in range(depth)])
        self.classifier = nnx.Linear(width, CLASSES, rngs=rngs)

    def __call__(self, tokens):
        x = self.norm(self.tokens(tokens) + self.positions[...])
        for layer in self.layers:
            x = layer(x)
        return self.classifier(x.mean(axis=1))


class Block(nnx.Module):
    def __init__(self, inputs: int, outputs: int, strides: int, *, rngs: nnx.Rngs):
        self.conv1 = nnx.Conv(inputs, outputs, (3, 3), strides=strides, padding=1, use_bias=False, rngs=rngs)
        self.bn1 = nnx.BatchNorm(outputs, momentum=0.9, epsilon=1e-5, rngs=rngs)
        self.conv2 = nnx.Conv(outputs, outputs, (3, 3), padding=1, use_bias=False, rngs=rngs)
        self.bn2 = nnx.BatchNorm(outputs, momentum=0.9, epsilon=1e-5, rngs=rngs)
        project = inputs != outputs
        self.shortcut = (
            nnx.Conv(inputs, outputs, (1, 1), strides=strides, use_bias=False, rngs=rngs) if project else None
        )

    def __call__(self, x):
        y = nnx.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return nnx.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class ResNet(nnx.Module):
    """images: float32[batch, 3, 32, 32], as the original takes them."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.stem = nnx.Conv(3, 32, (3, 3), padding=1, use_bias=False, rngs=rngs)
        self.bn = nnx.BatchNorm(32, momentum=0.9, epsilon=1e-5, rngs=rngs)
        shapes = [(32, 32, 1), (32, 64, 2), (64, 128, 2), (128, 128, 1)]
        self.blocks = nnx.List([Block(*shape, rngs=rngs) for shape in shapes])
        self.classifier = nnx.Linear(128, 10, rngs=rngs)

    def __call__(self, images):
        x = nnx.relu(self.bn(self.stem(jnp.moveaxis(images, 1, -1))))
        for block in self.blocks:
            x = block(x)
        return self.classifier(x.mean(axis=(1, 2)))


OPTIMIZERS = {"encoder": lambda: optax.adamw(1e-4, weight_decay=1e-2), "resnet": lambda: optax.sgd(1e-2, momentum=0.9)}
MODELS = {"encoder": Encoder, "resnet": ResNet}


def make_train_step(name: str, graphdef: Any) -> Any:
    """A jitted step (params, state, opt_state, inputs, targets) -> (params, state, opt_state, loss)."""
    optimizer = OPTIMIZERS[name]()

    def step(params, state, opt_state, inputs, targets):
        def loss_fn(params):
            model = nnx.merge(graphdef, params, state, copy=True)
            scores = model(*inputs)
            loss = optax.softmax_cross_entropy_with_integer_labels(scores, targets).mean()
            return loss, nnx.split(model, nnx.Param, ...)[2]

        (loss, state_), gradients = jax.value_and_grad(loss_fn, has_aux=True)(params)
        updates, opt_state = optimizer.update(gradients, opt_state, params)
        return optax.apply_updates(params, updates), state_, opt_state, loss

    return jax.jit(step, donate_argnums=(0, 1, 2))
