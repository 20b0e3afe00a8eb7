"""Control flow, and functions with a derivative of their own, from JAX to torch: values, gradients, compile, export."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from jax import lax
from torch.utils import _pytree as pytree

import regauge
from regauge.run.torch_model import as_tensor


def smooth(params: Any, xs: jax.Array) -> jax.Array:
    rate = jax.nn.sigmoid(params["rate"])

    def step(state: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        state = state + rate * (x - state)
        return state, state

    return lax.scan(step, xs[0], xs)[1]


def carried_dict(x: jax.Array) -> Any:
    def step(carry: Any, t: jax.Array) -> Any:
        return {"h": jnp.tanh(carry["h"] + t), "count": carry["count"] + 1}, carry["h"].sum()

    return lax.scan(step, {"h": x, "count": jnp.zeros((), jnp.int32)}, jnp.arange(3.0), reverse=True)


def branches(x: jax.Array) -> jax.Array:
    y = lax.cond(x.sum() > 0, lambda y: y * x, lambda y: y - 1, jnp.sin(x))
    return y + lax.cond(x.sum() > 100, lambda: x, lambda: -x)


def switched(x: jax.Array) -> jax.Array:
    index = jnp.asarray(x.sum(), jnp.int32)
    return lax.switch(index, [lambda y: y, lambda y: -y, lambda y: y**2], x)


def loops(x: jax.Array) -> Any:
    doubled = lax.while_loop(lambda c: c[0] < 5, lambda c: (c[0] + 1, c[1] * 2), (0, x))
    return doubled, lax.fori_loop(0, 4, lambda i, v: v + i, x), lax.map(lambda row: row * 2, x)


def nested(x: jax.Array) -> jax.Array:
    def outer(total: jax.Array, row: jax.Array) -> Any:
        inner = lax.scan(lambda c, v: (c + v * total, None), total, row)[0]
        return lax.cond(inner > 1, lambda: inner, lambda: total + 1), inner

    return lax.scan(outer, jnp.zeros(()), jnp.stack([x, 2 * x]))[1]


@jax.custom_vjp
def clipped(x: jax.Array) -> jax.Array:
    return jnp.clip(x, -1, 1)


clipped.defvjp(lambda x: (clipped(x), None), lambda _, g: (g * 3,))


@jax.custom_jvp
def soft(x: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.log(1 + jnp.exp(x)) * y


@soft.defjvp
def _soft_jvp(primals: Any, tangents: Any) -> Any:
    (x, y), (dx, dy) = primals, tangents
    return soft(x, y), 5 * dx * y + dy


def own_derivatives(x: jax.Array) -> jax.Array:
    return clipped(x) + soft(x, x)


X = jnp.array([0.5, -0.25, 1.5])
GRADIENTS = [carried_dict, branches, switched, nested, own_derivatives]


@pytest.mark.parametrize("function", [*GRADIENTS, loops], ids=lambda f: f.__name__)
def test_values_compile_and_export(function: Callable[..., Any]) -> None:
    converted = regauge.to_torch(function, (X,))
    tensor = as_tensor(X)
    expected = jax.tree.leaves(function(X))
    runs = {
        "eager": converted,
        "compiled": torch.compile(converted, backend="eager", fullgraph=True),
        "exported": torch.export.export(converted, (tensor,)).module(),
    }
    for name, run in runs.items():
        for found, wanted in zip(pytree.tree_leaves(run(tensor)), expected, strict=True):
            assert found.dtype == as_tensor(wanted).dtype
            np.testing.assert_allclose(found.detach().numpy(), np.asarray(wanted), rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("function", GRADIENTS, ids=lambda f: f.__name__)
def test_gradients(function: Callable[..., Any]) -> None:
    def floats(leaves: Any) -> Any:
        return [leaf for leaf in leaves if np.dtype(str(leaf.dtype).removeprefix("torch.")).kind == "f"]

    converted = regauge.to_torch(function, (X,))
    wanted = jax.grad(lambda x: sum((leaf**2).sum() for leaf in floats(jax.tree.leaves(function(x)))))(X)
    tensor = as_tensor(X).requires_grad_()
    total = sum((leaf**2).sum() for leaf in floats(pytree.tree_leaves(converted(tensor))))
    (found,) = torch.autograd.grad(total, [tensor])
    np.testing.assert_allclose(found.numpy(), np.asarray(wanted), rtol=2e-6)


def test_a_scan_reads_as_it_was_written() -> None:
    xs = jnp.arange(15.0).reshape(5, 3)
    converted = regauge.to_torch(smooth, (xs,), params={"rate": jnp.ones(())}, dynamic=None)
    assert "        def step(state, x):\n            state = state + rate * (x - state)" in converted.source
    assert "ops.scan(step, " in converted.source
    found = converted(as_tensor(xs)).detach().numpy()
    np.testing.assert_allclose(found, np.asarray(smooth({"rate": jnp.ones(())}, xs)), rtol=1e-6)


def test_own_derivatives_are_functions_of_autograd() -> None:
    converted = regauge.to_torch(own_derivatives, (X,))
    assert "class clipped_function(torch.autograd.Function):" in converted.sources["ops"]
    assert "ops.clipped(x)" in converted.source
    assert "ops.soft(x, x)" in converted.source


def test_a_branch_that_is_known_is_written_alone() -> None:
    def model(x: jax.Array) -> jax.Array:
        on = lax.platform_dependent(x, cpu=lambda x: x + 1, default=lambda x: x - 1)
        return lax.cond(True, jnp.sin, jnp.cos, on) + lax.switch(7, [jnp.exp, jnp.abs], x)

    x = jnp.linspace(-1, 1, 6)
    converted = regauge.to_torch(model, (x,))
    assert "cond" not in converted.source
    assert "switch" not in converted.source
    np.testing.assert_allclose(converted(as_tensor(x)).numpy(), model(x), rtol=1e-6)


def test_triangular_systems_of_a_batch_have_the_solver_of_one() -> None:
    def model(factor: jax.Array, right: jax.Array) -> jax.Array:
        solve = jax.vmap(lambda a, b: jax.scipy.linalg.solve_triangular(a, b, lower=True))
        return solve(factor, right) + jax.vmap(lambda a, b: jax.scipy.linalg.cho_solve((a, True), b))(factor, right)

    factor, right = jnp.tril(jnp.eye(3) + jnp.ones((2, 3, 3))), jnp.ones((2, 3))
    converted = regauge.to_torch(model, (factor, right))
    found = converted(as_tensor(factor), as_tensor(right))
    np.testing.assert_allclose(found.detach().numpy(), model(factor, right), rtol=1e-5)


def doubled_while_small(row: jax.Array) -> Any:
    return lax.while_loop(lambda c: (c[0].sum() < 9) & (c[1] < 6), lambda c: (c[0] * 2, c[1] + 1), (row, 0))


def counted(start: jax.Array, steps: jax.Array) -> jax.Array:
    return lax.fori_loop(0, steps, lambda i, c: c * 1.5 + i, start)


def test_each_example_of_a_mapped_loop_ends_by_itself() -> None:
    def function(x: jax.Array) -> Any:
        return jax.vmap(doubled_while_small)(x), jax.vmap(counted)(x[:, 0], jnp.arange(x.shape[0]))

    x = np.random.default_rng(0).uniform(0.1, 2.0, (4, 3)).astype(np.float32)
    made = regauge.to_torch(function, (x,))
    for example in (x, x[1:3]):
        found = pytree.tree_leaves(made(torch.from_numpy(example)))
        for ours, theirs in zip(jax.tree.leaves(function(jnp.array(example))), found, strict=True):
            np.testing.assert_allclose(theirs.numpy(), ours, rtol=1e-6)
    compiled = torch.compile(made, fullgraph=True, backend="eager")(torch.from_numpy(x))
    np.testing.assert_allclose(pytree.tree_leaves(compiled)[0].numpy(), function(x)[0][0], rtol=1e-6)
