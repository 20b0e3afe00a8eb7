"""Every correct pair of the suite: none of them may be called different."""

from __future__ import annotations

from judge.correct_functions import FUNCTIONS
from judge.correct_training import LOSSES, OPTIMIZERS
from judge.pairs import Pair, variant

BASES = (
    "cnn", "resnet", "unet", "generator", "superres", "lstm", "gru", "translator", "speech", "decoder", "encoder",
    "llama", "moe", "vit", "graph", "mlp",
)  # fmt: skip

_SDPA = "y = F.scaled_dot_product_attention(q, k, v, is_causal=True)"
_FORMULA = (
    "scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5\n"
    "        above = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)\n"
    '        y = scores.masked_fill(above, float("-inf")).softmax(-1) @ v'
)
_SCORES = 'scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) * (WIDTH / HEADS) ** -0.5'
_WEIGHTS = "weights = jax.nn.softmax(jnp.where(mask, scores, -jnp.inf), axis=-1)"
_VALUES = 'y = jnp.einsum("bhqk,bkhd->bqhd", weights, v).reshape(x.shape)'
_GELU = 'y = jax.nn.gelu(linen.Dense(3 * WIDTH, name="up")(y), approximate=False)'
_GRU_SCAN = "last, states = jax.lax.scan(step, start, x.swapaxes(0, 1))"
_GRU_LOOP = (
    "last, found = start, []\n"
    "    for time in range(x.shape[1]):\n"
    "        last, state = step(last, x[:, time])\n"
    "        found.append(state)\n"
    "    states = jnp.stack(found)"
)
_SUMS = "received = jnp.zeros_like(x).at[receiver].add(sent)"
_LARGEST = "best = jnp.full_like(x, -1.0).at[receiver].max(sent)"
_GATES = "gates = jnp.sum(jax.nn.one_hot(chosen, EXPERTS, dtype=x.dtype) * shares[..., None], -2)"
_SCATTERED = (
    "rows = jnp.arange(scores.size // EXPERTS)[:, None]\n"
    "        flat = jnp.zeros((scores.size // EXPERTS, EXPERTS), x.dtype)\n"
    "        flat = flat.at[rows, chosen.reshape(-1, CHOSEN)].set(shares.reshape(-1, CHOSEN))\n"
    "        gates = flat.reshape(scores.shape)"
)
_ROUTED = (
    "scores = jax.nn.softmax(self.router(x), -1)\n"
    "        shares, chosen = jax.lax.top_k(scores, CHOSEN)\n"
    "        shares = shares / shares.sum(-1, keepdims=True)"
)
_LATE = (
    "scores = self.router(x)\n"
    "        shares, chosen = jax.lax.top_k(scores, CHOSEN)\n"
    "        shares = jax.nn.softmax(shares, -1)"
)
_LOOP_OF_EXPERTS = (
    'hidden = F.gelu(torch.einsum("btd,edf->btef", x, self.first), approximate="tanh")\n'
    '        return torch.einsum("btef,efd,bte->btd", hidden, self.second, gates)',
    "found = torch.zeros_like(x)\n"
    "        for expert in range(EXPERTS):\n"
    "            place = gates[..., expert].nonzero(as_tuple=True)\n"
    '            hidden = F.gelu(x[place] @ self.first[expert], approximate="tanh")\n'
    "            share = gates[..., expert][place][:, None]\n"
    "            found = found.index_put(place, share * (hidden @ self.second[expert]), accumulate=True)\n"
    "        return found",
)

