"""Writes the generated tables: ``python -m regauge.decide.audit.tables.generate`` (minutes), ``--check`` compares only.

``api_torch.json`` says of each operator, method and layer of torch whether regauge converts it: torch's own samples are
captured as a person's model would be, and the rule table judges the graphs. ``api_jax.json`` pairs names that JAX and
torch share. Both need both frameworks, in worker processes.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from regauge.run.launch import launch

DATA = Path(__file__).parents[1] / "data"
TORCH, JAX = DATA / "api_torch.json", DATA / "api_jax.json"

# Where a function of the same name does the same in JAX, in order of preference.
_SAME_NAME = ("jax.numpy", "jax.nn", "jax.numpy.linalg", "jax.numpy.fft", "jax.scipy.special", "jax.lax")
_SHORT = {"jax.numpy": "jnp", "jax.numpy.linalg": "jnp.linalg", "jax.numpy.fft": "jnp.fft"}
# Other names for the same; a layer's NNX class.
_OTHER_NAME = {
    "cat": "jnp.concatenate",
    "concat": "jnp.concatenate",
    "unsqueeze": "jnp.expand_dims",
    "view": "jnp.reshape",
    "view_as": "jnp.reshape",
    "reshape_as": "jnp.reshape",
    "flatten": "jnp.reshape",
    "unflatten": "jnp.reshape",
    "permute": "jnp.transpose",
    "transpose": "jnp.swapaxes",
    "t": "jnp.transpose",
    "clamp": "jnp.clip",
    "expand": "jnp.broadcast_to",
    "expand_as": "jnp.broadcast_to",
    "repeat": "jnp.tile",
    "repeat_interleave": "jnp.repeat",
    "chunk": "jnp.array_split",
    "split": "jnp.split",
    "unbind": "jnp.unstack",
    "gather": "jnp.take_along_axis",
    "scatter": "x.at[...].set",
    "scatter_add": "x.at[...].add",
    "index_select": "jnp.take",
    "index_add": "x.at[...].add",
    "index_put": "x.at[...].set",
    "index_copy": "x.at[...].set",
    "index_fill": "x.at[...].set",
    "masked_fill": "jnp.where",
    "masked_scatter": "jnp.where",
    "masked_select": "jnp.where",
    "lerp": "x + w * (y - x)",
    "addmm": "jnp.matmul",
    "mm": "jnp.matmul",
    "bmm": "jnp.matmul",
    "mv": "jnp.matmul",
    "baddbmm": "jnp.matmul",
    "topk": "jax.lax.top_k",
    "rsqrt": "jax.lax.rsqrt",
    "erf": "jax.lax.erf",
    "norm": "jnp.linalg.norm",
    "tensor": "jnp.asarray",
    "as_tensor": "jnp.asarray",
    "numel": "x.size",
    "contiguous": "leave it out",
    "clone": "leave it out",
    "detach": "jax.lax.stop_gradient",
    "narrow": "jax.lax.dynamic_slice_in_dim",
    "select": "x[i]",
    "diag_embed": "jnp.diag",
    "new_zeros": "jnp.zeros",
    "new_ones": "jnp.ones",
    "new_full": "jnp.full",
    "new_empty": "jnp.zeros",
    "new_tensor": "jnp.asarray",
    "float": "x.astype",
    "double": "x.astype",
    "half": "x.astype",
    "bfloat16": "x.astype",
    "long": "x.astype",
    "int": "x.astype",
    "short": "x.astype",
    "bool": "x.astype",
    "type_as": "x.astype",
    "type": "x.astype",
    "fill": "jnp.full_like",
    "zero": "jnp.zeros_like",
    "copy": "y",
    "rand": "jax.random.uniform",
    "rand_like": "jax.random.uniform",
    "randn": "jax.random.normal",
    "randn_like": "jax.random.normal",
    "randint": "jax.random.randint",
    "randint_like": "jax.random.randint",
    "randperm": "jax.random.permutation",
    "normal": "jax.random.normal",
    "uniform": "jax.random.uniform",
    "bernoulli": "jax.random.bernoulli",
    "multinomial": "jax.random.categorical",
    "exponential": "jax.random.exponential",
    "poisson": "jax.random.poisson",
    "logical_not": "jnp.logical_not",
    "addcmul": "x + v * a * b",
    "addcdiv": "x + v * a / b",
    "linear": "x @ w.T + b",
    "scaled_dot_product_attention": "jax.nn.dot_product_attention",
    "dropout": "nnx.Dropout",
    "layer_norm": "nnx.LayerNorm",
    "batch_norm": "nnx.BatchNorm",
    "group_norm": "nnx.GroupNorm",
    "interpolate": "jax.image.resize",
    "upsample": "jax.image.resize",
    "embedding": "jnp.take",
    "cross_entropy": "optax.softmax_cross_entropy_with_integer_labels",
    "nll_loss": "optax.softmax_cross_entropy_with_integer_labels",
    "mse_loss": "optax.squared_error",
    "l1_loss": "jnp.abs",
    "smooth_l1_loss": "optax.huber_loss",
    "huber_loss": "optax.huber_loss",
    "binary_cross_entropy_with_logits": "optax.sigmoid_binary_cross_entropy",
    "binary_cross_entropy": "optax.sigmoid_binary_cross_entropy",
    "kl_div": "optax.kl_divergence",
    "ctc_loss": "optax.ctc_loss",
    "cosine_similarity": "optax.cosine_similarity",
    "conv1d": "jax.lax.conv_general_dilated",
    "conv2d": "jax.lax.conv_general_dilated",
    "conv3d": "jax.lax.conv_general_dilated",
    "conv_transpose1d": "jax.lax.conv_transpose",
    "conv_transpose2d": "jax.lax.conv_transpose",
    "conv_transpose3d": "jax.lax.conv_transpose",
    "max_pool1d": "nnx.max_pool",
    "max_pool2d": "nnx.max_pool",
    "max_pool3d": "nnx.max_pool",
    "avg_pool1d": "nnx.avg_pool",
    "avg_pool2d": "nnx.avg_pool",
    "avg_pool3d": "nnx.avg_pool",
    "adaptive_avg_pool1d": "jnp.mean",
    "adaptive_avg_pool2d": "jnp.mean",
    "normalize": "x / jnp.linalg.norm",
    "svd": "jnp.linalg.svd",
    "qr": "jnp.linalg.qr",
    "pinverse": "jnp.linalg.pinv",
    "cholesky": "jnp.linalg.cholesky",
    "inverse": "jnp.linalg.inv",
    "lu": "jax.scipy.linalg.lu",
    "stft": "jax.scipy.signal.stft",
    "istft": "jax.scipy.signal.istft",
    "complex": "jax.lax.complex",
    "view_as_complex": "jax.lax.complex",
    "view_as_real": "jnp.stack of x.real and x.imag",
    "argwhere": "jnp.argwhere(size=...)",
    "nonzero": "jnp.nonzero(size=...)",
    "unique": "jnp.unique(size=...)",
    "grid_sample": "jax.scipy.ndimage.map_coordinates",
}
_LAYER = {
    "Linear": "nnx.Linear",
    "Embedding": "nnx.Embed",
    "LayerNorm": "nnx.LayerNorm",
    "GroupNorm": "nnx.GroupNorm",
    "RMSNorm": "nnx.RMSNorm",
    "BatchNorm1d": "nnx.BatchNorm",
    "BatchNorm2d": "nnx.BatchNorm",
    "BatchNorm3d": "nnx.BatchNorm",
    "InstanceNorm1d": "nnx.InstanceNorm",
    "InstanceNorm2d": "nnx.InstanceNorm",
    "InstanceNorm3d": "nnx.InstanceNorm",
    "Dropout": "nnx.Dropout",
    "Dropout2d": "nnx.Dropout(broadcast_dims=...)",
    "MultiheadAttention": "nnx.MultiHeadAttention",
    "LSTM": "nnx.RNN of nnx.LSTMCell",
    "GRU": "nnx.RNN of nnx.GRUCell",
    "LSTMCell": "nnx.LSTMCell",
    "GRUCell": "nnx.GRUCell",
    "Conv1d": "nnx.Conv",
    "Conv2d": "nnx.Conv",
    "Conv3d": "nnx.Conv",
    "ConvTranspose1d": "nnx.ConvTranspose",
    "ConvTranspose2d": "nnx.ConvTranspose",
    "ConvTranspose3d": "nnx.ConvTranspose",
    "CrossEntropyLoss": "optax.softmax_cross_entropy_with_integer_labels",
    "BCEWithLogitsLoss": "optax.sigmoid_binary_cross_entropy",
    "MSELoss": "optax.squared_error",
    "Identity": "leave it out",
    "Flatten": "jnp.reshape",
    "GELU": "jax.nn.gelu",
    "SiLU": "jax.nn.silu",
    "ReLU": "jax.nn.relu",
    "Upsample": "jax.image.resize",
}


def generate() -> tuple[dict[str, Any], dict[str, Any]]:
    """Both tables, from what is installed."""
    with TemporaryDirectory(prefix="regauge-") as directory:
        sides = {side: Path(directory) / side for side in ("torch", "jax")}
        for place in sides.values():
            place.mkdir()
        original = launch("torch", {"job": "api", "out": str(sides["torch"])})
        judged = launch("jax", {"job": "api", "out": str(sides["jax"]), "graphs": str(sides["torch"] / "graphs.json")})
    names = {name: _entry(name, found, judged["jax"]) for name, found in sorted(judged["names"].items())}
    torch_table = {
        "names": {name: entry for name, entry in names.items() if entry is not None},
        "optimizers": original["optimizers"],
        "schedulers": original["schedulers"],
        "public": original["names"],
    }
    return torch_table, {"pairs": _pairs(judged["jax"], set(original["names"])), "public": judged["jax"]}


def _entry(name: str, found: Mapping[str, Any], jax: Mapping[str, list[str]]) -> dict[str, Any] | None:
    """One name: whether it converts, the operators that it becomes or lacks, and what JAX calls it."""
    # A sample that torch refuses (B1xx, an exception's name) says nothing about the operator.
    gaps = {gap: count for gap, count in found["gaps"].items() if re.match(r"aten|torch_nn|C1(04|30|31)|C100", gap)}
    if not found["converted"] and not gaps:
        return None
    lacking = sorted({gap.split()[0] for gap in gaps})
    # Where most samples are refused, what converts is the exception: the places of a tensor without elements.
    converts = found["converted"] >= max(gaps.values(), default=1)
    entry: dict[str, Any] = {"converts": converts, "to": _counterpart(name, found["calls"], jax)}
    if converts:
        entry["ops"] = found["ops"]
    if lacking:
        entry["lacks"] = lacking
    return entry


def _counterpart(name: str, calls: list[str], jax: Mapping[str, list[str]]) -> str:
    short = name.rpartition(".")[2]
    if name.startswith("torch.nn.") and short in _LAYER:
        return _LAYER[short]
    plain = short if short.startswith("__") else short.removesuffix("_")
    if plain in _OTHER_NAME:
        return _OTHER_NAME[plain]
    rooms = ("jax.numpy.fft",) if name.startswith("torch.fft.") else _SAME_NAME
    rooms = ("jax.numpy.linalg", *rooms) if name.startswith("torch.linalg.") else rooms
    for room in rooms:
        if plain in jax[room]:
            return f"{_SHORT.get(room, room)}.{plain}"
    return next((call.replace("lax.", "jax.lax.") if call.startswith("lax.") else call for call in calls), "")


def _pairs(jax: Mapping[str, list[str]], torch: set[str]) -> dict[str, str]:
    """JAX's names whose last part torch has too."""
    rooms = {
        "jax.numpy": ("torch", "torch.special"),
        "jax.lax": ("torch", "torch.special", "torch.nn.functional"),
        "jax.nn": ("torch.nn.functional", "torch"),
        "jax.numpy.linalg": ("torch.linalg",),
        "jax.numpy.fft": ("torch.fft",),
        "jax.scipy.special": ("torch.special", "torch"),
    }
    pairs = {}
    for room, places in rooms.items():
        for name in jax[room]:
            found = next((f"{place}.{name}" for place in places if f"{place}.{name}" in torch), None)
            if found:
                pairs[f"{room}.{name}"] = found
    return pairs


def text_of(data: Mapping[str, Any]) -> str:
    """One line for each name, so that a change shows as one line."""
    parts = []
    for key, value in data.items():
        if isinstance(value, dict):
            inner = ",\n".join(f"  {json.dumps(name)}: {json.dumps(entry)}" for name, entry in value.items())
            parts.append(f"{json.dumps(key)}: {{\n{inner}\n}}")
        else:
            parts.append(f"{json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main(arguments: list[str]) -> int:
    """Write both tables, or with ``--check`` say whether they are current."""
    stale = 0
    for path, data in zip((TORCH, JAX), generate(), strict=True):
        if "--check" in arguments:
            stale += path.read_text(encoding="utf-8") != text_of(data)
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text_of(data), encoding="utf-8")
    print("the tables are stale" if stale else "the tables are current")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
