"""The training step of Classifier: its loss and RMSprop, as PyTorch computes them."""

from functools import partial

import jax
import jax.numpy as jnp
import optax
from flax import nnx


def loss(outputs, targets):
    return -jnp.take_along_axis(jax.nn.log_softmax(outputs), targets[:, None], axis=1).mean()


def make_optimizer():
    return optax.rmsprop(1e-3, decay=0.99, eps=1e-8, eps_in_sqrt=False, momentum=0.9)


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
