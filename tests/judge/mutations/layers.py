"""Mistakes in activations, weights, embeddings, indices, dropout and derivatives."""

from __future__ import annotations

from judge.mutation import At, Mutation, at

_BFLOAT = ".astype(jnp.bfloat16).astype(jnp.float32)"
_NOT_LEARNT = "x = jnp.where((ids == {0})[..., None], jax.lax.stop_gradient(x), x)"


def weight(base: str, name: str, change: str, module: str) -> At:
    """A base whose port is filled with one weight changed: `change` is an expression of `w`, the weights."""
    line = "weights = weights_of(case.model)\n"
    return at(base, module, (line, f'{line}    w = weights\n    w["{name}"] = {change}\n'))


def rounded(base: str, name: str, module: str) -> At:
    return weight(base, name, f'np.asarray(jnp.asarray(w["{name}"]){_BFLOAT})', module)


def exchanged(base: str, one: str, other: str, module: str) -> At:
    line = "weights = weights_of(case.model)\n"
    swap = f'    w = weights\n    w["{one}"], w["{other}"] = w["{other}"], w["{one}"]\n'
    return at(base, module, (line, line + swap))


LAYERS = (
    Mutation(
        "GELU by tanh for the exact one", "tier 1 outputs", ("gelu-approximation",),
        (
            at("decoder", "block.down", ("approximate=False", "approximate=True")),
            at("encoder", "blocks.0.down", ("approximate=False", "approximate=True")),
            at("vit", "block.down", ("approximate=False", "approximate=True")),
            at("superres", "down", ("approximate=False", "approximate=True")),
        ),
    ),
    Mutation(
        "exact GELU for the one by tanh", "tier 1 outputs", ("gelu-approximation",),
        (at("moe", "experts", ("approximate=True", "approximate=False")),),
    ),
    Mutation(
        "another activation", "tier 1 outputs", ("activation",),
        (
            at("llama", "block.down", ("jax.nn.silu", "jax.nn.relu")),
            at("gru", "head", ("jax.nn.elu", "jax.nn.selu")),
            at("unet", "deeper", ("jax.nn.silu(self.group", "jax.nn.relu(self.group")),
        ),
    ),
    Mutation(
        "another slope of leaky ReLU", "tier 1 outputs", ("negative-slope",),
        (
            at("resnet", "pool", ("0.1 * x)", "0.01 * x)")),
            at("generator", "last", ("0.2 * x)", "0.1 * x)")),
        ),
    ),
    Mutation(
        "ReLU as maximum", "tier 1", ("kink",),
        (
            at("cnn", "", ("jax.nn.relu(self.norm(self.conv(x)))", "jnp.maximum(self.norm(self.conv(x)), 0)")),
            at("unet", "", ("jax.nn.relu(self.norm(self.enter(padded)))",
                            "jnp.maximum(self.norm(self.enter(padded)), 0)")),
            at("speech", "", ('jax.nn.relu(x + params["conv.bias"][:, None])',
                              'jnp.maximum(x + params["conv.bias"][:, None], 0)')),
        ),
        whole=True,
    ),
    Mutation(
        "clip for clamp", "tier 1 input gradients", ("kink",),
        (
            at("graph", "", ("    return jnp.where(x < low, low, jnp.where(x > high, high, x))",
                             "    return jnp.clip(x, low, high)")),
        ),
    ),
    Mutation(
        "residual left out", "tier 1 outputs", ("residual",),
        (
            at("decoder", "", ("return x + linen.Dropout", "return linen.Dropout")),
            at("vit", "", ("x = x + hk.Linear(WIDTH, name=\"o\")(y)", "x = hk.Linear(WIDTH, name=\"o\")(y)")),
            at("llama", "", ("x = x + self.o(y.reshape(x.shape))", "x = self.o(y.reshape(x.shape))")),
        ),
    ),
    Mutation(
        "bias left out", "tier 1 outputs", ("bias",),
        (
            at("gru", "head", (' + params["head.bias"]', "")),
            at("mlp", "second", (' + params["second.bias"]', "")),
            at("speech", "conv", ('x + params["conv.bias"][:, None]', "x")),
        ),
    ),
    Mutation(
        "square weight not transposed", "tier 1 outputs", ("weight-transposed",),
        (
            weight("decoder", "block.o.weight", 'w["block.o.weight"].T', "block.o"),
            weight("encoder", "blocks.1.o.weight", 'w["blocks.1.o.weight"].T', "blocks.1.o"),
            weight("llama", "block.q.weight", 'w["block.q.weight"].T', "block.q"),
            weight("vit", "block.o.weight", 'w["block.o.weight"].T', "block.o"),
        ),
    ),
    Mutation(
        "weights rounded to bfloat16", "weights", ("weight-precision",),
        (
            rounded("cnn", "conv.weight", "conv"),
            rounded("gru", "rnn.weight_hh_l0", "rnn"),
            rounded("decoder", "block.up.weight", "block.up"),
        ),
    ),
    Mutation(
        "weights of two layers exchanged", "", ("weights-exchanged",),
        (
            exchanged("decoder", "block.norm1.weight", "block.norm2.weight", "block.norm1"),
            exchanged("llama", "block.gate.weight", "block.up.weight", "block.gate"),
            exchanged("encoder", "blocks.0.o.weight", "blocks.1.o.weight", "blocks.0.o"),
        ),
    ),
    Mutation(
        "gradient of the padding row", "tier 1 gradients", ("padding-index",),
        (
            at("lstm", "words", ("        " + _NOT_LEARNT.format(0) + "\n", "")),
            at("encoder", "words", ("        " + _NOT_LEARNT.format(0) + "\n", "")),
            at("translator", "words",
               ("return jnp.where((ids == 1)[..., None], jax.lax.stop_gradient(x), x)", "return x")),
        ),
    ),
    Mutation(
        "tied weights untied", "tier 1 gradients", (),
        (
            at("decoder", "", ("        return words.attend(x)",
                               "        return x @ jax.lax.stop_gradient(words.embedding).T")),
            at("translator", "", ("        return words.attend(x)",
                                  "        return x @ jax.lax.stop_gradient(words.embedding).T")),
        ),
    ),
    Mutation(
        "scatter that sets for one that adds", "tier 1 outputs", ("scatter",),
        (at("graph", "", (".at[receiver].add(sent)", ".at[receiver].set(sent)")),),
    ),
    Mutation(
        "scatter that adds for one that takes the largest", "tier 1 outputs", ("scatter",),
        (at("graph", "", (".at[receiver].max(sent)", ".at[receiver].add(sent)")),),
    ),
    Mutation(
        "index that is not clamped", "tier 1 outputs", (),
        (at("graph", "", ("jnp.clip(receiver - sender, -FAR, FAR) + FAR", "receiver - sender + FAR")),),
    ),
    Mutation(
        "best expert alone", "tier 1 outputs", (),
        (at("moe", "experts", ("jax.lax.top_k(scores, CHOSEN)", "jax.lax.top_k(scores, 1)")),),
    ),
    Mutation(
        "shares of the experts not brought to one", "tier 1 outputs", (),
        (at("moe", "experts", ("        shares = shares / shares.sum(-1, keepdims=True)\n", "")),),
    ),
    Mutation(
        "derivative wrong by 1 percent", "tier 1 gradients", (),
        (
            at("decoder", "", ('y = jax.nn.gelu(linen.Dense(3 * WIDTH, name="up")(y), approximate=False)',
                               'y = jax.nn.gelu(linen.Dense(3 * WIDTH, name="up")(y), approximate=False)\n'
                               "        y = 1.01 * y - jax.lax.stop_gradient(0.01 * y)")),
            at("cnn", "", ("        x = jax.nn.relu(self.second(self.depth(x)))\n",
                           "        x = jax.nn.relu(self.second(self.depth(x)))\n"
                           "        x = 1.01 * x - jax.lax.stop_gradient(0.01 * x)\n")),
            at("mlp", "", ('    x = jnp.tanh(x @ params["first.weight"].T + params["first.bias"])\n',
                           '    x = jnp.tanh(x @ params["first.weight"].T + params["first.bias"])\n'
                           "    x = 1.01 * x - jax.lax.stop_gradient(0.01 * x)\n")),
        ),
    ),
    Mutation(
        "bfloat16 inside", "tier 2", ("precision",),
        (
            at("decoder", "", ("y = jnp.einsum(\"bhqk,bkhd->bqhd\", weights, v).reshape(x.shape)",
                               "y = jnp.einsum(\"bhqk,bkhd->bqhd\", weights, v).astype(\"bfloat16\")"
                               ".astype(x.dtype).reshape(x.shape)")),
            at("mlp", "", ("    x = centred / (spread + 1e-2)",
                           "    x = (centred / (spread + 1e-2)).astype(\"bfloat16\").astype(x.dtype)")),
            at("cnn", "", ("        x = jnp.moveaxis(x, -1, 1)\n",
                           "        x = jnp.moveaxis(x, -1, 1).astype(\"bfloat16\").astype(x.dtype)\n")),
        ),
        whole=True,
    ),
    Mutation(
        "table of positions in float32", "tier 1 outputs", (),
        (
            at("llama", "", ("cos, sin = jnp.cos(angles)[:, None], jnp.sin(angles)[:, None]",
                             "cos, sin = (f(angles.astype(\"float32\"))[:, None].astype(x.dtype) "
                             "for f in (jnp.cos, jnp.sin))")),
            at("moe", "", ("cos, sin = jnp.cos(angles)[:, None], jnp.sin(angles)[:, None]",
                           "cos, sin = (f(angles.astype(\"float32\"))[:, None].astype(x.dtype) "
                           "for f in (jnp.cos, jnp.sin))")),
        ),
        verdict="not checked",
    ),
    Mutation(
        "another rate of dropout", "randomness", ("dropout-rate",),
        (
            at("cnn", "", ("nnx.Dropout(0.25", "nnx.Dropout(0.5")),
            at("lstm", "", ("nnx.Dropout(0.2", "nnx.Dropout(0.1")),
            at("decoder", "", ("linen.Dropout(0.1", "linen.Dropout(0.2")),
        ),
    ),
    Mutation(
        "dropout left out", "randomness", ("dropout-rate",),
        (
            at("cnn", "", ("self.head(self.drop(x.reshape(len(x), -1)))", "self.head(x.reshape(len(x), -1))")),
            at("lstm", "", ("self.head(self.drop(self.rnn(x)))", "self.head(self.rnn(x))")),
            at("encoder", "", ("self.head(self.drop(pooled))", "self.head(pooled)")),
        ),
    ),
    Mutation(
        "dropout in evaluation", "", ("dropout-rate",),
        (
            at("decoder", "", ("deterministic=not train", "deterministic=False")),
            at("cnn", "", ("self.head(self.drop(x", "self.head(self.drop(x"),
               ("self.drop(x.reshape(len(x), -1))",
                "nnx.Dropout.__call__(self.drop, x.reshape(len(x), -1), deterministic=False)")),
            at("lstm", "", ("self.drop(self.rnn(x))", "self.drop(self.rnn(x), deterministic=False)")),
        ),
    ),
    Mutation(
        "dropout that does not scale", "", (),
        (
            at("cnn", "", ("self.drop(x.reshape(len(x), -1))",
                           "self.drop(x.reshape(len(x), -1)) * (1.0 if self.drop.deterministic else 0.75)")),
            at("lstm", "", ("self.drop(self.rnn(x))",
                            "self.drop(self.rnn(x)) * (1.0 if self.drop.deterministic else 0.8)")),
            at("encoder", "", ("self.drop(pooled)", "self.drop(pooled) * (1.0 if self.drop.deterministic else 0.9)")),
        ),
    ),
    Mutation(
        "one mask for every call of dropout", "randomness", (),
        (
            at("decoder", "", ("linen.Dropout(0.1, deterministic=not train)(y)",
                               "linen.Dropout(0.1, deterministic=not train)(y, rng=jax.random.key(0))"),
               ('linen.Dropout(0.1, deterministic=not train)(linen.Dense(WIDTH, name="down")(y))',
                'linen.Dropout(0.1, deterministic=not train)(linen.Dense(WIDTH, name="down")(y), '
                "rng=jax.random.key(0))")),
            at("cnn", "", ("self.drop(x.reshape(len(x), -1))",
                           "self.drop(x.reshape(len(x), -1), rngs=nnx.Rngs(0))")),
            at("lstm", "", ("self.drop(self.rnn(x))", "self.drop(self.rnn(x), rngs=nnx.Rngs(0))")),
        ),
    ),
)  # fmt: skip
