"""Networks in Equinox: a perceptron, a CNN, attention, recurrence, and flows that know their densities."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax import Array, lax
from jax_weights import away_from_neutral

import regauge


class Batched(eqx.Module):
    """A model of one example, for a batch."""

    model: Any

    def __call__(self, *batch: Array) -> Any:
        return jax.vmap(self.model)(*batch)


class CNN(eqx.Module):
    """image: float32[1, 28, 28]  ->  log-probabilities: float32[10]"""

    layers: list[Any]

    def __init__(self, key: Array) -> None:
        keys = jax.random.split(key, 4)
        self.layers = [
            eqx.nn.Conv2d(1, 6, kernel_size=4, key=keys[0]),
            eqx.nn.MaxPool2d(kernel_size=2, stride=2),
            jax.nn.relu,
            eqx.nn.Conv2d(6, 8, kernel_size=3, stride=2, padding=1, key=keys[1]),
            eqx.nn.GroupNorm(2, 8),
            jax.nn.relu,
            jnp.ravel,
            eqx.nn.Linear(288, 32, key=keys[2]),
            jax.nn.sigmoid,
            eqx.nn.Linear(32, 10, key=keys[3]),
            jax.nn.log_softmax,
        ]

    def __call__(self, image: Array) -> Array:
        for layer in self.layers:
            image = layer(image)
        return image


class AttentionBlock(eqx.Module):
    attention: eqx.nn.MultiheadAttention
    rope: eqx.nn.RotaryPositionalEmbedding
    norm1: eqx.nn.RMSNorm
    norm2: eqx.nn.RMSNorm
    mlp: eqx.nn.MLP
    dropout: eqx.nn.Dropout

    def __init__(self, width: int, heads: int, key: Array) -> None:
        keys = jax.random.split(key)
        self.attention = eqx.nn.MultiheadAttention(heads, width, use_query_bias=True, key=keys[0])
        self.rope = eqx.nn.RotaryPositionalEmbedding(width // heads)
        self.norm1, self.norm2 = eqx.nn.RMSNorm(width), eqx.nn.RMSNorm(width)
        self.mlp = eqx.nn.MLP(width, width, 2 * width, 1, activation=jax.nn.gelu, key=keys[1])
        self.dropout = eqx.nn.Dropout(0.1)

    def __call__(self, x: Array, mask: Array, key: Array | None) -> Array:
        y = jax.vmap(self.norm1)(x)
        y = self.attention(y, y, y, mask, process_heads=self._rotate)
        x = x + self.dropout(y, key=key)
        return x + jax.vmap(self.mlp)(jax.vmap(self.norm2)(x))

    def _rotate(self, q: Array, k: Array, v: Array) -> tuple[Array, Array, Array]:
        turn = jax.vmap(self.rope, in_axes=1, out_axes=1)
        return turn(q), turn(k), v


class Attention(eqx.Module):
    """tokens: int32[batch, time]  ->  scores of the next token: float32[batch, time, 40]"""

    embed: eqx.nn.Embedding
    blocks: list[AttentionBlock]
    head: eqx.nn.Linear

    def __init__(self, key: Array) -> None:
        keys = jax.random.split(key, 4)
        self.embed = eqx.nn.Embedding(40, 16, key=keys[0])
        self.blocks = [AttentionBlock(16, 2, key) for key in keys[1:3]]
        self.head = eqx.nn.Linear(16, 40, use_bias=False, key=keys[3])

    def __call__(self, tokens: Array, key: Array | None = None) -> Array:
        if key is None:
            return jax.vmap(lambda row: self.one(row, None))(tokens)
        return jax.vmap(self.one)(tokens, jax.random.split(key, tokens.shape[0]))

    def one(self, tokens: Array, key: Array | None) -> Array:
        x = jax.vmap(self.embed)(tokens)
        mask = jnp.tril(jnp.ones((len(tokens), len(tokens)), bool))
        keys = [None] * len(self.blocks) if key is None else list(jax.random.split(key, len(self.blocks)))
        for block, own in zip(self.blocks, keys, strict=True):
            x = block(x, mask, own)
        return jax.vmap(self.head)(x)


class RNN(eqx.Module):
    """series: float32[time, 3]  ->  probability: float32[]; a GRU, then an LSTM over what it gave."""

    gru: eqx.nn.GRUCell
    lstm: eqx.nn.LSTMCell
    head: eqx.nn.Linear
    bias: Array

    def __init__(self, key: Array) -> None:
        keys = jax.random.split(key, 3)
        self.gru = eqx.nn.GRUCell(3, 8, key=keys[0])
        self.lstm = eqx.nn.LSTMCell(8, 8, key=keys[1])
        self.head = eqx.nn.Linear(8, 1, use_bias=False, key=keys[2])
        self.bias = jnp.zeros(1)

    def __call__(self, series: Array) -> Array:
        def read(hidden: Array, x: Array) -> tuple[Array, Array]:
            hidden = self.gru(x, hidden)
            return hidden, hidden

        def summarise(state: tuple[Array, Array], x: Array) -> tuple[tuple[Array, Array], None]:
            return self.lstm(x, state), None

        _, hiddens = lax.scan(read, jnp.zeros(8), series)
        (hidden, _), _ = lax.scan(summarise, (jnp.zeros(8), jnp.zeros(8)), hiddens)
        return jax.nn.sigmoid(self.head(hidden) + self.bias)[0]


class AffineCoupling(eqx.Module):
    """Half of x is scaled and shifted by a function of the other half; Dinh et al. 2017, equations 4 to 8."""

    net: eqx.nn.MLP
    flip: bool = eqx.field(static=True)

    def __init__(self, size: int, flip: bool, key: Array) -> None:
        self.net = eqx.nn.MLP(size // 2, size, 16, 2, activation=jnp.tanh, key=key)
        self.flip = flip

    def __call__(self, x: Array) -> tuple[Array, Array]:
        """x: float32[size]  ->  (y: float32[size], log |det dy/dx|: float32[])"""
        kept, moved = jnp.split(x[::-1] if self.flip else x, 2)
        shift, raw = jnp.split(self.net(kept), 2)
        log_scale = 2 * jnp.tanh(raw / 2)
        y = jnp.concatenate([kept, moved * jnp.exp(log_scale) + shift])
        return y[::-1] if self.flip else y, log_scale.sum()


BINS, BOUND, LEAST = 5, 3.0, 1e-3


def rational_quadratic(x: Array, raw_widths: Array, raw_heights: Array, raw_slopes: Array) -> tuple[Array, Array]:
    """A monotonic spline within [-BOUND, BOUND] and the identity outside; Durkan et al. 2019, equations 4 and 5.

    Args:
        x: float32[].
        raw_widths, raw_heights: float32[BINS].
        raw_slopes: float32[BINS - 1].

    Returns:
        y and log dy/dx: float32[] each.
    """
    widths, heights = (_bins(raw) for raw in (raw_widths, raw_heights))
    left = jnp.concatenate([jnp.array([-BOUND]), -BOUND + jnp.cumsum(widths)[:-1]])
    bottom = jnp.concatenate([jnp.array([-BOUND]), -BOUND + jnp.cumsum(heights)[:-1]])
    slopes = jnp.concatenate([jnp.ones(1), LEAST + jax.nn.softplus(raw_slopes), jnp.ones(1)])
    inside = jnp.abs(x) < BOUND
    at = jnp.where(inside, x, 0.0)
    k = jnp.clip(jnp.searchsorted(left, at, side="right") - 1, 0, BINS - 1)
    width, height, slope, following = widths[k], heights[k], slopes[k], slopes[k + 1]
    s, theta = height / width, (at - left[k]) / width
    mixed = theta * (1 - theta)
    below = s + (following + slope - 2 * s) * mixed
    y = bottom[k] + height * (s * theta**2 + slope * mixed) / below
    rate = s**2 * (following * theta**2 + 2 * s * mixed + slope * (1 - theta) ** 2) / below**2
    return jnp.where(inside, y, x), jnp.where(inside, jnp.log(rate), 0.0)


def _bins(raw: Array) -> Array:
    return 2 * BOUND * (LEAST + (1 - LEAST * BINS) * jax.nn.softmax(raw))


class SplineCoupling(eqx.Module):
    net: eqx.nn.MLP
    flip: bool = eqx.field(static=True)

    def __init__(self, size: int, flip: bool, key: Array) -> None:
        self.net = eqx.nn.MLP(size // 2, size // 2 * (3 * BINS - 1), 16, 1, key=key)
        self.flip = flip

    def __call__(self, x: Array) -> tuple[Array, Array]:
        """x: float32[size]  ->  (y: float32[size], log |det dy/dx|: float32[])"""
        kept, moved = jnp.split(x[::-1] if self.flip else x, 2)
        raw = self.net(kept).reshape(len(moved), 3 * BINS - 1)
        parts = jnp.split(raw, [BINS, 2 * BINS], axis=-1)
        moved, log_rates = jax.vmap(rational_quadratic)(moved, *parts)
        y = jnp.concatenate([kept, moved])
        return y[::-1] if self.flip else y, log_rates.sum()


class Flow(eqx.Module):
    """x: float32[size]  ->  (z: float32[size], log-density of x: float32[]); z is a standard Gaussian's."""

    layers: list[Any]

    def __init__(self, layer: Any, size: int, depth: int, key: Array) -> None:
        self.layers = [layer(size, bool(n % 2), key) for n, key in enumerate(jax.random.split(key, depth))]

    def __call__(self, x: Array) -> tuple[Array, Array]:
        log_det = jnp.zeros(())
        for layer in self.layers:
            x, more = layer(x)
            log_det = log_det + more
        return x, jax.scipy.stats.norm.logpdf(x).sum() + log_det


