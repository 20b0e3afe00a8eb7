"""Learning-rate schedules and numbers as the text of a person who knows optax.

Every schedule is an expression of optax or of a helper function of the file; each gives torch's rate at every step,
in float64 to rounding.
"""

from __future__ import annotations

import itertools
import keyword
import math
import re
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from functools import singledispatch

from regauge import formulas
from regauge.errors import UnsupportedOptimizer
from regauge.optimizers import (
    Constant,
    Cosine,
    CosineRestarts,
    Exponential,
    Formula,
    LinearWarmup,
    MultiStep,
    Schedule,
    Sequence,
    StepLR,
    WarmupCosine,
)

# optax counts steps in int32, and JAX divides int32 in float32 even in 64-bit mode.
FLOAT_STEPS = '''
def float_steps(schedule):
    """The schedule of a floating-point step: int32, in which optax counts, gives float32 even in 64-bit mode."""
    return lambda step: schedule(jnp.asarray(step, float))
'''.strip()

COSINE_ANNEALING = '''
def cosine_annealing(peak, steps, low=0.0):
    """PyTorch's CosineAnnealingLR: half a cosine down in `steps` steps, and up again if training goes on."""
    return lambda step: low + (peak - low) * (1 + jnp.cos(jnp.pi * step / steps)) / 2
'''.strip()


COSINE_RESTARTS = '''
def cosine_restarts(peak, steps, factor=1, low=0.0):
    """PyTorch's CosineAnnealingWarmRestarts: each half cosine down takes `factor` times the steps of the one before."""
    starts = [steps * (factor**n - 1) / (factor - 1) for n in range(1, 31)] if factor > 1 else []

    def rate(step):
        start = jnp.zeros_like(step)
        for following in starts:
            start = jnp.where(step >= following, following, start)
        length = start * (factor - 1) + steps  # of the cosine that starts there
        return low + (peak - low) * (1 + jnp.cos(jnp.pi * ((step - start) % length) / length)) / 2

    return rate
'''.strip()

# Names that a train.py has or imports, and those of variables in `make_optimizer`.
_TAKEN = {
    *("loss", "init", "trainable", "group_of", "make_optimizer", "loss_and_gradients", "train_step", "make_train_step"),
    *("jax", "jnp", "lax", "math", "np", "nnx", "ops", "optax", "partial", "step", "base"),
}
_VARIABLES = ("learning_rate", "momentum")

# What operators of a formula are in jnp.
_FUNCTIONS = {
    **{name: f"jnp.{name}" for name in ("where", "abs", "trunc", "floor", "ceil")},
    **{name: f"jnp.{name}" for name in ("sin", "cos", "tanh", "exp", "log", "sqrt")},
    "min": "jnp.minimum",
    "max": "jnp.maximum",
    "and": "jnp.logical_and",
    "or": "jnp.logical_or",
    "not": "jnp.logical_not",
}


def number(value: float) -> str:
    """A number as a person writes it, ``1e-3`` and ``0.05``; reads back as exactly the same number."""
    if isinstance(value, int):
        return str(value)
    if not math.isfinite(value):
        return f'float("{value}")'
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    order = len(digits) + int(exponent) - 1
    if value == 0 or (-3 < order < 6) or len(digits) > 4:
        return repr(float(value))
    mantissa = str(digits[0]) + ("." + "".join(map(str, digits[1:])) if len(digits) > 1 else "")
    return f"{'-' if sign else ''}{mantissa}e{order}"


@singledispatch
def schedule_text(schedule: Schedule, base: float, helpers: dict[str, str]) -> str:
    """The expression of a schedule: a function of the number of steps taken.

    Args:
        schedule: of `regauge.optimizers`.
        base: the `lr` of the group.
        helpers: receives the text of the helper functions that the expression calls, by name.

    Raises:
        UnsupportedOptimizer: a schedule that has no text.
    """
    raise UnsupportedOptimizer(f"there is no schedule {type(schedule).__name__!r}")


def _register(cls: type[Schedule]) -> Callable[[Callable[..., str]], Callable[..., str]]:
    return schedule_text.register(cls)


@_register(Constant)
def _constant(schedule: Constant, base: float, helpers: dict[str, str]) -> str:
    full = f"optax.constant_schedule({number(base)})"
    if schedule.total_iters == 0 or schedule.factor == 1:
        return full
    first = f"optax.constant_schedule({_product(base, schedule.factor)})"
    return f"optax.join_schedules([{first}, {full}], [{schedule.total_iters}])"


@_register(StepLR)
def _step(schedule: StepLR, base: float, helpers: dict[str, str]) -> str:
    if schedule.gamma == 0:  # which optax.exponential_decay takes for "no decay"
        return _drops(base, {schedule.step_size: 0.0})
    arguments = f"transition_steps={schedule.step_size}, decay_rate={number(schedule.gamma)}"
    return f"optax.exponential_decay({number(base)}, {arguments}, staircase=True)"


