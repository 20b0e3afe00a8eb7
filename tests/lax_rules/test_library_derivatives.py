"""Functions of JAX with a derivative of their own: what torch lacks keeps value and derivative, as a person's does."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from jax.scipy import special

import regauge
from regauge.capture.jaxpr_values import _OPERATORS
from regauge.rules.lax_to_torch import TABLE

X = np.abs(np.random.default_rng(0).normal(size=(3, 4))).astype(np.float32) + 0.1
FUNCTIONS = {
    "xlogy": lambda x: special.xlogy(x, 2 * x),
    "xlog1py": lambda x: special.xlog1py(x, x),
    "entr": special.entr,
    "logit": lambda x: special.logit(x / 9),
    "log_ndtr": lambda x: special.log_ndtr(-9 * x),
    "zeta": lambda x: special.zeta(x + 1, jnp.float32(2)),
    "expi": special.expi,
    "hyp1f1": lambda x: special.hyp1f1(1.0, 2.0, x),
    "poch": lambda x: special.poch(x, 2.0),
    "sinc": lambda x: jnp.sinc(x - x[0]),
    "i0": jnp.i0,
    "logaddexp2": lambda x: jnp.logaddexp2(x, 1.0),
    "log1mexp": jax.nn.log1mexp,
}


SLOW = ("expi",)  # seconds of compilation


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in FUNCTIONS]
)
def test_values_and_gradients(name):
    function = FUNCTIONS[name]
    made, x = regauge.to_torch(function, (X,)), torch.from_numpy(X).requires_grad_()
    found = made(x)
    np.testing.assert_allclose(found.detach().numpy(), function(X), rtol=1e-5, atol=1e-6)
    found.sum().backward()
    expected = jax.grad(lambda x: function(x).sum())(jnp.array(X))
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-4, atol=1e-5)


def test_those_that_are_operators_have_rules():
    assert {rule.op for rule in TABLE} >= _OPERATORS


@pytest.mark.parametrize(
    "function",
    [lambda x: jnp.frexp(x)[0], lambda x: jnp.ldexp(x, jnp.array([3, -2, 0, 1])), lambda x: jnp.ldexp(*jnp.frexp(x))],
    ids=["frexp", "ldexp", "both"],
)
def test_mantissas_and_exponents_whose_derivative_passes_an_integer(function):
    x = np.array([1.0, -0.3, 8.0, 5e30], np.float32)
    made = regauge.to_torch(function, (x,))
    leaf = torch.from_numpy(x).requires_grad_()
    outputs = made(leaf)
    np.testing.assert_array_equal(outputs.detach().numpy(), np.asarray(function(x)))
    outputs.sum().backward()
    np.testing.assert_allclose(leaf.grad.numpy(), np.asarray(jax.grad(lambda x: function(x).sum())(x)), rtol=2e-6)
