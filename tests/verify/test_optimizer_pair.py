"""Two optimizers alone: equal ones of different libraries and hands, and where unequal ones part."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

import regauge
from regauge.errors import BadCase
from regauge.verify.result import Check

RANDOM = np.random.default_rng(0)
PARAMS = {"w": RANDOM.standard_normal((3, 4)), "b": RANDOM.standard_normal(4)}


def adam(lr: float = 1e-2, eps: float = 1e-8, power: int = 1) -> Any:
    """Adam by hand, in numpy; `power` 2 puts eps inside the root."""

    def update(params: Any, grads: Any, state: Any) -> tuple[Any, Any]:
        state = state or {"m": {n: 0 * g for n, g in grads.items()}, "v": {n: 0 * g for n, g in grads.items()}, "t": 0}
        t = state["t"] + 1
        m = {n: 0.9 * state["m"][n] + 0.1 * g for n, g in grads.items()}
        v = {n: 0.999 * state["v"][n] + 0.001 * g * g for n, g in grads.items()}
        new = {}
        for n, p in params.items():
            first, second = m[n] / (1 - 0.9**t), v[n] / (1 - 0.999**t)
            root = np.sqrt(second) + eps if power == 1 else np.sqrt(second + eps)
            new[n] = p - lr * first / root
        return new, {"m": m, "v": v, "t": t}

    return update


class HandAdam(torch.optim.Optimizer):
    def __init__(self, params: Any, lr: float, bias: bool = True) -> None:
        super().__init__(params, {"lr": lr})
        self.bias = bias

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                if not state:
                    state |= {"step": 0, "m": torch.zeros_like(p), "v": torch.zeros_like(p)}
                state["step"] += 1
                state["m"].mul_(0.9).add_(p.grad, alpha=0.1)
                state["v"].mul_(0.999).addcmul_(p.grad, p.grad, value=0.001)
                one, two = (1 - 0.9 ** state["step"], 1 - 0.999 ** state["step"]) if self.bias else (1, 1)
                p -= group["lr"] * state["m"] / one / ((state["v"] / two).sqrt() + 1e-8)


def judged(original: Any, converted: Any, **options: Any) -> Check:
    return regauge.check_optimizers(original, converted, PARAMS, **options)


def torch_adam(**options: Any) -> Any:
    return lambda params: torch.optim.Adam(params, lr=1e-2, **options)


@pytest.mark.parametrize(
    ("original", "converted", "slots"),
    [
        (torch_adam(), optax.adam(1e-2), {"first moment (exp_avg, mu)", "second moment (exp_avg_sq, nu)"}),
        (torch_adam(), adam(), {"first moment (exp_avg, m)", "second moment (exp_avg_sq, v)", "step (step, t)"}),
        (optax.adam(1e-2), adam(), {"first moment (mu, m)", "step (count, t)"}),
        (HandAdam([torch.zeros(1, requires_grad=True)], 1e-2), optax.adam(1e-2), {"first moment (m, mu)"}),
        (regauge.optimizers.AdamW(lr=1e-2), optax.adamw(1e-2, weight_decay=1e-2), {"first moment (exp_avg, mu)"}),
        (
            torch.optim.SGD([torch.zeros(1)], lr=0.1, momentum=0.9),
            optax.sgd(0.1, momentum=0.9),
            {"momentum (momentum_buffer, trace)"},
        ),
    ],
)
def test_equal_optimizers(original: Any, converted: Any, slots: set[str]) -> None:
    check = judged(original, converted)
    assert (check.verdict, check.first_difference) == ("equal", "")
    assert {tier.verdict for tier in check.tiers} == {"equal"}
    assert slots <= {tier.name.removeprefix("optimizer slot ") for tier in check.tiers}
    assert check.tiers[0].bound is not None
    assert check.tiers[0].bound < 1e-13


@pytest.mark.parametrize(
    ("original", "converted", "first"),
    [
        (torch_adam(), optax.adam(1e-2, eps=1e-6), "parameters: w at step 1"),
        (torch_adam(), adam(power=2), "parameters: w at step 1"),
        (torch_adam(betas=(0.9, 0.99)), optax.adam(1e-2), "slot second moment (exp_avg_sq, nu): w at step 1"),
        (HandAdam([torch.zeros(1)], 1e-2, bias=False), optax.adam(1e-2), "parameters: w at step 1"),
        (
            lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9, dampening=0.5),
            optax.sgd(0.1, momentum=0.9),
            "slot momentum (momentum_buffer, trace): w at step 2",
        ),
        (
            lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9),
            optax.sgd(optax.piecewise_constant_schedule(0.1, {6: 0.5}), momentum=0.9),
            "parameters: w at step 7",
        ),
    ],
)
def test_the_first_step_and_slot_that_differ(original: Any, converted: Any, first: str) -> None:
    check = judged(original, converted)
    assert (check.verdict, check.first_difference) == ("different", first)


def test_a_slot_in_another_form_is_no_difference() -> None:
    def update(params: Any, grads: Any, state: Any) -> tuple[Any, Any]:
        trace = {n: g + (0.9 * state["trace"][n] / 2 if state else 0) for n, g in grads.items()}
        return {n: p - 0.1 * trace[n] for n, p in params.items()}, {"trace": {n: 2 * a for n, a in trace.items()}}

    check = judged(optax.sgd(0.1, momentum=0.9), update)
    assert check.verdict == "equal"
    slot = next(tier for tier in check.tiers if "slot" in tier.name)
    assert slot.verdict == "not checked"
    assert slot.why.startswith("kept in another form, for the parameters stay equal")


def test_given_gradients_and_functions_of_frameworks() -> None:
    slopes = [{"w": np.ones((3, 4)), "b": np.full(4, math.pi)}] * 3

    def descend(params: Any, grads: Any, state: Any) -> tuple[Any, Any]:
        return {n: jnp.subtract(p, 0.1 * grads[n]) for n, p in params.items()}, None

    check = regauge.check_optimizers(lambda params: torch.optim.SGD(params, lr=0.1), descend, PARAMS, slopes)
    assert check.verdict == "equal"
    assert check.tiers[0].inputs == 3
    assert check.inputs_tried == ("given gradients",)


def test_what_cannot_be_compared_says_why() -> None:
    with pytest.raises(BadCase, match="the gradients of step 1 lack b"):
        regauge.check_optimizers(optax.sgd(0.1), optax.sgd(0.1), PARAMS, [{"w": PARAMS["w"]}])
    with pytest.raises(BadCase, match="it cannot be told what kind of optimizer this is"):
        judged(3, optax.sgd(0.1))
    with pytest.raises(BadCase, match="the converted optimizer raises"):
        judged(optax.sgd(0.1), lambda params, grads, state: 1 / 0)
    alone = judged(optax.sgd(0.1, momentum=0.9), optax.sgd(0.1))
    assert [finding.code for finding in alone.findings] == ["V148"]


@pytest.mark.parametrize(("bias", "verdict"), [(True, "equal"), (False, "different")])
def test_an_optimizer_by_hand_in_a_case(bias: bool, verdict: str) -> None:
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 2)
    x, y = torch.randn(3, 4), torch.randn(3, 2)
    optimizer = HandAdam(model.parameters(), 1e-2, bias)
    original = regauge.Case(model, (x,), y, torch.nn.functional.mse_loss, optimizer)
    params = {name: jnp.asarray(p.detach().numpy()) for name, p in model.named_parameters()}
    port = regauge.Case(
        (lambda p, x: x @ p["weight"].T + p["bias"], params),
        (x.numpy(),),
        y.numpy(),
        lambda out, target: ((out - target) ** 2).mean(),
        optax.adam(1e-2),
    )
    check = regauge.check(original, port, quick=True)
    assert check.verdict == verdict
    trained = next(tier for tier in check.tiers if tier.name == "trajectory HandAdam")
    assert trained.verdict == verdict
    assert verdict == "equal" or trained.why.startswith("they part at step 1")
    assert not optimizer.state