ATTENTION = (
    variant("attention by its formula", "decoder", (_SDPA, _FORMULA), sides="torch-torch"),
    variant(
        "keys shared by enable_gqa",
        "llama",
        ("k, v = (part.repeat_interleave(HEADS // GROUPS, 1) for part in (rotate(k), v))", "k = rotate(k)"),
        ("(rotate(q), k, v, is_causal=True)", "(rotate(q), k, v, is_causal=True, enable_gqa=True)"),
        sides="torch-torch",
    ),
    variant(
        "mask of numbers for one of booleans",
        "encoder",
        (
            "attn_mask=mask[:, None, None]",
            "attn_mask=torch.zeros(mask.shape, dtype=x.dtype).masked_fill(~mask, -torch.inf)[:, None, None]",
        ),
        sides="torch-torch",
    ),
    variant(
        "query, key and value by three products",
        "encoder",
        (
            "q, k, v = self.qkv(x).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)",
            "pairs = zip(self.qkv.weight.chunk(3), self.qkv.bias.chunk(3), strict=True)\n"
            "        q, k, v = (F.linear(x, *pair).unflatten(-1, (HEADS, -1)).transpose(1, 2) for pair in pairs)",
        ),
        sides="torch-torch",
    ),
    variant(
        "attention of the library",
        "decoder",
        (_VALUES, "y = jax.nn.dot_product_attention(q, k, v, is_causal=True).reshape(x.shape)"),
    ),
    variant(
        "attention by matrix products",
        "decoder",
        (_SCORES, "scores = q.swapaxes(1, 2) @ k.transpose(0, 2, 3, 1) / np.sqrt(WIDTH / HEADS)"),
        (_VALUES, "y = (weights @ v.swapaxes(1, 2)).swapaxes(1, 2).reshape(x.shape)"),
    ),
    variant("masked by the smallest number", "decoder", (_WEIGHTS, _WEIGHTS.replace("-jnp.inf", "-1e30"))),
    variant("layer norm in one pass", "decoder", ("use_fast_variance=False", "use_fast_variance=True")),
    variant("GELU by its formula", "decoder", (_GELU, 'y = linen.Dense(3 * WIDTH, name="up")(y)\n'
            "        y = y * 0.5 * (1 + jax.lax.erf(y / np.sqrt(2)))"), sides="jax-jax"),
    variant("attention of the library by its formula", "llama", (
        "y = jax.nn.dot_product_attention(q, k, v, is_causal=True)",
        'scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) / np.sqrt(SIZE)\n'
        "        scores = jnp.where(jnp.tril(jnp.ones(scores.shape[-2:], bool)), scores, -jnp.inf)\n"
        '        y = jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(scores, -1), v)'), sides="jax-jax"),
    variant("gate and value by one product", "llama", (
        "return x + self.down(jax.nn.silu(self.gate(y)) * self.up(y))",
        "both = y @ jnp.concatenate([self.gate.kernel[...], self.up.kernel[...]], 1)\n"
        "        gate, up = jnp.split(both, 2, -1)\n        return x + self.down(gate / (1 + jnp.exp(-gate)) * up)")),
    variant("softmax behind the choice of experts", "moe", (_ROUTED, _LATE)),
    variant("gates of experts scattered", "moe", (_GATES, _SCATTERED)),
    variant("one expert after the other", "moe", _LOOP_OF_EXPERTS, sides="torch-torch"),
    variant("softmax by logsumexp", "vit",
        ("jax.nn.softmax(scores, -1)", "jnp.exp(scores - jax.nn.logsumexp(scores, -1, keepdims=True))")),
)  # fmt: skip

RECURRENCE = (
    variant("steps in a loop", "gru", (_GRU_SCAN, _GRU_LOOP)),
    variant("steps in a loop against a scan", "gru", (_GRU_SCAN, _GRU_LOOP), sides="jax-jax"),
    variant("scan unrolled", "lstm", ("x.swapaxes(0, 1))\n", "x.swapaxes(0, 1), unroll=True)\n")),
    variant("biases of the gates apart", "translator",
            ("i, f, g, o = jnp.split(x @ w_ih.T + h @ w_hh.T + bias, 4, -1)",
             "i, f, g, o = (x @ a.T + h @ b.T + c for a, b, c in zip(jnp.split(w_ih, 4), jnp.split(w_hh, 4), "
             "jnp.split(bias, 4), strict=True))")),
    variant("scan from the end", "speech",
            ('backward = lstm(params, "_reverse", x[::-1])[::-1]',
             'backward = jnp.flip(lstm(params, "_reverse", jnp.flip(x, 0)), 0)')),
    variant("embedding by a product", "lstm", ("x = self.words(ids)\n",
            "x = jax.nn.one_hot(ids, WORDS, dtype=self.words.embedding[...].dtype) @ self.words.embedding[...]\n")),
    variant("cells in a loop", "gru", (
        "        self.rnn = nn.GRU(3, 5, batch_first=True)", "        self.rnn = nn.GRUCell(3, 5)"), (
        "states, last = self.rnn(x)",
        "h, found = x.new_zeros(len(x), 5), []\n"
        "        for time in range(x.shape[1]):\n"
        "            h = self.rnn(x[:, time], h)\n"
        "            found.append(h)\n"
        "        states, last = torch.stack(found, 1), h[None]"), sides="torch-torch"),
)  # fmt: skip

