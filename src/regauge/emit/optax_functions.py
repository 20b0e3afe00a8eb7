"""Functions of a train.py that optax does not have, or has with other numbers, as their text."""

from __future__ import annotations

CLIP_BY_NORM = '''
def clip_by_norm(limit):
    """PyTorch's clip_grad_norm_, which adds 1e-6 to the norm."""

    def update(gradients, state, params=None):
        scale = jnp.minimum(1.0, limit / (optax.tree.norm(gradients) + 1e-6))
        return jax.tree.map(lambda g: g * scale, gradients), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)
'''.strip()

# A scale of the widest dtype would widen the gradients of narrower parameters.
CLIP_BY_NORM_OF_MANY_DTYPES = CLIP_BY_NORM.replace("g * scale", "(g * scale).astype(g.dtype)")

DAMPED_MOMENTUM = '''
def damped_momentum(decay, dampening):
    """PyTorch's momentum with dampening: the first gradient enters in full."""

    def init(params):
        return jnp.zeros([], jnp.int32), optax.tree.zeros_like(params)

    def update(gradients, state, params=None):
        step, trace = state
        share = jnp.where(step == 0, 1.0, 1.0 - dampening)
        trace = jax.tree.map(lambda t, g: (decay * t + share * g).astype(t.dtype), trace, gradients)
        return trace, (step + 1, trace)

    return optax.GradientTransformation(init, update)
'''.strip()

SCALE_BY_AMSGRAD = '''
def scale_by_amsgrad(b1=0.9, b2=0.999, eps=1e-8):
    """PyTorch's AMSGrad, which takes the maximum before the correction of the bias."""

    def init(params):
        zeros = optax.tree.zeros_like
        return jnp.zeros([], jnp.int32), zeros(params), zeros(params), zeros(params)

    def update(gradients, state, params=None):
        step, mean, square, largest = state
        step = step + 1
        mean = optax.tree.update_moment(gradients, mean, b1, 1)
        square = optax.tree.update_moment(gradients, square, b2, 2)
        largest = jax.tree.map(jnp.maximum, largest, square)
        mean_hat = optax.tree.bias_correction(mean, b1, step)
        largest_hat = optax.tree.bias_correction(largest, b2, step)
        updates = jax.tree.map(lambda m, v: m / (jnp.sqrt(v) + eps), mean_hat, largest_hat)
        return updates, (step, mean, square, largest)

    return optax.GradientTransformation(init, update)
'''.strip()

SCALE_BY_ADAGRAD = '''
def scale_by_adagrad(initial=0.0, eps=1e-10):
    """PyTorch's Adagrad: eps is added outside the root, where optax.adagrad adds it inside."""

    def init(params):
        return optax.tree.full_like(params, initial)

    def update(gradients, total, params=None):
        total = jax.tree.map(lambda t, g: t + g * g, total, gradients)
        return jax.tree.map(lambda g, t: g / (jnp.sqrt(t) + eps), gradients, total), total

    return optax.GradientTransformation(init, update)
'''.strip()

SCALE_BY_NADAM = '''
def scale_by_nadam(b1=0.9, b2=0.999, eps=1e-8, momentum_decay=4e-3):
    """PyTorch's NAdam: the momentum grows from step to step, where optax.nadam has b1 at all of them."""

    def init(params):
        zeros = optax.tree.zeros_like
        return jnp.zeros([], jnp.int32), jnp.ones([], jnp.float32), zeros(params), zeros(params)

    def update(gradients, state, params=None):
        step, product, mean, square = state  # PyTorch has the product in float32, whatever the parameters are
        step = step + 1
        n = jnp.asarray(step, float)
        now, following = (b1 * (1 - 0.5 * 0.96 ** (i * momentum_decay)) for i in (n, n + 1))
        product = product * now.astype(jnp.float32)
        mean = optax.tree.update_moment(gradients, mean, b1, 1)
        square = optax.tree.update_moment(gradients, square, b2, 2)
        square_hat = optax.tree.bias_correction(square, b2, step)
        passed = jnp.asarray(product, float)
        share, ahead = (1 - now) / (1 - passed), following / (1 - passed * following)

        def scaled(g, m, v):
            return ((share * g + ahead * m) / (jnp.sqrt(v) + eps)).astype(g.dtype)

        return jax.tree.map(scaled, gradients, mean, square_hat), (step, product, mean, square)

    return optax.GradientTransformation(init, update)
'''.strip()

SCALE_BY_RADAM = '''
def scale_by_radam(b1=0.9, b2=0.999, eps=1e-8):
    """PyTorch's RAdam: eps is added before the correction of the bias, where optax.radam adds it after."""

    def init(params):
        return jnp.zeros([], jnp.int32), optax.tree.zeros_like(params), optax.tree.zeros_like(params)

    def update(gradients, state, params=None):
        step, mean, square = state
        step = step + 1
        mean = optax.tree.update_moment(gradients, mean, b1, 1)
        square = optax.tree.update_moment(gradients, square, b2, 2)
        mean_hat = optax.tree.bias_correction(mean, b1, step)
        left = 1 - jnp.asarray(b2, float) ** step
        longest = 2 / (1 - b2) - 1
        length = longest - 2 * step * (1 - left) / left
        rectified = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
        factor = jnp.sqrt(jnp.maximum(rectified, 0.0) * left)

        def scaled(m, v):
            return jnp.where(length > 5, m * factor / (jnp.sqrt(v) + eps), m).astype(m.dtype)

        return jax.tree.map(scaled, mean_hat, square), (step, mean, square)

    return optax.GradientTransformation(init, update)
'''.strip()
