"""Slices that begin or end at a symbolic size are slices, and `len(x)` is such a size."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import regauge
from regauge.errors import CaptureError

# bounds of an axis of size `a` where another one has size `n`, and the slice that is written
SLICES = {
    "n:": "x[n:]",
    ":n": "x[:n]",
    "-n:": "x[-n:]",
    ":-n": "x[:-n]",
    "2:-n": "x[2:-n]",
    "n:2 * n": "x[n : 2 * n]",
    "1:n - 1": "x[1 : n - 1]",
    "a // 2:": "x[a // 2 :]",
    "n:, 1:3": "x[n:, 1:3]",
    "-n:, n:": "x[-n:, n:]",
    ":, -1, n:": "x[:, 3, n:]",
}


def arrays(a: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    return np.random.default_rng(0).normal(size=(a, 4, 5)).astype(np.float32), np.ones((n, 1), np.float32)


def test_slices_at_sizes():
    results = ", ".join(f"x[{bounds}]" for bounds in SLICES)
    names: dict[str, Any] = {}
    exec(f"def sliced(x, y):\n    a, n = x.shape[0], y.shape[0]\n    return [{results}]", names)
    function = names["sliced"]
    made = regauge.to_torch(function, arrays(8, 3), dynamic=("a, 4, 5", "n, 1"))
    assert "ops" not in made.sources
    assert "gather" not in made.source
    for written in SLICES.values():
        assert f" = {written} " in made.source or f"return {written}" in made.source, written
    for a, n in ((8, 3), (8, 8), (8, 9), (3, 1), (1, 2), (5, 4), (9, 2)):
        x, y = arrays(a, n)
        found = made(torch.from_numpy(x), torch.from_numpy(y))
        for name, one, other in zip(SLICES, found, function(jnp.asarray(x), y), strict=True):
            assert np.array_equal(one.numpy(), other), (name, a, n)


def test_gradients_of_slices_at_sizes():
    def function(x, y):
        n = y.shape[0]
        return (x[n:] ** 2).sum() + (x[-n:] ** 3).sum() + jnp.sin(x[:n]).sum()

    made = regauge.to_torch(function, arrays(8, 3), dynamic=("a, 4, 5", "n, 1"))
    x, y = arrays(6, 2)
    tensor = torch.from_numpy(x).requires_grad_()
    made(tensor, torch.from_numpy(y)).backward()
    np.testing.assert_allclose(tensor.grad, jax.grad(function)(x, y), rtol=1e-6)


def mean(x):
    return x.sum(0) / len(x), x + jnp.arange(len(x))[:, None]


def rows(x):
    return sum(x[i] for i in range(len(x)))


def last(x):
    return x[x.shape[0] - 1]


def test_the_length_of_a_batch_stays_symbolic():
    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    made = regauge.to_torch(mean, (x,))
    assert made.findings == ()
    assert "x.mean(0)" in made.source
    larger = np.concatenate([x, x + 1])
    for found, expected in zip(made(torch.from_numpy(larger)), mean(larger), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    assert len([1, 2]) == 2
    assert type(len).__name__ == "builtin_function_or_method"


@pytest.mark.parametrize(
    ("model", "what", "instead"),
    [
        (rows, "Python needs a number where the size of an axis is symbolic", "jax.lax.fori_loop"),
        (last, "an index is made of the size of an axis, which is symbolic", "x[-1]"),
    ],
)
def test_a_size_that_must_be_a_number(model, what, instead):
    x = jnp.ones((4, 3))
    (finding,) = regauge.to_torch(model, (x,)).findings
    line = f"test_to_torch_size_slices.py:{model.__code__.co_firstlineno + 1})"
    assert finding.code == "C152"
    assert what in finding.text
    assert finding.text.endswith(line)
    with pytest.raises(CaptureError, match=f"C230 {model.__name__} cannot be traced: {what}") as refused:
        regauge.to_torch(model, (x,), dynamic=("n, 3",))
    assert instead in str(refused.value)
    assert "dynamic=None" in str(refused.value)
