"""Scopes of modules: each call has a key of its own, and a copy of a module is the module that it was."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from regauge.run.jax_scopes import calls_in, module_of, repeated, scopes


def test_what_is_run_again_has_other_keys() -> None:
    first = "module@block#0/module@block.up#1"
    assert calls_in(first) == ((0, "block#0"), (1, "block.up#1"))
    assert calls_in(repeated("module@block#2", 2) + "/module@block.up#1") == ((2, "block#2"), (1, "block.up#1+2"))
    assert calls_in(repeated(repeated("", 2), 3) + "/module@block.up#1") == ((1, "block.up#1+2+3"),)
    assert module_of(repeated(first, 2)) == "block.up"


class Block(nnx.Module):
    def __init__(self) -> None:
        self.up = nnx.Linear(3, 3, rngs=nnx.Rngs(0))

    def __call__(self, x: Any) -> Any:
        return self.up(x)


class Model(nnx.Module):
    def __init__(self) -> None:
        self.blocks = nnx.List([Block(), Block()])

    def __call__(self, x: Any) -> Any:
        for block in self.blocks:
            x = nnx.jit(lambda block, x: nnx.remat(lambda block, x: block(x))(block, x))(block, x)
        return x


def test_copies_of_modules_have_their_paths() -> None:
    model = Model()
    graphdef, state = nnx.split(model)

    for _ in range(2):  # a second trace finds nothing of the first one
        with scopes(SimpleNamespace(module=model)) as calls:
            jax.make_jaxpr(lambda state, x: nnx.merge(graphdef, state)(x))(state, jnp.ones(3))
        assert [call.path for call in calls] == ["blocks.0", "blocks.0.up", "blocks.1", "blocks.1.up"]
