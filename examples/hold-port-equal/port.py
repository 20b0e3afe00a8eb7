"""The same model by hand, in Flax NNX."""

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from shared import batch, weights

import regauge


class Classifier(nnx.Module):
    """Scores of ten classes for vectors of 32 numbers."""

    def __init__(self):
        rngs = nnx.Rngs(0)
        self.first = nnx.Linear(32, 64, rngs=rngs)
        self.norm = nnx.LayerNorm(64, epsilon=1e-5, rngs=rngs)
        self.second = nnx.Linear(64, 10, rngs=rngs)

    def __call__(self, x):
        return self.second(jax.nn.gelu(self.norm(self.first(x)), approximate=False))


def load(model: Classifier, arrays) -> Classifier:
    """The weights of the PyTorch model in the layouts of this one."""
    for name in ("first", "second"):
        layer = getattr(model, name)
        layer.kernel[...] = jnp.asarray(arrays[f"{name}.weight"].T)
        layer.bias[...] = jnp.asarray(arrays[f"{name}.bias"])
    model.norm.scale[...] = jnp.asarray(arrays["norm.weight"])
    model.norm.bias[...] = jnp.asarray(arrays["norm.bias"])
    return model


def case() -> regauge.Case:
    x, labels = batch()
    return regauge.Case(
        load(Classifier(), weights()),
        inputs=(x,),
        targets=labels,
        loss=lambda scores, labels: optax.softmax_cross_entropy_with_integer_labels(scores, labels).mean(),
        optimizer=optax.adamw(1e-3, weight_decay=0.01),
    )
