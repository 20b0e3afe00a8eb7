"""Weights that names, shapes and values leave open are told apart by the outputs, or stay open."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch import nn

import regauge
from regauge.errors import WeightMismatch

X = torch.linspace(-1, 1, 12).reshape(3, 4)


class Three(nn.Module):
    """Three square layers and three vectors that are all zero."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.alpha, self.beta, self.gamma = (nn.Parameter(torch.zeros(4)) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(x + self.alpha) * torch.exp(self.beta) + self.gamma


def port(params: Any, x: Any) -> Any:
    return jnp.tanh(x + params["p"]) * jnp.exp(params["q"]) + params["r"]


def judged(original: Any, converted: Any) -> regauge.verify.Check:
    return regauge.check(original, converted, (X,), quick=True, float32=False)


def test_vectors_of_zeros_without_names_are_told_apart_by_the_outputs() -> None:
    check = judged(Three(), (port, {name: jnp.zeros(4) for name in "pqr"}))
    assert check.verdict == "equal"
    decided = {f.where: f.text for f in check.findings if f.code == "W156"}
    assert decided
    answers = {"alpha": "p", "beta": "q", "gamma": "r"}
    assert all(text.startswith(f"{name} is {answers[name]}: of 6 assignments") for name, text in decided.items())


def test_weights_of_other_values_are_told_apart_too() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Tanh(), nn.Linear(4, 4, bias=False))
    random = np.random.default_rng(0)
    params = {name: jnp.asarray(random.standard_normal((4, 4)), jnp.float32) for name in ("u", "v")}
    check = judged(model, (lambda p, x: jnp.tanh(x @ p["v"].T) @ p["u"].T, params))
    assert [tier.name for tier in check.tiers if tier.verdict == "different"] == ["weights"]
    assert any(f.text.startswith("0.weight is v") for f in check.findings if f.code == "W156")


def test_what_the_outputs_cannot_tell_stays_open() -> None:
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.alpha, self.beta = nn.Parameter(torch.zeros(4)), nn.Parameter(torch.zeros(4))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.alpha + self.beta

    with pytest.raises(WeightMismatch) as caught:
        judged(Sum(), (lambda p, x: x + p["p"] + p["q"], {name: jnp.zeros(4) for name in "pq"}))
    assert any("2 of 2 assignments give the original's outputs" in line for line in caught.value.details)


def test_where_no_assignment_gives_the_outputs_the_map_stays_open() -> None:
    with pytest.raises(WeightMismatch) as caught:
        judged(Three(), (lambda p, x: port(p, x) + 1, {name: jnp.zeros(4) for name in "pqr"}))
    assert any("none of 6 assignments gives the original's outputs" in line for line in caught.value.details)


def test_too_many_assignments_are_not_tried() -> None:
    class Many(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.ParameterDict({f"name{'abcdefgh'[n]}": nn.Parameter(torch.zeros(4)) for n in range(6)})

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for number, part in enumerate(self.parts.values()):
                x = torch.tanh(x * (number + 1) + part)
            return x

    params = {name: jnp.zeros(4) for name in "stuvwz"}
    with pytest.raises(WeightMismatch) as caught:
        judged(Many(), (lambda p, x: x + sum(p.values()), params))
    assert any("more than 48 assignments are possible" in line for line in caught.value.details)
