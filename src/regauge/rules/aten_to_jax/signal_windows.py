"""Windows of signals: Hann, Hamming, Blackman, Bartlett and Kaiser.

A periodic window is the symmetric one of one more element without its last.
"""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from regauge.rules.table import RuleTable

TABLE = RuleTable("signal_windows")


def raised_cosine(count: int, alpha: float, beta: float) -> Array:
    """The symmetric window ``alpha - beta cos``, of `count` elements."""
    return alpha - beta * jnp.cos(2 * math.pi / max(count - 1, 1) * jnp.arange(count))


@TABLE.rule("aten.hann_window.default")
def hann_window(
    window_length: int,
    dtype: DTypeLike | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = None,
) -> Array:
    """hann_window(int window_length, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor"""  # noqa: E501
    if window_length == 1:
        return jnp.ones(1, jnp.float32 if dtype is None else dtype)
    return jnp.hanning(window_length + 1)[:-1].astype(jnp.float32 if dtype is None else dtype)


@TABLE.rule("aten.hann_window.periodic")
def hann_window_periodic(
    window_length: int,
    periodic: bool,
    dtype: DTypeLike | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = None,
) -> Array:
    """hann_window.periodic(int window_length, bool periodic, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor"""  # noqa: E501
    if window_length == 1:
        return jnp.ones(1, jnp.float32 if dtype is None else dtype)
    if not periodic:
        return jnp.hanning(window_length).astype(jnp.float32 if dtype is None else dtype)
    return jnp.hanning(window_length + 1)[:-1].astype(jnp.float32 if dtype is None else dtype)


@TABLE.rule("aten.hamming_window.default")
def hamming_window(
    window_length: int,
    dtype: DTypeLike | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = None,
) -> Array:
    """hamming_window(int window_length, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor"""  # noqa: E501
    if window_length == 1:
        return jnp.ones(1, jnp.float32 if dtype is None else dtype)
    return jnp.hamming(window_length + 1)[:-1].astype(jnp.float32 if dtype is None else dtype)


@TABLE.rule("aten.hamming_window.periodic")
def hamming_window_periodic(
    window_length: int,
    periodic: bool,
    dtype: DTypeLike | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = None,
) -> Array:
    """hamming_window.periodic(int window_length, bool periodic, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor"""  # noqa: E501
    if window_length == 1:
        return jnp.ones(1, jnp.float32 if dtype is None else dtype)
    if not periodic:
        return jnp.hamming(window_length).astype(jnp.float32 if dtype is None else dtype)
    return jnp.hamming(window_length + 1)[:-1].astype(jnp.float32 if dtype is None else dtype)


@TABLE.rule("aten.blackman_window.default")
def blackman_window(
    window_length: int,
    dtype: DTypeLike | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = None,
) -> Array:
    """blackman_window(int window_length, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor"""  # noqa: E501
    if window_length == 1:
        return jnp.ones(1, jnp.float32 if dtype is None else dtype)
    return jnp.blackman(window_length + 1)[:-1].astype(jnp.float32 if dtype is None else dtype)


@TABLE.rule("aten.blackman_window.periodic")
def blackman_window_periodic(
    window_length: int,
    periodic: bool,
    dtype: DTypeLike | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = None,
) -> Array:
    """blackman_window.periodic(int window_length, bool periodic, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor"""  # noqa: E501
    if window_length == 1:
        return jnp.ones(1, jnp.float32 if dtype is None else dtype)
    if not periodic:
        return jnp.blackman(window_length).astype(jnp.float32 if dtype is None else dtype)
    return jnp.blackman(window_length + 1)[:-1].astype(jnp.float32 if dtype is None else dtype)


@TABLE.rule("aten.bartlett_window.default")
def bartlett_window(
    window_length: int,
    dtype: DTypeLike | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = None,
) -> Array:
    """bartlett_window(int window_length, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor"""  # noqa: E501
    if window_length == 1:
        return jnp.ones(1, jnp.float32 if dtype is None else dtype)
    return jnp.bartlett(window_length + 1)[:-1].astype(jnp.float32 if dtype is None else dtype)


