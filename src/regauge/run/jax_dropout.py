"""Control over dropout during a check (nnx.Dropout, and masks that the model draws itself): off, given or observed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from regauge.run.dropout_masks import align
from regauge.run.jax_noise import shared_noise


class MasksDoNotFit(ValueError):
    """The converted model drops in other places, or arrays of other shapes, than the original."""


class DropoutLog:
    """What nnx.Dropout was asked for: input shapes, rates, and, if it drew itself, its factors.

    Attributes:
        shapes: of the arrays that were dropped, in order of the calls.
        rates: of the modules.
        factors: what each element was multiplied by, with "observe" only.
    """

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.rates: list[float] = []
        self.factors: list[jax.Array] = []


@contextmanager
def dropout_control(setting: str, masks: Sequence[Any] = ()) -> Iterator[DropoutLog]:
    """Within the block every nnx.Dropout that is active behaves as the setting says, and other draws are shared.

    Args:
        setting: "off" returns the input, "masks" applies `masks` in order of the calls, "observe" lets the module
            draw and keeps the factors.
        masks: bool arrays in the original's layout.

    Raises:
        MasksDoNotFit: there are fewer masks than calls, or a shape fits no layout.
    """
    log = DropoutLog()
    own, bernoulli = nnx.Dropout.__call__, jax.random.bernoulli

    def replaced(self: nnx.Dropout, inputs: Any, *, deterministic: bool | None = None, rngs: Any = None) -> Any:
        still = self.deterministic if deterministic is None else deterministic
        if still or self.rate == 0.0 or self.rate == 1.0:
            return own(self, inputs, deterministic=deterministic, rngs=rngs)
        log.shapes.append(tuple(inputs.shape))
        log.rates.append(float(self.rate))
        if setting == "off":
            return inputs
        if setting == "observe":
            jax.random.bernoulli = bernoulli
            factors = own(self, jnp.ones_like(inputs), deterministic=deterministic, rngs=rngs)
            jax.random.bernoulli = drawn  # type: ignore[assignment]
            log.factors.append(factors)
            return inputs * factors
        mask = _mask_for(self, inputs, masks, len(log.shapes) - 1)
        return jnp.where(mask, inputs / (1.0 - self.rate), jnp.zeros_like(inputs))

    def drawn(key: Any, p: Any = 0.5, shape: Any = None, **options: Any) -> jax.Array:
        """A mask that the model draws itself, which is dropout written by hand."""
        if shape is None or not isinstance(p, float):
            return bernoulli(key, p, shape, **options)
        log.shapes.append(tuple(shape))
        log.rates.append(1.0 - p)
        if setting == "off":
            return jnp.full(shape, p)  # as in the original: what is scaled by 1 / p afterwards becomes 1
        if setting == "observe":
            mask = bernoulli(key, p, shape, **options)
            log.factors.append(mask / p)
            return mask
        return _given(masks, len(log.shapes) - 1, tuple(shape))

    nnx.Dropout.__call__ = replaced  # type: ignore[method-assign]
    jax.random.bernoulli = drawn  # type: ignore[assignment]
    try:
        with nullcontext() if setting == "observe" else shared_noise():
            yield log
    finally:
        nnx.Dropout.__call__ = own  # type: ignore[method-assign]
        jax.random.bernoulli = bernoulli


def _mask_for(dropout: nnx.Dropout, inputs: Any, masks: Sequence[Any], index: int) -> Any:
    wanted = list(inputs.shape)
    for axis in dropout.broadcast_dims:
        wanted[axis] = 1
    return _given(masks, index, tuple(wanted))


def _given(masks: Sequence[Any], index: int, wanted: tuple[int, ...]) -> Any:
    if index >= len(masks):
        raise MasksDoNotFit(f"the converted model drops more often than the original, which does {len(masks)} times")
    mask = align(masks[index], wanted)
    if mask is None:
        raise MasksDoNotFit(
            f"dropout call {index} has shape {wanted}, the original's has {tuple(masks[index].shape)}, "
            "and no exchange or splitting of axes turns one into the other"
        )
    return mask
