"""Mutation tests of the checker: every classic porting bug, put into a correct conversion, is caught and placed.

Each mutation changes one thing in the folder and names a tier that must fail and what must be named: the first
module that differs, or a tensor of that tier. A mutant that survives is a defect of the check.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from .conftest import Handmade

Get = Callable[[str], Handmade]
Change = Callable[[Path], None]


@dataclass(frozen=True)
class Mutation:
    """One bug.

    Attributes:
        name: what it is.
        subject: the correct conversion.
        change: puts the bug into a folder.
        tier: one that must be *different*.
        place: what must be named, as the first difference or among the tier's tensors.
        slow: left to `make test-slow`; a sample of each family runs always.
    """

    name: str
    subject: str
    change: Change
    tier: str
    place: str
    slow: bool = True


def text(file: str, old: str, new: str) -> Change:
    """Put `new` in the place of `old`, which must occur."""

    def change(folder: Path) -> None:
        path = folder / file
        source = path.read_text(encoding="utf-8")
        assert old in source, f"{old!r} is not in {file}"
        path.write_text(source.replace(old, new), encoding="utf-8")

    return change


def model(old: str, new: str) -> Change:
    return text("model.py", old, new)


def train(old: str, new: str) -> Change:
    return text("train.py", old, new)


def weights(function: Callable[[dict[str, np.ndarray]], Any]) -> Change:
    def change(folder: Path) -> None:
        arrays = load_file(folder / "weights.safetensors")
        function(arrays)
        arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        save_file(arrays, folder / "weights.safetensors")

    return change


def swap(one: str, other: str) -> Change:
    def exchanged(arrays: dict[str, np.ndarray]) -> None:
        arrays[one], arrays[other] = arrays[other], arrays[one]

    return weights(exchanged)


def untransposed(folder: Path) -> None:
    """A square weight in the original's layout, in the file and in the map."""
    weights(lambda arrays: arrays.update({"block.proj.kernel": arrays["block.proj.kernel"].T}))(folder)
    mapping = json.loads((folder / "weights.json").read_text(encoding="utf-8"))
    for entry in mapping["entries"]:
        if entry["target"] == "block.proj.kernel":
            entry["layout"] = []
    (folder / "weights.json").write_text(json.dumps(mapping), encoding="utf-8")


def rounded(name: str) -> Change:
    """Keep the upper 16 bits of each float32, as bfloat16 does."""

    def cut(arrays: dict[str, np.ndarray]) -> None:
        bits = arrays[name].view(np.uint32) & np.uint32(0xFFFF0000)
        arrays[name] = bits.view(np.float32)

    return weights(cut)


L2_ADAM = "optax.chain(optax.add_decayed_weights(5e-2), optax.adam(3e-3, b1=0.9, b2=0.999, eps=1e-8))"
ADAMW = "optax.adamw(3e-3, b1=0.9, b2=0.999, eps=1e-8, weight_decay=5e-2)"
GELU = "jax.nn.gelu(self.fc1(self.norm2(x)), approximate=False)"
WRONG_GRADIENT = f"(lambda y: 1.01 * y - lax.stop_gradient(0.01 * y))({GELU})"

