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
from regauge.rules.lax_to_torch import random as random_rules
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


def test_draws_are_written_as_they_were() -> None:
    """The keys of a split in one statement, and a line for each draw."""

    def model(x: jax.Array, key: jax.Array) -> jax.Array:
        first, second, third = random.split(key, 3)
        x = x + random.normal(first, x.shape)
        x = x + random.uniform(second, x.shape, maxval=0.5)
        return x + random.randint(third, x.shape, 1, 4)

    x = jnp.ones((2, 4))
    converted = regauge.to_torch(model, (x, KEY))
    assert "first, second, third = ops.split(ops.wrap_key_data(key), (3,)).unbind(0)" in converted.source
    assert "ops.normal(first, (batch, 4))" in converted.source
    assert "ops.uniform(second, (batch, 4), 0.0, 0.5)" in converted.source
    assert "ops.randint(third, (batch, 4), 1, 4)" in converted.source
    for rows in (2, 3):
        x = jnp.ones((rows, 4))
        found = converted(as_tensor(np.asarray(x)), as_tensor(np.asarray(random.key_data(KEY))))
        np.testing.assert_allclose(found.numpy(), np.asarray(jax.jit(model)(x, KEY)), rtol=3e-6)


BY_NAME: dict[str, Callable[[Any], Any]] = {
    "bounds that are mapped": lambda key: jax.vmap(lambda k, low: random.uniform(k, (2,), minval=low))(
        random.split(key, 3), jnp.arange(3.0)
    ),
    "bounds with axes": lambda key: random.uniform(key, (3, 4), minval=jnp.arange(4.0), maxval=5.0),
    "keys in two axes": lambda key: jax.vmap(jax.vmap(lambda k: random.randint(k, (2,), 0, 9)))(
        random.split(key, (2, 3))
    ),
    "keys in another order": lambda key: jax.vmap(jax.vmap(lambda k: random.uniform(k, (2,))), in_axes=1)(
        random.split(key, (4, 3))
    ),
    "a wide span": lambda key: random.randint(key, (40,), -(2**31), 2**31 - 1),
    "a span above 2**16": lambda key: random.randint(key, (40,), -7, 100_000),
    "no span": lambda key: random.randint(key, (4,), 5, 5),
    "an array of bounds": lambda key: random.randint(key, (2, 3), jnp.arange(3), jnp.array([4, 5, 600])),
    "bytes": lambda key: random.randint(key, (9,), 0, 256, jnp.uint8),
    "half": lambda key: random.uniform(key, (9,), jnp.bfloat16).astype(jnp.float32),
    "one key of a split twice": lambda key: sum(random.uniform(random.split(key)[0], (2,)) for _ in range(2)),
}


@pytest.mark.parametrize("name", BY_NAME)
def test_calls_of_other_forms(name: str) -> None:
    found, wanted = both(BY_NAME[name], KEY)
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found, wanted)


def test_the_lowest_draw_is_finite(monkeypatch: pytest.MonkeyPatch) -> None:
    """A draw of which all bits are 0: the lower end of the interval is the number next to -1, not -1."""
    monkeypatch.setattr(random_rules, "words", lambda key, shape: torch.zeros(shape, dtype=torch.int64))
    lowest = random_rules.normal(torch.tensor(0), (2,))
    low = np.nextafter(np.float32(-1), np.float32(0))
    np.testing.assert_allclose(lowest.numpy(), np.sqrt(2) * np.asarray(lax.erf_inv(low)), rtol=1e-5)


def test_ends_of_an_interval_are_numbers_of_the_dtype() -> None:
    """Traced in 64-bit mode `1 - epsneg` is another number, which float32 rounds to 1."""

    def model(x: jax.Array) -> jax.Array:
        return jnp.arctanh(jnp.clip(x * jnp.pi, -1 + jnp.finfo(x.dtype).epsneg, 1 - jnp.finfo(x.dtype).epsneg))

    x = jnp.array([-2.0, 0.1, 2.0])
    found = regauge.to_torch(model, (x,), dynamic=None)(as_tensor(np.asarray(x)))
    np.testing.assert_allclose(found.numpy(), np.asarray(model(x)), rtol=1e-6)
