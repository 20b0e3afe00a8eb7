"""Mistakes in attention and positions."""

from __future__ import annotations

from judge.mutation import Mutation, at

_MASK = "mask = jnp.tril(jnp.ones(scores.shape[-2:], bool))"
_SPLIT = "jnp.moveaxis(self.qkv({0}).reshape(*x.shape[:2], 3, HEADS, {1}), 2, 0)"
_PER_HEAD = "jnp.moveaxis(self.qkv({0}).reshape(*x.shape[:2], HEADS, 3, {1}), 3, 0)"
_DECODER_HEADS = "reshape(*y.shape[:2], HEADS, -1) for name"
_LLAMA = "y = jax.nn.dot_product_attention(q, k, v, is_causal=True)"
_MERGED = 'y = jnp.einsum("bhqk,bkhd->bqhd", weights, v).reshape(x.shape)'
_UNMERGED = 'y = jnp.einsum("bhqk,bkhd->bhqd", weights, v).reshape(x.shape)'
_WRONG_AXIS = ("jnp.where(mask, scores, -jnp.inf), {0}-1)", "jnp.where(mask, scores, -1e9), {0}-2)")
_PAIRS = "a, b = jnp.split(x, 2, -1)\n    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], -1)"
_NEIGHBOURS = (
    "a, b = x[..., ::2], x[..., 1::2]\n"
    "    return jnp.stack([a * cos - b * sin, b * cos + a * sin], -1).reshape(x.shape)"
)
_SAFE = (
    "weights = jnp.exp(scores - jax.lax.stop_gradient(top))\n"
    "        total = weights.sum(-1, keepdims=True)\n"
    "        weights = jnp.where(total > 0, weights / jnp.where(total > 0, total, 1), 0)"
)