MUTATIONS = [
    # convolution and batch norm
    Mutation("batch norm eps", "adamw", model("epsilon=1e-5, momentum=0.1)\n        self.drop", "epsilon=1e-6, "
             "momentum=0.1)\n        self.drop"), "tier 1 outputs", "norm"),  # the sample of eps: test_pair_mutations
    Mutation("batch norm momentum", "adamw", model("momentum=0.1)\n        self.drop", "momentum=0.01)\n        "
             "self.drop"), "tier 1 state", "norm.running_var"),
    Mutation("biased running variance", "adamw", model(" * (n / (n - 1))", ""), "tier 1 state", "norm.running_var"),
    Mutation("padding SAME at stride 2", "adamw", model("padding=1", 'padding="SAME"'), "tier 1 outputs", "conv"),
    Mutation("bias left out", "adamw", model("padding=1,", "padding=1, use_bias=False,"), "weights", "conv.bias"),
    Mutation("stopped gradient", "adamw", model("mean, var = x.mean(axes), x.var(axes)", "mean, var = "
             "lax.stop_gradient(x.mean(axes)), x.var(axes)"), "tier 1 gradients", "conv.weight"),
    Mutation("statistics in the wrong mode", "adamw", model("if self.use_running_average:", "if True:"),
             "tier 1 outputs", "norm"),
    Mutation("sign flip", "adamw", model("(x - mean) *", "(mean - x) *"), "tier 1 outputs", "norm"),
    Mutation("flattened in the other layout", "adamw", model("jnp.moveaxis(x, -1, 1).reshape", "x.reshape"),
             "tier 1 outputs", "drop"),
    # dropout
    Mutation("dropout rate", "adamw", model("nnx.Dropout(0.25", "nnx.Dropout(0.3"), "randomness", "dropout call 0",
             slow=False),
    Mutation("dropout left out", "adamw", model("self.head(self.drop(x))", "self.head(x)"), "randomness", "drops 1"),
    # weights
    Mutation("swapped weights", "encoder", swap("block.norm1.scale", "block.norm2.scale"), "weights",
             "block.norm1.weight"),
    Mutation("square weight not transposed", "encoder", untransposed, "tier 1 outputs", "block.proj"),
    Mutation("weight rounded to bfloat16", "encoder", rounded("block.fc1.kernel"), "weights", "block.fc1.weight"),
    # transformer
    Mutation("tanh GELU", "encoder", model("approximate=False", "approximate=True"), "tier 1 outputs", "block"),
    Mutation("layer norm eps", "encoder", model("epsilon=1e-5", "epsilon=1e-6"), "tier 1 outputs", "block.norm1"),
    Mutation("softmax over the wrong axis", "encoder", model("axis=-1)", "axis=-2)"), "tier 1 outputs", "block"),
    Mutation("attention scale left out", "encoder", model(" * 8**-0.5", ""), "tier 1 outputs", "block"),
    Mutation("query and key exchanged", "encoder", model("q, k, v =", "k, q, v ="), "tier 1 outputs", "block"),
    Mutation("mask of -inf", "encoder", model("-1e4, scores", "-jnp.inf, scores"), "tier 1 outputs",
             "on fully masked row"),
    Mutation("gradient of the padding row", "encoder", model("lax.stop_gradient(words)", "words"), "tier 1 gradients",
             "words"),
    Mutation("another integer", "encoder", model("jnp.argmax(", "jnp.argmin("), "tier 1 outputs", "outputs.best"),
    Mutation("wrong buffer element", "encoder", model("self.scale[1]", "self.scale[0]"), "tier 1 outputs",
             "outputs.logits"),
    Mutation("gradient wrong by 1 percent", "encoder", model(GELU, WRONG_GRADIENT), "tier 1 gradients",
             "block.fc1.weight"),
    Mutation("rounded inside", "encoder", model("self.norm2(x)", 'self.norm2(x.astype("float32"))'), "tier 1 outputs",
             "block"),
    # loss and optimizer
    Mutation("sum for mean", "encoder", train(".mean()", ".sum()"), "tier 1 loss", "loss"),
    Mutation("L2 for decoupled decay", "adamw", train(ADAMW, L2_ADAM), "trajectory AdamW", "step 1"),
    Mutation("optimizer eps", "adamw", train("eps=1e-8", "eps=1e-7"), "trajectory AdamW", "last step"),
    Mutation("weight decay of optax", "adamw", train("weight_decay=5e-2", "weight_decay=1e-4"), "trajectory AdamW",
             "last step"),
    Mutation("clipping without 1e-6", "sgd", train(" + 1e-6)", ")"), "trajectory SGD", "last step"),
    Mutation("no Nesterov", "sgd", train("nesterov=True", "nesterov=False"), "trajectory SGD", "step 1"),
    Mutation("schedule off by one", "encoder", train("jnp.minimum(step, 4)", "jnp.minimum(step + 1, 4)"),
             "trajectory Adam", "step 1", slow=False),
]  # fmt: skip


@pytest.mark.parametrize(
    "mutation",
    [pytest.param(m, id=m.name, marks=[pytest.mark.slow] if m.slow else []) for m in MUTATIONS],
)
@pytest.mark.usefixtures("shared_original")
def test_the_mutation_is_caught_and_placed(mutation: Mutation, handmade: Get, tmp_path: Path) -> None:
    mutant = handmade(mutation.subject).copy(tmp_path / "folder")
    mutation.change(mutant.folder)
    # the other sets do not matter to any mutation but the one that a fully masked row shows
    quick = mutation.name != "mask of -inf"
    check = mutant.check(tmp_path / "work", float32=False, quick=quick)
    differing = {tier.name: tier for tier in check.tiers if tier.verdict == "different"}
    assert check.verdict == "different"
    assert mutation.tier in differing, [(tier.name, tier.why) for tier in check.tiers]
    named = [d.name for d in differing[mutation.tier].distances if not d.passed]
    shown = [check.first_difference, differing[mutation.tier].why, *named]
    assert any(mutation.place in text for text in shown), shown
    assert check.first_difference
