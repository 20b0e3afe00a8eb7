"""Float64 throughout a Keras model on its JAX backend: whose layers, variables and inputs keep their dtypes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

_FLOATS = ("float32", "bfloat16", "float16")


@contextmanager
def wide_keras() -> Iterator[None]:
    """Within the block a Keras model casts nothing to less than float64; nothing happens where Keras is not loaded.

    Layers ask their policy for the dtype to compute in, `stateless_call` casts weights to the dtypes of the variables
    that they stand for, an assignment the new value, a functional model its inputs to those of its symbolic inputs; and
    Keras's own promotion knows no float64 on this backend.
    """
    keras: Any = sys.modules.get("keras")
    if keras is None or keras.config.backend() != "jax":
        yield
        return
    dtypes = sys.modules["keras.src.backend.common.dtypes"]
    before = keras.config.floatx()
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(keras.Variable, "_convert_to_tensor", _kept(keras.Variable)))
        for cls, names in (
            (keras.DTypePolicy, ("compute_dtype", "variable_dtype")),
            (keras.Variable, ("dtype",)),
            (keras.KerasTensor, ("dtype",)),
            (keras.layers.InputLayer, ("dtype",)),  # which a nested Sequential casts what it is given to
        ):
            for name in names:
                owner = next(base for base in cls.__mro__ if name in vars(base))
                stack.enter_context(mock.patch.object(owner, name, _wide(vars(owner)[name])))
        stack.enter_context(mock.patch.dict(getattr(dtypes, "BIT64_TO_BIT32_DTYPE", {}), {"float64": "float64"}))
        keras.config.set_floatx("float64")
        try:
            yield
        finally:
            keras.config.set_floatx(before)


def _kept(variable: Any) -> Callable[..., Any]:
    """What a variable makes of a value that it is assigned, in float64 where its own dtype is less."""
    own = variable._convert_to_tensor

    def convert(self: Any, value: Any, dtype: Any = None) -> Any:
        return own(self, value, dtype="float64" if dtype in _FLOATS else dtype)

    return convert


def _wide(own: property) -> property:
    """A property that names a dtype, with float64 in the place of less."""

    def get(instance: Any) -> Any:
        found = own.__get__(instance, type(instance))
        return "float64" if found in _FLOATS else found

    return property(get, own.fset)
