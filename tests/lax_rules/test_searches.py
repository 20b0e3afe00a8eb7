"""`jnp.searchsorted` and what searches with it: one node, and JAX's places."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import regauge

ROW = jnp.array([-1.0, 0.0, 0.0, 0.5, 2.0, jnp.inf])
ROWS = jnp.stack([ROW, ROW + 0.5, ROW * 2])
VALUES = jnp.array([[-jnp.inf, -1.0, -0.0], [0.0, 0.25, 0.5], [2.0, jnp.inf, jnp.nan]])

SEARCHES: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "left": (jnp.searchsorted, (ROW, VALUES)),
    "right": (lambda row, values: jnp.searchsorted(row, values, side="right"), (ROW, VALUES)),
    "mapped over values": (jax.vmap(jax.vmap(jnp.searchsorted, (None, 0)), (None, 0)), (ROW, VALUES)),
    "one in each row": (jax.vmap(lambda row, x: jnp.searchsorted(row, x, side="right")), (ROWS, VALUES[1])),
    "a number": (lambda row: jnp.searchsorted(row, 0.25), (ROW,)),
    "integers": (jnp.searchsorted, (jnp.array([1, 3, 3, 7]), jnp.array([0, 3, 9]))),
    "digitize": (lambda row, values: jnp.digitize(values, row), (ROW, VALUES)),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_is_torchs_own(name: str) -> None:
    function, arguments = SEARCHES[name]
    converted = regauge.to_torch(function, arguments, dynamic=None)
    found = converted(*(torch.from_numpy(np.array(a)) for a in arguments))
    expected = function(*arguments)
    assert "torch.searchsorted(" in converted.source
    assert "scan" not in converted.source
    np.testing.assert_array_equal(found.numpy(), expected)
    assert str(found.dtype) == f"torch.{expected.dtype}"


def test_a_search_by_another_method_is_what_it_is() -> None:
    converted = regauge.to_torch(lambda r, x: jnp.searchsorted(r, x, method="compare_all"), (ROW, VALUES))
    assert "torch.searchsorted(" not in converted.source
    found = converted(torch.from_numpy(np.array(ROW)), torch.from_numpy(np.array(VALUES)))
    np.testing.assert_array_equal(found.numpy(), jnp.searchsorted(ROW, VALUES))


def test_interpolation_and_its_gradients() -> None:
    at = jnp.array([-2.0, 0.1, 0.7, 1.9, 5.0])
    grid, heights = jnp.array([-1.0, 0.0, 0.5, 2.0]), jnp.array([1.0, -1.0, 3.0, 2.0])
    converted = regauge.to_torch(jnp.interp, (at, grid, heights))
    given = [torch.from_numpy(np.array(a)).requires_grad_() for a in (at, grid, heights)]
    found = converted(*given)
    found.sum().backward()
    expected = jax.grad(lambda *a: jnp.interp(*a).sum(), (0, 1, 2))(at, grid, heights)
    np.testing.assert_allclose(found.detach().numpy(), jnp.interp(at, grid, heights), rtol=1e-6)
    for tensor, gradient in zip(given, expected, strict=True):
        assert tensor.grad is not None
        np.testing.assert_allclose(tensor.grad.numpy(), gradient, rtol=1e-5, atol=1e-6)
