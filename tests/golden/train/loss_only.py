"""The loss of Classifier and its gradients."""

import jax
import jax.numpy as jnp
from flax import nnx


def loss(outputs, targets):
    return -jnp.take_along_axis(jax.nn.log_softmax(outputs), targets[:, None], axis=1).mean()


def init(model):
    graphdef, *variables = nnx.split(model, nnx.Param, ...)
    params, state = nnx.as_pure(variables)  # bare arrays, which jax.jit unpacks much faster than variables
    return graphdef, params, state, None


def loss_and_gradients(graphdef, params, state, inputs, targets):
    def evaluate(params):
        model = nnx.merge(graphdef, params, state)
        outputs = model(**inputs) if isinstance(inputs, dict) else model(*inputs)
        return loss(outputs, targets), (outputs, nnx.as_pure(nnx.split(model, nnx.Param, ...)[2]))

    (value, (outputs, new_state)), gradients = jax.value_and_grad(evaluate, has_aux=True)(params)
    return value, outputs, gradients, new_state
