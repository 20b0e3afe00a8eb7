"""NNX modules whose text is copied into emitted files: each stands for itself and names only jax, jnp, lax, nnx."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax


class Buffer(nnx.Variable):
    """A tensor that the model owns and no optimizer changes."""


class BatchNorm(nnx.Module):
    """Batch normalization over all axes but the last, with PyTorch's running statistics.

    Unlike nnx.BatchNorm it stores the unbiased variance, and `momentum` is the share of the new value.
    """

    def __init__(self, num_features, *, epsilon=1e-5, momentum=0.1, affine=True, param_dtype=jnp.float32):
        self.mean = nnx.BatchStat(jnp.zeros(num_features, param_dtype))
        self.var = nnx.BatchStat(jnp.ones(num_features, param_dtype))
        self.scale = nnx.Param(jnp.ones(num_features, param_dtype)) if affine else None
        self.bias = nnx.Param(jnp.zeros(num_features, param_dtype)) if affine else None
        self.epsilon = epsilon
        self.momentum = momentum
        self.use_running_average = False  # model.eval() sets it

    def __call__(self, x):
        if self.use_running_average:
            centered, var = x - self.mean[...], self.var[...]
        else:
            axes = tuple(range(x.ndim - 1))
            n = x.size // x.shape[-1]
            # The variance of x less any constant is that of x. Near the mean it loses no digits in one pass over both
            # sums (Chan, Golub, LeVeque 1983), for which XLA wants the squares first.
            shift = lax.stop_gradient(x[:1].mean(axes))
            shifted = x - shift
            squares = jnp.square(shifted)
            offset = shifted.mean(axes)
            centered = shifted - offset
            var = squares.mean(axes) - jnp.square(offset)
            self.mean[...] += self.momentum * (lax.stop_gradient(shift + offset) - self.mean[...])
            self.var[...] += self.momentum * (lax.stop_gradient(var) * (n / (n - 1)) - self.var[...])
        scale = lax.rsqrt(var + self.epsilon)
        if self.scale is None or self.bias is None:
            return centered * scale
        return centered * (scale * self.scale[...]) + self.bias[...]


class LayerNorm(nnx.LayerNorm):
    """nnx.LayerNorm whose variance is the mean square of the centered input, which is centered once.

    nnx.LayerNorm takes the mean of squares less the squared mean, which loses digits far from zero, or with
    `use_fast_variance=False` centers twice, which costs a pass in the gradient.
    """

    def __call__(self, x):
        # XLA on a CPU computes again, wherever it is read, what looks cheap. Means do, whose division by a constant is
        # a product, and then each layer holds all layers before it. Behind the barrier they are divisions: not cheap.
        x, size = lax.optimization_barrier((x, jnp.asarray(x.shape[-1], x.dtype)))
        centered = x - x.sum(-1, keepdims=True) / size
        scale = lax.rsqrt(jnp.square(centered).sum(-1, keepdims=True) / size + self.epsilon)
        y = centered * (scale if self.scale is None else scale * self.scale[...])
        return y if self.bias is None else y + self.bias[...]


class Embedding(nnx.Module):
    """A table of vectors in which the row `padding_idx` receives no gradient."""

    def __init__(self, num_embeddings, features, *, padding_idx, param_dtype=jnp.float32, rngs):
        self.embedding = nnx.Param(jax.random.normal(rngs.params(), (num_embeddings, features), param_dtype))
        self.padding_idx = padding_idx

    def __call__(self, indices):
        vectors = self.embedding[...][indices]
        return jnp.where((indices == self.padding_idx)[..., None], lax.stop_gradient(vectors), vectors)
