"""Float64 throughout a JAX model during a check: its arrays, and the float32 that its code names."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen

from regauge.run.jax_attention import dot_product_attention
from regauge.run.jax_keras import wide_keras


def widen_array(array: Any) -> Any:
    """An array with a float dtype as float64, a complex one as complex128; others as they are."""
    if jnp.issubdtype(array.dtype, jnp.floating):
        return array.astype(np.float64)
    return array.astype(np.complex128) if jnp.issubdtype(array.dtype, jnp.complexfloating) else array


def widen_arrays(arrays: Mapping[str, Any]) -> dict[str, Any]:
    return {name: widen_array(array) for name, array in arrays.items()}


def widen_counts(tree: Any) -> Any:
    """int32 leaves of an optimizer's state as int64.

    With x64 on, an expression on an int32 count (``(count + 1) / 10``) is still float32: schedules would round.
    """
    return jax.tree.map(
        lambda leaf: leaf.astype(jnp.int64) if getattr(leaf, "dtype", None) == jnp.int32 else leaf, tree
    )


def widen_accumulators(optimizer: Any) -> Any:
    """An optimizer, which adds gradients up in float64 if it adds them up.

    Args:
        optimizer: anything with optax's `init` and `update`.
    """
    owner = getattr(optimizer.update, "__self__", None)
    if not isinstance(owner, optax.MultiSteps):
        return optimizer
    wide = copy.copy(owner)
    wide._accumulator_dtype = jnp.dtype(np.float64)  # type: ignore[attr-defined]
    return wide


@contextmanager
def wide_names() -> Iterator[None]:
    """Within the block the narrow floats of `jnp` are float64, its complex64 is complex128; attention keeps float64.

    So do modules of Linen that are made within it: the defaults of their dtypes were bound when Flax was imported.
    Models of Keras compute in float64 too.

    Casts inside a model would otherwise round in the float64 run. Names bound at import, and dtypes written as
    strings, are not reached: `capture.jaxpr_casts` finds what they leave.
    """
    with ExitStack() as stack:
        for name in ("float32", "bfloat16", "float16"):
            stack.enter_context(mock.patch.object(jnp, name, jnp.float64))
        stack.enter_context(mock.patch.object(jnp, "complex64", jnp.complex128))
        stack.enter_context(mock.patch.object(jax.nn, "dot_product_attention", dot_product_attention))
        stack.enter_context(mock.patch.object(linen.Module, "__post_init__", _made_wide(linen.Module.__post_init__)))
        stack.enter_context(wide_keras())
        yield


def _made_wide(post_init: Callable[[Any], None]) -> Callable[[Any], None]:
    """The end of a Linen module's constructor, with the float dtypes that it was given as float64."""

    def made(module: Any) -> None:
        for name in ("dtype", "param_dtype"):
            found = getattr(module, name, None)
            if found is not None and jnp.issubdtype(found, jnp.floating):
                object.__setattr__(module, name, jnp.float64)
        post_init(module)

    return made
