"""jax.random in torch: the same bits, for keys given as words or made in the program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from jax import lax, random

import regauge
from regauge.errors import UnsupportedOps
from regauge.run.torch_model import as_tensor

KEY = random.key(7)

EQUAL: dict[str, Callable[[Any], Any]] = {
    "uniform": lambda key: random.uniform(key, (3, 4), minval=-1.0),
    "bits of 8": lambda key: random.bits(key, (5,), jnp.uint8),
    "bits of 16": lambda key: random.bits(key, (5,), jnp.uint16),
    "bits of 32": lambda key: random.bits(key, (5,), jnp.uint32),
    "split": lambda key: random.key_data(random.split(key, (3, 2))),
    "fold_in": lambda key: random.key_data(random.fold_in(key, 7)),
    "randint": lambda key: random.randint(key, (30,), -3, 10),
    "bernoulli": lambda key: random.bernoulli(key, 0.3, (20,)),
    "permutation": lambda key: random.permutation(key, 9),
    "choice": lambda key: random.choice(key, 10, (4,), replace=False),
    "categorical": lambda key: random.categorical(key, jnp.zeros((3, 4))),
    "keys of keys": lambda key: jax.vmap(lambda k: random.uniform(k, (2,)))(random.split(key, 3)),
    "a key carried by a loop": lambda key: lax.scan(
        lambda k, _: (random.split(k)[0], random.uniform(k)), key, None, length=3
    )[1],
    "a key that the program holds": lambda key: random.uniform(KEY, (3,)) + random.uniform(key, (3,)),
}
NEAR: dict[str, Callable[[Any], Any]] = {
    "normal": lambda key: random.normal(key, (50,)),
    "truncated": lambda key: random.truncated_normal(key, -1, 1, (9,)),
    "exponential": lambda key: random.exponential(key, (9,)),
    "gamma": lambda key: random.gamma(key, 2.0, (2,)),
}


def both(function: Callable[[Any], Any], key: Any) -> tuple[np.ndarray, np.ndarray]:
    converted = regauge.to_torch(function, (key,), dynamic=None)
    found = converted(as_tensor(np.asarray(random.key_data(key))))
    return found.numpy(), np.asarray(jax.jit(function)(key))


@pytest.mark.parametrize("name", EQUAL)
def test_equal_bits(name: str) -> None:
    found, wanted = both(EQUAL[name], KEY)
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("name", NEAR)
def test_equal_but_for_the_last_digits_of_a_logarithm(name: str) -> None:
    """Their uniform numbers are equal bit for bit; log1p and the inverse error function are each framework's own."""
    found, wanted = both(NEAR[name], KEY)
    np.testing.assert_allclose(found, wanted, rtol=3e-6)


def test_seeds_and_words() -> None:
    seeded = regauge.to_torch(lambda seed: random.uniform(random.key(seed), (3,)), (jnp.int32(0),), dynamic=None)
    old = regauge.to_torch(lambda key: random.uniform(key, (3,)), (random.PRNGKey(0),), dynamic=None)
    for seed in (0, 5, -1):
        wanted = np.asarray(random.uniform(random.key(seed), (3,)))
        np.testing.assert_array_equal(seeded(torch.tensor(seed, dtype=torch.int32)).numpy(), wanted)
        np.testing.assert_array_equal(old(as_tensor(np.asarray(random.PRNGKey(seed)))).numpy(), wanted)


def test_another_generator_is_a_limit() -> None:
    with pytest.raises(UnsupportedOps, match="not threefry"):
        regauge.to_torch(lambda key: random.uniform(key, (3,)), (random.key(0, impl="rbg"),), dynamic=None)
