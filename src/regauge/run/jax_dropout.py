"""Control over dropout in JAX during a check: of libraries, and masks that a model draws itself."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
from flax import linen, nnx

from regauge.run.dropout_masks import DropoutCall, MasksDoNotFit, align, keep_mask, too_many_calls, unlike_shapes
from regauge.run.jax_attention_masks import attention_masks
from regauge.run.jax_dropout_conditions import conditions_by_value
from regauge.run.jax_dropout_scans import scans_step_by_step
from regauge.run.jax_layer_scan import Scan, layer_scans, steps
from regauge.run.jax_masks import mask_of, observed
from regauge.run.jax_noise import shared_noise
from regauge.run.jax_retracing import traced_each_time


class DropoutLog:
    """What dropout was asked for: input shapes, rates, and, if it drew itself, its factors.

    Attributes:
        shapes: of the masks, in order of the calls.
        rates: of the modules.
        factors: what each element was multiplied by, with "observe" only.
        elementwise: whether every element has a draw of its own, by call; False for masks that a model draws itself.
    """

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.rates: list[float] = []
        self.elementwise: list[bool] = []
        self.factors: list[jax.Array] = []


# draws dropout's own numbers for an array
Own = Callable[[Any], Any]


class _Control:
    """What an active dropout does instead of drawing, whichever library it belongs to."""

    def __init__(self, setting: str, masks: Sequence[Any] | None) -> None:
        self.setting = setting
        self.masks = masks
        self.log = DropoutLog()
        self.quiet = False
        self.bernoulli = jax.random.bernoulli

    def drop(self, inputs: Any, rate: float, broadcast: Sequence[int], own: Own, key: Any) -> Any:
        """`inputs` after dropout.

        Args:
            inputs: array.
            rate: probability to drop an element.
            broadcast: axes along which one draw is repeated.
            own: the library's own dropout of an array.
            key: that it draws with, or that this key is made from; None where the library does not tell.
        """
        if self.quiet:
            return inputs
        shape = list(inputs.shape)
        for axis in broadcast:
            shape[axis] = 1
        self._note(shape, float(rate), not broadcast)
        if self.setting == "off":
            return inputs
        if self.setting == "observe":
            with mock.patch.object(jax.random, "bernoulli", self.bernoulli):
                factors = own(jnp.ones_like(inputs))
            return inputs * self._observed(factors)
        mask = self._given(tuple(shape), 1 - float(rate), key)
        return jnp.where(mask, inputs / (1.0 - rate), jnp.zeros_like(inputs))

    def drawn(self, key: Any, p: Any = 0.5, shape: Any = None, **options: Any) -> Any:
        """In the place of jax.random.bernoulli: a mask that the model draws itself is dropout written by hand."""
        if self.quiet or shape is None or not isinstance(p, float):
            return self.bernoulli(key, p, shape, **options)
        self._note(shape, 1.0 - p, False)
        if self.setting == "off":
            return jnp.full(shape, p)  # as in torch: what is scaled by 1 / p afterwards becomes 1
        if self.setting == "observe":
            mask = self.bernoulli(key, p, shape, **options)
            self._observed(mask / p)
            return mask
        return self._given(tuple(shape), p, key)

    def over_layers(self, function: Scan, scanned: Scan) -> Scan:
        """A scan over stacked layers: each layer has masks of its own, so it is a loop where masks count."""
        return scanned if self.setting == "off" else steps(function)

    def calls(self) -> int:
        """How many calls have been noted."""
        return len(self.log.shapes)

    def forget(self, since: int) -> None:
        """Leave out the calls from this number on."""
        for noted in self._noted():
            del noted[since:]

    def repeat(self, since: int, times: int) -> None:
        """Note the calls from this number on so many times in all."""
        for noted in self._noted():
            noted[since:] *= times

    def _noted(self) -> tuple[list[Any], ...]:
        return self.log.shapes, self.log.rates, self.log.elementwise

    def _note(self, shape: Sequence[int], rate: float, elementwise: bool) -> None:
        self.log.shapes.append(tuple(shape))
        self.log.rates.append(rate)
        self.log.elementwise.append(elementwise)

    def _observed(self, factors: Any) -> Any:
        """Factors of this call, noted; under `jax.vmap` those of all examples are noted as one array."""
        index = len(self.log.factors)
        self.log.factors.append(factors)

        def keep(whole: Any) -> None:
            self.log.factors[index] = whole

        return observed(factors, keep)

    def _given(self, shape: tuple[int, ...], keep: float, key: Any) -> Any:
        """The mask of this call: the original's, or where this side is the original its own."""
        index = len(self.log.shapes) - 1
        if self.masks is not None and index >= len(self.masks):
            raise MasksDoNotFit(too_many_calls(len(self.masks)))

        def make(shape: tuple[int, ...], *masks: Any) -> Any:
            if masks:
                return self._aligned(masks[0], shape, index)
            return jnp.asarray(keep_mask(index, DropoutCall(shape, keep)))

        def grown(shape: tuple[int, ...]) -> None:
            self.log.shapes[index] = shape

        masks = () if self.masks is None else (self.masks[index],)
        return make(shape, *masks) if key is None else mask_of(key, shape, make, grown, *masks)

    @staticmethod
    def _aligned(mask: Any, wanted: tuple[int, ...], index: int) -> Any:
        found = align(mask, wanted)
        if found is None:
            raise MasksDoNotFit(unlike_shapes(index, wanted, tuple(mask.shape)))
        return found


