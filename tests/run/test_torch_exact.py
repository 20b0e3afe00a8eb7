"""Formulas in place of float64 kernels that are not exact: each is needed, and each is right."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.special
import torch
import torch.nn.functional as F

from regauge.run.torch_arithmetic import controlled

NEEDED = 1e-10  # tier 1 of the check: a kernel this exact needs no formula
X = torch.linspace(-2.95, 6, 501, dtype=torch.float64)
POSITIVE = torch.linspace(0.05, 30, 501, dtype=torch.float64)


def celu_in_place(x: torch.Tensor) -> torch.Tensor:
    return F.celu(x.clone(), 0.7, inplace=True)


def celu_slope(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, 1.0, np.exp(np.minimum(x, 0) / 0.7))


CASES: list[tuple[Callable[[torch.Tensor], torch.Tensor], torch.Tensor, Callable[[np.ndarray], np.ndarray]]] = [
    (F.hardsigmoid, X, lambda x: np.where(x < 3, 1 / 6, 0.0)),
    (lambda x: F.celu(x, 0.7), X, celu_slope),
    (celu_in_place, X, celu_slope),
    (torch.digamma, POSITIVE, lambda x: scipy.special.polygamma(1, x)),
]


def slope(function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> np.ndarray:
    leaf = x.clone().requires_grad_()
    return torch.autograd.grad(function(leaf).sum(), leaf)[0].numpy()


def distance(found: np.ndarray, exact: np.ndarray) -> float:
    """The largest relative difference of an element."""
    return float((np.abs(found - exact) / np.where(exact == 0, 1, np.abs(exact))).max())


@pytest.mark.parametrize(("function", "x", "exact"), CASES, ids=["hardsigmoid", "celu", "celu_", "digamma"])
def test_the_kernel_is_not_exact_and_the_formula_is(function, x, exact):
    expected = exact(x.numpy())
    assert distance(slope(function, x), expected) > NEEDED  # else the entry can go
    with controlled(True, "off"):
        assert distance(slope(function, x), expected) < 1e-14  # in place the slope is a sum that cancels
    with controlled(False, "off"):
        assert distance(slope(function, x), expected) > NEEDED  # float32 runs, and all that is timed, stay as they are


@pytest.mark.parametrize("alpha", [0.5, 1.0, 1.0 + 1e-9, 1.7])
def test_elu_is_not_taken_for_celu(alpha):
    def elu(x: torch.Tensor) -> torch.Tensor:
        return F.elu(x, alpha)

    with controlled(True, "off"):
        found = slope(elu, X)
    assert distance(found, slope(elu, X)) == 0


def test_kinks_and_other_orders_are_those_of_the_kernel():
    kinks = torch.tensor([-3.0, 3.0, -0.0, torch.inf, -torch.inf, torch.nan], dtype=torch.float64)
    kernel = slope(F.hardsigmoid, kinks)
    negative, order = torch.tensor([-0.5, -2.25], dtype=torch.float64), torch.polygamma(2, POSITIVE)
    trigamma = torch.polygamma(1, negative)
    with controlled(True, "off"):
        np.testing.assert_allclose(slope(F.hardsigmoid, kinks), kernel, rtol=1e-7)
        assert torch.equal(torch.polygamma(1, negative), trigamma)
        assert torch.equal(torch.polygamma(2, POSITIVE), order)
