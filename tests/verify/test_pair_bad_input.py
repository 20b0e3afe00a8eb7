"""Pairs that cannot be judged, or only in part: each has its message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from torch import nn

import regauge
from regauge.errors import BadCase, RegaugeError, WeightMismatch
from regauge.run.launch import Interpreters
from regauge.verify import Check, CheckOptions
from regauge.verify.pair import check_pair, read_map
from regauge.verify.workers import sides_of_cases

X = torch.linspace(-1, 1, 12).reshape(3, 4)


def judged(original: Any, converted: Any, *args: Any, **options: Any) -> Check:
    return regauge.check(original, converted, *(args or ((X,),)), **{"quick": True, "float32": False, **options})


def tier(check: Check, name: str) -> Any:
    return next(tier for tier in check.tiers if tier.name == name)


def codes(check: Check) -> set[str]:
    return {finding.code for finding in check.findings}


def test_other_numbers_of_outputs() -> None:
    check = judged(lambda x: (torch.sin(x), torch.cos(x)), lambda x: (jnp.sin(x),))
    assert check.verdict == "different"
    assert "outputs.1 (missing in the converted model, on reference)" in tier(check, "tier 1 outputs").why
    finding = next(f for f in check.findings if f.code == "V122")
    assert "2 (outputs.0, outputs.1) and 1 (outputs.0)" in finding.text


def test_other_structures_are_compared_in_order() -> None:
    check = judged(lambda x: {"a": torch.sin(x), "b": torch.cos(x)}, lambda x: (jnp.sin(x), jnp.cos(x)))
    assert check.verdict == "equal"
    finding = next(f for f in check.findings if f.code == "V122")
    assert "outputs.a, outputs.b; outputs.0, outputs.1" in finding.text


def test_other_shapes_and_dtypes_of_outputs() -> None:
    check = judged(lambda x: torch.sin(x), lambda x: jnp.sin(x)[:, :2])
    assert "shape (3, 2), the original's is (3, 4)" in tier(check, "tier 1 outputs").why
    check = judged(lambda x: torch.sin(x) > 0, lambda x: (jnp.sin(x) > 0).astype(int))
    assert "dtype int64, the original's is bool" in tier(check, "tier 1 outputs").why


def test_nan_in_both_is_said_and_in_one_is_a_difference() -> None:
    check = judged(lambda x: torch.sqrt(x), lambda x: jnp.sqrt(x))
    assert "V150" in codes(check)
    assert tier(check, "tier 1 outputs").verdict == "equal"
    check = judged(lambda x: torch.sqrt(x), lambda x: jnp.sqrt(jnp.abs(x)))
    assert "NaN at other places" in tier(check, "tier 1 outputs").why


def test_a_missing_weight_is_refused_with_what_is_missing() -> None:
    params = {"weight": jnp.ones((2, 4))}
    with pytest.raises(WeightMismatch) as caught:
        judged(nn.Linear(4, 2), (lambda p, x: x @ p["weight"].T, params))
    assert any("bias" in line for line in caught.value.details)


def test_a_given_map_decides() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5, bias=False), nn.Linear(5, 4, bias=False))
    one, two = (jnp.asarray(p.detach().numpy()) for p in model.parameters())
    port = (lambda p, x: x @ p["p"].T @ p["q"].T, {"p": jnp.zeros((5, 4)), "q": jnp.zeros((4, 5))})
    check = judged(model, port, weight_map={"0.weight": "p", "1.weight": "q"})
    assert tier(check, "tier 1 outputs").verdict == "equal"
    assert (tier(check, "weights").verdict, check.verdict) == ("different", "different")
    right = (port[0], {"p": one, "q": two})
    assert judged(model, right).verdict == "equal"


def test_constant_inputs_are_said_to_try_little() -> None:
    check = judged(torch.sin, jnp.sin, (torch.zeros(2, 3),))
    assert check.verdict == "equal"
    assert "V127" in codes(check)


def test_a_map_that_is_no_map(tmp_path: Path) -> None:
    (tmp_path / "map.json").write_text("{", encoding="utf-8")
    with pytest.raises(WeightMismatch, match="the weight map cannot be read"):
        read_map(tmp_path / "map.json")


def test_a_model_that_rejects_its_inputs_says_which_side() -> None:
    with pytest.raises(BadCase) as caught:
        judged(nn.Linear(5, 2), lambda x: jnp.sin(x))
    assert "the model rejects its own inputs" in caught.value.what
    assert caught.value.where.startswith("the original")


def test_a_converted_model_that_raises_in_every_precision_is_different() -> None:
    def port(x: jax.Array, train: bool) -> jax.Array:
        if train:
            raise TypeError("not for training")
        return jnp.sin(x)

    check = judged(torch.sin, port)
    assert check.verdict == "different"
    assert "the converted model raises on reference: TypeError: not for training" in tier(check, "tier 1 outputs").why


def test_random_numbers_that_nothing_controls() -> None:
    check = judged(lambda x: x + torch.empty_like(x).exponential_(), lambda x: jnp.sin(x))
    assert (check.verdict, tier(check, "distribution").verdict) == ("different", "different")
    assert "two runs of the original differ" in tier(check, "tier 1 outputs").why

    def port(x: jax.Array, key: jax.Array) -> jax.Array:
        return x + jax.random.exponential(key, x.shape, x.dtype)

    check = judged(lambda x: torch.sin(x), port)
    assert (check.verdict, tier(check, "distribution").verdict) == ("different", "different")
    assert "two runs of the converted model differ" in tier(check, "tier 1 outputs").why


class Noisy(nnx.Module):
    def __init__(self) -> None:
        self.rngs = nnx.Rngs(0)

    def __call__(self, x: jax.Array) -> jax.Array:
        return jnp.sin(x) + jax.random.exponential(self.rngs.noise(), x.shape, x.dtype)


def test_random_streams_that_a_module_keeps() -> None:
    check = judged(torch.sin, Noisy())
    assert (check.verdict, tier(check, "distribution").verdict) == ("different", "different")
    assert "two runs of the converted model differ" in tier(check, "tier 1 outputs").why


@pytest.mark.parametrize(
    ("model", "what"),
    [
        (linen.Dense(2), "a Linen module has no weights of its own"),
        (3, "cannot be told whether the converted model is PyTorch's or JAX's"),
    ],
)
def test_what_is_no_model(model: Any, what: str) -> None:
    with pytest.raises(BadCase) as caught:
        judged(torch.sin, model)
    assert what in caught.value.what


def test_arguments_that_are_missing_or_too_many() -> None:
    with pytest.raises(BadCase, match="the arguments of the models are missing"):
        regauge.check(torch.sin, jnp.sin)
    with pytest.raises(BadCase, match="give two models of this process"):
        regauge.check(torch.sin, "a.py:case", (X,))
    with pytest.raises(BadCase, match="different numbers of inputs: 1 and 2"):
        judged(torch.sin, lambda x, y: jnp.sin(x), (X,), converted_args=(X, X))
    with pytest.raises(BadCase, match="no order of axes"):
        judged(torch.sin, jnp.sin, (X,), converted_args=(X[:2],))


def test_one_loss_alone_is_left_out() -> None:
    one = regauge.Case(nn.Linear(4, 2), inputs=(X,), targets=torch.zeros(3, 2), loss=nn.functional.mse_loss)
    weights = {name: jnp.asarray(p.detach().numpy()) for name, p in one.model.named_parameters()}
    other = regauge.Case((lambda p, x: x @ p["weight"].T + p["bias"], weights), inputs=(np.asarray(X),))
    check = judged(one, other)
    assert check.verdict == "equal"
    assert "V126" in codes(check)
    assert tier(check, "trajectory").why == "no loss: converted model"


CRASHES = """
import os, sys, time
import jax.numpy as jnp, numpy as np
import regauge

