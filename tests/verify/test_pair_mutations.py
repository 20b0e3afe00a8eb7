"""Classic mistakes in ports by hand are caught, and the module, tensor or step where they show is named."""

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
        slow: left to `make test-slow`; a sample of each family runs always.
    """

    module: ModuleType
    bug: str
    tier: str
    place: str
    slow: bool = True


MUTATIONS = [
    Mutation(cnn, "batch norm eps", "tier 1 outputs", "norm"),
    Mutation(cnn, "batch norm momentum", "tier 1 state", "norm.running_mean"),
    Mutation(cnn, "biased running variance", "tier 1 state", "norm.running_var", slow=False),
    Mutation(cnn, "SAME padding", "tier 1 outputs", "conv"),
    Mutation(cnn, "padding not counted", "tier 1 outputs", "drop"),
    Mutation(cnn, "flatten channels last", "tier 1 outputs", "drop"),
    Mutation(cnn, "dropout rate", "randomness", "dropout call 0"),
    Mutation(cnn, "sum for mean", "tier 1 loss", "loss"),
    Mutation(cnn, "plain momentum", "trajectory SGD", "they part at step 1"),
    Mutation(transformer, "layer norm eps", "tier 1 outputs", "block.norm1", slow=False),
    Mutation(transformer, "tanh GELU", "tier 1 outputs", "block.down"),
    Mutation(transformer, "attention scale left out", "tier 1 outputs", "block.o"),
    Mutation(transformer, "attention scale doubled", "tier 1 outputs", "block.o"),
    Mutation(transformer, "query and key exchanged", "tier 1 outputs", "block.o"),
    Mutation(transformer, "heads split in the wrong order", "tier 1 outputs", "block.o"),
    Mutation(transformer, "causal mask off by one", "tier 1 outputs", "block.o"),
    Mutation(transformer, "square weight not transposed", "tier 1 outputs", "block.o"),
    Mutation(transformer, "weights exchanged", "tier 1 outputs", "block.norm1"),
    Mutation(transformer, "weight rounded to bfloat16", "weights", "head.weight"),
    Mutation(transformer, "weight decay of optax", "trajectory AdamW", "last step"),
    Mutation(transformer, "L2 for decoupled decay", "trajectory AdamW", "they part at step 1"),
    Mutation(transformer, "optimizer eps", "trajectory AdamW", "last step"),
    Mutation(gru, "gates exchanged", "tier 1 outputs", "outputs.scores", slow=False),
    Mutation(gru, "update gate inverted", "tier 1 outputs", "outputs.last"),
]


@pytest.mark.parametrize(
    "mutation",
    [pytest.param(m, id=m.bug, marks=[pytest.mark.slow] if m.slow else []) for m in MUTATIONS],
)
def test_the_mistake_is_caught_and_placed(mutation: Mutation) -> None:
    case = mutation.module.original()
    check = regauge.check(case, mutation.module.port(case, mutation.bug), quick=True, float32=False)
    differing = {tier.name: tier for tier in check.tiers if tier.verdict == "different"}
    assert check.verdict == "different"
    assert mutation.tier in differing, [(tier.name, tier.why) for tier in check.tiers]
    named = [d.name for d in differing[mutation.tier].distances if not d.passed]
    shown = " ".join([check.first_difference, differing[mutation.tier].why, *named])
    assert mutation.place in shown, shown
    assert check.first_difference
