"""Emitted torch sources as files that review can read; REGAUGE_UPDATE_GOLDEN=1 writes them anew."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from cnn_jax import CNN, predict
from comparing_jax import assert_same
from equinox_jax import Batched, Net
from flax import nnx
from resnet_jax import ResNet, Stages
from transformer_jax import Transformer

GOLDEN = Path(__file__).parents[1] / "golden" / "torch"
KEY = jax.random.key(0)

Case = tuple[Any, tuple[Any, ...]]


def cnn() -> Case:
    return CNN(rngs=nnx.Rngs(0)), (jax.random.normal(KEY, (2, 28, 28, 1)),)


def transformer() -> Case:
    return Transformer(rngs=nnx.Rngs(0)), (jax.random.randint(KEY, (2, 16), 0, 50),)


def resnet() -> Case:
    images = jax.random.normal(KEY, (2, 16, 16, 3))
    return (ResNet(), ResNet().init(KEY, images)), (images,)


def stages() -> Case:
    images = jax.random.normal(KEY, (2, 16, 16, 3))
    return (Stages(), Stages().init(KEY, images)), (images,)


def equinox() -> Case:
    return Batched(Net(KEY)), (jax.random.normal(KEY, (2, 1, 8, 8)),)


def function() -> Case:
    shapes = {"w1": (8, 16), "b1": (16,), "w2": (16, 4), "b2": (4,)}
    params = {name: jax.random.normal(jax.random.key(n), shape) for n, (name, shape) in enumerate(shapes.items())}
    return (predict, params), (jnp.ones((3, 8)),)


@pytest.mark.parametrize("make", [cnn, transformer, resnet, stages, equinox, function], ids=lambda make: make.__name__)
def test_emitted_source_is_the_golden_file_and_the_same_function(make: Any) -> None:
    model, args = make()
    sources = assert_same(model, args).sources
    for name in ("model", "ops"):
        path = GOLDEN / f"{make.__name__}_{name}.py.txt"
        if os.environ.get("REGAUGE_UPDATE_GOLDEN") and name in sources:
            path.parent.mkdir(exist_ok=True)
            path.write_text(sources[name], encoding="utf-8")
        assert path.exists() == (name in sources), f"{path.name}: set REGAUGE_UPDATE_GOLDEN=1 if this is meant"
        if name in sources:
            assert sources[name] == path.read_text(encoding="utf-8")
