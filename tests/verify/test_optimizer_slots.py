"""What the optimizers of two cases keep, step by step, in a check of two models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from flax import nnx
from torch import nn

import regauge
from regauge.run.jax_optimizer_tree import OptimizerTree
from regauge.run.jax_program import program_of
from regauge.run.steps import ONCE, step_arrays
from regauge.verify.plan import LARGE, steps_to_compare
from regauge.verify.result import Check, Tier
from regauge.verify.watching import about_large
from regauge.weights.pair_map import Kind, PairMap

FIRST, SECOND, STEP = (
    "optimizer slot first moment (exp_avg, mu)",
    "optimizer slot second moment (exp_avg_sq, nu)",
    "optimizer slot step (step, count)",
)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.norm, self.down = nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(self.norm(torch.tanh(self.up(x))))


class Port(nnx.Module):
    def __init__(self, net: Net) -> None:
        rngs = nnx.Rngs(0)
        self.up, self.down = nnx.Linear(4, 8, rngs=rngs), nnx.Linear(8, 3, rngs=rngs)
        self.norm = nnx.LayerNorm(8, epsilon=1e-5, rngs=rngs)
        for layer, own in ((self.up, net.up), (self.down, net.down)):
            layer.kernel = nnx.Param(jnp.asarray(own.weight.detach().numpy().T))
            layer.bias = nnx.Param(jnp.asarray(own.bias.detach().numpy()))

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.down(self.norm(jnp.tanh(self.up(x))))


class HandSGD(torch.optim.Optimizer):
    """Momentum by hand, under another name."""

    def __init__(self, params: Any, lr: float, decay: float) -> None:
        super().__init__(params, {"lr": lr, "decay": decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                state["velocity"] = group["decay"] * state.get("velocity", 0) + p.grad
                p -= group["lr"] * state["velocity"]


def mse(outputs: Any, targets: Any) -> Any:
    return ((outputs - targets) ** 2).mean()


def net_case(optimizer: Callable[[Net], Any]) -> regauge.Case:
    torch.manual_seed(0)
    net = Net()
    x, y = torch.randn(6, 4), torch.randn(6, 3)
    return regauge.Case(net, (x,), targets=y, loss=mse, optimizer=optimizer(net))


def port_case(optimizer: Any) -> regauge.Case:
    case = net_case(lambda net: None)
    inputs, targets = jnp.asarray(case.inputs[0].numpy()), jnp.asarray(case.targets.numpy())
    return regauge.Case(Port(case.model), (inputs,), targets=targets, loss=mse, optimizer=optimizer)


def judged(original: Callable[[Net], Any], converted: Any, **options: Any) -> Check:
    return regauge.check(net_case(original), port_case(converted), quick=True, float32=False, **options)


def tier_of(check: Check, name: str) -> Tier:
    return next(tier for tier in check.tiers if tier.name == name)


def slots_of(check: Check) -> dict[str, str]:
    return {tier.name: tier.verdict for tier in check.tiers if tier.name.startswith("optimizer slot ")}


def by_size(params: Any) -> Any:
    return jax.tree.map(lambda array: "matrices" if array.ndim > 1 else "vectors", params)


def grouped(net: Net) -> torch.optim.AdamW:
    groups = [
        {"params": [p for p in net.parameters() if p.ndim > 1], "weight_decay": 0.1},
        {"params": [p for p in net.parameters() if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=1e-2)


@pytest.mark.parametrize(
    ("original", "converted", "slots"),
    [
        (
            lambda net: torch.optim.AdamW(net.parameters(), lr=1e-2, weight_decay=0.1),
            optax.adamw(1e-2, weight_decay=0.1),
            {FIRST, SECOND, STEP},
        ),
        (
            grouped,
            optax.partition(
                {"matrices": optax.adamw(1e-2, weight_decay=0.1), "vectors": optax.adamw(1e-2, weight_decay=0)}, by_size
            ),
            {FIRST, SECOND, STEP},
        ),
        (
            lambda net: HandSGD(net.parameters(), lr=0.1, decay=0.9),
            optax.sgd(0.1, momentum=0.9),
            {"optimizer slot momentum (velocity, trace)"},
        ),
    ],
    ids=["AdamW", "groups", "by hand"],
)
def test_equal_slots(original: Callable[[Net], Any], converted: Any, slots: set[str]) -> None:
    check = judged(original, converted)
    assert check.verdict == "equal"
    assert slots_of(check) == dict.fromkeys(slots, "equal")
    for name in slots:
        found = tier_of(check, name)
        assert found.inputs == 20
        assert found.bound is not None
        assert found.bound < 1e-13
    moments = next(name for name in slots if "moment" in name)
    rows = {distance.name for distance in tier_of(check, moments).distances}
    assert rows == {f"{name} at step 20" for name, _ in Net().named_parameters()}


def test_the_slot_and_the_first_step_that_differ() -> None:
    check = judged(lambda net: torch.optim.Adam(net.parameters(), lr=1e-2, betas=(0.9, 0.99)), optax.adam(1e-2))
    assert check.verdict == "different"
    assert tier_of(check, SECOND).why.startswith("they part with up.weight at step 1: ")
    assert tier_of(check, FIRST).why.startswith("they part with up.weight at step 3: ")
    assert tier_of(check, STEP).verdict == "equal"
    # the first update is bias corrected, so both make the same
    assert tier_of(check, "trajectory Adam").why.startswith("they part at step 2; ")
    assert check.causes[0].name == "betas"


def test_a_schedule_that_parts_late_is_told_by_its_step() -> None:
    halved = optax.piecewise_constant_schedule(0.1, {6: 0.5})
    check = judged(lambda net: torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9), optax.sgd(halved, momentum=0.9))
    assert tier_of(check, "trajectory SGD").why.startswith("they part at step 7; ")
    momentum = tier_of(check, "optimizer slot momentum (momentum_buffer, trace)")
    assert momentum.why.startswith("they part with up.weight at step 8: ")
    assert "V148 Slots of the converted optimizer alone: count; they were not compared" in {
        f"{finding.code} {finding.text}" for finding in check.findings
    }


def test_a_slot_in_another_form_is_no_difference() -> None:
    own = optax.rmsprop(1e-2, decay=0.99, eps=1e-8, eps_in_sqrt=False, momentum=0.9)  # momentum of scaled updates
    check = judged(lambda net: torch.optim.RMSprop(net.parameters(), lr=1e-2, momentum=0.9), own)
    assert check.verdict == "equal"
    momentum = tier_of(check, "optimizer slot momentum (momentum_buffer, trace)")
    assert momentum.verdict == "not checked"
    assert momentum.why.startswith("kept in another form, for the parameters stay equal; they part with up.weight at")
    assert slots_of(check)["optimizer slot second moment (square_avg, nu)"] == "equal"


def test_two_optimizers_of_jax_and_the_cause() -> None:
    check = regauge.check(port_case(optax.adam(1e-2)), port_case(optax.adam(1e-2, eps=1e-6)), quick=True, float32=False)
    assert check.verdict == "different"
    assert slots_of(check)["optimizer slot first moment (mu, mu)"] == "different"
    assert check.causes[0].name == "optimizer-eps"
    assert check.causes[0].proven


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.LSTM(4, 5, batch_first=True), nn.Linear(5, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.rnn(x)[0][:, -1])


def with_one_bias(params: dict[str, jax.Array], x: jax.Array) -> jax.Array:
    def cell(carry: tuple[jax.Array, jax.Array], x: jax.Array) -> tuple[tuple[jax.Array, jax.Array], None]:
        h, c = carry
        i, f, g, o = jnp.split(x @ params["wi"] + h @ params["wh"] + params["bias"], 4, -1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

    start = jnp.zeros((len(x), 5), x.dtype)
    (h, _), _ = jax.lax.scan(cell, (start, start), x.swapaxes(0, 1))
    return h @ params["head"] + params["head_bias"]


@pytest.mark.slow
def test_a_port_that_holds_the_sum_of_two_biases_is_the_same_function() -> None:
    torch.manual_seed(0)
    net = Recurrent()
    x, y = torch.randn(3, 6, 4), torch.randn(3, 2)
    own = {name: parameter.detach().numpy() for name, parameter in net.named_parameters()}
    bias = own["rnn.bias_ih_l0"] + own["rnn.bias_hh_l0"]
    assert np.any(bias != own["rnn.bias_ih_l0"].astype(np.float64) + own["rnn.bias_hh_l0"])  # float32 rounds the sum
    params = {
        "wi": own["rnn.weight_ih_l0"].T,
        "wh": own["rnn.weight_hh_l0"].T,
        "bias": bias,
        "head": own["head.weight"].T,
        "head_bias": own["head.bias"],
    }
    converted = regauge.Case((with_one_bias, {n: jnp.asarray(a) for n, a in params.items()}), (jnp.asarray(x.numpy()),))
    check = regauge.check(regauge.Case(net, (x,)), converted, quick=True)
    assert check.verdict == "equal", [tier for tier in check.tiers if tier.verdict == "different"]

    trained = {"targets": y, "loss": mse, "optimizer": torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)}
    theirs = {"targets": jnp.asarray(y.numpy()), "loss": mse, "optimizer": optax.sgd(0.1, momentum=0.9)}
    check = regauge.check(
        regauge.Case(net, (x,), **trained),
        regauge.Case(converted.model, converted.inputs, **theirs),
        quick=True,
        float32=False,
    )
    assert {t.name.partition(" ")[0] for t in check.tiers if t.verdict == "different"} == {"trajectory", "optimizer"}
    assert tier_of(check, "trajectory SGD").why.startswith("they part at step 1; rnn.bias_hh_l0 + rnn.bias_ih_l0")
    momentum = tier_of(check, "optimizer slot momentum (momentum_buffer, trace)")
    assert not any("bias_ih" in distance.name for distance in momentum.distances)
    finding = next(finding for finding in check.findings if finding.code == "V129")
    assert "rnn.bias_hh_l0 + rnn.bias_ih_l0" in finding.text
    assert "half as far" in finding.text


def test_factored_moments_have_no_place_in_a_parameter() -> None:
    check = regauge.check(
        *(port_case(optax.adafactor(1e-2, min_dim_size_to_factor=2)) for _ in range(2)), quick=True, float32=False
    )
    assert check.verdict == "equal"
    text = next(finding.text for finding in check.findings if finding.code == "V148")
    assert text.startswith("Slots that have not the shape of their parameters: v_row, v_col")


def test_masked_parts_of_a_state_belong_to_nobody() -> None:
    model = port_case(None).model
    program = program_of(model)
    masked = optax.masked(optax.trace(0.9), lambda params: jax.tree.map(lambda array: array.ndim > 1, params))
    tree = OptimizerTree(program, masked)
    found = tree.slots(masked.init(tree.nested(program.params)))
    assert found.keys() == {"trace"}
    assert found["trace"].keys() == {"up.kernel", "down.kernel"}


def test_a_count_of_every_parameter_is_kept_once() -> None:
    params = {"w": np.ones((2, 3)), "b": np.ones(3)}
    slots = {
        "step": {"w": np.array(3.0), "b": np.array(3.0)},
        "mu": {"w": np.zeros((2, 3)), "b": np.zeros(3)},
        "rows": {"w": np.zeros(2)},
    }
    found = step_arrays(params, slots, lambda prefix, arrays: {f"{prefix}{name}": a for name, a in arrays.items()})
    assert found.keys() == {
        "parameters.w", "parameters.b", f"slot step.{ONCE}", "slot mu.w", "slot mu.b", f"slot rows.{ONCE}"
    }  # fmt: skip
    assert found["slot step."] == 3
    assert found["slot rows."].size == 0


def test_how_many_steps_are_compared_follows_the_size() -> None:
    assert steps_to_compare(1000, 3) == (1, 2, 3)
    assert steps_to_compare(LARGE, 20) == (1, 20)
    assert steps_to_compare(LARGE, 1) == (1,)
    assert steps_to_compare(LARGE + 1, 20) == steps_to_compare(1000, 0) == ()


def test_a_large_model_says_that_slots_are_left_out() -> None:
    weights = PairMap((), {"w": Kind((LARGE + 1,), "float32")}, {})
    codes = [(finding.code, "Slots of the optimizers" in finding.text) for finding in about_large(weights, [], True)]
    assert codes == [("V128", False), ("V128", True)]
    assert len(about_large(weights, [], False)) == 1