def _trained(model: eqx.Module) -> Any:
    arrays, static = eqx.partition(model, eqx.is_array)
    return eqx.combine(away_from_neutral(arrays), static)


def negative_log_likelihood(outputs: tuple[Array, Array], targets: None) -> Array:
    return -outputs[1].mean()


def equinox_mlp() -> regauge.Case:
    model = Batched(_trained(eqx.nn.MLP(5, 3, 16, 3, activation=jax.nn.silu, key=jax.random.key(0))))
    x, y = (jax.random.normal(key, (6, n)) for key, n in zip(jax.random.split(jax.random.key(1)), (5, 3), strict=True))

    def loss(outputs: Array, targets: Array) -> Array:
        return optax.huber_loss(outputs, targets, delta=0.5).mean()

    return regauge.Case(model, (x,), y, loss, optax.lion(1e-4), "MLP")


def equinox_cnn() -> regauge.Case:
    images = jax.random.normal(jax.random.key(1), (4, 1, 28, 28))

    def loss(log_probs: Array, labels: Array) -> Array:
        return -jnp.mean(jnp.take_along_axis(log_probs, labels[:, None], axis=1))

    model = Batched(_trained(CNN(jax.random.key(0))))
    return regauge.Case(model, (images,), jnp.arange(4), loss, optax.adamw(3e-3), "CNN")


