"""Classic mistakes in ports by hand are caught; place, line and cause are named."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

import pytest

import regauge

from .ports import cnn, gru, transformer


@dataclass(frozen=True)
class Mutation:
    """One mistake.

    Attributes:
        module: the pair.
        bug: what the port is told to do wrong.
        tier: one that must be *different*.
        place: what must be named, as the first difference or among the tier's tensors.
        cause: key of the cause that must be proven and among the first two.
        line: text that the converted model's place must show; empty where no line is at fault.
        slow: left to `make test-slow`; a sample of each family runs always.
    """

    module: ModuleType
    bug: str
    tier: str
    place: str
    cause: str
    line: str = ""
    slow: bool = True


MUTATIONS = [
    Mutation(cnn, "batch norm eps", "tier 1 outputs", "norm", "eps", "self.epsilon"),
    Mutation(cnn, "batch norm momentum", "tier 1 state", "norm", "momentum", "self.momentum"),
    Mutation(cnn, "biased running variance", "tier 1 state", "norm", "biased-running-variance", slow=False),
    Mutation(cnn, "SAME padding", "tier 1 outputs", "conv", "padding", "self.conv(x)"),
    Mutation(cnn, "padding not counted", "tier 1 outputs", "drop", "count-include-pad", "nnx.avg_pool"),
    Mutation(cnn, "flatten channels last", "tier 1 outputs", "drop", "flatten-layout"),
    Mutation(cnn, "dropout rate", "randomness", "dropout call 0", "dropout-rate"),
    Mutation(cnn, "sum for mean", "tier 1 loss", "loss", "reduction"),
    Mutation(cnn, "plain momentum", "trajectory SGD", "they part at step 1", "nesterov"),
    Mutation(transformer, "layer norm eps", "tier 1 outputs", "block.norm1", "eps", 'norm("norm1"'),
    Mutation(transformer, "tanh GELU", "tier 1 outputs", "block", "gelu-approximation", "jax.nn.gelu"),
    Mutation(transformer, "attention scale left out", "tier 1 outputs", "block", "attention-scale"),
    Mutation(transformer, "attention scale doubled", "tier 1 outputs", "block", "attention-scale", "scale.get"),
    Mutation(transformer, "query and key exchanged", "tier 1 outputs", "block", "qkv-order"),
    Mutation(transformer, "heads split in the wrong order", "tier 1 outputs", "block", "head-order"),
    Mutation(transformer, "causal mask off by one", "tier 1 outputs", "block", "causal-offset", "jax.nn.softmax"),
    Mutation(transformer, "square weight not transposed", "tier 1 outputs", "block.o", "weight-transposed", '"o"'),
    Mutation(transformer, "weights exchanged", "tier 1 outputs", "block.norm1", "weights-exchanged"),
    Mutation(transformer, "weight rounded to bfloat16", "weights", "head", "weight-precision"),
    Mutation(transformer, "weight decay of optax", "trajectory AdamW", "last step", "decay"),
    Mutation(transformer, "L2 for decoupled decay", "trajectory AdamW", "they part at step 1", "decay"),
    Mutation(transformer, "optimizer eps", "trajectory AdamW", "last step", "optimizer-eps"),
    Mutation(gru, "gates exchanged", "tier 1 outputs", "rnn", "gate-order", "r * hn", slow=False),
    Mutation(gru, "update gate inverted", "tier 1 outputs", "rnn", "update-gate"),
]


@pytest.mark.parametrize(
    "mutation",
    [pytest.param(m, id=m.bug, marks=[pytest.mark.slow] if m.slow else []) for m in MUTATIONS],
)
def test_the_mistake_is_caught_placed_and_explained(mutation: Mutation) -> None:
    case = mutation.module.original()
    check = regauge.check(case, mutation.module.port(case, mutation.bug), quick=True, float32=False)
    differing = {tier.name: tier for tier in check.tiers if tier.verdict == "different"}
    assert check.verdict == "different"
    assert mutation.tier in differing, [(tier.name, tier.why) for tier in check.tiers]
    named = [d.name for d in differing[mutation.tier].distances if not d.passed]
    shown = " ".join([check.first_difference, differing[mutation.tier].why, *named])
    assert mutation.place in shown, shown
    assert check.first_difference
    causes = {cause.name: cause for cause in check.causes[:2]}
    assert mutation.cause in causes, check.causes
    cause = causes[mutation.cause]
    assert cause.proven, cause
    assert cause.after <= 1e-9 < cause.before, cause
    if mutation.line:
        assert mutation.line in check.places[1].code, check.places
        assert check.places[1].file.endswith(f"{mutation.module.__name__.rpartition('.')[2]}.py")


def test_the_value_and_the_line_to_change_are_said() -> None:
    case = transformer.original()
    check = regauge.check(case, transformer.port(case, "layer norm eps"), quick=True, float32=False)
    (cause,) = check.causes
    assert cause.text.startswith("eps: 1e-06 in the converted model, 1e-05 in the original")
    where, _, change = cause.change.rpartition(": ")
    assert (where.rpartition(":")[0][-14:], change) == ("transformer.py", "epsilon=1e-05")  # as Flax calls it
    original, converted = check.places
    assert (original.module, original.operation, original.code) == ("block.norm1", "layer_norm", "y = self.norm1(x)")
    assert converted.module == "block.norm1"
    assert "1e-6" in converted.code
    passed = {row.module: row.passed for row in check.modules}
    assert (passed["words"], passed["block.norm1"], passed["head"]) == (True, False, False)
