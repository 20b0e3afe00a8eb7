"""Networks in Flax NNX, as a person writes them: a language model, a ResNet, a diffusion U-Net, state-space models."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax import Array, lax
from jax_weights import away_from_neutral

import regauge


class CausalBlock(nnx.Module):
    def __init__(self, width: int, heads: int, *, rngs: nnx.Rngs) -> None:
        self.norm1 = nnx.LayerNorm(width, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(heads, width, dropout_rate=0.0, decode=False, rngs=rngs)
        self.norm2 = nnx.LayerNorm(width, rngs=rngs)
        self.expand = nnx.Linear(width, 4 * width, rngs=rngs)
        self.contract = nnx.Linear(4 * width, width, rngs=rngs)
        self.dropout = nnx.Dropout(0.1, rngs=rngs)

    def __call__(self, x: Array, mask: Array) -> Array:
        x = x + self.dropout(self.attention(self.norm1(x), mask=mask))
        return x + self.dropout(self.contract(nnx.gelu(self.expand(self.norm2(x)))))


class Transformer(nnx.Module):
    """tokens: int32[batch, time]  ->  scores of the next token: float32[batch, time, 50]"""

    def __init__(self, vocabulary: int = 50, width: int = 32, depth: int = 2, *, rngs: nnx.Rngs) -> None:
        self.embed = nnx.Embed(vocabulary, width, rngs=rngs)
        self.positions = nnx.Param(0.02 * jax.random.normal(rngs.params(), (24, width)))
        self.blocks = nnx.List([CausalBlock(width, 4, rngs=rngs) for _ in range(depth)])
        self.norm = nnx.LayerNorm(width, rngs=rngs)

    def __call__(self, tokens: Array) -> Array:
        x = self.embed(tokens) + self.positions[: tokens.shape[1]]
        mask = nnx.make_causal_mask(tokens)
        for block in self.blocks:
            x = block(x, mask)
        return self.embed.attend(self.norm(x))


class Bottleneck(nnx.Module):
    def __init__(self, inputs: int, features: int, stride: int, *, rngs: nnx.Rngs) -> None:
        conv = partial(nnx.Conv, use_bias=False, rngs=rngs)
        norm = partial(nnx.BatchNorm, momentum=0.9, rngs=rngs)
        self.conv1, self.norm1 = conv(inputs, features, (1, 1)), norm(features)
        self.conv2, self.norm2 = conv(features, features, (3, 3), strides=stride), norm(features)
        self.conv3, self.norm3 = conv(features, 4 * features, (1, 1)), norm(4 * features)
        self.project = conv(inputs, 4 * features, (1, 1), strides=stride) if inputs != 4 * features else None
        self.project_norm = norm(4 * features) if self.project else None

    def __call__(self, x: Array) -> Array:
        y = nnx.relu(self.norm1(self.conv1(x)))
        y = nnx.relu(self.norm2(self.conv2(y)))
        y = self.norm3(self.conv3(y))
        if self.project is not None:
            x = self.project_norm(self.project(x))
        return nnx.relu(x + y)


class ResNet(nnx.Module):
    """images: float32[batch, 32, 32, 3]  ->  scores: float32[batch, 5]"""

    def __init__(self, depths: tuple[int, ...] = (1, 2), *, rngs: nnx.Rngs) -> None:
        self.stem = nnx.Conv(3, 8, (7, 7), strides=2, use_bias=False, rngs=rngs)
        self.norm = nnx.BatchNorm(8, momentum=0.9, rngs=rngs)
        blocks, inputs = [], 8
        for stage, depth in enumerate(depths):
            for n in range(depth):
                features = 4 * 2**stage
                blocks.append(Bottleneck(inputs, features, 2 if stage and not n else 1, rngs=rngs))
                inputs = 4 * features
        self.blocks = nnx.List(blocks)
        self.head = nnx.Linear(inputs, 5, rngs=rngs)

    def __call__(self, images: Array) -> Array:
        x = nnx.relu(self.norm(self.stem(images)))
        x = nnx.max_pool(x, (3, 3), strides=(2, 2), padding="SAME")
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean(axis=(1, 2)))


def sinusoids(times: Array, width: int) -> Array:
    """float32[batch]  ->  float32[batch, width]; Vaswani et al. 2017, 3.5."""
    frequencies = jnp.exp(-jnp.log(10_000.0) * jnp.arange(width // 2) / (width // 2))
    angles = times[:, None] * frequencies
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)


class ResBlock(nnx.Module):
    """A residual block that is told the time of diffusion; Ho et al. 2020, appendix B."""

    def __init__(self, inputs: int, features: int, width: int, *, rngs: nnx.Rngs) -> None:
        self.norm1 = nnx.GroupNorm(inputs, num_groups=4, rngs=rngs)
        self.conv1 = nnx.Conv(inputs, features, (3, 3), rngs=rngs)
        self.time = nnx.Linear(width, features, rngs=rngs)
        self.norm2 = nnx.GroupNorm(features, num_groups=4, rngs=rngs)
        self.dropout = nnx.Dropout(0.1, rngs=rngs)
        self.conv2 = nnx.Conv(features, features, (3, 3), rngs=rngs)
        self.skip = nnx.Conv(inputs, features, (1, 1), rngs=rngs) if inputs != features else None

    def __call__(self, x: Array, time: Array) -> Array:
        y = self.conv1(nnx.silu(self.norm1(x)))
        y = y + self.time(nnx.silu(time))[:, None, None, :]
        y = self.conv2(self.dropout(nnx.silu(self.norm2(y))))
        return y + (x if self.skip is None else self.skip(x))


class PixelAttention(nnx.Module):
    """Every pixel attends to every pixel."""

    def __init__(self, features: int, *, rngs: nnx.Rngs) -> None:
        self.norm = nnx.GroupNorm(features, num_groups=4, rngs=rngs)
        self.qkv = nnx.Linear(features, 3 * features, rngs=rngs)
        self.out = nnx.Linear(features, features, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        batch, height, width, features = x.shape
        pixels = self.norm(x).reshape(batch, height * width, features)
        q, k, v = jnp.split(self.qkv(pixels), 3, axis=-1)
        weights = nnx.softmax(q @ k.mT / jnp.sqrt(features), axis=-1)
        return x + self.out(weights @ v).reshape(x.shape)


class DiffusionUNet(nnx.Module):
    """noisy: float32[batch, 16, 16, 3], times: float32[batch]  ->  noise: float32[batch, 16, 16, 3]"""

    def __init__(self, features: int = 8, width: int = 16, *, rngs: nnx.Rngs) -> None:
        self.width = width
        self.time1 = nnx.Linear(width, 2 * width, rngs=rngs)
        self.time2 = nnx.Linear(2 * width, 2 * width, rngs=rngs)
        block = partial(ResBlock, width=2 * width, rngs=rngs)
        self.stem = nnx.Conv(3, features, (3, 3), rngs=rngs)
        self.down1 = block(features, features)
        self.shrink = nnx.Conv(features, features, (3, 3), strides=2, rngs=rngs)
        self.down2 = block(features, 2 * features)
        self.middle1 = block(2 * features, 2 * features)
        self.attention = PixelAttention(2 * features, rngs=rngs)
        self.middle2 = block(2 * features, 2 * features)
        self.up2 = block(4 * features, 2 * features)
        self.grow = nnx.Conv(2 * features, features, (3, 3), rngs=rngs)
        self.up1 = block(2 * features, features)
        self.norm = nnx.GroupNorm(features, num_groups=4, rngs=rngs)
        self.head = nnx.Conv(features, 3, (3, 3), rngs=rngs)

    def __call__(self, noisy: Array, times: Array) -> Array:
        time = self.time2(nnx.silu(self.time1(sinusoids(times, self.width))))
        a = self.down1(self.stem(noisy), time)
        b = self.down2(self.shrink(a), time)
        x = self.middle2(self.attention(self.middle1(b, time)), time)
        x = self.up2(jnp.concatenate([x, b], axis=-1), time)
        batch, height, width, features = x.shape
        x = self.grow(jax.image.resize(x, (batch, 2 * height, 2 * width, features), "nearest"))
        x = self.up1(jnp.concatenate([x, a], axis=-1), time)
        return self.head(nnx.silu(self.norm(x)))


def recurrence(decay: Array, drive: Array) -> Array:
    """h[t] = decay[t] * h[t - 1] + drive[t], step by step; all float32[batch, time, inner, state]."""

    def step(h: Array, inputs: tuple[Array, Array]) -> tuple[Array, Array]:
        a, b = inputs
        h = a * h + b
        return h, h

    first = jnp.zeros_like(drive[:, 0])
    _, states = lax.scan(step, first, (decay.swapaxes(0, 1), drive.swapaxes(0, 1)))
    return states.swapaxes(0, 1)


def parallel_recurrence(decay: Array, drive: Array) -> Array:
    """The same as `recurrence` in a number of steps that grows with the logarithm of the time."""

    def combine(left: tuple[Array, Array], right: tuple[Array, Array]) -> tuple[Array, Array]:
        return left[0] * right[0], right[0] * left[1] + right[1]

    return lax.associative_scan(combine, (decay, drive), axis=1)[1]


class Mamba(nnx.Module):
    """A selective state-space block; Gu and Dao 2023, section 3.  float32[batch, time, width], same out"""

    def __init__(self, width: int, state: int, scan: Any, *, rngs: nnx.Rngs) -> None:
        self.inner, self.rank, self.scan = 2 * width, max(width // 4, 1), scan
        self.norm = nnx.RMSNorm(width, rngs=rngs)
        self.in_proj = nnx.Linear(width, 2 * self.inner, use_bias=False, rngs=rngs)
        self.conv = nnx.Conv(self.inner, self.inner, (4,), padding="CAUSAL", feature_group_count=self.inner, rngs=rngs)
        self.x_proj = nnx.Linear(self.inner, self.rank + 2 * state, use_bias=False, rngs=rngs)
        self.dt_proj = nnx.Linear(self.rank, self.inner, rngs=rngs)
        self.log_a = nnx.Param(jnp.log(jnp.tile(jnp.arange(1.0, state + 1), (self.inner, 1))))
        self.d = nnx.Param(jnp.ones(self.inner))
        self.out_proj = nnx.Linear(self.inner, width, use_bias=False, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        u, gate = jnp.split(self.in_proj(self.norm(x)), 2, axis=-1)
        u = nnx.silu(self.conv(u))
        rest = self.x_proj(u)
        state = (rest.shape[-1] - self.rank) // 2
        dt, b, c = jnp.split(rest, [self.rank, self.rank + state], axis=-1)
        dt = jax.nn.softplus(self.dt_proj(dt))
        decay = jnp.exp(dt[..., None] * -jnp.exp(self.log_a[...]))
        drive = (dt * u)[..., None] * b[:, :, None, :]
        states = self.scan(decay, drive)
        y = jnp.einsum("btds,bts->btd", states, c) + self.d * u
        return x + self.out_proj(y * nnx.silu(gate))


class StateSpaceModel(nnx.Module):
    """tokens: int32[batch, time]  ->  scores of the next token: float32[batch, time, 40]"""

    def __init__(self, scan: Any, depth: int = 2, *, rngs: nnx.Rngs) -> None:
        self.embed = nnx.Embed(40, 16, rngs=rngs)
        self.layers = nnx.List([Mamba(16, 4, scan, rngs=rngs) for _ in range(depth)])
        self.norm = nnx.RMSNorm(16, rngs=rngs)
        self.head = nnx.Linear(16, 40, use_bias=False, rngs=rngs)

    def __call__(self, tokens: Array) -> Array:
        x = self.embed(tokens)
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x))


def _trained(module: nnx.Module) -> Any:
    graphdef, state = nnx.split(module)
    return nnx.merge(graphdef, away_from_neutral(state))


def _tokens(count: int, vocabulary: int) -> tuple[Array, Array]:
    """Tokens and those that follow them: int32[count, 12] each."""
    text = jax.random.randint(jax.random.key(1), (count, 13), 0, vocabulary)
    return text[:, :-1], text[:, 1:]


def cross_entropy(scores: Array, labels: Array) -> Array:
    return optax.softmax_cross_entropy_with_integer_labels(scores, labels).mean()


def nnx_transformer() -> regauge.Case:
    tokens, following = _tokens(3, 50)
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adamw(optax.warmup_cosine_decay_schedule(0, 1e-3, 5, 50))
    )
    return regauge.Case(
        _trained(Transformer(rngs=nnx.Rngs(0))), (tokens,), following, cross_entropy, optimizer, "transformer"
    )


def nnx_resnet() -> regauge.Case:
    images = jax.random.normal(jax.random.key(1), (4, 32, 32, 3))
    optimizer = optax.chain(optax.add_decayed_weights(1e-4), optax.sgd(1e-2, momentum=0.9, nesterov=True))
    return regauge.Case(
        _trained(ResNet(rngs=nnx.Rngs(0))), (images,), jnp.arange(4), cross_entropy, optimizer, "resnet"
    )


def nnx_diffusion() -> regauge.Case:
    keys = jax.random.split(jax.random.key(1), 3)
    noisy, noise = (jax.random.normal(key, (4, 16, 16, 3)) for key in keys[:2])
    times = jax.random.uniform(keys[2], (4,), maxval=1000.0)

    def loss(predicted: Array, noise: Array) -> Array:
        return optax.squared_error(predicted, noise).mean()

    return regauge.Case(
        _trained(DiffusionUNet(rngs=nnx.Rngs(0))), (noisy, times), noise, loss, optax.adam(1e-3), "diffusion"
    )


def nnx_mamba_scan() -> regauge.Case:
    tokens, following = _tokens(3, 40)
    model = _trained(StateSpaceModel(recurrence, rngs=nnx.Rngs(0)))
    return regauge.Case(model, (tokens,), following, cross_entropy, optax.adamw(1e-3), "mamba scan")


def nnx_mamba_parallel() -> regauge.Case:
    tokens, following = _tokens(3, 40)
    model = _trained(StateSpaceModel(parallel_recurrence, rngs=nnx.Rngs(0)))
    return regauge.Case(model, (tokens,), following, cross_entropy, optax.adamw(1e-3), "mamba parallel")
