import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from harness import Sample, check, sample
from torch.nn.attention import SDPBackend, sdpa_kernel

from regauge.rules.aten_to_jax import attention

OP = "scaled_dot_product_attention.default"


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


Q, K, V = normal(2, 4, 5, 8), normal(2, 4, 7, 8), normal(2, 4, 7, 8) + 1
SHARED_K, SHARED_V = normal(2, 2, 7, 8), normal(2, 2, 7, 8) + 1
BOOL = torch.rand(2, 1, 5, 7, generator=torch.Generator().manual_seed(1)) > 0.4
EMPTY_ROW = BOOL.clone()
EMPTY_ROW[0, 0, 2] = False
ADDED = torch.where(EMPTY_ROW, 0.5, -torch.inf)

SAMPLES = [
    sample(OP, Q, K, V),
    sample(OP, Q, K, V, scale=0.3),
    sample(OP, Q, K, V, is_causal=True),
    sample(OP, K, Q, Q, is_causal=True),  # more queries than keys
    sample(OP, Q, K, V, is_causal=True, scale=0.3),
    sample(OP, Q, K, V, BOOL),
    sample(OP, Q, K, V, EMPTY_ROW),
    sample(OP, Q, K, V, EMPTY_ROW[0, 0]),
    sample(OP, Q, K, V, ADDED),
    sample(OP, Q, K, V, normal(1, 4, 5, 7), scale=0.5),
    sample(OP, Q, K, V, torch.full((5, 7), torch.finfo(torch.float32).min)),
    sample(OP, Q, SHARED_K, SHARED_V, enable_gqa=True),
    sample(OP, Q, SHARED_K, SHARED_V, EMPTY_ROW, enable_gqa=True),
    sample(OP, Q, SHARED_K, SHARED_V, is_causal=True, enable_gqa=True),
    sample(OP, Q, K, normal(2, 4, 7, 3), BOOL),
    sample(OP, Q[0], K[0], V[0], EMPTY_ROW[0]),
    sample(OP, Q[0, 0], K[0, 0], V[0, 0], is_causal=True),
    sample(OP, Q, K[:1].expand(2, 4, 7, 8).contiguous(), V),
    sample(OP, Q[None], K[None], V[None], EMPTY_ROW),
    sample(OP, 30 * Q, 30 * K, V),  # softmax saturates
]


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_attention(case: Sample) -> None:
    with sdpa_kernel(SDPBackend.MATH):
        check(case)


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_library_function_has_the_gradient_too(case: Sample) -> None:
    """jax.nn.dot_product_attention serves float32 only, so `check` sees no derivative of it in float64."""
    leaves = [t.clone().requires_grad_() for t in case.args[:3]]
    with sdpa_kernel(SDPBackend.MATH):
        expected = torch.nn.functional.scaled_dot_product_attention(*leaves, *case.args[3:], **case.kwargs)
    cotangent = normal(*expected.shape)
    gradients = torch.autograd.grad(expected, leaves, cotangent)
    mask = [jnp.asarray(m.numpy()) for m in case.args[3:]]

    def run(*arrays: jax.Array) -> jax.Array:
        return attention.scaled_dot_product_attention(*arrays, *mask, **case.kwargs)

    found, pull = jax.vjp(run, *[jnp.asarray(t.detach().numpy()) for t in leaves])
    np.testing.assert_allclose(found, expected.detach().numpy(), rtol=1e-4, atol=1e-5)
    for got, wanted in zip(pull(jnp.asarray(cotangent.numpy())), gradients, strict=True):
        np.testing.assert_allclose(got, wanted.numpy(), rtol=1e-3, atol=2e-5)


def test_a_row_without_keys_gives_zero() -> None:
    found = attention.scaled_dot_product_attention(
        *[jnp.asarray(t.numpy()) for t in (Q, K, V)], jnp.asarray(EMPTY_ROW.numpy())
    )
    assert jnp.all(found[0, :, 2] == 0)
    assert jnp.all(found[1] != 0)


@pytest.mark.parametrize("mask", [None, ADDED])
def test_dropout_acts_on_the_weights(mask: torch.Tensor | None) -> None:
    """The same kept weights on both sides: torch's reference function takes the mask of the dropout."""
    kept = torch.rand(2, 4, 5, 7, generator=torch.Generator().manual_seed(2)) > 0.3
    expected, _ = torch.ops.aten._scaled_dot_product_attention_math(Q, K, V, mask, 0.3, False, kept)
    found = attention.scaled_dot_product_attention(
        *[jnp.asarray(t.numpy()) for t in (Q, K, V)],
        None if mask is None else jnp.asarray(mask.numpy()),
        0.3,
        dropout=lambda weights: jnp.where(jnp.asarray(kept.numpy()), weights / 0.7, 0),
    )
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-5)
