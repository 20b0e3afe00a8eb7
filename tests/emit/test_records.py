"""Named tuples and dataclasses among inputs and outputs stay what they are, in both directions."""

from __future__ import annotations

import subprocess
import sys
from collections import namedtuple
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from like_torch import assert_like_torch
from torch import nn

import regauge
from regauge.errors import EmitError


class Batch(NamedTuple):
    x: Any
    mask: Any


class Scores(NamedTuple):
    logits: Any
    parts: Any
    loss: Any = None


@dataclass
class Pair:
    z: Any
    a: Any
    scores: Any = None


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, batch: Batch) -> Scores:
        y = self.layer(batch.x) * batch.mask[:, None]
        return Scores(y.softmax(-1), (y, y * 2))


class Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, given: Pair) -> Pair:
        y = self.layer(given.z + given.a)
        return Pair(y, y * 2, Scores(y.sum(-1), "text", 3))


X, MASK = torch.linspace(-1, 1, 20).reshape(5, 4), torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0])


def test_named_tuples() -> None:
    source = assert_like_torch(Named(), (Batch(X, MASK),)).source
    assert "class Batch(NamedTuple):\n    x: jax.Array\n    mask: jax.Array\n" in source
    assert "    parts: tuple\n    loss: jax.Array | None = None\n" in source
    assert "self.layer(batch.x)" in source
    assert "return Scores(logits=" in source


def test_dataclasses_are_taken_and_given() -> None:
    model = Nested()
    converted = regauge.to_jax(model, (Pair(X, X * 2),))
    assert "@jax.tree_util.register_dataclass\n@dataclass\nclass Pair:\n    z: jax.Array\n" in converted.source
    assert "    scores: Scores | None = None\n" in converted.source
    more = torch.cat([X, X])
    want, found = model(Pair(more, more * 2)), converted(Pair(more.numpy(), more.numpy() * 2))
    np.testing.assert_allclose(found.z, want.z.detach().numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.a, want.a.detach().numpy(), rtol=1e-5, atol=1e-6)
    assert (found.scores.parts, found.scores.loss) == ("text", 3)  # which jax.jit could not return


@pytest.mark.parametrize(("model", "inputs"), [(Named(), (Batch(X, MASK),)), (Nested(), (Pair(X, X),))])
def test_a_folder_runs_alone(model: nn.Module, inputs: Any, tmp_path: Path) -> None:
    if isinstance(model, Nested):
        model.forward = lambda given: Pair(model.layer(given.z + given.a), given.a)  # type: ignore[method-assign]
    regauge.to_jax(model, inputs).save(tmp_path)
    done = subprocess.run([sys.executable, "test_equivalence.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip() == "equal to the original's outputs", done.stderr


def test_a_check_gives_records() -> None:
    model = Named()
    found = regauge.check(
        model, regauge.to_jax(model, (Batch(X, MASK),)), (Batch(X.numpy(), MASK.numpy()),), quick=True
    )
    assert found.verdict in ("equal", "equal within rounding"), found


@flax.struct.dataclass
class State:
    h: Any
    count: Any


def step(params: Any, state: State, batch: Batch) -> tuple[State, Scores]:
    h = jnp.tanh(batch.x @ params["w"] + state.h) * batch.mask[:, None]
    return State(h, state.count + 1), Scores(h.sum(-1), (h, h * 2))


def test_a_module_of_torch_takes_them_and_gives_them(tmp_path: Path) -> None:
    params = {"w": jnp.linspace(-1, 1, 12).reshape(4, 3)}
    inputs = (
        State(jnp.ones((5, 3)), jnp.zeros((), jnp.int32)),
        Batch(jnp.asarray(X.numpy()), jnp.asarray(MASK.numpy())),
    )
    converted = regauge.to_torch(step, inputs, params=params)
    assert "@dataclass\nclass State:\n    h: torch.Tensor\n" in converted.source
    given = jax.tree.map(lambda array: torch.tensor(np.asarray(array)), inputs)
    state, scores = converted(*given)
    want_state, want_scores = step(params, *inputs)
    np.testing.assert_allclose(state.h.detach(), want_state.h, rtol=1e-5, atol=1e-6)
    assert int(state.count) == 1
    np.testing.assert_allclose(scores.parts[1].detach(), want_scores.parts[1], rtol=1e-5, atol=1e-6)
    converted.save(tmp_path)
    done = subprocess.run([sys.executable, "test_equivalence.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip() == "equal to the original's outputs", done.stderr


class Tree(NamedTuple):
    value: Any
    left: Any = None


class Deep(nn.Module):
    def forward(self, tree: Tree) -> Tree:
        return Tree(tree.value * 2, Tree(tree.left.value, Tree(tree.value)))


def test_a_class_within_itself() -> None:
    source = assert_like_torch(Deep(), (Tree(X, Tree(X + 1)),)).source
    assert '    left: "Tree | None" = None\n' in source


def test_two_classes_of_one_name_are_refused() -> None:
    other = namedtuple("Batch", ["y"])
    model = Named()
    forward = model.forward
    model.forward = lambda batch: other(forward(batch).logits)  # type: ignore[method-assign, assignment]
    with pytest.raises(EmitError, match="two classes Batch with different fields"):
        regauge.to_jax(model, (Batch(X, MASK),))
