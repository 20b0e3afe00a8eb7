"""The training step of the encoder: cross-entropy, Adam with a linear warm-up."""

from functools import partial

import jax
import jax.numpy as jnp
import optax
from flax import nnx


def loss(outputs, targets):
    return -jnp.take_along_axis(jax.nn.log_softmax(outputs["logits"]), targets[:, None], axis=1).mean()


def learning_rate(step):
    progress = jnp.minimum(step, 4).astype(jnp.float32) / 4
    return 1e-3 * (0.25 + 0.75 * progress)


def make_optimizer():
    return optax.adam(learning_rate, b1=0.9, b2=0.999, eps=1e-8)


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
