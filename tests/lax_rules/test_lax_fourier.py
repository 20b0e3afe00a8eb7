"""Fourier transforms of every kind, along any axes and with any norm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lax_rules.sides import body, same_gradients, same_values

REAL = np.random.RandomState(0).standard_normal((2, 3, 4, 6))
COMPLEX = REAL + 1j * np.random.RandomState(1).standard_normal((2, 3, 4, 6))


@pytest.fixture(autouse=True)
def wide() -> Any:
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize(
    ("function", "x", "expected"),
    [
        (jnp.fft.fft, COMPLEX, "torch.fft.fft(a)"),
        (jnp.fft.ifft, COMPLEX, "torch.fft.ifft(a)"),
        (jnp.fft.rfft, REAL, "torch.fft.rfft(a)"),
        (lambda a: jnp.fft.irfft(a, 10), COMPLEX, "torch.fft.irfft(a, 10)"),
        (jnp.fft.fft2, COMPLEX, "torch.fft.fftn(a, dim=(-2, -1))"),
        (jnp.fft.rfftn, REAL[0], "torch.fft.rfftn(a, dim=(-3, -2, -1))"),
        (lambda a: jnp.fft.irfft2(a, (4, 10)), COMPLEX, "torch.fft.irfftn(a, (4, 10), dim=(-2, -1))"),
        (lambda a: jnp.fft.fft(a, axis=1, norm="ortho"), COMPLEX, "torch.fft.fft("),
        (lambda a: jnp.fft.irfft(a, 13), COMPLEX, "torch.fft.irfft("),
    ],
)
def test_a_transform_is_that_of_torch(function: Callable[..., Any], x: np.ndarray, expected: str) -> None:
    assert expected in body(function, jnp.asarray(x))
    same_values(function, jnp.asarray(x))
    same_gradients(function, jnp.asarray(x))


def test_an_empty_array_has_an_empty_transform() -> None:
    same_values(jnp.fft.rfft, jnp.zeros((0, 4)))
    same_values(lambda a: jnp.fft.irfft(a, 4), jnp.zeros((0, 3), complex))
