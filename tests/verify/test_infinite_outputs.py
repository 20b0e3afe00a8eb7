"""Infinite outputs, such as logits of what a mask forbids: equal where both models have them at the same places."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import torch
from torch import nn

import regauge

X = torch.linspace(-1, 1, 12).reshape(3, 4)


class Forbids(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x).masked_fill(torch.arange(5) > 2, -torch.inf)


def checked(last: int) -> regauge.verify.Check:
    torch.manual_seed(0)
    model = Forbids()
    params = {name: jnp.asarray(p.detach().numpy()) for name, p in model.named_parameters()}

    def port(params: Any, x: Any) -> Any:
        return jnp.where(jnp.arange(5) > last, -jnp.inf, x @ params["fc.weight"].T + params["fc.bias"])

    return regauge.check(regauge.Case(model, (X,)), regauge.Case((port, params), (X.numpy(),)), quick=True)


def test_equal_at_the_same_places() -> None:
    check = checked(2)
    assert check.verdict == "equal", [tier.why for tier in check.tiers]
    verdicts = {tier.name: tier.verdict for tier in check.tiers}
    assert verdicts["tier 1 gradients"] == verdicts["finite difference"] == "equal"


def test_different_at_other_places() -> None:
    check = checked(1)
    assert check.verdict == "different"
    assert any("-inf at other places: 3 of 15 elements" in tier.why for tier in check.tiers)
