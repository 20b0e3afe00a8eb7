from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from harness import Sample, check, sample

from regauge.rules.aten_to_jax import normalization


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def positive(*shape: int) -> torch.Tensor:
    return normal(*shape).abs() + 0.5


OFFSET = 100 + normal(4, 6, 3)  # a one-pass variance would lose its digits here
X = normal(4, 6, 5, 3)
C = (positive(6), normal(6))
RUNNING = (normal(6), positive(6))


def running(op: str, *arguments: object) -> Sample:
    """A sample in which nothing is differentiated with respect to the running statistics."""
    return replace(sample(op, *arguments), held=("running_mean", "running_var"))


def functional(x: torch.Tensor, training: bool) -> Sample:
    return running("_native_batch_norm_legit_functional.default", x, *C, *RUNNING, training, 0.1, 1e-5)


SAMPLES = [
    running("batch_norm.default", X, *C, *RUNNING, False, 0.1, 1e-5, False),
    running("batch_norm.default", X, None, None, *RUNNING, False, 0.1, 1e-3, False),
    running("batch_norm.default", normal(4, 6), *C, *RUNNING, False, 0.1, 1e-5, False),
    sample("batch_norm.default", normal(4, 6, 7), *C, None, None, True, 0.1, 1e-5, False),
    sample("batch_norm.default", OFFSET, *C, None, None, True, 0.1, 1e-5, False),
    running("batch_norm.default", *(t.bfloat16() for t in (X, *C, *RUNNING)), False, 0.1, 1e-5, False),
    functional(X, True),
    running("_native_batch_norm_legit_no_training.default", X, *C, *RUNNING, 0.1, 1e-5),
    sample("_native_batch_norm_legit.no_stats", X, *C, True, 0.1, 1e-5),
    sample("layer_norm.default", normal(2, 5, 8), [8], normal(8), normal(8)),
    sample("layer_norm.default", normal(2, 5, 8), [5, 8], normal(5, 8), None, 1e-3),
    sample("layer_norm.default", 100 + normal(2, 5, 8), [8]),
    sample("layer_norm.default", torch.zeros(2, 8), [8], normal(8), normal(8)),
    sample("layer_norm.default", normal(0, 8), [8], normal(8), normal(8)),
    sample("layer_norm.default", normal(2, 5, 8).bfloat16(), [8], normal(8).bfloat16(), normal(8).bfloat16()),
    sample("native_layer_norm.default", normal(2, 5, 8), [8], normal(8), normal(8), 1e-5),
    sample("rms_norm.default", normal(2, 5, 8), [8], normal(8)),
    sample("rms_norm.default", normal(2, 5, 8), [5, 8], None, 1e-3),
    sample("rms_norm.default", torch.zeros(2, 8), [8], normal(8), 1e-6),
    sample("rms_norm.default", normal(2, 5, 8).bfloat16(), [8], normal(8).bfloat16()),
    sample("_fused_rms_norm.default", normal(2, 5, 8), [8], normal(8), 1e-5),
    sample("group_norm.default", X, 3, *C),
    sample("group_norm.default", X, 2),
    sample("group_norm.default", normal(4, 6), 3, *C),
    sample("group_norm.default", OFFSET, 1, *C, 1e-3),
    sample("native_group_norm.default", X, *C, 4, 6, 15, 2, 1e-5),
    sample("instance_norm.default", X, *C, None, None, True, 0.1, 1e-5, False),
    sample("instance_norm.default", X, None, None, None, None, True, 0.1, 1e-5, False),
    running("instance_norm.default", X, *C, *RUNNING, False, 0.1, 1e-5, False),
    sample("_weight_norm.default", normal(4, 3, 2), positive(4, 1, 1)),
    sample("_weight_norm.default", normal(4, 3, 2), positive(1, 1, 2), 2),
    sample("_weight_norm.default", normal(4, 3), torch.tensor(2.0), -1),
    sample("_weight_norm_interface.default", normal(4, 3, 2), positive(4, 1, 1)),
    sample("norm_except_dim.default", normal(4, 3, 2), 2, 1),
    sample("norm_except_dim.default", torch.zeros(4, 3), 2, 0),
    sample("norm_except_dim.default", normal(4, 3), 2, -1),
]


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_normalization(case: Sample) -> None:
    check(case)


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 3), (2, 6, 3, 5)])
@pytest.mark.parametrize("affine", [False, True])
def test_batch_norm_returns_torch_s_new_statistics(shape: tuple[int, ...], affine: bool) -> None:
    """In training the rule has three results where torch's operator has one and overwrites two buffers."""
    x, (weight, bias) = normal(*shape).double(), C if affine else (None, None)
    weight, bias = (None, None) if weight is None else (weight.double(), bias.double())
    mean, var = RUNNING[0].double().clone(), RUNNING[1].double().clone()
    before = jnp.asarray, (mean.numpy().copy(), var.numpy().copy())
    x.requires_grad_(True)
    expected = torch.ops.aten.batch_norm.default(x, weight, bias, mean, var, True, 0.3, 1e-5, False)
    cotangent = normal(*shape).double()
    gradient = torch.autograd.grad(expected, x, cotangent)[0]
    with jax.enable_x64(True):
        arrays = [jnp.asarray(a) for a in before[1]]
        scale, shift = (None, None) if weight is None else (jnp.asarray(weight.numpy()), jnp.asarray(bias.numpy()))

        def run(data: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
            return normalization.batch_norm(data, scale, shift, *arrays, True, 0.3, 1e-5, False)

        (y, new_mean, new_var), pull = jax.vjp(run, jnp.asarray(x.detach().numpy()))
        # cotangents of the statistics must not reach the input: torch's buffers carry no gradient
        pulled = pull((jnp.asarray(cotangent.numpy()), jnp.ones_like(new_mean), jnp.ones_like(new_var)))[0]
        np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(new_mean, mean.numpy(), rtol=1e-13)
        np.testing.assert_allclose(new_var, var.numpy(), rtol=1e-13)
        np.testing.assert_allclose(pulled, gradient.numpy(), rtol=1e-9, atol=1e-12)


def last(op: str, *arguments: object) -> Sample:
    return replace(sample(op, *arguments), extras={"channels_last": True})


LAST = [
    last("batch_norm.default", X, *C, *RUNNING, False, 0.1, 1e-5, False),
    last("batch_norm.default", X, *C, None, None, True, 0.1, 1e-5, False),
    last("group_norm.default", X, 3, *C),
    last("instance_norm.default", X, *C, None, None, True, 0.1, 1e-5, False),
]


@pytest.mark.parametrize("case", LAST, ids=str)
def test_channels_last_is_the_same_function(case: Sample) -> None:
    rule = getattr(normalization, case.op.split(".")[1])
    x, *rest = [jnp.asarray(a.numpy()) if isinstance(a, torch.Tensor) else a for a in case.args]
    expected = rule(x, *rest)
    found = rule(jnp.moveaxis(x, 1, -1), *rest, channels_last=True)
    np.testing.assert_allclose(jnp.moveaxis(found, -1, 1), expected, rtol=1e-5, atol=1e-5)


def test_instance_norm_moves_its_running_statistics_as_torch() -> None:
    mean, var = (t.clone() for t in RUNNING)
    expected = torch.instance_norm(X, *C, mean, var, True, 0.3, 1e-5, False)
    arrays = [jnp.asarray(t.numpy()) for t in (X, *C, *RUNNING)]
    found = normalization.instance_norm(*arrays, True, 0.3, 1e-5, False)
    for array, tensor in zip(found, (expected, mean, var), strict=True):
        np.testing.assert_allclose(array, tensor.numpy(), rtol=2e-5, atol=2e-5)
