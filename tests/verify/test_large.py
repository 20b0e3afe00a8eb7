"""Large models: fewer gradients, noise where something differs, and the time that is left."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch import nn

import regauge
from regauge.errors import WorkerFailed
from regauge.run.evaluation import TASKS_DONE
from regauge.verify import engine, plan
from regauge.verify.inputs import InputSet
from regauge.verify.watching import BEGINS, TOTAL, watching

X = torch.linspace(-1, 1, 12).reshape(3, 4)


@pytest.fixture(autouse=True)
def everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    from regauge.run import torch_tensors

    monkeypatch.setattr(plan, "LARGE", 1)
    monkeypatch.setattr(torch_tensors, "LARGE", 1)


def case(factor: float = 1.0) -> tuple[regauge.Case, regauge.Case]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.3), nn.Tanh())
    target = torch.zeros(3, 3)
    import optax

    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=1e-2)
    original = regauge.Case(model, (X,), target, nn.functional.mse_loss, optimizer)
    params = {name: jnp.asarray(p.detach().numpy()) for name, p in model.named_parameters()}

    def port(params: Any, x: Any, key: Any, train: bool) -> Any:
        import jax

        x = x @ params["0.weight"].T + params["0.bias"]
        if train:
            x = x * jax.random.bernoulli(key, 0.7, x.shape) / 0.7
        return jnp.tanh(x) * factor

    loss = lambda out, target: ((out - target) ** 2).mean()  # noqa: E731
    return original, regauge.Case(
        (port, params), (X.numpy(),), target.numpy(), loss, optax.adamw(1e-2, weight_decay=1e-2)
    )


def test_gradients_on_two_inputs_and_everything_else_as_ever() -> None:
    check = regauge.check(*case())
    assert [(tier.name, tier.why) for tier in check.tiers if tier.verdict == "different"] == []
    assert check.verdict == "equal"
    inputs = {tier.name: tier.inputs for tier in check.tiers if tier.mode == "train"}
    assert inputs["tier 1 gradients"] == 2
    assert inputs["tier 1 outputs"] == len(check.inputs_tried)
    assert {"trajectory AdamW", "trajectory AdamW float32", "tier 1 gradients with dropout masks"} <= set(inputs)
    verdicts = {tier.name: tier.verdict for tier in check.tiers if tier.mode == "train"}
    for name in ("tier 2 gradients", "tier 2 outputs with the updated state", "trajectory AdamW float32"):
        assert verdicts[name] == "equal"  # the noisy copies begin with the weights, also after steps of a fused kernel
    text = next(finding.text for finding in check.findings if finding.code == "V128")
    assert f"gradients were compared on 2 of {len(check.inputs_tried)} inputs" in text


def test_a_difference_brings_the_noise_and_stays_one() -> None:
    check = regauge.check(*case(1 + 1e-7))
    assert check.verdict == "different"
    assert next(tier for tier in check.tiers if tier.name == "tier 1 outputs").verdict == "different"


@pytest.mark.parametrize("of_a_pair", [True, False])
def test_a_copy_that_crashes_leaves_the_verdict_as_it_was(monkeypatch: pytest.MonkeyPatch, of_a_pair: bool) -> None:
    """A crash of the original is a result of a pair, and ends the check of one's own conversion, but for more noise."""
    crashed: list[str] = []
    keep = engine._Run._keep

    def keeping(self: Any, side: Any, reply: Any, out: Path) -> bool:
        if not out.name.startswith(f"{side}-"):
            return keep(self, side, reply, out)
        crashed.append(out.name)
        if not of_a_pair:
            raise WorkerFailed("killed")
        return keep(self, side, WorkerFailed("killed"), out)

    monkeypatch.setattr(engine._Run, "_keep", keeping)
    check = regauge.check(*case(1 + 1e-7))
    assert "M64-noise" in crashed
    assert check.verdict == "different"
    assert not [finding for finding in check.findings if finding.code == "V140"]


def test_the_weights_are_as_they_were_after_every_task() -> None:
    original, port = case()
    before = [p.detach().clone() for p in original.model.parameters()]
    regauge.check(original, port, quick=True, float32=False)
    assert all(torch.equal(a, b) for a, b in zip(before, original.model.parameters(), strict=True))


def test_progress_follows_the_tasks(tmp_path: Path) -> None:
    told: list[int] = []
    both = threading.Event()

    def watch(label: str, done: int, total: int) -> None:
        told.append(done)
        assert (label, total) == ("original", TOTAL)
        if len(told) > 1:
            both.set()

    sets = [InputSet("reference", "typical", {"inputs.0": np.ones((1, 2))})]
    tasks = plan.original_float64(sets, plan.CheckOptions(large=True), True)
    with watching(watch, "original", 0, [(tasks, tmp_path)]):
        (tmp_path / TASKS_DONE).write_bytes(b"." * len(tasks))
        assert both.wait(10)
    assert told[0] == BEGINS[0]
    assert told[-1] == BEGINS[1]