_OWN_DRAWS: ContextVar[bool] = ContextVar("own_draws", default=False)


@contextmanager
def own_draws(keeps: bool) -> Iterator[None]:
    """Within the block a model keeps what it draws outside of dropout layers, if asked; else draws are shared.

    A conversion of a JAX model draws what the model draws, from the same keys.
    """
    token = _OWN_DRAWS.set(keeps)
    try:
        yield
    finally:
        _OWN_DRAWS.reset(token)


@contextmanager
def dropout_control(setting: str, masks: Sequence[Any] | None = ()) -> Iterator[DropoutLog]:
    """Within the block every active dropout behaves as the setting says; other draws are shared, or `own_draws`.

    Of nnx, Linen, Equinox, Keras and Haiku, and masks that a model draws with jax.random.bernoulli.

    Args:
        setting: "off" returns the input, "masks" applies `masks` in order of the calls, "observe" lets the library
            draw and keeps the factors.
        masks: bool arrays in the original's layout; None where this side is the original, whose calls decide.

    Raises:
        MasksDoNotFit: there are fewer masks than calls, or a shape fits no layout.
    """
    control = _Control(setting, masks)
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(nnx.Dropout, "__call__", _nnx(control)))
        stack.enter_context(mock.patch.object(linen.Dropout, "__call__", _linen(control)))
        if "equinox" in sys.modules:
            dropout = sys.modules["equinox"].nn.Dropout
            stack.enter_context(mock.patch.object(dropout, "__call__", _equinox(control, dropout)))
        if "keras" in sys.modules:
            dropout = sys.modules["keras"].layers.Dropout
            stack.enter_context(mock.patch.object(dropout, "call", _keras(control, dropout)))
        if "haiku" in sys.modules:
            haiku = sys.modules["haiku"]
            stack.enter_context(mock.patch.object(haiku, "dropout", _haiku(control, haiku)))
        stack.enter_context(traced_each_time())
        stack.enter_context(layer_scans(control.over_layers))
        stack.enter_context(scans_step_by_step(control))
        if _OWN_DRAWS.get():
            stack.enter_context(attention_masks(control.drawn))
        else:
            stack.enter_context(mock.patch.object(jax.random, "bernoulli", control.drawn))
        drawn = stack.enter_context(shared_noise()) if setting != "observe" and not _OWN_DRAWS.get() else None
        stack.enter_context(conditions_by_value(control, drawn))
        yield control.log


def _draws(rate: Any) -> bool:
    return isinstance(rate, int | float) and 0.0 < rate < 1.0


def _nnx(control: _Control) -> Callable[..., Any]:
    own = nnx.Dropout.__call__

    def replaced(self: nnx.Dropout, inputs: Any, *, deterministic: bool | None = None, rngs: Any = None) -> Any:
        still = self.deterministic if deterministic is None else deterministic
        if still or not _draws(self.rate):
            return own(self, inputs, deterministic=deterministic, rngs=rngs)
        return control.drop(
            inputs,
            self.rate,
            self.broadcast_dims,
            lambda x: own(self, x, deterministic=deterministic, rngs=rngs),
            _stream_key(self.rngs if rngs is None else rngs, self.rng_collection),
        )

    return replaced


def _stream_key(stream: Any, name: str) -> Any:
    """The key that a random stream of nnx makes its keys from; drawing from it would count."""
    if isinstance(stream, nnx.Rngs):
        stream = stream[name]
    return stream.key[...] if isinstance(stream, nnx.RngStream) else stream


def _linen(control: _Control) -> Callable[..., Any]:
    own = linen.Dropout.__call__

    def replaced(self: linen.Dropout, inputs: Any, deterministic: bool | None = None, rng: Any = None) -> Any:
        still = self.deterministic if deterministic is None else deterministic
        if still or not _draws(self.rate):
            return own(self, inputs, deterministic, rng)
        stream: Any = (self.scope.rngs if self.scope else {}).get(self.rng_collection)
        key = getattr(stream, "rng", None) if rng is None else rng
        return control.drop(inputs, self.rate, self.broadcast_dims, lambda x: own(self, x, deterministic, rng), key)

    return replaced


def _equinox(control: _Control, dropout: Any) -> Callable[..., Any]:
    own = dropout.__call__

    def replaced(self: Any, x: Any, *, key: Any = None, inference: bool | None = None, **rest: Any) -> Any:
        still = self.inference if inference is None else inference
        if still or not _draws(self.p):
            return own(self, x, key=key, inference=inference, **rest)
        return control.drop(x, self.p, (), lambda ones: own(self, ones, key=key, inference=inference, **rest), key)

    return replaced


def _keras(control: _Control, dropout: Any) -> Callable[..., Any]:
    own = dropout.call

    def replaced(self: Any, inputs: Any, training: bool = False) -> Any:
        if not training or not _draws(self.rate):
            return own(self, inputs, training=training)
        broadcast = [axis for axis, size in enumerate(self.noise_shape or ()) if size == 1]
        return control.drop(inputs, self.rate, broadcast, lambda ones: own(self, ones, training=True), None)

    return replaced


def _haiku(control: _Control, haiku: Any) -> Callable[..., Any]:
    own = haiku.dropout

    def replaced(rng: Any, rate: Any, x: Any, broadcast_dims: Sequence[int] = ()) -> Any:
        if not _draws(rate):
            return own(rng, rate, x, broadcast_dims)
        return control.drop(x, rate, broadcast_dims, lambda ones: own(rng, rate, ones, broadcast_dims), rng)

    return replaced
