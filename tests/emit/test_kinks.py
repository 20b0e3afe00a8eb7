"""Gradients at kinks, ties and zeros, where a result can be right everywhere and the derivative still differ.

Random inputs never reach these points; zero padding, ReLU and constant features reach them all the time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import regauge

Function = Callable[..., Tensor]

# name: the function, and the points of its arguments
CASES: dict[str, tuple[Function, tuple[list[Any], ...]]] = {
    "abs": (torch.abs, ([0.0, -0.0, 1.0],)),
    "l1 loss": (lambda x, y: F.l1_loss(x, y), ([1.0, 2.0], [1.0, 3.0])),
    "clamp": (lambda x: x.clamp(0, 1), ([0.0, 1.0, 0.5, 2.0],)),
    "clamp min": (lambda x: x.clamp_min(0), ([0.0, 1.0],)),
    "relu": (F.relu, ([0.0, 1.0],)),
    "hinge": (lambda x: F.relu(1 - x), ([1.0, 0.0],)),
    "relu6": (F.relu6, ([0.0, 6.0, 3.0],)),
    "hardtanh": (F.hardtanh, ([-1.0, 1.0, 0.0],)),
    "hardsigmoid": (F.hardsigmoid, ([-3.0, 3.0, 0.0],)),
    "hardswish": (F.hardswish, ([-3.0, 3.0, 0.0],)),
    "leaky relu": (lambda x: F.leaky_relu(x, 0.1), ([0.0, 1.0],)),
    "prelu": (lambda x: F.prelu(x, torch.full((1,), 0.25, dtype=x.dtype)), ([0.0, 1.0],)),
    "threshold": (lambda x: F.threshold(x, 0.5, -1.0), ([0.5, 1.0],)),
    "hardshrink": (lambda x: F.hardshrink(x, 0.5), ([0.5, -0.5, 1.0],)),
    "softshrink": (lambda x: F.softshrink(x, 0.5), ([0.5, -0.5, 1.0],)),
    "elu": (F.elu, ([0.0, 1.0],)),
    "max along, tied": (lambda x: x.max(0).values, ([1.0, 1.0, 0.0],)),
    "min along, tied": (lambda x: x.min(0).values, ([1.0, 0.0, 0.0],)),
    "max, tied": (lambda x: x.max(), ([1.0, 1.0, 0.0],)),
    "amax, tied": (lambda x: x.amax(0), ([1.0, 1.0, 0.0],)),
    "maximum, tied": (torch.maximum, ([1.0, 2.0], [1.0, 0.0])),
    "fmax, tied": (torch.fmax, ([1.0, 2.0], [1.0, 0.0])),
    "fmin, tied": (torch.fmin, ([1.0, 2.0], [1.0, 0.0])),
    "cummax, tied": (lambda x: x.cummax(0).values, ([1.0, 1.0, 0.0],)),
    "cummin, tied": (lambda x: x.cummin(0).values, ([1.0, 1.0, 2.0],)),
    "median of an even count": (lambda x: x.median(), ([1.0, 2.0, 3.0, 4.0],)),
    "max pool, tied": (lambda x: F.max_pool1d(x[None, None], 2), ([1.0, 1.0, 0.0, 0.0],)),
    "top k, tied": (lambda x: x.topk(2).values, ([1.0, 1.0, 1.0],)),
    "sort, tied": (lambda x: x.sort(stable=True).values, ([1.0, 1.0, 0.0],)),
    "norm": (lambda x: x.norm(), ([0.0, 0.0],)),
    "norm of order 1": (lambda x: x.norm(p=1), ([0.0, 1.0],)),
    "norm of order 3": (lambda x: x.norm(p=3), ([0.0, 0.0],)),
    "distance": (torch.dist, ([1.0, 2.0], [1.0, 2.0])),
    "normalize": (lambda x: F.normalize(x, dim=0), ([0.0, 0.0],)),
    "cosine similarity": (lambda x, y: F.cosine_similarity(x, y, dim=0), ([0.0, 0.0], [1.0, 2.0])),
    "cdist": (lambda x: torch.cdist(x, x), ([[1.0, 2.0], [3.0, 4.0]],)),
    "pdist": (F.pdist, ([[1.0, 2.0], [1.0, 2.0], [0.0, 1.0]],)),
    "pairwise distance": (F.pairwise_distance, ([[1.0, 2.0]], [[1.0, 2.0]])),
    "standard deviation": (lambda x: x.std(), ([2.0, 2.0, 2.0],)),
    "power 0": (lambda x: x**0.0, ([0.0, 1.0],)),
    "power 2": (lambda x: x**2.0, ([0.0, 1.0],)),
    "atan2": (torch.atan2, ([0.0, 1.0], [0.0, 1.0])),
    "sign": (torch.sign, ([0.0, 1.0],)),
    "round": (torch.round, ([0.5, 1.5],)),
    "product with a zero": (lambda x: x.prod(), ([0.0, 2.0, 3.0],)),
    "product with two zeros": (lambda x: x.prod(), ([0.0, 0.0, 3.0],)),
    "cumulative product with a zero": (lambda x: x.cumprod(0), ([0.0, 2.0, 3.0],)),
    "binary cross entropy": (
        lambda p: F.binary_cross_entropy(p, torch.tensor([0.0, 1.0], dtype=p.dtype)),
        ([0.0, 1.0],),
    ),
    "smooth l1": (F.smooth_l1_loss, ([0.0, 1.0, 2.0], [0.0, 0.0, 0.0])),
    "huber": (F.huber_loss, ([0.0, 1.0, 2.0], [0.0, 0.0, 0.0])),
    "exact gelu": (F.gelu, ([0.0, 1.0],)),
    "sinc": (torch.sinc, ([0.0, 1.0],)),
    "nan to num": (torch.nan_to_num, ([float("nan"), 1.0],)),
    "remainder": (lambda x: torch.remainder(x, 2.0), ([2.0, 1.0],)),
    "log softmax": (lambda x: F.log_softmax(x, 0)[1:], ([-float("inf"), 1.0, 2.0],)),
    "square root": (torch.sqrt, ([0.0, 1.0],)),
    "where behind a root": (lambda x: torch.where(x > 0, x.sqrt(), 0.0), ([0.0, 1.0],)),
    "selu": (F.selu, ([0.0, 1.0, -1.0],)),
    "celu": (lambda x: F.celu(x, 0.7), ([0.0, 1.0, -1.0],)),
    "softplus at its threshold": (lambda x: F.softplus(x, 2.0, 10.0), ([5.0, 0.0, 5.1],)),
    "mish": (F.mish, ([0.0, 20.0, -20.0],)),
    "softsign": (F.softsign, ([0.0, 1.0],)),
    "log sigmoid": (F.logsigmoid, ([0.0, 100.0, -100.0],)),
    "aminmax, tied": (lambda x: torch.stack(list(torch.aminmax(x))), ([1.0, 1.0, 0.0, 0.0],)),
    "amin, tied": (lambda x: x.amin(0), ([1.0, 0.0, 0.0],)),
    "norm of order infinity, tied": (lambda x: x.norm(p=float("inf")), ([1.0, -1.0, 0.0],)),
    "norm of order -infinity, tied": (lambda x: torch.linalg.vector_norm(x, ord=-float("inf")), ([1.0, -1.0, 2.0],)),
    "norm of order 0": (lambda x: torch.linalg.vector_norm(x, ord=0), ([0.0, 1.0],)),
    "Frobenius norm": (lambda x: torch.linalg.matrix_norm(x), ([[0.0, 0.0], [0.0, 0.0]],)),
    "norm of a matrix of order 1, tied": (
        lambda x: torch.linalg.matrix_norm(x, ord=1),
        ([[1.0, 1.0], [-1.0, 1.0]],),
    ),
    "modulus of a complex zero": (lambda x, y: torch.complex(x, y).abs(), ([0.0, 1.0], [0.0, 0.0])),
    "argument of a complex zero": (lambda x, y: torch.complex(x, y).angle(), ([0.0, 1.0], [0.0, 0.0])),
    "fmod": (lambda x: torch.fmod(x, 2.0), ([2.0, -2.0, 1.0],)),
    "fmod by a tensor": (torch.fmod, ([4.0, -3.0], [2.0, 2.0])),
    "floor": (torch.floor, ([1.0, 0.5],)),
    "fraction": (torch.frac, ([1.0, 0.5],)),
    "max pool in two dimensions, tied": (
        lambda x: F.max_pool2d(x[None, None], 2, 1, padding=1),
        ([[0.0, 0.0], [0.0, 0.0]],),
    ),
    "adaptive max pool, tied": (lambda x: F.adaptive_max_pool1d(x[None, None], 2), ([1.0, 1.0, 1.0],)),
    "reciprocal root": (torch.rsqrt, ([0.0, 1.0],)),
    "logarithm": (torch.log, ([0.0, 1.0],)),
    "logarithm of 1 + x": (torch.log1p, ([-1.0, 0.0],)),
    "inverse cosine": (torch.acos, ([1.0, -1.0, 0.0],)),
    "inverse sine": (torch.asin, ([1.0, -1.0, 0.0],)),
    "inverse hyperbolic cosine": (torch.acosh, ([1.0, 2.0],)),
    "inverse hyperbolic tangent": (torch.atanh, ([1.0, 0.0],)),
    "xlogy": (torch.xlogy, ([0.0, 0.0, 1.0], [0.0, 1.0, 2.0])),
    "xlog1py": (torch.special.xlog1py, ([0.0, 0.0, 1.0], [-1.0, 1.0, 2.0])),
    "entropy": (torch.special.entr, ([0.0, 1.0],)),
    "logit": (lambda x: torch.logit(x, eps=0.1), ([0.1, 0.9, 0.5, 0.0],)),
    "logaddexp of nothing": (
        torch.logaddexp,
        ([-float("inf"), 1.0], [-float("inf"), 1.0]),
    ),
    "logaddexp2, tied": (torch.logaddexp2, ([1.0, 0.0], [1.0, 2.0])),
    "power of zero": (torch.pow, ([0.0, 0.0, 2.0], [0.0, 2.0, 0.0])),
    "power of a number": (lambda x: torch.pow(0.0, x), ([0.0, 1.0],)),
    "copysign": (torch.copysign, ([0.0, 1.0], [1.0, -0.0])),
    "heaviside behind a product": (lambda x: x * (x > 0), ([0.0, 1.0],)),
    "index put that adds": (
        lambda x: torch.zeros(2, dtype=x.dtype).index_put((torch.tensor([0, 0]),), x, accumulate=True),
        ([1.0, 2.0],),
    ),
    "scatter, amax, tied": (
        lambda x: torch.zeros(1, dtype=x.dtype).scatter_reduce(0, torch.tensor([0, 0, 0]), x, "amax"),
        ([1.0, 1.0, 0.0],),
    ),
    "scatter, product with zeros": (
        lambda x: torch.ones(1, dtype=x.dtype).scatter_reduce(0, torch.tensor([0, 0, 0]), x, "prod"),
        ([0.0, 2.0, 3.0],),
    ),
    "triplet margin": (
        lambda a, p, n: F.triplet_margin_loss(a, p, n),
        ([[1.0, 0.0]], [[1.0, 0.0]], [[2.0, 0.0]]),
    ),
    "margin ranking": (
        lambda a, b: F.margin_ranking_loss(a, b, torch.ones(2, dtype=a.dtype)),
        ([1.0, 2.0], [1.0, 1.0]),
    ),
    "hinge embedding": (
        lambda x: F.hinge_embedding_loss(x, torch.tensor([1.0, -1.0], dtype=x.dtype)),
        ([1.0, 1.0],),
    ),
    "rrelu in evaluation": (lambda x: F.rrelu(x, training=False), ([0.0, 1.0],)),
    "glu": (lambda x: F.glu(x, 0), ([0.0, 1.0],)),
    "median with NaN left out, tied": (lambda x: x.nanmedian(), ([1.0, 1.0, 3.0, float("nan")],)),
    "quantile, tied": (lambda x: x.quantile(0.5), ([1.0, 1.0, 2.0, 2.0],)),
    "mode": (lambda x: x.mode().values, ([1.0, 1.0, 2.0],)),
    "variance of one": (lambda x: x.var(correction=0), ([2.0],)),
    "logcumsumexp": (lambda x: x.logcumsumexp(0), ([0.0, -float("inf"), 0.0],)),
    "renorm at its limit": (lambda x: torch.renorm(x, 2, 0, 5.0), ([[3.0, 4.0], [6.0, 8.0]],)),
    "layer norm of a constant": (lambda x: F.layer_norm(x, (3,)), ([[2.0, 2.0, 2.0]],)),
    "softmax of equal infinities": (lambda x: F.softmax(x, 0), ([-float("inf"), 0.0],)),
    "logsumexp of nothing": (lambda x: torch.logsumexp(x, 0), ([-float("inf"), -float("inf")],)),
}


# The second derivative jumps here, or is infinite; torch takes one side, JAX the other.
ONE_SIDED = {"elu", "selu", "celu", "modulus of a complex zero", "power of zero"}
# Derivatives of torch that are not exact to float64 themselves: errors of 5e-10 to 4e-8.
INEXACT = {"hardsigmoid", "celu"}


@pytest.mark.parametrize(
    "dtype",
    [pytest.param(torch.float32, id="float32", marks=pytest.mark.slow), pytest.param(torch.float64, id="float64")],
)
@pytest.mark.parametrize("name", CASES)
def test_the_gradient_is_torchs(name: str, dtype: torch.dtype) -> None:
    function, points = CASES[name]
    tensors = [torch.tensor(point, dtype=dtype) for point in points]

    class Model(torch.nn.Module):
        def forward(self, *tensors: Tensor) -> Tensor:
            return function(*tensors)

    with jax.enable_x64(dtype is torch.float64):
        converted = regauge.to_jax(Model(), tuple(tensors), dynamic=None)
        leaves = [t.clone().requires_grad_() for t in tensors]
        out = function(*leaves)
        weights = torch.arange(1.0, out.numel() + 1, dtype=dtype).reshape(out.shape)
        first, second = _derivatives((out * weights).sum(), leaves)

        def loss(arrays: list[jax.Array]) -> jax.Array:
            outputs, _ = converted.apply(converted.params, converted.state, *arrays)
            return (outputs * weights.numpy()).sum()

        found = jax.jit(jax.grad(loss))([jnp.asarray(t.numpy()) for t in tensors])
        arrays = [jnp.asarray(t.numpy()) for t in tensors]
        gradient = jax.grad(loss)
        again = jax.jit(jax.grad(lambda a: sum(jnp.sum(g) for g in gradient(a))))(arrays)
    tolerance = 1e-5 if dtype is torch.float32 else 1e-7 if name in INEXACT else 1e-12
    for array, expected in zip(found, first, strict=True):
        assert np.allclose(array, expected, rtol=tolerance, atol=tolerance, equal_nan=True), f"{array} for {expected}"
    for array, expected in zip(again, second, strict=True):
        # mended derivatives are differentiated again, and must not become NaN where torch's are finite
        finite = np.isfinite(expected)
        if name in ONE_SIDED:
            assert np.all(np.isfinite(array))
            continue
        assert np.allclose(np.asarray(array)[finite], expected[finite], rtol=1e-4, atol=1e-4), f"{array} for {expected}"


def _derivatives(total: Tensor, leaves: list[Tensor]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Torch's gradient and that of the sum of its elements; zeros where there is none."""
    first = torch.autograd.grad(total, leaves, create_graph=True, allow_unused=True, materialize_grads=True)
    inner = sum((gradient.sum() for gradient in first), torch.zeros((), dtype=total.dtype))
    second = [torch.zeros_like(leaf) for leaf in leaves]
    if inner.requires_grad:
        try:
            second = list(torch.autograd.grad(inner, leaves, allow_unused=True, materialize_grads=True))
        except (RuntimeError, NotImplementedError):  # torch has no derivative of this gradient
            second = [torch.full_like(leaf, torch.nan) for leaf in leaves]
    return ([g.numpy(force=True) for g in first], [g.numpy(force=True) for g in second])
