"""Parameters that a call gives other values: torch would keep them as they are."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import regauge
from regauge.errors import CaptureError

X = np.ones((4, 3), np.float32)


class Doubles(nnx.Module):
    def __init__(self):
        self.w = nnx.Param(jnp.ones(3))

    def __call__(self, x):
        y = x * self.w[...]
        self.w[...] = self.w[...] * 2
        return y


@pytest.mark.parametrize("train", [True, False])
def test_a_call_that_changes_a_parameter_is_refused(train):
    with pytest.raises(CaptureError, match="gives parameters other values") as caught:
        regauge.to_torch(Doubles(), (X,), train=train)
    assert caught.value.code == "C186"
    assert caught.value.received == "w"


class Normalised(nnx.Module):
    def __init__(self, norm, rngs):
        self.layers = nnx.List([norm(nnx.Linear(3, 2, rngs=rngs), rngs=rngs)])

    def __call__(self, x):
        return self.layers[0](x)


@pytest.mark.parametrize("norm", [nnx.SpectralNorm, nnx.WeightNorm])
def test_a_kernel_that_is_normalised_in_every_call_is_found(norm):
    made = regauge.to_torch(Normalised(norm, nnx.Rngs(0)), (X,), train=True)
    assert [finding.code for finding in made.findings] == ["C185"]


class Compiled(nnx.Module):
    """Gives its layer to functions that return its state as it was."""

    def __init__(self, rngs):
        self.layer = nnx.Linear(3, 3, rngs=rngs)

    def __call__(self, x):
        y = nnx.jit(lambda layer, x: layer(x))(self.layer, x)
        return nnx.cond(x.sum() > 0, lambda layer, x: layer(x), lambda layer, x: x, self.layer, y)


def test_parameters_that_transformations_hand_back_are_the_same():
    assert not regauge.to_torch(Compiled(nnx.Rngs(0)), (X,), train=True).findings
