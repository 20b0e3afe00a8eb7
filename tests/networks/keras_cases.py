"""Models of Keras on its JAX backend."""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "jax"

import jax
import jax.numpy as jnp
import keras
import optax
from jax import Array
from jax_weights import away_from_neutral

import regauge


def trained(model: keras.Model) -> keras.Model:
    """The model with weights as training leaves them."""
    for variable in model.variables:
        variable.assign(away_from_neutral(variable.value))
    return model


def cross_entropy(scores: Array, labels: Array) -> Array:
    return optax.softmax_cross_entropy_with_integer_labels(scores, labels).mean()


def _case(model: keras.Model, name: str) -> regauge.Case:
    images = jax.random.normal(jax.random.key(1), (4, 32, 32, 3))
    return regauge.Case(trained(model), (images,), jnp.arange(4), cross_entropy, optax.sgd(1e-2), name)


def keras_cnn() -> regauge.Case:
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Conv2D(8, 3, strides=2, padding="same", activation="relu"),
            layers.BatchNormalization(),
            layers.SeparableConv2D(8, 3, padding="same", activation="gelu"),
            layers.MaxPooling2D(),
            layers.LayerNormalization(),
            layers.Reshape((64, 8)),
            layers.GRU(8),
            layers.Dense(10),
        ]
    )
    return _case(model, "CNN")


def keras_mobilenet() -> regauge.Case:
    keras.utils.set_random_seed(0)
    model = keras.applications.MobileNetV2(
        weights=None, input_shape=(32, 32, 3), classes=10, alpha=0.35, classifier_activation=None
    )
    return _case(model, "MobileNetV2")


def keras_resnet() -> regauge.Case:
    keras.utils.set_random_seed(0)
    model = keras.applications.ResNet50(weights=None, input_shape=(32, 32, 3), classes=10, classifier_activation=None)
    return _case(model, "ResNet50")
