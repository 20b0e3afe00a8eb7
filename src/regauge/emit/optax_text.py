"""torch's optimizers in optax: the same update, step for step, written with optax's names where it has the algorithm.

Sources of the formulas: the algorithms in the documentation of `torch.optim` and in its single-tensor functions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from regauge.emit.schedules import FLOAT_STEPS, number, schedule_text
from regauge.errors import UnsupportedOptimizer
from regauge.optimizers import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop

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


@dataclass
class OptimizerText:
    """What the functions below write besides the expression itself.

    Attributes:
        helpers: text of helper functions by name, in the order in which the file should hold them.
        rates: expression by name of the learning rates that are not constant.
    """

    helpers: dict[str, str] = field(default_factory=dict)
    rates: dict[str, str] = field(default_factory=dict)

    def rate(self, spec: Optimizer) -> str:
        """The learning rate of an optimizer: a number, or the name of a schedule that `rates` receives."""
        lr: float = spec.options()["lr"]
        decay = spec.lr_decay if isinstance(spec, Adagrad) else 0.0
        if spec.schedule is None and decay == 0:
            return number(lr)
        rate = number(lr) if spec.schedule is None else schedule_text(spec.schedule, lr, self.helpers)
        if decay:
            taken = rate if spec.schedule is None else f"({rate})(step)"
            rate = f"lambda step: {taken} / (1 + {number(decay)} * step)"
        self.helpers["float_steps"] = FLOAT_STEPS
        return self._named(f"float_steps({rate})")

    def _named(self, expression: str) -> str:
        for name, known in self.rates.items():
            if known == expression:
                return name
        name = "learning_rate" + (f"_{len(self.rates) + 1}" if self.rates else "")
        self.rates[name] = expression
        return name


def optimizer_parts(spec: Optimizer, text: OptimizerText) -> list[str]:
    """The transformations whose chain is one group's optimizer, without clipping.

    Raises:
        UnsupportedOptimizer: an optimizer that has no text.
    """
    writers: dict[type[Optimizer], Callable[[Any, str, OptimizerText], list[str]]]
    writers = {SGD: _sgd, Adam: _adam, AdamW: _adamw, RMSprop: _rmsprop, Adagrad: _adagrad}
    if type(spec) not in writers:
        raise UnsupportedOptimizer(f"there is no optimizer {type(spec).__name__!r}")
    options = spec.options()
    parts = ["optax.scale(-1.0)"] if options["maximize"] else []
    if options["weight_decay"] and not isinstance(spec, AdamW):
        parts.append(f"optax.add_decayed_weights({number(options['weight_decay'])})")
    return [*parts, *writers[type(spec)](spec, text.rate(spec), text)]


def _sgd(spec: SGD, rate: str, text: OptimizerText) -> list[str]:
    if spec.momentum and spec.dampening:
        text.helpers["damped_momentum"] = DAMPED_MOMENTUM
        trace = f"damped_momentum({number(spec.momentum)}, {number(spec.dampening)})"
        return [trace, f"optax.scale_by_learning_rate({rate})"]
    momentum = f", momentum={number(spec.momentum)}" if spec.momentum else ""
    return [f"optax.sgd({rate}{momentum}{', nesterov=True' if spec.nesterov else ''})"]


def _moments(spec: Adam) -> str:
    """The arguments that differ from optax's defaults, which are torch's here."""
    given = {"b1": spec.betas[0], "b2": spec.betas[1], "eps": spec.eps}
    usual = {"b1": 0.9, "b2": 0.999, "eps": 1e-8}
    return "".join(f", {name}={number(value)}" for name, value in given.items() if value != usual[name])


def _adam(spec: Adam, rate: str, text: OptimizerText) -> list[str]:
    if spec.amsgrad:
        return [_amsgrad(spec, text), f"optax.scale_by_learning_rate({rate})"]
    return [f"optax.adam({rate}{_moments(spec)})"]


def _adamw(spec: AdamW, rate: str, text: OptimizerText) -> list[str]:
    decay = number(spec.weight_decay)
    if spec.amsgrad:
        decayed = [f"optax.add_decayed_weights({decay})"] if spec.weight_decay else []
        return [_amsgrad(spec, text), *decayed, f"optax.scale_by_learning_rate({rate})"]
    return [f"optax.adamw({rate}{_moments(spec)}, weight_decay={decay})"]


def _amsgrad(spec: Adam, text: OptimizerText) -> str:
    text.helpers["scale_by_amsgrad"] = SCALE_BY_AMSGRAD
    return f"scale_by_amsgrad({_moments(spec).removeprefix(', ')})"


def _rmsprop(spec: RMSprop, rate: str, text: OptimizerText) -> list[str]:
    arguments = f"decay={number(spec.alpha)}, eps={number(spec.eps)}, eps_in_sqrt=False"
    if spec.momentum and spec.schedule is not None:
        # optax.rmsprop applies the rate before the momentum, torch after it: another function once the rate moves
        scale = "optax.scale_by_stddev" if spec.centered else "optax.scale_by_rms"
        trace = f"optax.trace({number(spec.momentum)})"
        return [f"{scale}({arguments})", trace, f"optax.scale_by_learning_rate({rate})"]
    arguments += ", centered=True" if spec.centered else ""
    arguments += f", momentum={number(spec.momentum)}" if spec.momentum else ""
    return [f"optax.rmsprop({rate}, {arguments})"]


def _adagrad(spec: Adagrad, rate: str, text: OptimizerText) -> list[str]:
    text.helpers["scale_by_adagrad"] = SCALE_BY_ADAGRAD
    given = {"initial": spec.initial_accumulator_value, "eps": spec.eps}
    usual = {"initial": 0.0, "eps": 1e-10}
    arguments = ", ".join(f"{name}={number(value)}" for name, value in given.items() if value != usual[name])
    return [f"scale_by_adagrad({arguments})", f"optax.scale_by_learning_rate({rate})"]
