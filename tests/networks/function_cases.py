"""Networks as functions of parameters: with Haiku, and physics that asks for derivatives of the network itself."""

from __future__ import annotations

from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax_weights import away_from_neutral

import regauge

Params = list[dict[str, Array]]


class SqueezeExcite(hk.Module):
    """Channels weighed by what the whole image holds; Hu et al. 2018."""

    def __call__(self, x: Array) -> Array:
        y = jax.nn.relu(hk.Linear(4, name="squeeze")(x.mean((1, 2))))
        return x * jax.nn.sigmoid(hk.Linear(x.shape[-1], name="excite")(y))[:, None, None, :]


def classify(images: Array, is_training: bool) -> Array:
    """images: float32[batch, 16, 16, 3]  ->  scores: float32[batch, 5]"""
    x = hk.Conv2D(8, 3, with_bias=False)(images)
    x = jax.nn.relu(hk.BatchNorm(create_scale=True, create_offset=True, decay_rate=0.9)(x, is_training))
    x = hk.MaxPool(2, 2, "SAME")(x)
    x = SqueezeExcite()(hk.Conv2D(8, 3, stride=2)(x))
    x = hk.LayerNorm(axis=-1, create_scale=True, create_offset=True)(x)
    return hk.nets.MLP([16, 5])(hk.Flatten()(x))


def network(params: Params, x: Array) -> Array:
    """x: float32[n]  ->  float32[m]; hidden layers with tanh."""
    *hidden, last = params
    for layer in hidden:
        x = jnp.tanh(x @ layer["w"] + layer["b"])
    return x @ last["w"] + last["b"]


def _layers(sizes: tuple[int, ...]) -> Any:
    """Glorot weights; biases are not zero, as those of a trained network are not."""
    keys = jax.random.split(jax.random.key(0), len(sizes) - 1)
    init = jax.nn.initializers.glorot_normal()
    layers = [
        {"w": init(key, (n, m)), "b": jnp.zeros(m)} for key, n, m in zip(keys, sizes[:-1], sizes[1:], strict=True)
    ]
    return away_from_neutral(layers)


def burgers(params: dict[str, Any], t: Array, x: Array) -> tuple[Array, Array]:
    """u(t, x) and the residual of Burgers' equation, u_t + u u_x - nu u_xx; Raissi et al. 2019, section 3.1.1.

    Derivatives by `jax.grad` of `jax.grad`, point by point. The viscosity nu is learnt, as in a problem of discovery.

    Args:
        params: ``net``, and ``log_nu``: float32[].
        t, x: float32[batch].
    """

    def u(t: Array, x: Array) -> Array:
        return network(params["net"], jnp.stack([t, x]))[0]

    def point(t: Array, x: Array) -> tuple[Array, Array]:
        value = u(t, x)
        u_t, u_x = jax.grad(u, argnums=(0, 1))(t, x)
        u_xx = jax.grad(jax.grad(u, argnums=1), argnums=1)(t, x)
        return value, u_t + value * u_x - jnp.exp(params["log_nu"]) * u_xx

    return jax.vmap(point)(t, x)


def helmholtz(params: Params, points: Array) -> tuple[Array, Array, Array]:
    """u, its gradient and the residual of laplace(u) + 4 u: float32[batch], [batch, 2] and [batch].

    The Laplacian is the trace of `jax.hessian`; the gradient that of `jax.value_and_grad`.
    """

    def u(point: Array) -> Array:
        return network(params, point)[0]

    def one(point: Array) -> tuple[Array, Array, Array]:
        value, slope = jax.value_and_grad(u)(point)
        return value, slope, jnp.trace(jax.hessian(u)(point)) + 4 * value

    return jax.vmap(one)(points)


def wave(params: Params, points: Array) -> Array:
    """The residual of u_tt - u_xx, by `jax.jvp` of `jax.jvp`; points (t, x): float32[batch, 2]  ->  float32[batch]."""

    def second(direction: Array) -> Array:
        def along(p: Array) -> Array:
            return jax.jvp(lambda q: network(params, q), (p,), (direction,))[1]

        return jax.jvp(along, (points,), (direction,))[1]

    t, x = (jnp.broadcast_to(jnp.array(axis), points.shape) for axis in ([1.0, 0.0], [0.0, 1.0]))
    return (second(t) - second(x))[:, 0]


def _points(*shape: int) -> Array:
    return jax.random.uniform(jax.random.key(1), shape, minval=-1.0, maxval=1.0)


def haiku_cnn() -> regauge.Case:
    images = jax.random.normal(jax.random.key(1), (4, 16, 16, 3))
    transformed = hk.without_apply_rng(hk.transform_with_state(classify))
    params, state = transformed.init(jax.random.key(0), images, True)

    def loss(scores: Array, labels: Array) -> Array:
        smooth = optax.smooth_labels(jax.nn.one_hot(labels, 5), 0.1)
        return optax.softmax_cross_entropy(scores, smooth).mean()

    model = (transformed, away_from_neutral(params), state)
    return regauge.Case(model, (images,), jnp.arange(4), loss, optax.rmsprop(1e-3, momentum=0.9), "Haiku CNN")


def pinn_burgers() -> regauge.Case:
    params = {"net": _layers((2, 12, 12, 1)), "log_nu": jnp.float32(-3.0)}
    t, x = jnp.abs(_points(16)), _points(2, 16)[1]

    def loss(outputs: tuple[Array, Array], known: Array) -> Array:
        return jnp.mean((outputs[0] - known) ** 2) + jnp.mean(outputs[1] ** 2)

    return regauge.Case((burgers, params), (t, x), -jnp.sin(jnp.pi * x), loss, optax.adam(1e-3), "Burgers")


def pinn_helmholtz() -> regauge.Case:
    points = _points(16, 2)

    def loss(outputs: tuple[Array, Array, Array], source: Array) -> Array:
        return jnp.mean((outputs[2] - source) ** 2) + 1e-3 * jnp.mean(outputs[1] ** 2)

    source = jnp.sin(2 * points).prod(axis=1)
    model = (helmholtz, _layers((2, 12, 12, 1)))
    return regauge.Case(model, (points,), source, loss, optax.adam(1e-3), "Helmholtz")


def pinn_wave() -> regauge.Case:
    def loss(residual: Array, targets: None) -> Array:
        return jnp.mean(residual**2)

    return regauge.Case((wave, _layers((2, 12, 12, 1))), (_points(16, 2),), None, loss, optax.adam(1e-3), "wave")
