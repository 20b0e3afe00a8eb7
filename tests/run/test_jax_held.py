"""Arrays of a program's own in a run that is widened: the tables of the person's float32 run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import regauge
from regauge.capture.jaxpr_exact import traced_wide
from regauge.run.jax_held import in_float64, with_rounded
from regauge.run.jax_side import side_of_case

TABLE = np.array([0.1, 0.2, 0.3])  # not one of them is a float32
AS_FLOAT32 = TABLE.astype(np.float32).astype(np.float64)
X = jnp.ones(3)


@jax.jit
def jitted(x: Any) -> Any:
    return x * TABLE


@jax.custom_vjp
def own_gradient(x: Any) -> Any:
    return x * TABLE


own_gradient.defvjp(lambda x: (x * TABLE, None), lambda _, g: (7 * g,))


@pytest.fixture(autouse=True)
def forgets() -> Iterator[None]:
    """JAX finds again in float32 what the test traced with an array of numpy in float64, and fails."""
    yield
    jax.clear_caches()


PLACES = {
    "alone": lambda x: x * TABLE,
    "in a list": lambda x: x * jnp.array([0.1, 0.2, 0.3]),
    "jitted": jitted,
    "jitted twice": lambda x: jax.jit(lambda y: jitted(y))(x),
    "in a loop": lambda x: jax.lax.scan(lambda c, _: (c * TABLE, None), x, None, length=1)[0],
    "in a branch": lambda x: jax.lax.cond(x[0] > 0, lambda y: y * TABLE, lambda y: y, x),
    "recomputed": jax.checkpoint(lambda x: x * TABLE),
    "with a gradient of its own": own_gradient,
}


@pytest.mark.parametrize("place", PLACES)
def test_tables_have_the_values_of_float32_wherever_they_stand(place: str) -> None:
    with jax.enable_x64(True):
        x = jnp.ones(3, jnp.float64)
        assert np.abs(np.asarray(PLACES[place](x)) - AS_FLOAT32).max() > 1e-9
        found = jax.jit(with_rounded(PLACES[place]))(x)
        assert found.dtype == np.float64
        np.testing.assert_array_equal(np.asarray(found), AS_FLOAT32)


def test_gradients_stay_those_of_the_function() -> None:
    with jax.enable_x64(True):
        slope = jax.grad(lambda x: with_rounded(own_gradient)(x).sum())(jnp.ones(3, jnp.float64))
        assert slope.tolist() == [7, 7, 7]
        slope = jax.grad(lambda x: with_rounded(jitted)(x).sum())(jnp.ones(3, jnp.float64))
        np.testing.assert_array_equal(np.asarray(slope), AS_FLOAT32)


def test_numbers_and_what_is_given_stay_as_they_are() -> None:
    with jax.enable_x64(True):
        given = jnp.asarray(TABLE)
        product, total, nothing = with_rounded(lambda x: (x * 0.1, x.sum(), None))(given)
        np.testing.assert_array_equal(np.asarray(product), TABLE * 0.1)
        assert float(total) == float(given.sum())
        assert nothing is None
        chosen = with_rounded(lambda x, mode: x if mode == "train" else -x)(given, "train")
        assert chosen.tolist() == TABLE.tolist()


class Waves(nnx.Module):
    """A module with arrays that are no variables."""

    def __init__(self) -> None:
        self.linear = nnx.Linear(3, 3, rngs=nnx.Rngs(0))
        self.table = TABLE
        self.scale = jnp.full(3, 0.5)

    def __call__(self, x: Any) -> Any:
        return (self.linear(x) + self.table + TABLE) * self.scale * 1.1


def test_arrays_in_attributes_of_an_nnx_module_are_buffers_and_the_module_can_be_called_afterwards() -> None:
    model = Waves()
    converted: Any = regauge.to_torch(model, (X[None],), dynamic=None)
    assert {"table", "scale"} <= set(dict(converted.named_buffers()))
    assert str(converted.table.dtype) == "torch.float32"
    np.testing.assert_allclose(converted(converted.scale[None]).detach(), model(jnp.full((1, 3), 0.5)), rtol=1e-6)


def test_a_widened_side_has_the_tables_of_the_run_in_float32() -> None:
    case = regauge.Case(Waves(), (X[None],))
    with jax.enable_x64(True):
        side = side_of_case(case, widen=True)
        np.testing.assert_array_equal(np.asarray(side.program.state["table"]), AS_FLOAT32)


def test_a_run_that_is_in_64_bit_mode_is_known() -> None:
    assert not in_float64(regauge.Case(Waves(), (X[None],)))
    with jax.enable_x64(True):
        assert in_float64(regauge.Case(Waves(), (jnp.ones((1, 3), jnp.float64),)))


def test_a_program_that_was_traced_in_64_bit_mode_still_runs_in_float32() -> None:
    def moved(x: Any) -> Any:
        return x + 0 + TABLE

    traced_wide(moved, jnp.ones((1, 3)))
    assert moved(jnp.ones((1, 3))).dtype == np.float32
