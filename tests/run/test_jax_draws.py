"""Random numbers of a JAX model in the float64 run of a check: those of its float32 run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from jax import random

import regauge
from regauge.run.jax_draws import draws_of_float32
from regauge.run.jax_dropout import dropout_control, own_draws
from regauge.run.jax_side import side_of_case
from regauge.run.torch_arithmetic import controlled

KEY = random.key(7)

DRAWS: dict[str, Callable[[Any], Any]] = {
    "uniform": lambda key: random.uniform(key, (50,), minval=-1.0),
    "normal": lambda key: random.normal(key, (50,)),
    "mapped": lambda key: jax.vmap(lambda k: random.normal(k, (3,)))(random.split(key, 4)),
    "truncated": lambda key: random.truncated_normal(key, -1.0, 2.0, (50,)),
    "gumbel": lambda key: random.gumbel(key, (50,)),
    "laplace": lambda key: random.laplace(key, (50,)),
    "logistic": lambda key: random.logistic(key, (50,)),
    "exponential": lambda key: random.exponential(key, (50,)),
    "gamma": lambda key: random.gamma(key, 2.0, (20,)),
    "beta": lambda key: random.beta(key, 2.0, 3.0, (20,)),
    "orthogonal": lambda key: random.orthogonal(key, 4),
    "randint": lambda key: random.randint(key, (50,), -5, 1000),
    "bernoulli": lambda key: random.bernoulli(key, 0.3, (50,)),
    "categorical": lambda key: random.categorical(key, jnp.zeros((20, 5))),
    "permutation": lambda key: random.permutation(key, 30),
    "choice": lambda key: random.choice(key, 10, (5,)),
    "poisson": lambda key: random.poisson(key, 4.0, (20,)),
}


@pytest.mark.parametrize("name", DRAWS)
def test_64_bit_mode_draws_the_numbers_of_float32(name: str) -> None:
    narrow = np.asarray(DRAWS[name](KEY))
    with jax.enable_x64(True), draws_of_float32():
        wide = np.asarray(DRAWS[name](KEY))
    assert wide.dtype == {"f": np.float64, "i": np.int64, "b": np.bool_}[narrow.dtype.kind]
    np.testing.assert_allclose(wide, narrow, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["uniform", "normal", "gumbel", "randint"])
def test_jax_draws_afterwards_as_it_did(name: str) -> None:
    with jax.enable_x64(True):
        before = np.asarray(DRAWS[name](KEY))
        with draws_of_float32():
            within = np.asarray(DRAWS[name](KEY))
        after = np.asarray(DRAWS[name](KEY))
    np.testing.assert_array_equal(after, before)
    assert not np.allclose(within, before)


def test_both_sides_of_a_check_draw_alike() -> None:
    """With a key among the inputs: in training and in float64, where noise is shared otherwise."""

    def model(x: jax.Array, key: jax.Array) -> jax.Array:
        first, second, third, fourth = random.split(key, 4)
        x = jnp.where(random.bernoulli(first, 0.7, x.shape), x, 0.0) + random.normal(second, x.shape)
        x = x * random.randint(third, (x.shape[0], 1), 1, 4) + random.laplace(fourth, x.shape)
        return x - jnp.log1p(-random.uniform(second, x.shape, maxval=0.9))

    case = regauge.Case(model=model, inputs=(jnp.ones((3, 4)), KEY))
    converted = regauge.to_torch(model, case.inputs)
    with jax.enable_x64(True):
        side = side_of_case(case, widen=True)
        with own_draws(True), dropout_control("masks", None):
            wanted, _ = side.program.call(side.program.params, side.program.state, case.inputs, "train", KEY)
    with controlled(True, "masks"):
        words = torch.from_numpy(np.array(random.key_data(KEY)))
        found = converted(torch.ones(3, 4, dtype=torch.float64), words)
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), np.asarray(wanted), rtol=1e-12)


def noisy(x: Any, key: Any) -> Any:
    return x + 0.1 * random.normal(key, x.shape) * jnp.tanh(x)


@pytest.mark.parametrize("key", [random.PRNGKey(0), KEY], ids=["words", "typed"])
def test_a_conversion_in_this_process_is_checked_with_the_draws_of_its_key(key: Any) -> None:
    arguments = (jnp.linspace(0.0, 1.0, 12).reshape(3, 4), key)
    result = regauge.check(noisy, regauge.to_torch(noisy, arguments), arguments, quick=True)
    assert result.verdict == "equal"


def test_another_use_of_the_key_is_found() -> None:
    arguments = (jnp.linspace(0.0, 1.0, 12).reshape(3, 4), KEY)

    def other(x: Any, key: Any) -> Any:
        return noisy(x, random.fold_in(key, 1))

    assert regauge.check(noisy, regauge.to_torch(other, arguments), arguments, quick=True).verdict == "different"
