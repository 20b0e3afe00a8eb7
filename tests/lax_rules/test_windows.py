"""Windows, sorts and functions that primitives hold."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from jax import lax

import regauge
from regauge.errors import UnsupportedOps

IMAGES = np.random.RandomState(0).standard_normal((2, 6, 6, 3)).astype(np.float32)
X = IMAGES[0, :5, :3, 0]


def converted(function: Any, *arrays: Any) -> tuple[Any, str]:
    arrays = tuple(map(jnp.asarray, arrays))
    model = regauge.to_torch(function, arrays)
    got = torch.utils._pytree.tree_leaves(model(*(torch.from_numpy(np.array(a)) for a in arrays)))
    for tensor, array in zip(got, jax.tree.leaves(function(*arrays)), strict=True):
        np.testing.assert_allclose(tensor.numpy(), np.asarray(array), rtol=2e-6, atol=1e-6)
    return model, model.source


def pool(x: Any, start: float, reducer: Any, size: tuple[int, ...], strides: tuple[int, ...], padding: Any) -> Any:
    return lax.reduce_window(x, start, reducer, size, strides, padding)


def test_pooling_is_that_of_torch() -> None:
    _, text = converted(lambda x: pool(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID"), IMAGES)
    assert "F.max_pool2d(x.permute(0, 3, 1, 2), 2)" in text
    assert "return x.permute(0, 2, 3, 1)\n" in text
    _, text = converted(lambda x: pool(x, 0.0, lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID") / 4, IMAGES)
    assert "F.avg_pool2d(x.permute(0, 3, 1, 2), 2)" in text
    assert "return x.permute(0, 2, 3, 1)\n" in text
    _, text = converted(
        lambda x: pool(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), ((0, 0), (1, 1), (1, 1), (0, 0))), IMAGES
    )
    assert "stride=2, padding=1" in text


def test_other_windows_are_helpers() -> None:
    _, text = converted(lambda x: pool(x, jnp.inf, lax.min, (1, 3, 3, 1), (1, 2, 2, 1), "SAME"), IMAGES)
    assert "ops.window_extreme(" in text
    converted(lambda x: pool(x, 1.0, lax.max, (2, 2), (1, 1), "SAME"), X)
    converted(lambda x: pool(x, 2.0, lax.mul, (2, 2), (1, 1), "SAME"), X)


def test_a_reducer_of_ones_own_is_written_out() -> None:
    converted(lambda x: pool(x, 1.0, lambda a, b: a * b + a, (2, 2), (1, 1), "SAME"), X)
    with pytest.raises(UnsupportedOps, match="a reducer of one's own over large windows"):
        regauge.to_torch(
            lambda x: pool(x, 1.0, lambda a, b: a * b + a, (1, 300), (1, 1), "VALID"), (jnp.ones((2, 400)),)
        )


def test_a_function_is_applied_at_an_index() -> None:
    converted(lambda x: x.at[1].apply(jnp.sin), X)
    converted(lambda x: x.at[np.array([1, 1, 0])].apply(jnp.exp), X)


def test_zeros_and_nan_are_sorted_as_jax_sorts_them() -> None:
    values = np.array([np.nan, 0.0, -np.inf, -0.0, 1.0, -np.nan, np.inf, 0.0], np.float32)
    converted(lambda x: (jnp.sort(x), jnp.argsort(x)), values)
    converted(lambda x: lax.top_k(x, 8), values)


def test_equal_elements_keep_their_order() -> None:
    values = np.array([5, 7, 5, 8, 8, 5], np.int32)
    model = regauge.to_torch(lambda x: lax.top_k(x, 4), (jnp.asarray(values),))
    assert model(torch.from_numpy(values))[1].tolist() == [3, 4, 1, 0]


def test_several_keys() -> None:
    first, second = np.array([1, 0, 1, 0], np.int32), np.array([3.0, 2.0, 1.0, 2.0], np.float32)
    converted(lambda a, b, c: lax.sort((a, b, c), num_keys=2), first, second, np.arange(4))
    converted(lambda a, b: jnp.lexsort((a, b)), first, second)
