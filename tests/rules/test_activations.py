"""Samples of activations: random values, kinks, thresholds, extremes."""

import jax
import jax.numpy as jnp
import pytest
import torch
from harness import Sample, check, sample
from values import INF, NAN, floats, integers, normal, scalar

from regauge.rules.aten_to_jax import activations

X = normal(3, 4)
KINKS = floats(-6.0, -3.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 3.0, 6.0, 7.0)
LARGE = floats(-300.0, -50.0, 20.0, 20.5, 25.0, 300.0)
AT_NAN = "torch passes the gradient of an element that is NaN, whose value is NaN on both sides"
BF16 = normal(6, dtype=torch.bfloat16)
PLAIN = (
    "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "sigmoid", "special_expit",
    "log_sigmoid", "softplus", "hardtanh", "hardswish", "hardshrink", "softshrink", "rrelu",
)  # fmt: skip

SAMPLES = [
    *(sample(f"{op}.default", x) for op in PLAIN for x in (X, KINKS, LARGE, scalar(0.5))),
    *(sample(f"{op}.default", BF16) for op in ("relu", "silu", "leaky_relu", "sigmoid")),
    sample("relu.default", integers(4)),
    sample("relu.default", normal(0)),
    Sample("aten.relu.default", (floats(NAN, INF, -INF),), no_gradient=AT_NAN),
    sample("leaky_relu.default", KINKS, 0.1),
    sample("elu.default", KINKS, 0.7),
    sample("elu.default", KINKS, 1.7, 1.1, 0.9),
    Sample("aten.celu.default", (KINKS, 0.7), loose=(5e-8, "torch's derivative rounds 1/alpha to float32")),
    sample("celu.default", KINKS, 0.5),
    *(sample("hardsigmoid.default", x) for x in (X, KINKS, LARGE)),
    *(sample("gelu.default", x, approximate="tanh") for x in (X, KINKS, LARGE)),
    sample("sigmoid.default", integers(4)),
    sample("softplus.default", X, 2.0, 1.0),
    sample("softplus.default", KINKS, 0.5),
    sample("hardtanh.default", KINKS, -0.5, 3.0),
    sample("hardtanh.default", floats(NAN, INF)),
    *(sample("hardtanh.default", integers(9), *bounds) for bounds in ((), (-1.5, 2.5))),
    sample("relu6.default", integers(9, low=-2, high=9)),
    sample("threshold.default", KINKS, 0.5, -7.0),
    sample("hardshrink.default", KINKS, 1.0),
    sample("softshrink.default", KINKS, 1.0),
    *(sample("glu.default", normal(4, 6), dim) for dim in (-1, 0)),
    sample("prelu.default", KINKS, floats(0.25)),
    sample("prelu.default", scalar(-2.0), floats(0.25)),
    sample("prelu.default", normal(2, 3, 4), normal(3, key="w")),
    sample("prelu.default", normal(2, 3), normal(3, key="w")),
    sample("prelu.default", normal(2, 3, 2, 2), scalar(0.3)),
    sample("_prelu_kernel.default", normal(2, 3), normal(1, 3, key="w")),
]


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_activations(case: Sample) -> None:
    check(case)


def test_slopes_of_rrelu_in_training_are_drawn_between_the_bounds() -> None:
    x = jnp.full((2000,), -2.0)
    slopes = activations.rrelu(x, 0.1, 0.3, True, rng_key=jax.random.key(0)) / -2
    assert 0.1 <= slopes.min() < 0.11
    assert 0.29 < slopes.max() <= 0.3
    assert abs(slopes.mean() - 0.2) < 0.01
    assert jnp.array_equal(activations.rrelu(-x, 0.1, 0.3, True, rng_key=jax.random.key(0)), -x)
