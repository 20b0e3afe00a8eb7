"""Gradients of batch norm far from zero, in JAX and in PyTorch: ``python -m judge.offset`` from `tests`, in seconds.

The measurement behind the cap for the set *offset* in docs/equivalence.md: a dense layer, then batch norm in training
that subtracts the mean before it multiplies (as Keras writes it) or as `torch.nn.functional.batch_norm` computes it.
Prints, for each number of rows, how far all gradients in float32 are from the same ones in float64.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

UNITS = (16, 8)  # of the inputs and of the dense layer
ROWS = (8, 64)
OFFSET = 100.0
DRAWS = 10
EPSILON = 1e-3

Arrays = Sequence[np.ndarray]


def drawn(rows: int, seed: int) -> Arrays:
    """Inputs [rows, 16], weights [16, 8], bias, scale, shift [8] and the loss's weights [rows, 8], float32."""
    random = np.random.default_rng(seed)
    wide, narrow = UNITS
    shapes = ((rows, wide), (wide, narrow), (narrow,), (narrow,), (narrow,), (rows, narrow))
    inputs, *rest = (random.standard_normal(shape).astype(np.float32) for shape in shapes)
    return [inputs + np.float32(OFFSET), *rest]


def by_jax(arrays: Arrays) -> Arrays:
    """Gradients of inputs, weights, bias, scale and shift in the dtype of `arrays`."""
    import jax
    from jax import numpy as jnp

    def loss(x: jax.Array, w: jax.Array, b: jax.Array, scale: jax.Array, shift: jax.Array) -> jax.Array:
        y = x @ w + b
        mean, variance = y.mean(0), y.var(0)
        y = (y - mean) * (scale / jnp.sqrt(variance + EPSILON)) + shift
        return (jnp.asarray(arrays[5]) * y).sum()

    with jax.enable_x64(arrays[0].dtype == np.float64):
        found = jax.jit(jax.grad(loss, argnums=(0, 1, 2, 3, 4)))(*map(jnp.asarray, arrays[:5]))
        return [np.asarray(gradient) for gradient in found]


def by_torch(arrays: Arrays) -> Arrays:
    """The same by `torch.nn.functional.batch_norm`."""
    import torch
    from torch.nn import functional as F

    x, w, b, scale, shift = (torch.tensor(array, requires_grad=True) for array in arrays[:5])
    y = F.batch_norm(x @ w + b, None, None, scale, shift, training=True, eps=EPSILON)
    (torch.tensor(arrays[5]) * y).sum().backward()  # type: ignore[no-untyped-call]
    return [np.asarray(part.grad) for part in (x, w, b, scale, shift)]


def distance(found: Arrays, exact: Arrays) -> float:
    """Of all gradients together, relative, in the 2-norm."""
    apart = sum(float(((one - other) ** 2).sum()) for one, other in zip(found, exact, strict=True))
    return float(np.sqrt(apart / sum(float((other**2).sum()) for other in exact)))


def main() -> None:
    for rows in ROWS:
        both = []
        for seed in range(DRAWS):
            arrays = drawn(rows, seed)
            exact = by_jax([array.astype(np.float64) for array in arrays])
            both.append((distance(by_jax(arrays), exact), distance(by_torch(arrays), exact)))
        jax_, torch_ = np.array(both).T
        print(
            f"{rows} rows, {DRAWS} draws: JAX {np.median(jax_):.1e}, PyTorch {np.median(torch_):.1e} in the median; "
            f"PyTorch is {(torch_ / jax_).max():.0f} times as far in the worst draw"
        )


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    main()
