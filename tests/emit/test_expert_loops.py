"""Loops over the experts that some token chose, and steps that are left where there is none: outputs and gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from like_torch import assert_like_torch
from torch import Tensor, nn

import regauge
from regauge.capture.torch_export import capture_module
from regauge.emit.gradients import left_out_by_conditions
from regauge.errors import CaptureError
from regauge.ir.captured import CapturedModel
from regauge.optimizers import AdamW

torch.manual_seed(0)
X = torch.randn(2, 4, 5)
# Tokens that choose some of the experts, and one kind of token alone, which leaves experts without any.
TOKENS = (X, X[:1, :1].repeat(2, 4, 1))


class Experts(nn.Module):
    """The loop of the libraries: experts that are hit, and one more place for tokens that have none."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(5, 4)
        self.experts = nn.ModuleList(nn.Sequential(nn.Linear(5, 7), nn.SiLU(), nn.Linear(7, 5)) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(0, 1)
        weights, selected = self.gate(flat).softmax(-1).topk(2)
        return self.mixed(flat, weights, selected).view_as(x)

    def mixed(self, flat: Tensor, weights: Tensor, selected: Tensor) -> Tensor:
        out = torch.zeros_like(flat)
        with torch.no_grad():
            mask = F.one_hot(selected, 5).permute(2, 1, 0)
            hit = torch.greater(mask.sum(dim=(-1, -2)), 0).nonzero()
        for e in hit:
            e = e[0]
            if e == 4:
                continue
            nth, rows = torch.where(mask[e])
            out.index_add_(0, rows, self.experts[e](flat[rows]) * weights[rows, nth, None])
        return out


class ByKeys(Experts):
    """Experts in a dict; the place is used with its axis."""

    def __init__(self) -> None:
        super().__init__()
        self.experts = nn.ModuleDict({f"expert_{i}": nn.Linear(5, 5) for i in range(4)})

    def mixed(self, flat: Tensor, weights: Tensor, selected: Tensor) -> Tensor:
        out = torch.zeros_like(flat)
        mask = F.one_hot(selected, 4).permute(2, 1, 0)
        for e in mask.sum(dim=(-1, -2)).nonzero():
            nth, rows = torch.where(mask[e].squeeze(0))
            tokens = flat[None, rows].reshape(-1, flat.shape[-1])
            out.index_add_(0, rows, self.experts[f"expert_{e[0]}"](tokens) * weights[rows, nth, None])
        return out


class Stacked(Experts):
    """Weights of all experts in one, which the place for no expert is no index of."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Parameter(torch.randn(4, 12, 5) / 4)
        self.down = nn.Parameter(torch.randn(4, 5, 6) / 4)

    def mixed(self, flat: Tensor, weights: Tensor, selected: Tensor) -> Tensor:
        out = torch.zeros_like(flat)
        mask = F.one_hot(selected, 5).permute(2, 1, 0)
        for e in (mask.sum(dim=(-1, -2)) > 0).nonzero(as_tuple=True)[0]:
            nth, rows = torch.where(mask[e])
            gate, up = F.linear(flat[rows], self.up[e]).chunk(2, dim=-1)
            h = (F.silu(gate).clamp(max=torch.inf) * up) @ self.down[e].T
            out.index_add_(0, rows, h * weights[rows, nth, None])
        return out


class Numbers(Experts):
    """Numbers of Python, and steps that are left where no token is."""

    def mixed(self, flat: Tensor, weights: Tensor, selected: Tensor) -> Tensor:
        out = torch.zeros_like(flat)
        hit = F.one_hot(selected, 4).sum((0, 1)) > 0
        for e in torch.where(hit)[0].tolist():
            rows, nth = torch.where(selected == e)
            if rows.numel() == 0:
                continue
            out[rows] += weights[rows, nth, None] * self.experts[e](flat[rows])
        return out


class Empty(Experts):
    """All experts, but for those without tokens; three ways to ask that."""

    def mixed(self, flat: Tensor, weights: Tensor, selected: Tensor) -> Tensor:
        out = torch.zeros_like(flat)
        for i, expert in enumerate(self.experts):
            chosen = selected == i
            if chosen.sum() == 0:
                continue
            rows, nth = torch.where(chosen)
            tokens = flat[rows]
            if len(rows) > 3 and not tokens.numel() >= 30:
                out *= 2
            if nth.shape[0]:
                out.index_add_(0, rows, expert(tokens) * weights[rows, nth, None])
        return out


class Counts(nn.Module):
    """A loop over rows and columns that keeps a name and is left, and one over columns alone."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        total, mask = x[0, 0, 0] * 0, x[0, :2, :3] > 0
        for row, column in mask.nonzero():
            value = x[0, row, column]
            if value < 0.1:
                continue
            total = total * 2 + value
            if total > 3:
                break
        last = x.sum(0)
        for column in torch.where(mask)[1]:
            last = last + x[1, :, column, None] * int(column)
        return total, last


@pytest.mark.parametrize(
    "make",
    [Experts, ByKeys, Numbers, Counts, *(pytest.param(m, marks=pytest.mark.slow) for m in (Stacked, Empty))],
    ids=lambda make: make.__name__,
)
def test_a_step_for_every_place(make: type[nn.Module]) -> None:
    for x in TOKENS:
        assert "nonzero" not in assert_like_torch(make(), (x,), train=True).source


def test_one_conversion_serves_all_choices() -> None:
    model = Experts()
    converted = regauge.to_jax(model, (X,))
    for x in (*TOKENS, torch.randn(5, 4, 5)):
        assert np.allclose(converted(x.numpy()), model(x).detach().numpy(), atol=1e-6)


def test_a_step_reads_as_a_condition() -> None:
    source = regauge.to_jax(Experts(), (X,)).source
    assert "in enumerate(self.experts):" in source
    assert "jax.lax.cond(hit[i], when_true, lambda: out)" in source
    assert "hit[4]" not in source
    assert "[1:2]" in regauge.to_jax(ByKeys(), (X,)).source


def test_a_place_that_is_no_index_is_left_out_and_said() -> None:
    found = [finding for finding in regauge.to_jax(Stacked(), (X,)).findings if finding.code == "C215"]
    assert len(found) == 1
    assert "IndexError" in found[0].text
    assert "test_expert_loops.py" in found[0].where


def test_experts_that_a_step_may_leave_out_are_named() -> None:
    """PyTorch gives them no gradient where no token chose them, and its optimizer leaves them alone."""
    graph = capture_module(Experts(), (X,), train=True).graph
    findings = left_out_by_conditions(CapturedModel("Experts", graph, {}, optimizer=AdamW()))
    assert [finding.code for finding in findings] == ["E122"]
    assert "experts.0.0.weight" in findings[0].text


def step_by_step(model: nn.Module, x: Tensor) -> list[float]:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    return losses


@pytest.mark.parametrize("make", [Experts, Stacked], ids=lambda make: make.__name__)
def test_training(make: type[nn.Module]) -> None:
    model = make()
    converted = regauge.to_jax(model, (X,), train=True)
    params, losses = converted.params, []

    @jax.jit
    def step(params: Any) -> Any:
        def loss(params: Any) -> Any:
            out, _ = converted.apply(params, converted.state, X.numpy())
            return (out**2).mean()

        value, gradients = jax.value_and_grad(loss)(params)
        return value, jax.tree.map(lambda p, g: p - 0.1 * g, params, gradients)

    for _ in range(3):
        value, params = step(params)
        losses.append(float(value))
    assert np.allclose(losses, step_by_step(model, X), rtol=1e-5)


class Function(nn.Module):
    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


def after_the_loop(x: Tensor) -> Tensor:
    for place in (x[0, 0] > 0).nonzero():
        x = x + place
    return x * place


def numbered(x: Tensor) -> Tensor:
    for number, _ in enumerate((x[0, 0] > 0).nonzero()):
        x = x * number
    return x


def values(x: Tensor) -> Tensor:
    for value in x.argmax(-1).unique():
        x = x * value
    return x


def collected(x: Tensor) -> Tensor:
    rows = []
    for place in (x[0, 0] > 0).nonzero():
        rows.append(x[0, 0, place])
    return torch.cat(rows).sum()


def without_index(x: Tensor) -> Tensor:
    for place in (x[0, 0] > 9).nonzero():
        x = x * [x][place + 1]
    return x


REFUSED = {
    after_the_loop: "C104",
    numbered: "C104",
    values: "C104",
    collected: "C145",
    without_index: "C100",
}


@pytest.mark.parametrize("function", REFUSED, ids=lambda function: function.__name__)
def test_other_loops_are_refused(function: Callable[[Tensor], Any]) -> None:
    with pytest.raises(CaptureError) as caught:
        regauge.to_jax(Function(function), (X,))
    assert caught.value.code == REFUSED[function]
    assert "test_expert_loops.py" in caught.value.where
