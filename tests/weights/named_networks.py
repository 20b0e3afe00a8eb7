"""The same network as two libraries name and lay out its tensors: shapes of the original, and how the other is made.

The names of the transformers are those of the public torch and Flax models; `recipe` makes the converted tensors from
any arrays of the original, so that a map can be judged with other values than it was inferred from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from regauge.weights.pairing import TensorInfo

Arrays = dict[str, np.ndarray]


@dataclass
class Twin:
    """A network in two forms.

    Attributes:
        shapes: of the original's tensors.
        recipe: the converted model's tensors from the original's.
        buffers: names (either side) that are buffers.
        constants: name of the original -> the value of all its elements at initialisation.
        nameless: whether names alone, without values, decide everything.
    """

    shapes: dict[str, tuple[int, ...]]
    recipe: Callable[[Arrays], Arrays]
    buffers: set[str] = field(default_factory=set)
    constants: dict[str, float] = field(default_factory=dict)
    nameless: bool = True

    def arrays(self, seed: int = 0, initial: bool = False) -> Arrays:
        """Random arrays of the original; `initial`: zeros and ones where a fresh model has them."""
        random = np.random.default_rng(seed)
        found = {name: random.standard_normal(shape).astype(np.float32) for name, shape in self.shapes.items()}
        if initial:
            found |= {name: np.full(self.shapes[name], value, np.float32) for name, value in self.constants.items()}
        return found

    def infos(self, arrays: Arrays, values: bool = True) -> tuple[list[TensorInfo], list[TensorInfo]]:
        return self._side(arrays, values), self._side(self.recipe(arrays), values)

    def _side(self, arrays: Arrays, values: bool) -> list[TensorInfo]:
        return [
            TensorInfo(
                name, array.shape, array.dtype.name, "buffer" if name in self.buffers else "parameter",
                values=array if values else None,
            )
            for name, array in arrays.items()
        ]  # fmt: skip


def last(array: np.ndarray) -> np.ndarray:
    """A kernel with its outputs last: [out, in] -> [in, out], OIHW -> HWIO."""
    return array.transpose((*range(2, array.ndim), 1, 0))


def norms_and_biases(shapes: dict[str, tuple[int, ...]]) -> dict[str, float]:
    """Biases are zero and scales one in a fresh model."""
    found = {name: 0.0 for name in shapes if name.endswith("bias")}
    return found | {name: 1.0 for name, shape in shapes.items() if name.endswith("weight") and len(shape) == 1}


def flax_leaf(name: str, array: np.ndarray) -> tuple[str, np.ndarray]:
    """Flax's last word and layout for a torch tensor: scale, embedding or kernel for weight."""
    if not name.endswith(".weight"):
        return name, array
    if array.ndim == 1:
        return name[:-6] + "scale", array
    if "emb" in name or "wte" in name or "wpe" in name:
        return name[:-6] + "embedding", array
    return name[:-6] + "kernel", last(array)


def flax_tree(arrays: Arrays) -> Arrays:
    return dict(flax_leaf(name, array) for name, array in arrays.items())


