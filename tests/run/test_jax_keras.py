"""A Keras model on its JAX backend computes in float64 where a check asks for it, and as it did afterwards."""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "jax"

from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from regauge.run.jax_precision import wide_names

LAYERS = keras.layers
MODEL = keras.Sequential(
    [
        keras.Input((6, 6, 2)),
        keras.Sequential([keras.Input((6, 6, 2)), LAYERS.Conv2D(3, 3, activation="tanh")]),
        LAYERS.BatchNormalization(),
        LAYERS.GlobalAveragePooling2D(keepdims=True),
        LAYERS.Reshape((1, 3)),
        LAYERS.GRU(4),
        LAYERS.Dense(2, activation="softmax"),
    ]
)
X = np.random.default_rng(0).normal(size=(2, 6, 6, 2))


def outputs(dtype: Any) -> Any:
    """What the model returns in training, and its new statistics."""
    trained = [jnp.asarray(np.asarray(v.value), dtype) for v in MODEL.trainable_variables]
    others = [
        jnp.asarray(np.asarray(v.value), dtype if v.value.dtype == jnp.float32 else None)
        for v in MODEL.non_trainable_variables
    ]
    return MODEL.stateless_call(trained, others, jnp.asarray(X, dtype), training=True)


def dtypes(jaxpr: Any) -> set[str]:
    """Of all floats that a jaxpr computes."""
    found: set[str] = set()
    for equation in jaxpr.eqns:
        found |= {str(v.aval.dtype) for v in equation.outvars if jnp.issubdtype(v.aval.dtype, jnp.floating)}
        inner = [getattr(value, "jaxpr", value) for value in equation.params.values()]
        found |= {dtype for body in inner if hasattr(body, "eqns") for dtype in dtypes(body)}
    return found


def test_nothing_is_narrowed_in_float64() -> None:
    narrow, moved = outputs(jnp.float32)
    with jax.enable_x64(True), wide_names():
        assert dtypes(jax.make_jaxpr(lambda: outputs(np.float64))().jaxpr) == {"float64"}
        wide, statistics = outputs(np.float64)
    assert wide.dtype == np.float64
    floats = [array.dtype for array in statistics if jnp.issubdtype(array.dtype, jnp.floating)]
    assert floats == [np.float64, np.float64]
    np.testing.assert_allclose(statistics[0], moved[0], rtol=1e-5)
    np.testing.assert_allclose(wide, narrow, rtol=1e-5)
    assert dtypes(jax.make_jaxpr(lambda: outputs(jnp.float32))().jaxpr) == {"float32"}
    assert (keras.config.floatx(), MODEL.layers[0].compute_dtype, MODEL.variables[0].dtype) == ("float32",) * 3
