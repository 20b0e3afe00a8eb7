"""Passes with dropout masks where the original is ill-conditioned."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import torch
from torch import nn

import regauge
from regauge.verify.onestep import MASKED

X = torch.linspace(-1, 1, 12).reshape(3, 4)
FAR = 1e7  # float64 keeps nine digits of what is left of 1 beside it


class Cancelling(nn.Module):
    """A bias that is subtracted again: all that stands behind it is as exact as the sum with it."""

    def __init__(self, far: float) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)
        self.drop = nn.Dropout(0.3)
        self.far = far
        with torch.no_grad():
            self.fc.bias.add_(far)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # evaluation leaves the bias out and is exact
        if not self.training:
            return torch.tanh(x @ self.fc.weight.T)
        return torch.tanh(self.fc(self.drop(x)) - self.far)


def pair(far: float, factor: float = 1.0) -> tuple[regauge.Case, regauge.Case]:
    torch.manual_seed(0)
    model = Cancelling(far)
    params = {name: jnp.asarray(p.detach().numpy()) for name, p in model.named_parameters()}

    def port(params: Any, x: Any, key: Any, train: bool) -> Any:
        if not train:
            return jnp.tanh(x @ params["fc.weight"].T)
        x = x * jax.random.bernoulli(key, 0.7, x.shape) / 0.7
        y = x @ params["fc.weight"].T + (params["fc.bias"] - far)  # exact, in the other order
        return jnp.tanh(y) * factor

    return regauge.Case(model, (X,)), regauge.Case((port, params), (X.numpy(),))


def masked(check: regauge.verify.Check) -> dict[str, regauge.verify.Tier]:
    return {tier.name: tier for tier in check.tiers if tier.name.endswith(MASKED)}


def test_what_rounding_moves_is_not_judged_with_masks_either() -> None:
    check = regauge.check(*pair(FAR), float32=False, quick=True)
    assert [tier.name for tier in check.tiers if tier.verdict == "different"] == []
    outputs = masked(check)["tier 1 outputs" + MASKED]
    assert outputs.verdict == "not checked"
    assert "moves the original itself: outputs on reference" in outputs.why


def test_a_difference_of_training_stays_one_with_masks() -> None:
    check = regauge.check(*pair(0.0, 1 + 1e-7), float32=False, quick=True)
    found = masked(check)
    assert {found[f"tier 1 {kind}{MASKED}"].verdict for kind in ("outputs", "gradients")} == {"different"}


def centred_pair(far: float, factor: float = 1.0) -> tuple[regauge.Case, regauge.Case]:
    """What stands beside a large number, without it, as a batch norm leaves it: the original is of JAX."""
    torch.manual_seed(0)
    layer = nn.Linear(4, 3)
    params = {name: jnp.asarray(p.detach().numpy()) for name, p in layer.named_parameters()}

    def original(params: Any, x: Any) -> Any:
        shift = far + 0.0 * x.sum()  # which no compiler takes away again
        y = x @ params["weight"].T + params["bias"] + shift
        return jnp.tanh(y - shift)

    class Port(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = layer

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.tanh(self.fc(x)) * factor

    return regauge.Case((original, params), (X.numpy(),)), regauge.Case(Port(), (X,))


def test_what_the_rounding_of_sums_moves_is_not_judged() -> None:
    check = regauge.check(*centred_pair(FAR), float32=False, quick=True)
    assert [tier.name for tier in check.tiers if tier.verdict == "different"] == []
    why = {tier.name: tier.why for tier in check.tiers}
    assert "moves the original itself: outputs on reference" in why["tier 1 outputs"]


def test_a_difference_where_sums_keep_their_digits_stays_one() -> None:
    check = regauge.check(*centred_pair(1.0, 1 + 1e-8), float32=False, quick=True)
    assert {tier.verdict for tier in check.tiers if tier.name == "tier 1 outputs"} == {"different"}
