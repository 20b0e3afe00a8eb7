"""Streams cannot be equal, so these tests compare what must be: shape, dtype, law, and the derivative."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from harness import LimitSample, Sample, check, check_limit, sample

from regauge.rules.aten_to_jax import TABLE, random

KEY = jax.random.key(0)
SIZE = (200, 200)
X = jnp.ones(SIZE)


def torch_operator(name: str):
    packet, overload = name.split(".")
    return getattr(getattr(torch.ops.aten, packet), overload)


# name, positional arguments (arrays as torch tensors), keywords
DRAWS = [
    ("rand.default", (SIZE,), {}),
    ("rand_like.default", (torch.ones(SIZE),), {}),
    ("randn.default", (SIZE,), {}),
    ("randn_like.default", (torch.ones(SIZE),), {}),
    ("normal.Tensor_float", (torch.full(SIZE, 3.0), 2.0), {}),
    ("normal.float_Tensor", (3.0, torch.full(SIZE, 2.0)), {}),
    ("normal.Tensor_Tensor", (torch.full(SIZE, 3.0), torch.tensor(2.0)), {}),
    ("normal.float_float", (3.0, 2.0, SIZE), {}),
    ("normal_functional.default", (torch.ones(SIZE), 3.0, 2.0), {}),
    ("uniform.default", (torch.ones(SIZE), -1.0, 3.0), {}),
    ("exponential.default", (torch.ones(SIZE), 2.0), {}),
    ("bernoulli.default", (torch.full(SIZE, 0.3),), {}),
    ("bernoulli.p", (torch.ones(SIZE), 0.3), {}),
    ("bernoulli.Tensor", (torch.ones(SIZE), torch.tensor([0.1, 0.5]).repeat(100)), {}),
    ("random.default", (torch.ones(SIZE),), {}),
    ("random.default", (torch.ones(SIZE, dtype=torch.int32),), {}),
    ("random.default", (torch.ones(SIZE, dtype=torch.uint8),), {}),
    ("random.default", (torch.ones(SIZE, dtype=torch.bool),), {}),
    ("random.to", (torch.ones(SIZE, dtype=torch.int32), 7), {}),
    ("random.from", (torch.ones(SIZE), -3, 7), {}),
    ("randint.default", (7, SIZE), {"dtype": torch.int64}),
    ("randint.low", (-3, 7, SIZE), {"dtype": torch.int64}),
    ("dropout.default", (torch.ones(SIZE), 0.3, True), {}),
    ("alpha_dropout.default", (torch.ones(SIZE), 0.3, True), {}),
    ("feature_dropout.default", (torch.ones(SIZE), 0.3, True), {}),
    ("feature_alpha_dropout.default", (torch.ones(SIZE), 0.3, True), {}),
    ("log_normal.default", (torch.ones(SIZE), 0.5, 0.25), {}),
    ("geometric.default", (torch.ones(SIZE), 0.3), {}),
    ("randint_like.default", (torch.ones(SIZE), 7), {}),
    ("randint_like.low_dtype", (torch.ones(SIZE), -3, 7), {}),
    ("multinomial.default", (torch.tensor([0.1, 0.2, 0.7]).expand(50, 3), 800, True), {}),
]


LIMITS = [
    LimitSample(
        "aten.multinomial.default",
        "fewer non-zero probabilities than samples, without replacement",
        (torch.tensor([0.0, 1.0]), 2),
    ),
    LimitSample("aten.random.from", "without an upper end", (torch.ones(3), 2, None)),
]


def run(name: str, arguments: tuple, keywords: dict, key: jax.Array) -> jax.Array:
    rule = TABLE.get(f"aten.{name}")
    assert rule is not None
    arrays = [jnp.asarray(a.numpy()) if isinstance(a, torch.Tensor) else a for a in arguments]
    given = {k: int if v is torch.int64 else v for k, v in keywords.items()}
    return jax.jit(lambda k: rule.fn(*arrays, **given, rng_key=k))(key)


@pytest.mark.parametrize(("name", "arguments", "keywords"), DRAWS, ids=[d[0] for d in DRAWS])
def test_law(name: str, arguments: tuple, keywords: dict) -> None:
    expected = torch_operator(name)(*arguments, **keywords)
    found = run(name, arguments, keywords, KEY)
    assert found.shape == tuple(expected.shape)
    assert jnp.issubdtype(found.dtype, jnp.floating) == expected.is_floating_point()
    # 40000 draws: the standard error of mean and deviation is below 0.005 of the deviation; both sides err
    got, wanted = np.asarray(found, float), expected.double().numpy()
    spread = wanted.std()
    assert abs(got.mean() - wanted.mean()) < 0.05 * spread
    assert abs(got.std() - spread) < 0.05 * spread
    bounded = name.startswith(("rand.", "rand_", "randint", "uniform", "bernoulli", "dropout", "alpha", "feature"))
    if bounded or name.startswith("multinomial"):
        assert abs(got.min() - wanted.min()) < 0.01 * spread + 1e-9
        assert abs(got.max() - wanted.max()) < 0.01 * spread + 1e-9


@pytest.mark.parametrize(("name", "arguments", "keywords"), DRAWS, ids=[d[0] for d in DRAWS])
def test_the_key_decides(name: str, arguments: tuple, keywords: dict) -> None:
    first, again = run(name, arguments, keywords, KEY), run(name, arguments, keywords, KEY)
    other = run(name, arguments, keywords, jax.random.key(1))
    assert jnp.array_equal(first, again)
    assert not jnp.array_equal(first, other)


def test_features_are_dropped_whole() -> None:
    found = random.feature_dropout(jnp.ones((20, 30, 4, 5)), 0.5, True, rng_key=KEY)
    assert jnp.array_equal(found, jnp.broadcast_to(found[:, :, :1, :1], found.shape))
    assert set(np.unique(found)) == {0.0, 2.0}


def test_native_dropout_gives_its_mask() -> None:
    output, mask = random.native_dropout(X * 3, 0.25, True, rng_key=KEY)
    assert mask.dtype == bool
    np.testing.assert_allclose(output, np.where(mask, 4.0, 0.0))
    for train, p in ((False, 0.25), (True, 0.0)):
        output, mask = random.native_dropout(X, p, train)
        assert jnp.array_equal(output, X)
        assert jnp.all(mask)


SAMPLES = [
    sample("native_dropout_backward.default", torch.tensor([1.0, 2.0, -3.0]), torch.tensor([True, False, True]), 1.25)
]


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_derivative_of_native_dropout(case: Sample) -> None:
    check(case)


@pytest.mark.parametrize("name", ["dropout", "alpha_dropout", "feature_dropout", "feature_alpha_dropout"])
def test_nothing_drops_in_evaluation_and_everything_with_one(name: str) -> None:
    rule = getattr(random, name)
    assert jnp.array_equal(rule(X, 0.5, False), X)
    assert jnp.array_equal(rule(X, 0.0, True), X)
    expected = torch_operator(f"{name}.default")(torch.ones(4, 5), 1.0, True)
    assert jnp.array_equal(rule(jnp.ones((4, 5)), 1.0, True, rng_key=KEY), expected.numpy())


def test_dropout_scales_the_gradient_like_the_value() -> None:
    gradient = jax.grad(lambda x: random.dropout(x, 0.2, True, rng_key=KEY).sum())(X)
    np.testing.assert_allclose(gradient, random.dropout(X, 0.2, True, rng_key=KEY), rtol=1e-6)


def test_dropout_of_the_model_is_used() -> None:
    assert jnp.array_equal(random.dropout(X, 0.2, True, dropout=lambda x: x * 5), X * 5)


def test_without_a_key_nothing_is_drawn() -> None:
    with pytest.raises(TypeError):
        random.randn(SIZE)
    with pytest.raises(TypeError):
        random.dropout(X, 0.5, True)


def test_permutation() -> None:
    found = random.randperm(50, rng_key=KEY)
    assert sorted(found.tolist()) == list(range(50))
    assert found.tolist() != list(range(50))


def test_multinomial_without_replacement() -> None:
    weights = jnp.asarray([[0.0, 1.0, 2.0, 3.0], [5.0, 0.0, 1.0, 1.0]])
    keys = jax.random.split(KEY, 400)
    found = jax.vmap(lambda key: random.multinomial(weights, 3, rng_key=key))(keys)
    assert found.shape == (400, 2, 3)
    for row, absent in ((0, 0), (1, 1)):
        drawn = np.sort(np.asarray(found[:, row]), axis=-1)
        assert np.array_equal(drawn, np.broadcast_to([i for i in range(4) if i != absent], drawn.shape))
    first = np.bincount(np.asarray(found[:, 0, 0]), minlength=4) / 400
    np.testing.assert_allclose(first, [0, 1 / 6, 2 / 6, 3 / 6], atol=0.1)


@pytest.mark.parametrize("case", LIMITS, ids=str)
def test_limits(case: LimitSample) -> None:
    check_limit(case)


def test_law_of_cauchy() -> None:
    """It has no mean and no deviation: the quartiles stand at median - sigma and median + sigma."""
    found = np.asarray(run("cauchy.default", (torch.ones(SIZE), 3.0, 2.0), {}, KEY))
    assert np.allclose(np.quantile(found, [0.25, 0.5, 0.75]), [1.0, 3.0, 5.0], atol=0.1)


def test_parts_of_complex_numbers() -> None:
    """Both parts are drawn, and not by the same key."""
    found = np.asarray(run("rand.default", (SIZE,), {"dtype": jnp.complex64}, KEY))
    assert np.allclose([found.real.mean(), found.imag.mean()], 0.5, atol=0.02)
    assert abs(np.corrcoef(found.real.ravel(), found.imag.ravel())[0, 1]) < 0.03
