"""A case of JAX as one side of a check."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
import pytest

from regauge.run.jax_side import copies, load_side

CASE = """
import jax
import regauge

weights = {"w": jax.random.normal(jax.random.key(0), (3, 2))}
case = regauge.Case((lambda params, x: x @ params["w"], weights), (jax.random.normal(jax.random.key(1), (4, 3)),))
"""


@pytest.fixture
def own_precision() -> Iterator[None]:
    before = jax.config.values["jax_enable_x64"]
    yield
    jax.config.update("jax_enable_x64", before)


@pytest.mark.usefixtures("own_precision")
def test_weights_that_are_drawn_are_the_same_in_float64(tmp_path: Path) -> None:
    file = tmp_path / "drawn_case.py"
    file.write_text(CASE, encoding="utf-8")
    narrow, wide = (load_side({"case": f"{file}:case", "widen": widen}) for widen in (False, True))
    assert wide.program.params["w"].dtype == np.float64
    np.testing.assert_array_equal(narrow.program.params["w"], wide.program.params["w"].astype(np.float32))
    np.testing.assert_array_equal(narrow.inputs[0], wide.inputs[0])


ROTARY = """
import equinox as eqx
import jax
import regauge


class Turned(eqx.Module):
    rope: eqx.nn.RotaryPositionalEmbedding

    def __call__(self, x):
        return jax.vmap(self.rope)(x)


case = regauge.Case(Turned(eqx.nn.RotaryPositionalEmbedding(8)), (jax.random.normal(jax.random.key(1), (2, 50, 8)),))
"""


@pytest.mark.usefixtures("own_precision")
def test_what_equinox_keeps_is_the_same_in_float64(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Angles that are computed in float64 and rounded are others than those that are computed in float32."""
    monkeypatch.setattr(eqx.nn._embedding, "internal_rope_embedding_cache", {})
    file = tmp_path / "rotary_case.py"
    file.write_text(ROTARY, encoding="utf-8")
    wide = load_side({"case": f"{file}:case", "widen": True})
    inputs = tuple(x.astype("float64") for x in wide.inputs)
    outputs, _ = wide.program.call({}, wide.program.state, inputs, "eval", None)
    jax.config.update("jax_enable_x64", False)
    eqx.nn._embedding.internal_rope_embedding_cache.clear()
    narrow = load_side({"case": f"{file}:case", "widen": False})
    narrow.program.call({}, narrow.program.state, narrow.inputs, "eval", None)
    x = np.asarray(narrow.inputs[0], np.float64)
    cos, sin = (np.tile(np.asarray(a, np.float64), (1, 2)) for a in _angles())
    turned = x * cos + np.concatenate([-x[..., 4:], x[..., :4]], -1) * sin
    np.testing.assert_allclose(outputs, turned, rtol=0, atol=1e-14)


def _angles() -> Any:
    (angles,) = eqx.nn._embedding.internal_rope_embedding_cache.values()
    return angles


DROPPING = """
import equinox as eqx
import jax
import optax
import regauge


class Dropping(eqx.Module):
    linear: eqx.nn.Linear
    dropout: eqx.nn.Dropout

    def __call__(self, x, key=None):
        keys = None if key is None else jax.random.split(key, len(x))
        return jax.vmap(lambda x, key: self.dropout(self.linear(x), key=key))(x, keys)


model = Dropping(eqx.nn.Linear(8, 8, key=jax.random.key(0)), eqx.nn.Dropout(0.5))
x = jax.random.normal(jax.random.key(1), (4, 8))
case = regauge.Case(model, (x,), loss=lambda y, _: (y**2).mean(), optimizer=optax.sgd(0.0))
"""


def test_each_step_of_each_seed_has_a_key_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "dropping_case.py"
    file.write_text(DROPPING, encoding="utf-8")
    side = load_side({"case": f"{file}:case", "widen": False})
    assert side.trainer is not None
    losses = []
    for seed in (0, 1, 0):
        carry = side.trainer.start(copies(side.program.params), copies(side.program.state), seed)
        for _ in range(2):
            carry, loss = side.trainer.step(carry, side.inputs, side.targets)
            losses.append(float(loss))
    assert losses[:2] == losses[4:]
    assert len(set(losses)) == 4


COUNTING = """
import equinox as eqx
import jax
import regauge

model, state = eqx.nn.make_with_state(eqx.nn.BatchNorm)(3, "batch", mode="batch")


def run(model, state, x):
    return jax.vmap(model, axis_name="batch", in_axes=(0, None), out_axes=(0, None))(x, state)


case = regauge.Case((run, model, state), (jax.random.normal(jax.random.key(1), (4, 3)),))
"""


@pytest.mark.usefixtures("own_precision")
def test_a_count_of_a_stateful_model_keeps_its_dtype_in_float64(tmp_path: Path) -> None:
    file = tmp_path / "counting_case.py"
    file.write_text(COUNTING, encoding="utf-8")
    program = load_side({"case": f"{file}:case", "widen": True}).program
    _, state = program.call(program.params, program.state, (np.ones((4, 3)),), "train", None)
    assert (state["batch_counter"].dtype, int(state["batch_counter"])) == (np.int32, 1)