def equinox_attention() -> regauge.Case:
    text = jax.random.randint(jax.random.key(1), (3, 11), 0, 40)

    def loss(scores: Array, following: Array) -> Array:
        return optax.softmax_cross_entropy_with_integer_labels(scores, following).mean()

    model = _trained(Attention(jax.random.key(0)))
    return regauge.Case(model, (text[:, :-1],), text[:, 1:], loss, optax.adam(1e-3), "attention")


def equinox_rnn() -> regauge.Case:
    series = jax.random.normal(jax.random.key(1), (4, 9, 3))

    def loss(probabilities: Array, labels: Array) -> Array:
        return -jnp.mean(labels * jnp.log(probabilities) + (1 - labels) * jnp.log1p(-probabilities))

    model = Batched(_trained(RNN(jax.random.key(0))))
    labels = jnp.array([0.0, 1.0, 1.0, 0.0])
    return regauge.Case(model, (series,), labels, loss, optax.adagrad(1e-2), "RNN")


def equinox_realnvp() -> regauge.Case:
    model = Batched(_trained(Flow(AffineCoupling, 6, 4, jax.random.key(0))))
    x = jax.random.normal(jax.random.key(1), (8, 6))
    return regauge.Case(model, (x,), None, negative_log_likelihood, optax.adam(1e-3), "RealNVP")


def equinox_spline_flow() -> regauge.Case:
    model = Batched(_trained(Flow(SplineCoupling, 4, 3, jax.random.key(0))))
    x = 2 * jax.random.normal(jax.random.key(1), (8, 4))
    return regauge.Case(model, (x,), None, negative_log_likelihood, optax.adam(1e-3), "spline flow")
