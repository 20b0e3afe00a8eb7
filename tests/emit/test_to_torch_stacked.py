"""Modules whose weights are those of several: ensembles under vmap; keys that modules keep."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from comparing_jax import assert_same
from flax import linen, nnx

import regauge
from regauge.errors import CaptureError

X = jax.random.normal(jax.random.key(3), (4, 5))
TOKENS = jnp.arange(12).reshape(2, 6) % 9


class Members(nnx.Module):
    """Three small networks of one input."""

    def __init__(self) -> None:
        def member(rngs: nnx.Rngs) -> nnx.Sequential:
            return nnx.Sequential(
                nnx.Linear(5, 6, rngs=rngs), nnx.LayerNorm(6, rngs=rngs), nnx.tanh, nnx.Linear(6, 2, rngs=rngs)
            )

        self.members = nnx.vmap(member)(nnx.Rngs(0).split(3))

    def __call__(self, x: Any) -> Any:
        return nnx.vmap(lambda member, x: member(x), in_axes=(0, None))(self.members, x).mean(0)


class Critic(linen.Module):
    @linen.compact
    def __call__(self, x: Any) -> Any:
        x = linen.tanh(linen.LayerNorm()(linen.Dense(6)(x)))
        return linen.DenseGeneral((2, 3))(x) + linen.Conv(3, (1,))(x.reshape(-1, 2, 3))


class Critics(linen.Module):
    @linen.compact
    def __call__(self, x: Any) -> Any:
        many = linen.vmap(Critic, {"params": 0}, {"params": True}, in_axes=None, axis_size=3)
        return many()(x).min(0)


class Reader(eqx.Module):
    table: eqx.nn.Embedding
    norm: eqx.nn.LayerNorm
    conv: eqx.nn.Conv1d

    def __init__(self, key: Any) -> None:
        self.table = eqx.nn.Embedding(9, 4, key=key)
        self.norm = eqx.nn.LayerNorm(4)
        self.conv = eqx.nn.Conv1d(4, 3, 3, padding=1, key=key)

    def __call__(self, tokens: Any) -> Any:
        return self.conv(jax.vmap(self.norm)(jax.vmap(self.table)(tokens)).T)


class Readers(eqx.Module):
    readers: Reader

    def __init__(self) -> None:
        self.readers = eqx.filter_vmap(Reader)(jax.random.split(jax.random.key(0), 3))

    def __call__(self, tokens: Any) -> Any:
        each = eqx.filter_vmap(lambda reader, line: reader(line), in_axes=(eqx.if_array(0), None))
        return jax.vmap(lambda line: each(self.readers, line))(tokens).sum(1)


def initialised(module: linen.Module) -> Any:
    return module, module.init(jax.random.key(1), X)


ENSEMBLES = {
    "nnx": lambda: (Members(), (X,)),
    "linen": lambda: (initialised(Critics()), (X,)),
    "equinox": lambda: (Readers(), (TOKENS,)),
}


@pytest.mark.parametrize("name", ENSEMBLES)
def test_an_ensemble_under_vmap_keeps_its_stacked_weights(name: str) -> None:
    assert_same(*ENSEMBLES[name]())


class Keeping(nnx.Module):
    """What it gives is a key of its own stream, which nothing here draws with."""

    def __init__(self) -> None:
        self.rngs = nnx.Rngs(0)

    def __call__(self, x: Any) -> Any:
        return x, self.rngs.default.key[...]


def test_a_key_of_its_own_that_a_model_gives_is_refused() -> None:
    with pytest.raises(CaptureError, match=r"draws random numbers"):
        regauge.to_torch(Keeping(), (X,))


def test_what_a_scan_does_not_change_is_read_from_outside() -> None:
    def model(params: Any, x: Any) -> Any:
        def step(carry: Any, row: Any) -> Any:
            total, scale = carry
            return (total + scale * row["used"], scale), (row["kept"], total)

        return jax.lax.scan(step, (params[0], params[1]), {"used": x, "kept": 2 * x, "unused": x})

    converted = assert_same((model, jnp.ones((2, 5))), (X,))
    assert "def step(carry, row):" in converted.source
    assert "kept" not in converted.source
    assert "unused" not in converted.source
    carried: Any = converted(torch.from_numpy(np.array(X)))[1][0]
    assert torch.equal(carried, torch.from_numpy(2 * np.array(X)))
