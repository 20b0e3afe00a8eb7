"""A causal transformer: the original in torch, a port by hand in Linen."""

from __future__ import annotations

from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
import torch.nn.functional as F
from torch import nn

import regauge

WIDTH, HEADS, WORDS = 8, 2, 11


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.q, self.k, self.v, self.o = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.up, self.down = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(3 * WIDTH, WIDTH)
        self.drop = nn.Dropout(0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm1(x)
        q, k, v = (layer(y).unflatten(-1, (HEADS, -1)).transpose(1, 2) for layer in (self.q, self.k, self.v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
        x = x + self.drop(self.o(y))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Decoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH)
        self.block = Block()
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, WORDS, bias=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.block(self.words(ids))))


class BlockPort(linen.Module):
    bug: str = ""

    @linen.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        bug = self.bug
        dense = lambda name, size=WIDTH: linen.Dense(size, name=name)  # noqa: E731
        norm = lambda name, eps=1e-5: linen.LayerNorm(epsilon=eps, use_fast_variance=False, name=name)  # noqa: E731
        y = norm("norm1", 1e-6 if bug == "layer norm eps" else 1e-5)(x)
        layers = ("k", "q", "v") if bug == "query and key exchanged" else ("q", "k", "v")
        split = (WIDTH // HEADS, HEADS) if bug == "heads split in the wrong order" else (HEADS, WIDTH // HEADS)
        q, k, v = (dense(name)(y).reshape(*y.shape[:2], *split) for name in layers)
        if bug == "heads split in the wrong order":
            q, k, v = (part.swapaxes(2, 3) for part in (q, k, v))
        scale = {"attention scale left out": 1.0, "attention scale doubled": WIDTH / HEADS}
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) * scale.get(bug, (WIDTH / HEADS) ** -0.5)
        mask = jnp.tril(jnp.ones(scores.shape[-2:], bool), 1 if bug == "causal mask off by one" else 0)
        weights = jax.nn.softmax(jnp.where(mask, scores, -jnp.inf), axis=-1)
        if bug == "softmax in float32":
            weights = weights.astype(np.float32)
        y = jnp.einsum("bhqk,bkhd->bqhd", weights, v).reshape(x.shape)
        y = dense("o")(y)
        x = x + linen.Dropout(0.1, deterministic=not train)(y)
        y = jax.nn.gelu(dense("up", 3 * WIDTH)(norm("norm2")(x)), approximate=bug == "tanh GELU")
        return x + dense("down")(y)


class DecoderPort(linen.Module):
    bug: str = ""

    @linen.compact
    def __call__(self, ids: jax.Array, train: bool = False) -> jax.Array:
        x = linen.Embed(WORDS, WIDTH, name="words")(ids)
        x = BlockPort(self.bug, name="block")(x, train)
        x = linen.LayerNorm(epsilon=1e-5, use_fast_variance=False, name="norm")(x)
        return linen.Dense(WORDS, use_bias=False, name="head")(x)


def original(seed: int = 0) -> regauge.Case:
    torch.manual_seed(seed)
    model = Decoder()
    for name, parameter in model.named_parameters():
        if "norm" in name:
            nn.init.uniform_(parameter, 0.5, 1.5)
    return regauge.Case(
        model,
        inputs=(torch.randint(0, WORDS, (3, 5)),),
        targets=torch.randint(0, WORDS, (3, 5)),
        loss=lambda outputs, targets: F.cross_entropy(outputs.flatten(0, 1), targets.flatten()),
        optimizer=torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.05),
    )


def port(case: regauge.Case, bug: str = "") -> regauge.Case:
    """The port with the weights of the original."""
    tree: dict[str, Any] = {}
    for name, tensor in case.model.state_dict().items():
        *path, kind = name.split(".")
        node = tree
        for step in path:
            node = node.setdefault(step, {})
        array = tensor.detach().numpy()
        if kind == "weight":
            kind = "embedding" if path == ["words"] else "scale" if "norm" in path[-1] else "kernel"
            untransposed = bug == "square weight not transposed" and path == ["block", "o"]
            array = array.T if kind == "kernel" and not untransposed else array
        node[kind] = jnp.asarray(array)
    if bug == "weights exchanged":
        block = tree["block"]
        block["norm1"], block["norm2"] = block["norm2"], block["norm1"]
    if bug == "weight rounded to bfloat16":
        tree["head"]["kernel"] = tree["head"]["kernel"].astype(jnp.bfloat16).astype(jnp.float32)

    def loss(outputs: jax.Array, targets: jax.Array) -> jax.Array:
        return optax.softmax_cross_entropy_with_integer_labels(outputs, targets).mean()

    optimizers = {
        "weight decay of optax": optax.adamw(3e-3),
        "L2 for decoupled decay": optax.chain(optax.add_decayed_weights(0.05), optax.adam(3e-3)),
        "optimizer eps": optax.adamw(3e-3, eps=1e-7, weight_decay=0.05),
    }
    return regauge.Case(
        (DecoderPort(bug), {"params": tree}),
        inputs=(case.inputs[0].numpy().astype(np.int32),),
        targets=case.targets.numpy().astype(np.int32),
        loss=loss,
        optimizer=optimizers.get(bug, optax.adamw(3e-3, weight_decay=0.05)),
    )