def model(x):
    if MARK:
        ACTION
    return jnp.sin(x)

def case():
    return regauge.Case(model, inputs=(np.ones((2, 3), np.float32),))
"""
FINE = """
import torch
import regauge

def case():
    return regauge.Case(torch.sin, inputs=(torch.ones(2, 3),))
"""


def pair_of(directory: Path, mark: str, action: str, timeout: float | None = None) -> Check:
    (directory / "fine.py").write_text(FINE, encoding="utf-8")
    text = CRASHES.replace("MARK", mark).replace("ACTION", action)
    (directory / "crashes.py").write_text(text, encoding="utf-8")
    references = [f"{directory / name}.py:case" for name in ("fine", "crashes")]
    sides = sides_of_cases(references[0], references[1], directory / "work", Interpreters())
    return check_pair(sides, directory / "work", options=CheckOptions(quick=True, float32=False, timeout=timeout))


def test_a_side_that_crashes_keeps_the_results_of_the_other(tmp_path: Path) -> None:
    check = pair_of(tmp_path, "x.dtype == jnp.float64", "os._exit(7)")
    assert check.verdict == "not checked"
    assert "converted model in float64: the jax worker ended with exit code 7" in tier(check, "tier 1 outputs").why
    assert (tmp_path / "work" / "M64" / "step-0-train-off.safetensors").is_file()
    assert "V140" in codes(check)


@pytest.mark.slow
def test_a_side_that_cannot_be_loaded_or_hangs_keeps_the_other(tmp_path: Path) -> None:
    check = pair_of(tmp_path, "True", "os.abort()")
    assert check.verdict == "not checked"
    assert codes(check) == {"V140", "V141"}
    assert (tmp_path / "work" / "describe_original" / "reference.safetensors").is_file()
    check = pair_of(tmp_path, "x.dtype == jnp.float64", "time.sleep(600)", timeout=60)
    assert check.verdict == "not checked"
    assert "did not finish within 60 s" in tier(check, "tier 1 outputs").why


def test_a_case_that_cannot_be_imported(tmp_path: Path) -> None:
    (tmp_path / "fine.py").write_text(FINE, encoding="utf-8")
    (tmp_path / "broken.py").write_text("import torch\nimport no_such_package\n", encoding="utf-8")
    sides = sides_of_cases(f"{tmp_path}/fine.py:case", f"{tmp_path}/broken.py:case", tmp_path, Interpreters())
    with pytest.raises(RegaugeError) as caught:
        check_pair(sides, tmp_path / "work")
    assert "no_such_package" in str(caught.value)
