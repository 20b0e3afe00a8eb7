"""Sides that cannot be judged as they are: global state, float64 refused, shared memory, memory that runs out."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from torch import nn

import regauge
from regauge.errors import BadCase
from regauge.run.evaluation import is_memory
from regauge.run.side_effects import changes
from regauge.run.torch_describe import sharing

from .test_pair_bad_input import X, judged, pair_of, tier

CALLS: list[int] = []
TABLE: dict[str, Any] = {}


def findings(check: regauge.verify.Check, code: str) -> list[str]:
    return [finding.text for finding in check.findings if finding.code == code]


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return torch.sin(x)


class Remembering(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.last = torch.zeros(())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.last = self.last + x.mean() + 1
        return torch.sin(x) + self.last.detach()


def test_an_attribute_that_every_call_changes_is_said() -> None:
    check = judged(Counting(), jnp.sin)
    assert check.verdict == "equal"
    (text,) = findings(check, "V145")
    assert "original" in text
    assert "calls (" in text


def test_state_that_reaches_the_outputs_is_not_checked_and_named() -> None:
    check = judged(Remembering(), jnp.sin)
    assert check.verdict == "not checked"
    assert tier(check, "tier 1 outputs").why.startswith("two runs of the original differ: every call changes last (")


def test_globals_of_the_port_s_file() -> None:
    def port(x: jax.Array) -> jax.Array:
        CALLS.append(1)
        TABLE.setdefault("made once", np.arange(3))
        return jnp.sin(x)

    check = judged(torch.sin, port)
    assert check.verdict == "equal"
    (text,) = findings(check, "V145")
    assert f"CALLS of {Path(__file__).name}" in text
    assert "TABLE" not in text


class Caching(nnx.Module):
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, x: jax.Array) -> jax.Array:
        self.calls += 1
        return jnp.sin(x)


def test_attributes_of_nnx_modules() -> None:
    (text,) = findings(judged(torch.sin, Caching()), "V145")
    assert "calls (" in text


def test_random_numbers_of_numpy_are_named() -> None:
    check = judged(torch.sin, lambda x: jnp.sin(x) + np.random.rand(*x.shape))
    (text,) = findings(check, "V145")
    assert "numpy's random numbers" in text


def test_what_nothing_changes_is_no_effect() -> None:
    assert changes(lambda: None, lambda: {"": {"a": [1, np.ones(2)]}}, [judged]) == []


def refusing(x: torch.Tensor) -> torch.Tensor:
    if x.dtype == torch.float64:
        raise RuntimeError("'kernel' not implemented for 'Double'")
    return torch.sin(x)


def test_float64_that_the_original_refuses_is_not_checked_with_its_line() -> None:
    check = judged(refusing, jnp.sin, float32=True)
    assert check.verdict == "not checked"
    why = tier(check, "tier 1 outputs").why
    assert why.startswith(f"the original refuses float64 at {__file__}:")
    assert "'kernel' not implemented for 'Double'; in float32 it runs" in why
    assert tier(check, "tier 2 outputs").verdict == "not checked"


def test_float64_that_the_port_refuses_leaves_tier_2_to_judge() -> None:
    def port(x: jax.Array) -> jax.Array:
        if x.dtype == jnp.float64 and jax.enable_x64.value:
            raise TypeError("no 64-bit here")
        return jnp.sin(x)

    check = judged(torch.sin, port, float32=True)
    assert check.verdict == "not checked"
    why = tier(check, "tier 1 outputs").why
    assert why.startswith(f"the converted model refuses float64 at {__file__}:")
    assert tier(check, "tier 2 outputs").verdict == "equal"
    assert "different" not in {found.verdict for found in check.tiers}


def test_weights_that_share_memory_are_said() -> None:
    model = nn.Linear(4, 4)
    model.part = nn.Parameter(model.weight.detach()[:2])
    named = list(model.named_parameters())
    assert sharing(named) == [["part", "weight"]]
    assert sharing(list(nn.Linear(4, 4).named_parameters())) == []
    params = {name: jnp.asarray(p.detach().numpy().copy()) for name, p in named}
    check = judged(model, (lambda p, x: x @ p["weight"].T + p["bias"] + 0 * p["part"].sum(), params))
    (text,) = findings(check, "V147")
    assert "part, weight" in text


def test_a_model_that_cannot_be_copied_says_what_to_do() -> None:
    model = nn.Linear(4, 2)
    model.lock = threading.Lock()
    params = {name: jnp.asarray(p.detach().numpy()) for name, p in model.named_parameters()}
    with pytest.raises(BadCase, match="the model cannot be copied") as caught:
        judged(model, (lambda p, x: x @ p["weight"].T + p["bias"], params), (X,))
    assert "case references" in (caught.value.next or "")


def test_memory_that_runs_out_is_no_difference(tmp_path: Path) -> None:
    assert is_memory(MemoryError())
    assert is_memory(RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate"))
    assert not is_memory(RuntimeError("sizes do not match"))
    check = pair_of(tmp_path, "x.dtype == jnp.float64", "raise MemoryError()")
    assert check.verdict == "not checked"
    assert "the memory ran out in" in tier(check, "tier 1 outputs").why
    assert (tmp_path / "work" / "M64" / "step-0-train-off.safetensors").is_file()