@TABLE.rule("aten.bartlett_window.periodic")
def bartlett_window_periodic(
    window_length: int,
    periodic: bool,
    dtype: DTypeLike | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = None,
) -> Array:
    """bartlett_window.periodic(int window_length, bool periodic, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor"""  # noqa: E501
    if window_length == 1:
        return jnp.ones(1, jnp.float32 if dtype is None else dtype)
    if not periodic:
        return jnp.bartlett(window_length).astype(jnp.float32 if dtype is None else dtype)
    return jnp.bartlett(window_length + 1)[:-1].astype(jnp.float32 if dtype is None else dtype)


@TABLE.rule("aten.hamming_window.periodic_alpha")
def hamming_window_periodic_alpha(
    window_length: int,
    periodic: bool,
    alpha: float,
    dtype: DTypeLike | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = None,
) -> Array:
    """hamming_window.periodic_alpha(int window_length, bool periodic, float alpha, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor"""  # noqa: E501
    if window_length == 1:
        return jnp.ones(1, jnp.float32 if dtype is None else dtype)
    if not periodic:
        return raised_cosine(window_length, alpha, 0.46).astype(jnp.float32 if dtype is None else dtype)
    return raised_cosine(window_length + 1, alpha, 0.46)[:-1].astype(jnp.float32 if dtype is None else dtype)


@TABLE.rule("aten.hamming_window.periodic_alpha_beta")
def hamming_window_periodic_alpha_beta(
    window_length: int,
    periodic: bool,
    alpha: float,
    beta: float,
    dtype: DTypeLike | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = None,
) -> Array:
    """hamming_window.periodic_alpha_beta(int window_length, bool periodic, float alpha, float beta, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor"""  # noqa: E501
    if window_length == 1:
        return jnp.ones(1, jnp.float32 if dtype is None else dtype)
    if not periodic:
        return raised_cosine(window_length, alpha, beta).astype(jnp.float32 if dtype is None else dtype)
    return raised_cosine(window_length + 1, alpha, beta)[:-1].astype(jnp.float32 if dtype is None else dtype)


@TABLE.rule("aten.kaiser_window.default")
def kaiser_window(
    window_length: int,
    dtype: DTypeLike | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = None,
) -> Array:
    """kaiser_window(int window_length, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor"""  # noqa: E501
    if window_length == 1:
        return jnp.ones(1, jnp.float32 if dtype is None else dtype)
    return jnp.kaiser(window_length + 1, 12.0)[:-1].astype(jnp.float32 if dtype is None else dtype)


@TABLE.rule("aten.kaiser_window.periodic")
def kaiser_window_periodic(
    window_length: int,
    periodic: bool,
    dtype: DTypeLike | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = None,
) -> Array:
    """kaiser_window.periodic(int window_length, bool periodic, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor"""  # noqa: E501
    if window_length == 1:
        return jnp.ones(1, jnp.float32 if dtype is None else dtype)
    if not periodic:
        return jnp.kaiser(window_length, 12.0).astype(jnp.float32 if dtype is None else dtype)
    return jnp.kaiser(window_length + 1, 12.0)[:-1].astype(jnp.float32 if dtype is None else dtype)


@TABLE.rule("aten.kaiser_window.beta")
def kaiser_window_beta(
    window_length: int,
    periodic: bool,
    beta: float,
    dtype: DTypeLike | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = None,
) -> Array:
    """kaiser_window.beta(int window_length, bool periodic, float beta, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor"""  # noqa: E501
    if window_length == 1:
        return jnp.ones(1, jnp.float32 if dtype is None else dtype)
    if not periodic:
        return jnp.kaiser(window_length, beta).astype(jnp.float32 if dtype is None else dtype)
    return jnp.kaiser(window_length + 1, beta)[:-1].astype(jnp.float32 if dtype is None else dtype)