@_register(MultiStep)
def _multi_step(schedule: MultiStep, base: float, helpers: dict[str, str]) -> str:
    counts = Counter(schedule.milestones)
    return _drops(base, {step: schedule.gamma**count for step, count in counts.items()})


@_register(Exponential)
def _exponential(schedule: Exponential, base: float, helpers: dict[str, str]) -> str:
    if schedule.gamma == 0:
        return _drops(base, {1: 0.0})
    return f"optax.exponential_decay({number(base)}, transition_steps=1, decay_rate={number(schedule.gamma)})"


@_register(Cosine)
def _cosine(schedule: Cosine, base: float, helpers: dict[str, str]) -> str:
    # optax.cosine_decay_schedule stays low after its last step
    helpers["cosine_annealing"] = COSINE_ANNEALING
    low = f", low={number(schedule.eta_min)}" if schedule.eta_min else ""
    return f"cosine_annealing({number(base)}, {schedule.T_max}{low})"


@_register(LinearWarmup)
def _linear_warmup(schedule: LinearWarmup, base: float, helpers: dict[str, str]) -> str:
    start, end = _product(base, schedule.start_factor), _product(base, schedule.end_factor)
    return f"optax.linear_schedule({start}, {end}, {schedule.total_iters})"


@_register(WarmupCosine)
def _warmup_cosine(schedule: WarmupCosine, base: float, helpers: dict[str, str]) -> str:
    if base == 0 and schedule.eta_min:
        raise UnsupportedOptimizer(
            "WarmupCosine with eta_min needs a learning rate above 0",
            received=f"lr=0.0, eta_min={number(schedule.eta_min)}",
            why="optax.warmup_cosine_decay_schedule takes eta_min as a share of the rate",
        )
    low = f", end_value={number(schedule.eta_min)}" if schedule.eta_min else ""
    steps = f"warmup_steps={schedule.warmup_steps}, decay_steps={schedule.total_steps}"
    return f"optax.warmup_cosine_decay_schedule(0.0, {number(base)}, {steps}{low})"


@_register(Sequence)
def _sequence(schedule: Sequence, base: float, helpers: dict[str, str]) -> str:
    texts = [schedule_text(item, base, helpers) for item in schedule.schedules]
    if len(texts) == 1:
        return texts[0]
    return f"optax.join_schedules([{', '.join(texts)}], {list(schedule.milestones)})"


def _drops(base: float, factors: dict[int, float]) -> str:
    text = ", ".join(f"{step}: {number(factor)}" for step, factor in factors.items())
    return f"optax.piecewise_constant_schedule({number(base)}, {{{text}}})"


def _product(base: float, factor: float) -> str:
    """``base * factor`` as one number, or as the product where one number would say less."""
    if factor == 1.0 / 3:  # torch's default start of a warm-up
        return f"{number(base)} / 3"
    product = number(base * factor)
    for digits in range(1, 7):  # 0.1 * 3e-4 is 3.0000000000000004e-05
        rounded = float(f"{base * factor:.{digits - 1}e}")
        if Decimal(repr(base)) * Decimal(repr(factor)) == Decimal(repr(rounded)):
            return number(rounded)
    return product


@_register(CosineRestarts)
def _cosine_restarts(schedule: CosineRestarts, base: float, helpers: dict[str, str]) -> str:
    helpers["cosine_restarts"] = COSINE_RESTARTS
    factor = f", factor={schedule.T_mult}" if schedule.T_mult != 1 else ""
    low = f", low={number(schedule.eta_min)}" if schedule.eta_min else ""
    return f"cosine_restarts({number(base)}, {schedule.T_0}{factor}{low})"


@_register(Formula)
def _formula(schedule: Formula, base: float, helpers: dict[str, str]) -> str:
    rate = formulas.reads_base(schedule.formula)
    function = _function(schedule, "step, base" if rate else "step", helpers)
    return (
        f"lambda step: {function}(step, {number(base)})" if rate else f"lambda step: {number(base)} * {function}(step)"
    )


def _function(schedule: Formula, arguments: str, helpers: dict[str, str]) -> str:
    """The name of the function that computes a formula, which `helpers` holds."""
    expression = formulas.text(schedule.formula, _number_or_pi, _FUNCTIONS)
    stem = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", re.sub(r"\W+", "_", schedule.name).strip("_")).lower() or "factor"
    if keyword.iskeyword(stem) or stem[0].isdigit() or stem in _TAKEN or stem.startswith(_VARIABLES):
        stem = f"factor_{stem}"
    for attempt in itertools.count(1):
        name = stem if attempt == 1 else f"{stem}_{attempt}"
        text = f'def {name}({arguments}):\n    """{schedule.name} of the original."""\n    return {expression}'
        if helpers.setdefault(name, text) == text:
            return name
    raise AssertionError  # the count has no end


def _number_or_pi(value: float) -> str:
    return "jnp.pi" if value == math.pi else number(value)