def layer_shapes(prefix: str, names: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """weight and bias of linear layers ([out, in]) and of norms ([width])."""
    found = {}
    for name, shape in names.items():
        found[f"{prefix}{name}.weight"] = shape
        found[f"{prefix}{name}.bias"] = shape[:1]
    return found


def bert(layers: int = 3, d: int = 16, f: int = 32) -> Twin:
    """transformers' BertModel and the Flax tree of it: the same paths, Flax's last words."""
    shapes = {
        "embeddings.word_embeddings.weight": (40, d),
        "embeddings.position_embeddings.weight": (24, d),
        "embeddings.token_type_embeddings.weight": (2, d),
        **layer_shapes("embeddings.", {"LayerNorm": (d,)}),
    }
    for n in range(layers):
        shapes |= layer_shapes(f"encoder.layer.{n}.", {
            "attention.self.query": (d, d), "attention.self.key": (d, d), "attention.self.value": (d, d),
            "attention.output.dense": (d, d), "attention.output.LayerNorm": (d,),
            "intermediate.dense": (f, d), "output.dense": (d, f), "output.LayerNorm": (d,),
        })  # fmt: skip
    shapes |= layer_shapes("", {"pooler.dense": (d, d)})
    shapes["embeddings.position_ids"] = (1, 24)

    def recipe(arrays: Arrays) -> Arrays:
        kept = {name: array for name, array in arrays.items() if name != "embeddings.position_ids"}
        return {f"params.{name}": array for name, array in flax_tree(kept).items()}

    return Twin(shapes, recipe, {"embeddings.position_ids"}, norms_and_biases(shapes))


def gpt2(layers: int = 3, d: int = 12, tied: bool = True) -> Twin:
    """transformers' GPT2LMHeadModel, whose Conv1D keeps [in, out], and FlaxGPT2, whose FlaxConv1D keeps [out, in]."""
    shapes = {"transformer.wte.weight": (50, d), "transformer.wpe.weight": (20, d)}
    for n in range(layers):
        prefix = f"transformer.h.{n}."
        shapes |= {prefix + "attn.bias": (1, 1, 20, 20), prefix + "attn.masked_bias": ()}
        for name, shape in (("attn.c_attn", (d, 3 * d)), ("attn.c_proj", (d, d)),
                            ("mlp.c_fc", (d, 4 * d)), ("mlp.c_proj", (4 * d, d))):  # fmt: skip
            shapes |= {f"{prefix}{name}.weight": shape, f"{prefix}{name}.bias": shape[1:]}
        shapes |= layer_shapes(prefix, {"ln_1": (d,), "ln_2": (d,)})
    shapes |= layer_shapes("", {"transformer.ln_f": (d,)})
    buffers = {name for name in shapes if name.endswith((".attn.bias", "masked_bias"))}

    def recipe(arrays: Arrays) -> Arrays:
        kept = {name: a for name, a in arrays.items() if name not in buffers and name != "lm_head.weight"}
        return flax_tree(kept)

    constants = {name: v for name, v in norms_and_biases(shapes).items() if name not in buffers}
    twin = Twin(shapes, recipe, buffers, constants)
    if tied:
        plain = twin.arrays
        twin.arrays = lambda seed=0, initial=False: (  # type: ignore[method-assign]
            lambda found: found | {"lm_head.weight": found["transformer.wte.weight"]}
        )(plain(seed, initial))
        twin.nameless = False  # that two tensors share their memory is seen in values only
    return twin


def llama(layers: int = 3, d: int = 16, f: int = 40) -> Twin:
    """transformers' Llama with grouped keys and values, and a JAX tree in the words of the original release."""
    shapes = {"model.embed_tokens.weight": (60, d)}
    for n in range(layers):
        p = f"model.layers.{n}."
        shapes |= {
            p + "self_attn.q_proj.weight": (d, d), p + "self_attn.k_proj.weight": (d // 4, d),
            p + "self_attn.v_proj.weight": (d // 4, d), p + "self_attn.o_proj.weight": (d, d),
            p + "self_attn.rotary_emb.inv_freq": (2,),
            p + "mlp.gate_proj.weight": (f, d), p + "mlp.up_proj.weight": (f, d), p + "mlp.down_proj.weight": (d, f),
            p + "input_layernorm.weight": (d,), p + "post_attention_layernorm.weight": (d,),
        }  # fmt: skip
    shapes |= {"model.norm.weight": (d,), "lm_head.weight": (60, d)}
    words = (("self_attn.q_proj.weight", "attention.wq.kernel"), ("self_attn.k_proj.weight", "attention.wk.kernel"),
             ("self_attn.v_proj.weight", "attention.wv.kernel"), ("self_attn.o_proj.weight", "attention.wo.kernel"),
             ("mlp.gate_proj.weight", "feed_forward.w1.kernel"), ("mlp.up_proj.weight", "feed_forward.w3.kernel"),
             ("mlp.down_proj.weight", "feed_forward.w2.kernel"), ("input_layernorm.weight", "attention_norm.kernel"),
             ("post_attention_layernorm.weight", "ffn_norm.kernel"), ("model.layers.", "transformer.h."),
             ("model.embed_tokens.weight", "transformer.wte.embedding"),
             ("model.norm.weight", "transformer.ln_f.kernel"), ("lm_head.weight", "lm_head.kernel"))  # fmt: skip

    def recipe(arrays: Arrays) -> Arrays:
        made = {}
        for name, array in arrays.items():
            if not name.endswith("inv_freq"):
                renamed = name
                for old, new in words:
                    renamed = renamed.replace(old, new)
                made[renamed] = last(array) if array.ndim == 2 and "wte" not in renamed else array
        return made

    return Twin(shapes, recipe, {n for n in shapes if "inv_freq" in n}, norms_and_biases(shapes))


def scanned(layers: int = 4, d: int = 8) -> Twin:
    """A torch stack of layers with fused qkv, and one JAX layer scanned over stacked q, k, v."""
    shapes = {"embed.weight": (30, d)}
    for n in range(layers):
        p = f"blocks.{n}."
        shapes |= layer_shapes(p, {"attn.qkv": (3 * d, d), "attn.proj": (d, d), "mlp.fc1": (4 * d, d),
                                   "mlp.fc2": (d, 4 * d), "norm1": (d,), "norm2": (d,)})  # fmt: skip
    shapes |= layer_shapes("", {"norm": (d,), "head": (30, d)})

    def recipe(arrays: Arrays) -> Arrays:
        made = {"embed.embedding": arrays["embed.weight"]}
        stack = lambda name: np.stack([arrays[f"blocks.{n}.{name}"] for n in range(layers)])  # noqa: E731
        for part, word in enumerate("qkv"):
            made[f"layers.attn.{word}.kernel"] = stack("attn.qkv.weight")[:, part * d : (part + 1) * d].swapaxes(1, 2)
            made[f"layers.attn.{word}.bias"] = stack("attn.qkv.bias")[:, part * d : (part + 1) * d]
        for name in ("attn.proj", "mlp.fc1", "mlp.fc2"):
            made[f"layers.{name}.kernel"] = stack(f"{name}.weight").swapaxes(1, 2)
            made[f"layers.{name}.bias"] = stack(f"{name}.bias")
        for name in ("norm1", "norm2"):
            made[f"layers.{name}.scale"] = stack(f"{name}.weight")
            made[f"layers.{name}.bias"] = stack(f"{name}.bias")
        rest = {name: arrays[name] for name in ("norm.weight", "norm.bias", "head.weight", "head.bias")}
        return made | flax_tree(rest)

    return Twin(shapes, recipe, set(), norms_and_biases(shapes), nameless=False)


def vit(layers: int = 3, d: int = 12, heads: int = 3) -> Twin:
    """torchvision's ViT, with fused in_proj, and the tree of Flax's ViT, whose attention kernels have a heads axis."""
    e = d // heads
    shapes = {"class_token": (1, 1, d), "conv_proj.weight": (d, 3, 4, 4), "conv_proj.bias": (d,),
              "encoder.pos_embedding": (1, 10, d)}  # fmt: skip
    for n in range(layers):
        p = f"encoder.layers.encoder_layer_{n}."
        shapes |= {p + "self_attention.in_proj_weight": (3 * d, d), p + "self_attention.in_proj_bias": (3 * d,)}
        shapes |= layer_shapes(p, {"ln_1": (d,), "self_attention.out_proj": (d, d), "ln_2": (d,),
                                   "mlp.0": (2 * d, d), "mlp.3": (d, 2 * d)})  # fmt: skip
    shapes |= layer_shapes("", {"encoder.ln": (d,), "heads.head": (7, d)})

    def recipe(arrays: Arrays) -> Arrays:
        made = {
            "cls": arrays["class_token"],
            "Transformer.posembed_input.pos_embedding": arrays["encoder.pos_embedding"],
        }
        made |= {"embedding.kernel": last(arrays["conv_proj.weight"]), "embedding.bias": arrays["conv_proj.bias"]}
        for n in range(layers):
            p, q = f"encoder.layers.encoder_layer_{n}.", f"Transformer.encoderblock_{n}."
            attn = q + "MultiHeadDotProductAttention_1."
            for part, word in enumerate(("query", "key", "value")):
                rows = slice(part * d, (part + 1) * d)
                made[f"{attn}{word}.kernel"] = arrays[p + "self_attention.in_proj_weight"][rows].T.reshape(d, heads, e)
                made[f"{attn}{word}.bias"] = arrays[p + "self_attention.in_proj_bias"][rows].reshape(heads, e)
            made[attn + "out.kernel"] = arrays[p + "self_attention.out_proj.weight"].T.reshape(heads, e, d)
            made[attn + "out.bias"] = arrays[p + "self_attention.out_proj.bias"]
            for old, new in (("ln_1", "LayerNorm_0"), ("ln_2", "LayerNorm_2")):
                made |= {f"{q}{new}.scale": arrays[f"{p}{old}.weight"], f"{q}{new}.bias": arrays[f"{p}{old}.bias"]}
            for old, new in (("mlp.0", "MlpBlock_3.Dense_0"), ("mlp.3", "MlpBlock_3.Dense_1")):
                made |= {f"{q}{new}.kernel": arrays[f"{p}{old}.weight"].T, f"{q}{new}.bias": arrays[f"{p}{old}.bias"]}
        made |= {"Transformer.encoder_norm.scale": arrays["encoder.ln.weight"],
                 "Transformer.encoder_norm.bias": arrays["encoder.ln.bias"],
                 "head.kernel": arrays["heads.head.weight"].T, "head.bias": arrays["heads.head.bias"]}  # fmt: skip
        return made

    return Twin(shapes, recipe, set(), norms_and_biases(shapes))


def lstm(d: int = 5, h: int = 7, layers: int = 2) -> Twin:
    """torch.nn.LSTM, and one Flax OptimizedLSTMCell a layer: a kernel a gate, one bias where torch adds two."""
    shapes = {}
    for n in range(layers):
        shapes |= {f"lstm.weight_ih_l{n}": (4 * h, d if n == 0 else h), f"lstm.weight_hh_l{n}": (4 * h, h)}
        shapes |= {f"lstm.bias_ih_l{n}": (4 * h,), f"lstm.bias_hh_l{n}": (4 * h,)}
    shapes |= layer_shapes("", {"head": (3, h)})

    def recipe(arrays: Arrays) -> Arrays:
        made = flax_tree({name: arrays[name] for name in ("head.weight", "head.bias")})
        for n in range(layers):
            for place, gate in enumerate("ifgo"):
                rows, cell = slice(place * h, (place + 1) * h), f"OptimizedLSTMCell_{n}"
                made[f"{cell}.i{gate}.kernel"] = arrays[f"lstm.weight_ih_l{n}"][rows].T
                made[f"{cell}.h{gate}.kernel"] = arrays[f"lstm.weight_hh_l{n}"][rows].T
                both = arrays[f"lstm.bias_ih_l{n}"] + arrays[f"lstm.bias_hh_l{n}"]
                made[f"{cell}.h{gate}.bias"] = both[rows]
        return made

    return Twin(shapes, recipe, set(), {name: 0.0 for name in shapes if "bias" in name})


def gru(d: int = 5, h: int = 6) -> Twin:
    """torch.nn.GRU and Flax's GRUCell, which adds two of torch's biases and keeps the two of the new gate."""
    shapes = {"gru.weight_ih_l0": (3 * h, d), "gru.weight_hh_l0": (3 * h, h)}
    shapes |= {"gru.bias_ih_l0": (3 * h,), "gru.bias_hh_l0": (3 * h,)}

    def recipe(arrays: Arrays) -> Arrays:
        made = {}
        for place, gate in enumerate("rzn"):
            rows = slice(place * h, (place + 1) * h)
            made[f"GRUCell_0.i{gate}.kernel"] = arrays["gru.weight_ih_l0"][rows].T
            made[f"GRUCell_0.h{gate}.kernel"] = arrays["gru.weight_hh_l0"][rows].T
            bias, hidden = arrays["gru.bias_ih_l0"][rows], arrays["gru.bias_hh_l0"][rows]
            made[f"GRUCell_0.i{gate}.bias"] = bias if gate == "n" else bias + hidden
            if gate == "n":
                made["GRUCell_0.hn.bias"] = hidden
        return made

    return Twin(shapes, recipe, set(), {name: 0.0 for name in shapes if "bias" in name})


def haiku_lstm(d: int = 5, h: int = 7) -> Twin:
    """torch.nn.LSTMCell and a cell in Haiku's form: inputs and state in one kernel, gates in the order i, g, f, o."""
    shapes = {"cell.weight_ih": (4 * h, d), "cell.weight_hh": (4 * h, h), "cell.bias_ih": (4 * h,),
              "cell.bias_hh": (4 * h,)}  # fmt: skip

    def order(array: np.ndarray) -> np.ndarray:
        i, f, g, o = np.split(array, 4)
        return np.concatenate([i, g, f, o])

    def recipe(arrays: Arrays) -> Arrays:
        kernels = [order(arrays["cell.weight_ih"]).T, order(arrays["cell.weight_hh"]).T]
        bias = order(arrays["cell.bias_ih"] + arrays["cell.bias_hh"])
        return {"lstm.linear.w": np.concatenate(kernels), "lstm.linear.b": bias}

    return Twin(shapes, recipe, nameless=False)


def resnet(stages: tuple[int, ...] = (2, 2), width: int = 6) -> Twin:
    """torchvision's ResNet and the Flax example's: blocks numbered through all stages, layers by their class."""
    shapes: dict[str, tuple[int, ...]] = {"conv1.weight": (width, 3, 7, 7)}
    buffers: set[str] = set()
    renamed = {"conv1.weight": "params.conv_init.kernel"}

    def norm(old: str, new: str, size: int) -> None:
        for leaf, other in (("weight", "params/scale"), ("bias", "params/bias"), ("running_mean", "batch_stats/mean"),
                            ("running_var", "batch_stats/var")):  # fmt: skip
            shapes[f"{old}.{leaf}"] = (size,)
            collection, word = other.split("/")
            renamed[f"{old}.{leaf}"] = f"{collection}.{new}.{word}"
            if collection == "batch_stats":
                buffers.update({f"{old}.{leaf}", f"{collection}.{new}.{word}"})
        shapes[f"{old}.num_batches_tracked"] = ()
        buffers.add(f"{old}.num_batches_tracked")

    norm("bn1", "bn_init", width)
    size, block = width, 0
    for stage, count in enumerate(stages):
        out = width * 2**stage
        for n in range(count):
            p, q = f"layer{stage + 1}.{n}", f"ResNetBlock_{block}"
            for place, inputs in ((1, size), (2, out)):
                shapes[f"{p}.conv{place}.weight"] = (out, inputs, 3, 3)
                renamed[f"{p}.conv{place}.weight"] = f"params.{q}.Conv_{place - 1}.kernel"
                norm(f"{p}.bn{place}", f"{q}.BatchNorm_{place - 1}", out)
            if size != out:
                shapes[f"{p}.downsample.0.weight"] = (out, size, 1, 1)
                renamed[f"{p}.downsample.0.weight"] = f"params.{q}.conv_proj.kernel"
                norm(f"{p}.downsample.1", f"{q}.norm_proj", out)
            size, block = out, block + 1
    shapes |= layer_shapes("", {"fc": (10, size)})
    renamed |= {"fc.weight": "params.Dense_0.kernel", "fc.bias": "params.Dense_0.bias"}

    def recipe(arrays: Arrays) -> Arrays:
        kept = {name: array for name, array in arrays.items() if name in renamed}
        return {renamed[name]: last(a) if renamed[name].endswith("kernel") else a for name, a in kept.items()}

    constants = norms_and_biases(shapes) | {n: float("var" in n) for n in shapes if "running" in n}
    return Twin(shapes, recipe, buffers, constants)


def unet(width: int = 4) -> Twin:
    """Down and up with transposed convolutions, whose kernels Flax keeps flipped; depthwise ones besides."""
    shapes: dict[str, tuple[int, ...]] = {}
    for n in range(3):
        c = width * 2**n
        shapes |= {f"down.{n}.conv.weight": (2 * c, c, 3, 3), f"down.{n}.conv.bias": (2 * c,)}
        shapes |= {f"down.{n}.depthwise.weight": (2 * c, 1, 3, 3), f"down.{n}.depthwise.bias": (2 * c,)}
        shapes |= {f"up.{n}.convtranspose.weight": (2 * c, c, 2, 2), f"up.{n}.convtranspose.bias": (c,)}
        shapes |= {f"up.{n}.conv.weight": (c, c, 3, 3), f"up.{n}.conv.bias": (c,)}

    def recipe(arrays: Arrays) -> Arrays:
        made = {}
        for name, array in arrays.items():
            side, n, kind, leaf = name.split(".")
            path = f"{side}_{n}.{'ConvTranspose_0' if kind == 'convtranspose' else kind}"
            if leaf == "bias":
                made[f"{path}.bias"] = array
            elif kind == "convtranspose":
                made[f"{path}.kernel"] = array.transpose(2, 3, 0, 1)[::-1, ::-1]
            else:
                made[f"{path}.kernel"] = last(array)
        return made

    return Twin(shapes, recipe, set(), norms_and_biases(shapes), nameless=False)


def mixer(layers: int = 3, d: int = 8) -> Twin:
    """Two MLPs a block, all matrices square, and two libraries that number in different ways."""
    shapes = {"stem.weight": (d, 3, 4, 4), "stem.bias": (d,)}
    for n in range(layers):
        shapes |= layer_shapes(f"blocks.{n}.", {"norm1": (d,), "mlp_tokens.fc1": (d, d), "mlp_tokens.fc2": (d, d),
                                                "norm2": (d,), "mlp_channels.fc1": (d, d),
                                                "mlp_channels.fc2": (d, d)})  # fmt: skip
    shapes |= layer_shapes("", {"norm": (d,), "head": (d, d)})
    words = (("mlp_tokens.fc1", "token_mixing.Dense_0"), ("mlp_tokens.fc2", "token_mixing.Dense_1"),
             ("mlp_channels.fc1", "channel_mixing.Dense_0"), ("mlp_channels.fc2", "channel_mixing.Dense_1"),
             ("blocks.", "MixerBlock_"), ("norm1", "LayerNorm_0"), ("norm2", "LayerNorm_1"),
             ("norm.", "pre_head_layer_norm."))  # fmt: skip

    def recipe(arrays: Arrays) -> Arrays:
        made = {}
        for name, array in flax_tree(arrays).items():
            for old, new in words:
                name = name.replace(old, new)
            made[name] = array
        return made

    return Twin(shapes, recipe, set(), norms_and_biases(shapes))


def interleaved(d: int = 12, heads: int = 3, layers: int = 2) -> Twin:
    """GPT-NeoX's query_key_value, which holds q, k and v head by head, and three projections."""
    shapes = {}
    for n in range(layers):
        shapes |= layer_shapes(f"layers.{n}.attention.", {"query_key_value": (3 * d, d), "dense": (d, d)})

    def recipe(arrays: Arrays) -> Arrays:
        made = {}
        for n in range(layers):
            p, q = f"layers.{n}.attention.", f"layers_{n}.attn."
            weight = arrays[p + "query_key_value.weight"].reshape(heads, 3, d // heads, d)
            bias = arrays[p + "query_key_value.bias"].reshape(heads, 3, d // heads)
            for part, word in enumerate("qkv"):
                made |= {f"{q}{word}.kernel": weight[:, part].reshape(d, d).T, f"{q}{word}.bias": bias[:, part].ravel()}
            made |= {f"{q}out.kernel": arrays[p + "dense.weight"].T, f"{q}out.bias": arrays[p + "dense.bias"]}
        return made

    return Twin(shapes, recipe, set(), norms_and_biases(shapes), nameless=False)


TWINS = {
    f.__name__: f
    for f in (bert, gpt2, llama, scanned, vit, lstm, gru, haiku_lstm, resnet, unet, mixer, interleaved)
}  # fmt: skip
