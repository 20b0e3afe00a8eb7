"""A JAX function and its conversion on the same arguments: values and gradients in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

import regauge


def body(function: Callable[..., Any], *arguments: Any, dynamic: Any = None) -> str:
    """The lines of `forward` that the conversion writes, without comments of shapes."""
    source = regauge.to_torch(function, arguments, dynamic=dynamic).source
    lines = source[source.index("def forward") : source.index("\ndef load")].strip().split("\n")[1:]
    return "\n".join(line.split("  # [")[0].strip() for line in lines)


def tensors(arguments: Sequence[Any]) -> list[torch.Tensor]:
    return [torch.from_numpy(np.array(argument)) for argument in arguments]


def leaves(results: Any) -> list[np.ndarray]:
    return [t.detach().resolve_conj().numpy() for t in torch.utils._pytree.tree_leaves(results)]


def same_values(function: Callable[..., Any], *arguments: Any, bound: float = 1e-12) -> None:
    """The results of both sides have one dtype and agree."""
    model = regauge.to_torch(function, arguments, dynamic=None)
    found = leaves(model(*tensors(arguments)))
    expected = [np.asarray(leaf) for leaf in jax.tree.leaves(function(*arguments))]
    assert len(found) == len(expected)
    for got, wanted in zip(found, expected, strict=True):
        assert got.dtype == wanted.dtype
        np.testing.assert_allclose(got, wanted, rtol=bound, atol=bound)


def same_gradients(
    function: Callable[..., Any], *arguments: Any, bound: float = 1e-10, like: Callable[..., Any] | None = None
) -> None:
    """Gradients of the real sum of squares of all results, with respect to all arguments.

    `like` is the same function written in another way, for one whose own derivative in JAX is wrong.
    """

    def loss(*values: Any) -> Any:
        return sum(jnp.sum(jnp.abs(leaf) ** 2) for leaf in jax.tree.leaves((like or function)(*values)))

    expected = jax.grad(loss, argnums=tuple(range(len(arguments))))(*arguments)
    model = regauge.to_torch(function, arguments, dynamic=None)
    given = [tensor.requires_grad_() for tensor in tensors(arguments)]
    total = sum((leaf.abs() ** 2).sum() for leaf in torch.utils._pytree.tree_leaves(model(*given)))
    found = torch.autograd.grad(total, given)
    for got, wanted in zip(found, expected, strict=True):
        assert float(np.abs(np.asarray(wanted)).max()) > 1e-6
        np.testing.assert_allclose(got.conj().resolve_conj().numpy(), np.asarray(wanted), rtol=bound, atol=bound)
