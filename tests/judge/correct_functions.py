"""Correct functions without weights, and models whose weights are held in other ways."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import torch
import torch.nn.functional as F
from torch import nn

from judge.pairs import Pair


def function(name: str, original: Callable[..., Any], port: Callable[..., Any], *shapes: tuple[int, ...]) -> Pair:
    """Two functions on random arrays of these shapes."""

    def make(directory: Path) -> tuple[Any, ...]:
        generator = torch.Generator().manual_seed(0)
        return original, port, tuple(torch.randn(shape, generator=generator) for shape in shapes)

    return Pair(name, "functions", make, {"frameworks": ("torch", "jax")})


def attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """[batch, time, heads, size]"""
    q, k, v = (part.transpose(1, 2) for part in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)


def attention_by_hand(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) / jnp.sqrt(q.shape[-1])
    mask = jnp.tril(jnp.ones(scores.shape[-2:], bool))
    return jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(jnp.where(mask, scores, -jnp.inf)), v)


def convolved(x: jax.Array, w: jax.Array) -> jax.Array:
    numbers = ("NCHW", "OIHW", "NCHW")
    return jax.lax.conv_general_dilated(x, w, (2, 2), [(1, 1), (1, 1)], rhs_dilation=(1, 1), dimension_numbers=numbers)


def unfolded(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    columns = F.unfold(x, 3, padding=1, stride=2)
    return (w.flatten(1) @ columns).unflatten(-1, (4, 4))


def normalised(x: torch.Tensor) -> torch.Tensor:
    return F.layer_norm(x, x.shape[-1:])


def normalised_by_hand(x: jax.Array) -> jax.Array:
    return (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-5)


def stacked(directory: Path) -> tuple[Any, ...]:
    """Equal layers, one after the other, against a scan over their stacked weights."""
    torch.manual_seed(0)
    model = nn.Sequential(*(nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(3)))
    kernels = jnp.stack([jnp.asarray(layer[0].weight.detach().numpy().T) for layer in model])
    biases = jnp.stack([jnp.asarray(layer[0].bias.detach().numpy()) for layer in model])

    def port(params: Any, x: jax.Array) -> jax.Array:
        def layer(x: jax.Array, weights: Any) -> tuple[jax.Array, None]:
            return jnp.tanh(x @ weights["kernel"] + weights["bias"]), None

        return jax.lax.scan(layer, x, params)[0]

    return model, (port, {"kernel": kernels, "bias": biases}), (torch.randn(5, 4),)


def renamed(directory: Path) -> tuple[Any, ...]:
    """Weights under names that say nothing, in a list."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.Linear(6, 2))
    a, b, c, d = (jnp.asarray(parameter.detach().numpy()) for parameter in model.parameters())

    def port(params: Any, x: jax.Array) -> jax.Array:
        (u, v), (p, q) = params
        return jax.nn.gelu(x @ u + v, approximate=False) @ p + q

    return model, (port, [(a.T, b), (c.T, d)]), (torch.randn(5, 4),)


FUNCTIONS = (
    function("GELU", F.gelu, lambda x: jax.nn.gelu(x, approximate=False), (4, 6)),
    function("GELU by tanh", lambda x: F.gelu(x, approximate="tanh"), jax.nn.gelu, (4, 6)),
    function("mish", F.mish, lambda x: x * jnp.tanh(jax.nn.softplus(x)), (4, 6)),
    function("softmax in single precision by name", lambda x: x.float().softmax(-1).to(x.dtype),
             lambda x: jax.nn.softmax(x.astype(jnp.float32), -1).astype(x.dtype), (4, 6)),
    function("log of a sum of exponentials", lambda x: torch.logsumexp(x, -1),
             lambda x: jax.scipy.special.logsumexp(x, -1), (4, 6)),
    function("cumulative sum", lambda x: x.cumsum(1), lambda x: jnp.cumsum(x, 1), (4, 6)),
    function("attention", attention, attention_by_hand, (2, 5, 2, 4), (2, 5, 2, 4), (2, 5, 2, 4)),
    function("attention of both libraries", attention,
             lambda q, k, v: jax.nn.dot_product_attention(q, k, v, is_causal=True),
             (2, 5, 2, 4), (2, 5, 2, 4), (2, 5, 2, 4)),
    function("convolution by columns", unfolded, convolved, (2, 3, 8, 8), (4, 3, 3, 3)),
    function("layer norm", normalised, normalised_by_hand, (4, 6)),
    function("largest of each row", lambda x: x.amax(1), lambda x: x.max(1), (4, 6)),
    function("two largest", lambda x: x.topk(2).values, lambda x: jax.lax.top_k(x, 2)[0], (4, 6)),
    function("products of three", lambda a, b, c: a @ b @ c, lambda a, b, c: jnp.einsum("ij,jk,kl->il", a, b, c),
             (3, 4), (4, 5), (5, 2)),
    function("log softmax", lambda x: x.log_softmax(-1), lambda x: x - jax.nn.logsumexp(x, -1, keepdims=True), (4, 6)),
    Pair("layers stacked under a scan", "functions", stacked),
    Pair("weights without names", "functions", renamed),
)  # fmt: skip
