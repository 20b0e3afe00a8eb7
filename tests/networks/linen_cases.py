"""Networks in Flax Linen: those of its own examples (digits, sequences, text), and policies for PPO."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jax import Array
from jax_weights import away_from_neutral

import regauge


class CNN(nn.Module):
    """images: float32[batch, 28, 28, 1]  ->  scores: float32[batch, 10]"""

    @nn.compact
    def __call__(self, images: Array, train: bool = False) -> Array:
        x = nn.Conv(8, kernel_size=(3, 3))(images)
        x = nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9)(x))
        x = nn.avg_pool(x, window_shape=(2, 2), strides=(2, 2))
        x = nn.relu(nn.Conv(16, kernel_size=(3, 3), padding="VALID")(x))
        x = nn.max_pool(x, window_shape=(2, 2), strides=(2, 2))
        x = nn.relu(nn.Dense(32)(x.reshape((x.shape[0], -1))))
        x = nn.Dropout(0.5, deterministic=not train)(x)
        return nn.Dense(10)(x)


class Seq2Seq(nn.Module):
    """An LSTM that reads and one that writes; tokens of both: int32[batch, time]  ->  float32[batch, time, 12]"""

    @nn.compact
    def __call__(self, questions: Array, answers: Array) -> Array:
        embed = nn.Embed(12, 8)
        state, _ = nn.RNN(nn.OptimizedLSTMCell(16), return_carry=True, name="encoder")(embed(questions))
        x = nn.RNN(nn.OptimizedLSTMCell(16), name="decoder")(embed(answers), initial_carry=state)
        return nn.Dense(12)(x)


class Tagger(nn.Module):
    """tokens: int32[batch, time], lengths: int32[batch]  ->  tags: float32[batch, time, 5]; in both directions."""

    @nn.compact
    def __call__(self, tokens: Array, lengths: Array) -> Array:
        x = nn.Embed(40, 12)(tokens)
        forwards, backwards = nn.RNN(nn.GRUCell(8)), nn.RNN(nn.GRUCell(8), reverse=True, keep_order=True)
        x = nn.Bidirectional(forwards, backwards)(x, seq_lengths=lengths)
        return nn.Dense(5)(x)


class EncoderLayer(nn.Module):
    heads: int
    dropout: float = 0.1

    @nn.compact
    def __call__(self, x: Array, mask: Array, train: bool) -> Array:
        y = nn.LayerNorm()(x)
        y = nn.SelfAttention(self.heads, dropout_rate=0.0, deterministic=not train)(y, mask=mask)
        x = x + nn.Dropout(self.dropout, deterministic=not train)(y)
        y = nn.LayerNorm()(x)
        y = nn.Dense(x.shape[-1])(nn.gelu(nn.Dense(2 * x.shape[-1])(y)))
        return x + nn.Dropout(self.dropout, deterministic=not train)(y)


class TextEncoder(nn.Module):
    """tokens: int32[batch, time], 0 for padding  ->  classes: float32[batch, 3]; positions are sines."""

    width: int = 16

    @nn.compact
    def __call__(self, tokens: Array, train: bool = False) -> Array:
        x = nn.Embed(40, self.width)(tokens) + _sines(tokens.shape[1], self.width)
        mask = nn.make_attention_mask(tokens > 0, tokens > 0)
        for _ in range(2):
            x = EncoderLayer(4)(x, mask, train)
        x = nn.LayerNorm()(x)
        weights = (tokens > 0)[..., None]
        x = jnp.sum(x * weights, axis=1) / jnp.maximum(jnp.sum(weights, axis=1), 1)
        return nn.Dense(3)(x)


def _sines(length: int, width: int) -> np.ndarray:
    """float32[length, width]"""
    angles = np.arange(length)[:, None] / 10_000 ** (np.arange(0, width, 2) / width)
    return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(length, width).astype(np.float32)


def _dense(features: int, scale: float) -> nn.Dense:
    return nn.Dense(features, kernel_init=nn.initializers.orthogonal(scale))


class DiscreteActorCritic(nn.Module):
    """observations: float32[batch, 6]  ->  (log-probabilities: float32[batch, 4], values: float32[batch])"""

    @nn.compact
    def __call__(self, observations: Array) -> tuple[Array, Array]:
        x = nn.tanh(_dense(16, np.sqrt(2))(observations))
        actor = nn.tanh(_dense(16, np.sqrt(2))(x))
        logits = _dense(4, 0.01)(actor)
        critic = nn.tanh(_dense(16, np.sqrt(2))(x))
        return jax.nn.log_softmax(logits), _dense(1, 1.0)(critic).squeeze(axis=-1)


class ContinuousActorCritic(nn.Module):
    """observations: float32[batch, 6]  ->  (means: float32[batch, 3], log_std: float32[3], values: float32[batch])"""

    @nn.compact
    def __call__(self, observations: Array) -> tuple[Array, Array, Array]:
        x = nn.swish(nn.LayerNorm()(_dense(16, np.sqrt(2))(observations)))
        means = _dense(3, 0.01)(nn.swish(_dense(16, np.sqrt(2))(x)))
        log_std = self.param("log_std", nn.initializers.constant(-0.5), (3,))
        values = _dense(1, 1.0)(nn.swish(_dense(16, np.sqrt(2))(x)))
        return means, log_std, jnp.squeeze(values, axis=-1)


def ppo_loss(log_prob: Array, entropy: Array, values: Array, batch: dict[str, Array]) -> Array:
    """The clipped objective of Schulman et al. 2017, equation 9, with clipped values and normalised advantages."""
    ratio = jnp.exp(log_prob - batch["log_prob"])
    advantages = batch["advantages"]
    advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    policy = -jnp.minimum(ratio * advantages, jnp.clip(ratio, 0.8, 1.2) * advantages).mean()
    clipped = batch["values"] + jnp.clip(values - batch["values"], -0.2, 0.2)
    errors = jnp.maximum((values - batch["returns"]) ** 2, (clipped - batch["returns"]) ** 2)
    return policy + 0.5 * 0.5 * errors.mean() - 0.01 * entropy.mean()


def discrete_loss(outputs: tuple[Array, Array], batch: dict[str, Array]) -> Array:
    log_probs, values = outputs
    log_prob = jnp.take_along_axis(log_probs, batch["actions"][:, None], axis=-1)[:, 0]
    entropy = -jnp.sum(jnp.exp(log_probs) * log_probs, axis=-1)
    return ppo_loss(log_prob, entropy, values, batch)


def continuous_loss(outputs: tuple[Array, Array, Array], batch: dict[str, Array]) -> Array:
    """Actions are tanh of what a Gaussian gave: the density of Haarnoja et al. 2018, appendix C."""
    means, log_std, values = outputs
    raw = batch["raw_actions"]
    gaussian = jax.scipy.stats.norm.logpdf(raw, means, jnp.exp(log_std)).sum(-1)
    log_prob = gaussian - (2 * (jnp.log(2.0) - raw - jax.nn.softplus(-2 * raw))).sum(-1)
    entropy = jnp.broadcast_to(0.5 * jnp.log(2 * jnp.pi * jnp.e) + log_std, means.shape).sum(-1)
    return ppo_loss(log_prob, entropy, values, batch)


def _initialised(module: nn.Module, *inputs: Any) -> tuple[nn.Module, Any]:
    return module, away_from_neutral(module.init(jax.random.key(0), *inputs))


def cross_entropy(scores: Array, labels: Array) -> Array:
    return optax.softmax_cross_entropy_with_integer_labels(scores, labels).mean()


def _tokens(seed: int, *shape: int, vocabulary: int) -> Array:
    return jax.random.randint(jax.random.key(seed), shape, 1, vocabulary)


def _rollout(count: int, **more: Array) -> dict[str, Array]:
    """What PPO keeps of `count` steps besides the actions: float32[count] each."""
    keys = jax.random.split(jax.random.key(2), 4)
    names = ("log_prob", "advantages", "values", "returns")
    return {name: jax.random.normal(key, (count,)) for name, key in zip(names, keys, strict=True)} | more


def linen_cnn() -> regauge.Case:
    images = jax.random.normal(jax.random.key(1), (4, 28, 28, 1))
    optimizer = optax.sgd(1e-2, momentum=0.9)
    return regauge.Case(_initialised(CNN(), images), (images,), jnp.arange(4), cross_entropy, optimizer, "CNN")


def linen_lstm() -> regauge.Case:
    questions, answers = _tokens(1, 4, 7, vocabulary=12), _tokens(2, 4, 5, vocabulary=12)
    model = _initialised(Seq2Seq(), questions, answers)
    targets = jnp.roll(answers, -1, axis=1)
    return regauge.Case(model, (questions, answers), targets, cross_entropy, optax.adam(3e-3), "LSTM")


def linen_gru() -> regauge.Case:
    tokens, lengths = _tokens(1, 4, 9, vocabulary=40), jnp.array([9, 4, 7, 1])
    model = _initialised(Tagger(), tokens, lengths)
    targets = _tokens(2, 4, 9, vocabulary=5)
    return regauge.Case(model, (tokens, lengths), targets, cross_entropy, optax.rmsprop(1e-3), "GRU")


def linen_transformer() -> regauge.Case:
    tokens = _tokens(1, 3, 10, vocabulary=40).at[1, 6:].set(0)
    optimizer = optax.adamw(optax.cosine_decay_schedule(1e-3, 50), weight_decay=0.01)
    model = _initialised(TextEncoder(), tokens)
    return regauge.Case(model, (tokens,), jnp.arange(3), cross_entropy, optimizer, "transformer")


def linen_ppo_discrete() -> regauge.Case:
    observations = jax.random.normal(jax.random.key(1), (8, 6))
    batch = _rollout(8, actions=_tokens(3, 8, vocabulary=4))
    optimizer = optax.chain(optax.clip_by_global_norm(0.5), optax.adam(2.5e-4, eps=1e-5))
    model = _initialised(DiscreteActorCritic(), observations)
    return regauge.Case(model, (observations,), batch, discrete_loss, optimizer, "PPO, discrete")


def linen_ppo_continuous() -> regauge.Case:
    observations = jax.random.normal(jax.random.key(1), (8, 6))
    batch = _rollout(8, raw_actions=jax.random.normal(jax.random.key(3), (8, 3)))
    optimizer = optax.chain(optax.clip_by_global_norm(0.5), optax.adam(optax.linear_schedule(3e-4, 0.0, 100), eps=1e-5))
    model = _initialised(ContinuousActorCritic(), observations)
    return regauge.Case(model, (observations,), batch, continuous_loss, optimizer, "PPO, continuous")