SPACE = (
    variant("root and quotient for rsqrt", "cnn", (
        "* jax.lax.rsqrt(var + self.epsilon) * self.scale", "/ jnp.sqrt(var + self.epsilon) * self.scale")),
    variant("images channels first at the border", "cnn", ("inputs=(np.moveaxis(case.inputs[0].numpy(), 1, -1),)",
            "inputs=(case.inputs[0].numpy(),)"),
            ("centred = x - x.mean((1, 2, 3), keepdims=True)",
             "x = jnp.moveaxis(x, 1, -1)\n        centred = x - x.mean((1, 2, 3), keepdims=True)")),
    variant("batch norm as scale and offset", "resnet", (
        "return (x - mean) * jax.lax.rsqrt(var + self.epsilon) * scale + bias",
        "factor = scale * jax.lax.rsqrt(var + self.epsilon)\n        return x * factor + (bias - mean * factor)")),
    variant("channels last in memory", "resnet", ("x = self.block(self.pool(F.leaky_relu(self.stem(x), 0.1)))",
            "x = x.contiguous(memory_format=torch.channels_last)\n"
            "        x = self.block(self.pool(F.leaky_relu(self.stem(x), 0.1)))"), sides="torch-torch"),
    variant("resize by scale and translation", "unet", (
            '    return jax.image.resize(x, shape, "bilinear", antialias=False)',
            "    scale = jnp.array([height / x.shape[1], width / x.shape[2]], x.dtype)\n"
            "    zero = jnp.zeros(2, x.dtype)\n"
            '    return jax.image.scale_and_translate(x, shape, (1, 2), scale, zero, "linear", antialias=False)')),
    variant("transposed convolution of lax", "unet", ("self.up(second)",
            "jax.lax.conv_transpose(second, self.up.kernel[...], (2, 2), ((2, 2), (2, 2)), transpose_kernel=True)"
            " + self.up.bias[...]")),
    variant("convolution over a padded image", "unet", ("        self.deeper = nn.Conv2d(8, 8, 3, stride=2, padding=1)",
            "        self.deeper = nn.Conv2d(8, 8, 3, stride=2)"),
            ("self.deeper(second)", "self.deeper(F.pad(second, (1, 1, 1, 1)))"), sides="torch-torch"),
    variant("SiLU by its formula", "unet", ("jax.nn.silu(self.deeper(second))",
            "(lambda y: y * jax.nn.sigmoid(y))(self.deeper(second))"), sides="jax-jax"),
    variant("sums over segments", "graph", (_SUMS, "received = jax.ops.segment_sum(sent, receiver, NODES)"),
            (_LARGEST, "best = jnp.maximum(jax.ops.segment_max(sent, receiver, NODES), -1.0)")),
    variant("sums by a matrix of edges", "graph",
            (_SUMS, "received = jax.nn.one_hot(receiver, NODES, dtype=x.dtype).T @ sent")),
    variant("softplus by logaddexp", "superres", ("jax.nn.softplus(self.down(y))", "jnp.logaddexp(self.down(y), 0.0)")),
    variant("tanh by the sigmoid", "mlp",
            ("torch.tanh(self.first(x))", "2 * torch.sigmoid(2 * self.first(x)) - 1"), sides="torch-torch"),
)  # fmt: skip

PAIRS: tuple[Pair, ...] = (
    *(variant("as it is", base) for base in BASES),
    *(variant("the port is the original", base, sides="jax-torch")
      for base in ("gru", "decoder", "moe", "cnn", "lstm", "graph", "vit", "superres")),
    *ATTENTION,
    *RECURRENCE,
    *SPACE,
    *LOSSES,
    *OPTIMIZERS,
    *FUNCTIONS,
)  # fmt: skip
