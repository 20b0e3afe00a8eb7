"""`regauge.testing`: a test that fails says where, why and what to do; importing it loads no framework."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import pytest
import torch

from regauge.testing import assert_same_model

QUICK: dict[str, Any] = {"quick": True, "float32": False}


def test_equal_models_give_the_check() -> None:
    check = assert_same_model(torch.tanh, jnp.tanh, (torch.randn(3, 4),), frameworks=("torch", "jax"), **QUICK)
    assert check.equal
    assert "trajectory" in check.not_checked  # without an optimizer nothing trains; that is no failure


def test_different_models_fail_with_what_a_person_needs(tmp_path: Any) -> None:
    options = {**QUICK, "frameworks": ("torch", "jax"), "out": tmp_path}
    with pytest.raises(AssertionError) as caught:
        assert_same_model(torch.nn.functional.gelu, jax.nn.gelu, (torch.randn(3, 4),), **options)
    said = str(caught.value).splitlines()
    assert said[0] == "gelu and gelu are not the same function; the first difference is in outputs"
    assert any("outputs: same function (float64) (training mode): different; outputs" in line for line in said)
    assert said[-1] == f"  next: python {tmp_path / 'reproduce.py'}"


def test_what_cannot_be_judged_fails_unless_allowed() -> None:
    def noisy(x: torch.Tensor) -> torch.Tensor:
        return x + torch.from_numpy(__import__("numpy").random.standard_normal(x.shape))

    x = torch.randn(3, 4)
    with pytest.raises(AssertionError, match="equality could not be checked") as caught:
        assert_same_model(noisy, jnp.sin, (x,), frameworks=("torch", "jax"), **QUICK)
    assert "two runs of the original differ" in str(caught.value)
    check = assert_same_model(noisy, jnp.sin, (x,), frameworks=("torch", "jax"), not_checked="allow", **QUICK)
    assert check.verdict == "not checked"


def test_an_unknown_choice_is_refused() -> None:
    with pytest.raises(Exception, match="unknown value of not_checked"):
        assert_same_model(torch.tanh, jnp.tanh, (torch.ones(1),), not_checked="ignore")  # type: ignore[arg-type]


def test_importing_it_loads_no_framework() -> None:
    code = "import regauge.testing, sys; print([n for n in ('torch', 'jax', 'flax') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
    code = "import regauge, sys; print('regauge.testing' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "False False"
