"""Assignments to parts of arrays are one `.at[...].set` with the index that the person wrote."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import regauge
from regauge.run.jax_model import JaxModel


class Assigned(nn.Module):
    """One assignment of `v` to a part of `x`."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def forward(self, x: Tensor, v: Tensor, i: Tensor) -> Tensor:
        out = x.clone()
        exec(self.how, {"out": out, "v": v, "i": i})
        return out


WRITTEN = [
    ("out[:, -2:, :2] = v[:, -2:, :2]", "x.at[:, -2:, :2].set(v[:, -2:, :2])"),
    ("out[:, 1, 2:] = v[:, 1, 2:] * 2", "x.at[:, 1, 2:].set("),
    ("out[1, 2, 3] = v[0, 0, 0]", "x.at[1, 2, 3].set("),
    ("out[:2, 1:3, ::2] = 7", "x.at[:2, 1:3, ::2].set(7.0)"),
    ("out[:, 1] = 0", "x.at[:, 1].set(0.0)"),
    ("out[:, 1] = v[0, 0]", "x.at[:, 1].set("),
    ("out[..., -1] += 1", "x.at[:, :, -1].set(x[:, :, -1] + 1)"),
    ("out[:, 1:][:, :2] = v[:, :2]", "x.at[:, 1:3].set(v[:, :2])"),
    ("out[:, 1:][:, 2] = v[:, 2]", "x.at[:, 3].set(v[:, 2])"),
    ("out[:, 1:3, 2:].copy_(v[:, 1:3, 2:])", "x.at[:, 1:3, 2:].set(v[:, 1:3, 2:])"),
    ("out[:, 1:, 1:] *= v[:, 1:, 1:]", "x.at[:, 1:, 1:].set(x[:, 1:, 1:] * v[:, 1:, 1:])"),
    ("out[:, i] = v[:, i]", "x.at[:, i].set(v[:, i])"),
    ("out[:, 1] = v[:, 1]; out[:, 1] = v[:, 2]", "return x.at[:, 1].set(v[:, 2])"),
]


@pytest.mark.parametrize(("how", "expected"), WRITTEN, ids=[how for how, _ in WRITTEN])
def test_one_assignment_is_one_write(how: str, expected: str) -> None:
    made = like_torch(Assigned(how))
    assert expected in made.source
    assert made.source.count(".set(") == 1
    assert made.sources.get("ops") is None


APART = [  # where the inner write is to no part of the array, or its place depends on a size
    "out[:, :-1][:, 1:] = v[:, 2:]",
    "out[:, ::2][:, :1] = v[:, :1]",
    "out[1:, None][:, :, 2] = 3",
    "out[1:][:2] = v[:2]",
    "out[:, 1] = v[:, 1]; out[:, 2] = out[:, 1] * 2; out[:, 1] = v[:, 2]",
    "out[:, 0] = v[:, 1]; out[:, :1, 2] = out[:, :1, 1]",
]


@pytest.mark.parametrize("how", APART)
def test_values_of_other_writes(how: str) -> None:
    made = like_torch(Assigned(how))
    assert "9223372036854775807" not in made.source


class Kept(nn.Module):
    """What is written to the slice is read elsewhere too."""

    def forward(self, x: Tensor, v: Tensor, i: Tensor) -> tuple[Tensor, Tensor]:
        out = x.clone()
        part = out[:, 1:]
        part[:, :, 0] = v[:, 1:, 0]
        return out, part * 2


def test_a_slice_that_is_read_elsewhere_keeps_what_was_written() -> None:
    made = like_torch(Kept())
    assert "part = part.at[:, :, 0].set(" in made.source
    assert "part * 2" in made.source


def like_torch(module: nn.Module) -> JaxModel:
    """The conversion, whose values and gradients are PyTorch's."""
    torch.manual_seed(0)
    x, v, i = torch.randn(3, 4, 5, requires_grad=True), torch.randn(3, 4, 5, requires_grad=True), torch.tensor([0, 2])
    made = regauge.to_jax(module, (x, v, i))

    def loss(x: jax.Array, v: jax.Array) -> jax.Array:
        found = made.apply(made.params, made.state, x, v, jnp.asarray(i.numpy()))[0]
        return jnp.stack([(jnp.sin(part) * (n + 1)).sum() for n, part in enumerate(jax.tree.leaves(found))]).sum()

    theirs = module(x, v, i)
    parts = theirs if isinstance(theirs, tuple) else (theirs,)
    expected = torch.stack([(part.sin() * (n + 1)).sum() for n, part in enumerate(parts)]).sum()
    expected.backward()
    arrays = [jnp.asarray(t.detach().numpy()) for t in (x, v)]
    value, gradients = jax.value_and_grad(loss, (0, 1))(*arrays)
    pairs = [(value, expected.detach()), *zip(gradients, (x.grad, v.grad), strict=True)]
    for mine, theirs in pairs:
        np.testing.assert_allclose(mine, 0.0 if theirs is None else theirs.numpy(), rtol=1e-5, atol=1e-5)
    return made


class First(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.5))

    def forward(self, x: Tensor, v: Tensor) -> Tensor:
        out = x.clone()
        out[:, 1] = v[:, 1] * self.scale
        return out


class Covered(nn.Module):
    """What a module wrote is written over behind it, and a module writes to a part of a part of another's result."""

    def __init__(self) -> None:
        super().__init__()
        self.first = First()

    def forward(self, x: Tensor, v: Tensor, i: Tensor) -> Tensor:
        out = self.first(x, v)
        out[:, 1] = v[:, 2]
        part = out[:, 2:]
        part[:] = self.first(part, v)
        return out


def test_writes_of_different_modules_stay_apart() -> None:
    source = like_torch(Covered()).source
    assert "return x.at[:, 1].set(v[:, 1] * self.scale[...])" in source
    assert "out = out.at[:, 1].set(v[:, 2])" in source
    assert "out.at[:, 2:].set(self.first(" in source
