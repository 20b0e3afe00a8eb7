"""What different libraries call the same thing, as data: `docs/weight-maps.md` shows these tables.

A row of `PHRASES` maps a run of words of a path to the words that regauge compares. Longer runs win, and `#` stands
for any number, which stays in the path. A row only proposes: values outweigh it.
"""

from __future__ import annotations

# the last word of a path -> what the tensor is
KINDS: dict[str, tuple[str, ...]] = {
    "weight": ("weight", "kernel", "scale", "embedding", "w", "gamma", "g", "gain"),
    "bias": ("bias", "b", "beta", "offset"),
    "mean": ("running_mean", "mean", "moving_mean"),
    "variance": ("running_var", "var", "variance", "running_variance", "moving_variance"),
    "count": ("num_batches_tracked",),
}

# words at the start of a path that only say how a library keeps its variables, and one such at the end
WRAPPERS = ("params", "param", "batch_stats", "state", "model", "module", "_orig_mod", "net", "self", "pytree")
ENDINGS = ("value", "raw_value", "default")

# canonical words <- the ways to write them
PHRASES: dict[str, tuple[str, ...]] = {
    "attn": ("attention", "self attn", "self attention", "attention self", "mha", "msa", "multi head attention",
             "multi head dot product attention", "multihead attention", "attention attention", "attn"),
    "q": ("query", "q proj", "wq", "to q", "q lin", "query proj"),
    "k": ("key", "k proj", "wk", "to k", "k lin", "key proj"),
    "v": ("value", "v proj", "wv", "to v", "v lin", "value proj"),
    "attn q": ("attention wq", "attention q lin"),
    "attn k": ("attention wk", "attention k lin"),
    "attn v": ("attention wv", "attention v lin"),
    "qkv": ("c attn", "in proj", "qkv proj", "query key value", "to qkv", "wqkv"),
    "kv": ("kv proj", "key value", "to kv"),
    "gateup": ("gate up proj", "gate up"),
    "attn out": ("attention output dense", "attn c proj", "attention wo", "attn wo", "attention out", "attn proj",
                 "attention proj", "attention out proj", "self attn out proj", "self attn o proj", "attn out proj",
                 "attn o proj", "attention output", "attn to out #", "attention out lin", "self attention out"),
    "out": ("o proj", "out proj", "o", "out lin", "output"),
    "attn norm": ("attention output layer norm", "attention norm", "input layernorm"),
    "mlp": ("feed forward", "feedforward", "ffn", "ff", "mlp block"),
    "mlp up": ("intermediate dense", "fc 1", "mlp fc 1", "c fc", "mlp c fc", "up proj", "mlp up proj", "w 3", "wi",
               "lin 1", "ffn lin 1", "linear 1", "feed forward w 3", "dense h to 4 h"),
    "mlp down": ("fc 2", "output dense", "mlp fc 2", "mlp c proj", "down proj", "mlp down proj", "lin 2", "ffn lin 2",
                 "linear 2", "feed forward w 2", "dense 4 h to h"),
    "mlp gate": ("gate proj", "mlp gate proj", "feed forward w 1", "wi 0"),
    "token mlp": ("token mixing", "mlp tokens", "tokens mlp"),
    "token mlp up": ("token mixing dense 0", "mlp tokens fc 1", "token mixing fc 1"),
    "token mlp down": ("token mixing dense 1", "mlp tokens fc 2", "token mixing fc 2"),
    "channel mlp": ("channel mixing", "mlp channels", "channels mlp"),
    "channel mlp up": ("channel mixing dense 0", "mlp channels fc 1", "channel mixing fc 1"),
    "channel mlp down": ("channel mixing dense 1", "mlp channels fc 2", "channel mixing fc 2"),
    "mlp norm": ("output layer norm", "ffn norm", "post attention layernorm"),
    "norm": ("layer norm", "layernorm", "ln", "rms norm", "rmsnorm", "batch norm", "batchnorm", "bn", "group norm",
             "groupnorm", "gn"),
    "final norm": ("ln f", "norm f", "final layer norm", "final layernorm", "encoder norm"),
    "layer #": ("layers #", "h #", "blocks #", "block #", "resblocks #", "encoder layer #", "encoder layers #",
                "encoderblock #", "transformer layer #", "encoder block #", "transformer h #"),
    "layer": ("layers", "blocks", "encoder layer", "encoder layers", "h", "resblocks", "transformer h"),
    "token embed": ("wte", "word embeddings", "embed tokens", "tok embeddings", "token embedding", "token embeddings",
                    "word embedding", "tok emb", "tok embed", "embeddings word embeddings"),
    "position embed": ("wpe", "position embeddings", "position embedding", "pos embed", "pos embedding", "pos emb",
                       "posembed input", "posembed input pos", "embeddings position embeddings"),
    "type embed": ("token type embeddings", "segment embeddings", "embeddings token type embeddings"),
    "embed norm": ("embeddings layer norm", "embed layer norm"),
    "patch embed": ("patch embeddings projection", "patch embed proj", "patch embedding", "conv proj",
                    "embeddings patch embeddings projection", "patch embed"),
    "cls": ("cls token", "class token", "class embedding", "cls"),
    "embed": ("embedding", "embeddings", "emb", "embedder"),
    "linear": ("dense", "fc", "lin", "linear"),
    "conv": ("convolution", "conv 2 d", "conv 1 d", "conv 3 d", "conv"),
    "convtranspose": ("conv transpose", "conv transpose 2 d", "deconv", "up conv", "upconv"),
    "down": ("downsample", "down sample"),
    "up": ("upsample", "up sample"),
    "head": ("lm head", "classifier", "output projection"),
    "skip": ("shortcut", "conv proj residual", "residual", "skip", "conv shortcut", "norm proj", "downsample #"),
    "encoder": ("enc",),
    "decoder": ("dec",),
    "if": ("if",),
}  # fmt: skip

# a fused tensor: the parts that it is made of, in the order of libraries whose order is documented
FUSED: dict[str, tuple[str, ...]] = {"qkv": ("q", "k", "v"), "kv": ("k", "v"), "gateup": ("gate", "up")}

# fused tensors whose order of parts the library documents, by a piece of the original spelling
DOCUMENTED_ORDERS = ("in_proj_weight", "in_proj_bias", "c_attn", "gate_up_proj", "weight_ih", "weight_hh", "bias_ih",
                     "bias_hh")  # fmt: skip

# gates of recurrent layers as torch.nn.LSTM and torch.nn.GRU document them, from the first rows to the last
GATES: dict[int, tuple[str, ...]] = {4: ("i", "f", "g", "o"), 3: ("r", "z", "n")}

# buffers that the other side may lack: part of the path (which begins with a dot), what it is
OPTIONAL: dict[str, str] = {
    "num_batches_tracked": "a counter that only momentum=None reads",
    "position_ids": "positions that the other side computes",
    "token_type_ids": "a default input that the other side computes",
    "inv_freq": "a rotary table that the other side computes",
    "rotary": "a rotary table that the other side computes",
    "freqs_cis": "a rotary table that the other side computes",
    "cos_cached": "a rotary table that the other side computes",
    "sin_cached": "a rotary table that the other side computes",
    "masked_bias": "a mask value that the other side computes",
    ".attn.bias": "a causal mask that the other side computes",
    "mask": "a mask that the other side computes",
    "relative_position_index": "an index table that the other side computes",
    "rngs": "the state of a random stream",
    "rng_state": "the state of a random stream",
}
