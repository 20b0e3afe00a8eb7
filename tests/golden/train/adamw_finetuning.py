"""The training step of Classifier: its loss and AdamW, as PyTorch computes them."""

from functools import partial

import jax
import jax.numpy as jnp
import optax
from flax import nnx


def loss(outputs, targets):
    return -jnp.take_along_axis(jax.nn.log_softmax(outputs), targets[:, None], axis=1).mean()


def clip_by_norm(limit):
    """PyTorch's clip_grad_norm_, which adds 1e-6 to the norm."""

    def update(gradients, state, params=None):
        scale = jnp.minimum(1.0, limit / (optax.tree.norm(gradients) + 1e-6))
        return jax.tree.map(lambda g: g * scale, gradients), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def float_steps(schedule):
    """The schedule of a floating-point step: int32, in which optax counts, gives float32 even in 64-bit mode."""
    return lambda step: schedule(jnp.asarray(step, float))


def group_of(params):
    """The group of every parameter, by its path in the module."""

    def label(path, _):
        if path[-1] in ("bias", "scale"):
            return "weight_decay=0.0"
        return "default"

    return nnx.map_state(label, params)


def make_optimizer():
    learning_rate = float_steps(optax.warmup_cosine_decay_schedule(0.0, 5e-5, warmup_steps=100, decay_steps=1000))
    return optax.chain(
        clip_by_norm(1.0),
        optax.partition(
            {
                "default": optax.adamw(learning_rate, weight_decay=0.01),
                "weight_decay=0.0": optax.adamw(learning_rate, weight_decay=0.0),
            },
            group_of,
        ),
    )


def init(model):
    graphdef, *variables = nnx.split(model, nnx.Param, ...)
    params, state = nnx.as_pure(variables)  # bare arrays, which jax.jit unpacks much faster than variables
    return graphdef, params, state, make_optimizer().init(params)


def loss_and_gradients(graphdef, params, state, inputs, targets):
    def evaluate(params):
        model = nnx.merge(graphdef, params, state)
        outputs = model(**inputs) if isinstance(inputs, dict) else model(*inputs)
        return loss(outputs, targets), (outputs, nnx.as_pure(nnx.split(model, nnx.Param, ...)[2]))

    (value, (outputs, new_state)), gradients = jax.value_and_grad(evaluate, has_aux=True)(params)
    return value, outputs, gradients, new_state


def train_step(graphdef, params, state, opt_state, inputs, targets):
    value, _, gradients, state = loss_and_gradients(graphdef, params, state, inputs, targets)
    updates, opt_state = make_optimizer().update(gradients, opt_state, params)
    return optax.apply_updates(params, updates), state, opt_state, value


def make_train_step(graphdef):
    """train_step of this graphdef, compiled: params, state, opt_state, inputs, targets."""
    return jax.jit(partial(train_step, graphdef), donate_argnums=(0, 1, 2))