ATTENTION = (
    Mutation(
        "scale of attention left out", "tier 1 outputs", ("attention-scale",),
        (
            at("decoder", "block.o", (" * (WIDTH / HEADS) ** -0.5", "")),
            at("encoder", "blocks.0.o", (" / jnp.sqrt(q.shape[-1])", "")),
            at("moe", "o", (" * SIZE**-0.5", "")),
            at("vit", "block.o", (" / np.sqrt(WIDTH // HEADS)", "")),
        ),
    ),
    Mutation(
        "scale of attention twice", "tier 1 outputs", ("attention-scale",),
        (
            at("decoder", "block.o", ("(WIDTH / HEADS) ** -0.5", "(WIDTH / HEADS) ** -1.0")),
            at("encoder", "blocks.0.o", ("/ jnp.sqrt(q.shape[-1])", "/ q.shape[-1]")),
            at("moe", "o", ("SIZE**-0.5", "SIZE**-1.0")),
            at("translator", "mixed", ("memory) / WIDTH**0.5", "memory) / WIDTH")),
        ),
    ),
    Mutation(
        "scale by the width for the size of a head", "tier 1 outputs", ("attention-scale",),
        (
            at("decoder", "block.o", ("(WIDTH / HEADS) ** -0.5", "WIDTH**-0.5")),
            at("vit", "block.o", ("np.sqrt(WIDTH // HEADS)", "np.sqrt(WIDTH)")),
            at("moe", "o", ("SIZE**-0.5", "WIDTH**-0.5")),
        ),
    ),
    Mutation(
        "causal mask off by one", "tier 1 outputs", ("causal-offset",),
        (
            at("decoder", "block.o", (_MASK, "mask = jnp.tril(jnp.ones(scores.shape[-2:], bool), 1)")),
            at("moe", "o", (_MASK, "mask = jnp.tril(jnp.ones(scores.shape[-2:], bool), 1)")),
            at("llama", "block.o", (_LLAMA, "mask = jnp.tril(jnp.ones((x.shape[1], x.shape[1]), bool), 1)\n"
                                    "        y = jax.nn.dot_product_attention(q, k, v, mask=mask)")),
        ),
    ),
    Mutation(
        "causal mask left out", "tier 1 outputs", ("causal-mask",),
        (
            at("decoder", "block.o", (_MASK, "mask = True")),
            at("moe", "o", (_MASK, "mask = True")),
            at("llama", "block.o", (", is_causal=True", "")),
        ),
    ),
    Mutation(
        "padding mask left out", "tier 1 outputs", ("mask-left-out",),
        (
            at("encoder", "blocks.0.o", ("scores = jnp.where(mask[:, None, None], scores, -jnp.inf)\n", "\n")),
            at("translator", "mixed", ("scores = jnp.where((source == 1)[:, None], -jnp.inf, scores)\n", "\n")),
        ),
    ),
    Mutation(
        "masked by -1e4 for -inf", "tier 1 outputs", ("mask-value", "empty-rows"),
        (
            at("encoder", "blocks.0.o", ("scores, -jnp.inf)", "scores, -1e4)"),
               (_SAFE, "weights = jax.nn.softmax(scores, -1)")),
            at("translator", "mixed", ("-jnp.inf, scores)", "-1e4, scores)")),
        ),
        whole=True,
    ),
    Mutation(
        "mean of the values in a row of which nothing is kept", "tier 1 outputs", ("empty-rows", "mask-value"),
        (
            at("encoder", "blocks.0.o", ("scores, -jnp.inf)", "scores, jnp.finfo(scores.dtype).min)"),
               (_SAFE, "weights = jax.nn.softmax(scores, -1)")),
            at("translator", "mixed", ("-jnp.inf, scores)", "jnp.finfo(scores.dtype).min, scores)")),
        ),
        whole=True,
    ),
    Mutation(
        "heads split in another order", "tier 1 outputs", ("head-order",),
        (
            at("decoder", "block.o", (_DECODER_HEADS, "reshape(*y.shape[:2], -1, HEADS).swapaxes(2, 3) for name")),
            at("encoder", "blocks.0.o", (_SPLIT.format("x", "-1"),
                                         "jnp.moveaxis(self.qkv(x).reshape(*x.shape[:2], 3, -1, HEADS), 2, 0)"
                                         ".swapaxes(3, 4)")),
            at("llama", "block.o", ("reshape(*y.shape[:2], -1, SIZE) for layer",
                                    "reshape(*y.shape[:2], SIZE, -1).swapaxes(2, 3) for layer")),
            at("moe", "o", (_SPLIT.format("self.norm1(x)", "SIZE"),
                            "jnp.moveaxis(self.qkv(self.norm1(x)).reshape(*x.shape[:2], 3, SIZE, HEADS), 2, 0)"
                            ".swapaxes(3, 4)")),
        ),
    ),
    Mutation(
        "query, key and value split per head", "tier 1 outputs", ("qkv-order", "head-order"),
        (
            at("encoder", "blocks.0.o", (_SPLIT.format("x", "-1"), _PER_HEAD.format("x", "-1"))),
            at("moe", "o", (_SPLIT.format("self.norm1(x)", "SIZE"), _PER_HEAD.format("self.norm1(x)", "SIZE"))),
            at("vit", "block.o", ("jnp.moveaxis(y.reshape(*x.shape[:2], 3, HEADS, -1), 2, 0)",
                                  "jnp.moveaxis(y.reshape(*x.shape[:2], HEADS, 3, -1), 3, 0)")),
        ),
    ),
    Mutation(
        "query and key exchanged", "tier 1 outputs", ("qkv-order",),
        (
            at("decoder", "block.o", ('jnp.einsum("bqhd,bkhd->bhqk", q, k)', 'jnp.einsum("bqhd,bkhd->bhqk", k, q)')),
            at("encoder", "blocks.0.o", ("q, k, v = jnp.moveaxis", "k, q, v = jnp.moveaxis")),
            at("moe", "o", ("q, k, v = jnp.moveaxis", "k, q, v = jnp.moveaxis")),
        ),
    ),
    Mutation(
        "key and value exchanged", "tier 1 outputs", ("qkv-order",),
        (
            at("encoder", "blocks.0.o", ("q, k, v = jnp.moveaxis", "q, v, k = jnp.moveaxis")),
            at("moe", "o", ("q, k, v = jnp.moveaxis", "q, v, k = jnp.moveaxis")),
            at("vit", "block.norm_k", ("q, k, v = jnp.moveaxis", "q, v, k = jnp.moveaxis")),
        ),
    ),
    Mutation(
        "heads joined in another order", "tier 1 outputs", ("head-merge",),
        (
            at("decoder", "block.o", (_MERGED, _UNMERGED)),
            at("encoder", "blocks.0.o", (_MERGED, _UNMERGED)),
            at("moe", "o", (_MERGED, _UNMERGED)),
        ),
    ),
    Mutation(
        "softmax over the wrong axis", "tier 1 outputs", ("axis",),
        (
            at("decoder", "block.o", (_WRONG_AXIS[0].format("axis="), _WRONG_AXIS[1].format("axis="))),
            at("moe", "o", (_WRONG_AXIS[0].format(""), _WRONG_AXIS[1].format(""))),
            at("vit", "block.o", ("jax.nn.softmax(scores, -1)", "jax.nn.softmax(scores, -2)")),
        ),
    ),
    Mutation(
        "keys tiled for repeated", "tier 1 outputs", (),
        (
            at("llama", "block.o",
               ("jnp.repeat(k, HEADS // GROUPS, axis=2)", "jnp.tile(k, (1, 1, HEADS // GROUPS, 1))"),
               ("jnp.repeat(v, HEADS // GROUPS, axis=2)", "jnp.tile(v, (1, 1, HEADS // GROUPS, 1))")),
        ),
    ),
    Mutation(
        "rotary positions with other pairs", "tier 1 outputs", ("rotary-pairs",),
        (
            at("llama", "block.o", (_PAIRS, _NEIGHBOURS)),
            at("moe", "o", (_NEIGHBOURS, _PAIRS)),
        ),
    ),
    Mutation(
        "rotary positions turned the other way in the key", "tier 1 outputs", (),
        (
            at("llama", "block.o", ("rotated(q), rotated(k)", "rotated(q), rotated(k[:, ::-1])[:, ::-1]")),
            at("moe", "o", ("rotated(q), rotated(k))", "rotated(q), rotated(k[:, ::-1])[:, ::-1])")),
        ),
    ),
    Mutation(
        "another base of rotary positions", "tier 1 outputs", ("constant",),
        (
            at("llama", "block.o", ("10000.0 ** (-jnp.arange", "500000.0 ** (-jnp.arange")),
            at("moe", "o", ("100.0 ** (-jnp.arange", "10000.0 ** (-jnp.arange")),
        ),
    ),
    Mutation(
        "learnt positions off by one", "tier 1 outputs", (),
        (
            at("decoder", "block.norm1", ("places[: ids.shape[1]]", "jnp.roll(places, 1, 0)[: ids.shape[1]]")),
            at("encoder", "norm", ("self.places.embedding[...]", "jnp.roll(self.places.embedding[...], 1, 0)")),
            at("vit", "block.norm1", ("x], 1) + places", "x], 1) + jnp.roll(places, 1, 1)")),
        ),
    ),
    Mutation(
        "mean over padding too", "tier 1 outputs", (),
        (at("encoder", "", ("pooled = (x * kept).sum(1) / jnp.maximum(kept.sum(1), 1)", "pooled = x.mean(1)")),),
    ),
)  # fmt: skip
