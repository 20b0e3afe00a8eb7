"""Elements of an array that a loop or a branch reads from around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from jax import lax

import regauge

W = jnp.array([0.5, -1.0, 2.0, 3.0, 0.0, 1.5])
TABLE = jnp.arange(12.0).reshape(6, 2)

PROGRAMS: dict[str, Callable[..., Any]] = {
    "an element in each step": lambda w, t: lax.fori_loop(0, 3, lambda i, c: c + w[i], 0.0),
    "a row in each step": lambda w, t: lax.scan(lambda c, i: (c + t[i], t[i, 0]), t[0], jnp.arange(4)),
    "by a number without a sign": lambda w, t: lax.fori_loop(0, 3, lambda i, c: c * w[jnp.uint32(2)] + i, 1.0),
    "in a branch": lambda w, t: lax.cond(w[0] > 0, lambda: t[jnp.int32(w[2])].sum(), lambda: w[1]),
    "in a loop of a loop": lambda w, t: lax.fori_loop(
        0, 2, lambda i, c: c + lax.fori_loop(0, 2, lambda j, d: d + t[i + j, j] * w[i], 0.0), 0.0
    ),
    "several": lambda w, t: lax.map(lambda i: t[jnp.array([0, 2])] * w[i], jnp.arange(3)),
    "of a table": lambda w, t: lax.map(lambda i: jnp.take(t, i, axis=0), jnp.arange(3)),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_a_body_reads_of_an_array_around_it(name: str) -> None:
    program = PROGRAMS[name]
    converted = regauge.to_torch(program, (W, TABLE))
    given = [torch.from_numpy(np.array(array)).requires_grad_() for array in (W, TABLE)]
    found = jax.tree.leaves(converted(*given))
    expected = jax.tree.leaves(program(W, TABLE))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.detach().numpy(), other, rtol=1e-6)
    sum(part.sum() for part in found).backward()
    gradients = jax.grad(lambda *a: sum(leaf.sum() for leaf in jax.tree.leaves(program(*a))), (0, 1))(W, TABLE)
    for tensor, gradient in zip(given, gradients, strict=True):
        np.testing.assert_allclose(0 if tensor.grad is None else tensor.grad.numpy(), gradient, rtol=1e-6)


def test_unsigned_numbers_are_chosen_in_compiled_code_too() -> None:
    def program(first: Any, second: Any) -> Any:
        return jnp.where(first > second, first, jnp.uint32(7))

    numbers = (jnp.array([3, 2**32 - 1], jnp.uint32), jnp.array([5, 2**31], jnp.uint32))
    compiled = torch.compile(regauge.to_torch(program, numbers), fullgraph=True)
    found = compiled(*(torch.from_numpy(np.array(array)) for array in numbers))
    np.testing.assert_array_equal(found.numpy(), program(*numbers))
