"""A model in Flax NNX, as a person has it: a convolutional network that reads signals. Its last function is regauge's.

regauge convert examples/my_jax_model.py:case --out rhythm
regauge compare examples/my_jax_model.py:case --quick
"""

import jax
import jax.numpy as jnp
import optax
from flax import nnx

import regauge


class Block(nnx.Module):
    def __init__(self, channels, *, rngs):
        self.norm = nnx.BatchNorm(channels, momentum=0.9, rngs=rngs)
        self.conv = nnx.Conv(channels, channels, kernel_size=(5,), rngs=rngs)
        self.drop = nnx.Dropout(0.1, rngs=rngs)

    def __call__(self, x):
        y = self.conv(nnx.relu(self.norm(x)))
        return x + self.drop(y)


class RhythmNet(nnx.Module):
    def __init__(self, channels=32, depth=3, rhythms=4, *, rngs):
        self.stem = nnx.Conv(1, channels, kernel_size=(8,), strides=4, padding="VALID", rngs=rngs)
        self.blocks = nnx.List([Block(channels, rngs=rngs) for _ in range(depth)])
        self.norm = nnx.LayerNorm(channels, rngs=rngs)
        self.head = nnx.Linear(channels, rhythms, rngs=rngs)

    def __call__(self, signals):
        x = self.stem(signals)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x.mean(axis=1)))


def signals(count, key):
    """Waves of four frequencies in noise: float32[count, 256, 1], and which frequency each has."""
    frequency, noise = jax.random.split(key)
    rhythm = jax.random.randint(frequency, (count,), 0, 4)
    time = jnp.arange(256) / 256
    waves = jnp.sin(2 * jnp.pi * (4 + 4 * rhythm[:, None]) * time)
    return (waves + 0.5 * jax.random.normal(noise, waves.shape))[..., None], rhythm


def loss(scores, rhythm):
    return optax.softmax_cross_entropy_with_integer_labels(scores, rhythm).mean()


def case():
    x, rhythm = signals(32, jax.random.key(1))
    return regauge.Case(
        RhythmNet(rngs=nnx.Rngs(0)),
        inputs=(x,),
        targets=rhythm,
        loss=loss,
        optimizer=optax.adamw(1e-3, weight_decay=0.05),
    )
