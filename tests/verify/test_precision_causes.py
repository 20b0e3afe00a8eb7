"""A model that rounds inside is the same function with worse arithmetic: the line that narrows is named and proven."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import torch

import regauge

X = np.random.default_rng(0).standard_normal((6, 5)).astype(np.float32)
W = np.random.default_rng(1).standard_normal((5, 5)).astype(np.float32)


def original(x, w):
    return torch.tanh(x @ w).sum(-1)


def narrowed(x, w):
    hidden = torch.tanh(x @ w)
    hidden = hidden.to(torch.bfloat16).to(x.dtype)
    return hidden.sum(-1)


def narrowed_in_jax(x, w):
    hidden = jnp.tanh(x @ w)
    hidden = hidden.astype("bfloat16").astype(x.dtype)
    return hidden.sum(-1)


def test_the_line_that_narrows_is_named_with_the_distances_that_prove_it() -> None:
    for converted, frameworks in ((narrowed, ("torch", "torch")), (narrowed_in_jax, ("torch", "jax"))):
        check = regauge.check(original, converted, (X, W), frameworks=frameworks, quick=True)
        assert check.verdict == "different"
        (cause,) = check.causes
        assert (cause.name, cause.proven) == ("precision", True)
        assert cause.before > 1e-4
        assert cause.after < 1e-6
        assert "bfloat16" in cause.text
        assert "test_precision_causes.py:" in cause.change
        assert "bfloat16" in check.places[1].code


def test_a_kind_that_cancels_to_zero_is_measured_by_its_usual_scale() -> None:
    """At zero the gradient of the original is zero exactly, and that of another order of the sum is rounding."""

    def square(x):
        return x * x

    def another(x):
        return x * x + 1e-17 * x

    check = regauge.check(square, another, (X,), frameworks=("torch", "torch"), float32=False)
    assert "zeros" in check.inputs_tried
    assert check.equal, [tier for tier in check.tiers if tier.verdict == "different"]
    wrong = regauge.check(square, lambda x: x * x + 1e-4 * x, (X,), frameworks=("torch", "torch"), float32=False)
    assert wrong.verdict == "different"


def test_modules_are_measured_in_float32_too() -> None:
    torch.manual_seed(0)
    ours = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.LayerNorm(4), torch.nn.Linear(4, 2))
    theirs = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.LayerNorm(4, eps=1e-3), torch.nn.Linear(4, 2))
    theirs.load_state_dict(ours.state_dict())
    check = regauge.check(ours, theirs, (torch.from_numpy(X),), quick=True)
    first, norm, _ = check.modules
    assert first.passed
    assert first.distance32 is not None
    assert first.distance32 < 1e-6
    assert norm.distance32 is not None
    assert abs(norm.distance32 / norm.distance - 1) < 1e-2
