"""Causes in functions of single elements: kinds of activation, constants, operations left out, precision."""

from __future__ import annotations

from collections.abc import Iterator

from regauge.verify.causes import (
    Call,
    Situation,
    Trial,
    argument,
    cause,
    replaced,
    replacement_trials,
    same_named,
    scopes,
    shown,
    value_trials,
    weight,
)

_ACTIVATIONS: dict[str, dict[str, float]] = {
    "relu": {}, "silu": {}, "gelu": {}, "elu": {}, "selu": {}, "celu": {}, "softplus": {}, "mish": {}, "tanh": {},
    "sigmoid": {}, "relu6": {}, "hardswish": {}, "hardsigmoid": {}, "leaky_relu": {}, "softsign": {}, "hardtanh": {},
}  # fmt: skip
_NAMES = (*_ACTIVATIONS, *(f"{name}_" for name in _ACTIVATIONS))


@cause("gelu-approximation", functions=("gelu",), order=0)
def gelu(call: Call, situation: Situation) -> Iterator[Trial]:
    own = call.value("approximate", "none")
    other = "tanh" if own == "none" else "none"
    what = "the form of GELU (none is the exact one by erf)"
    return value_trials("gelu-approximation", what, call, situation, "approximate", "none", [other])


@cause("negative-slope", functions=("leaky_relu", "leaky_relu_"), order=1)
def slope(call: Call, situation: Situation) -> Iterator[Trial]:
    values = [*(value for value in situation.constants if 0 < value < 1), 0.01, 0.1, 0.2, 0.3, 0.0]
    what = "the slope of leaky ReLU"
    return value_trials("negative-slope", what, call, situation, "negative_slope", 0.01, values)


@cause("alpha", functions=("elu", "celu", "elu_"), order=1)
def alpha(call: Call, situation: Situation) -> Iterator[Trial]:
    values = [value for value in situation.constants if value > 0]
    return value_trials("alpha", "alpha of the activation", call, situation, "alpha", 1.0, values)


@cause("activation", functions=_NAMES, order=8)
def activation(call: Call, situation: Situation) -> Iterator[Trial]:
    own = call.function.rstrip("_")
    for name in _ACTIVATIONS:
        if name == own:
            continue
        for calls in scopes(call, situation):
            edit = replaced(calls, "function", name=name)
            yield Trial("activation", "the activation", (edit,), own, name, call.number)
    for calls in scopes(call, situation):
        yield Trial("activation", "the activation", (replaced(calls, "left_out"),), own, "none", call.number)


@cause("kink", functions=("relu", "relu_", "relu6", "clamp", "clamp_min", "hardtanh", "clip"), order=0, backward=True)
def kink(call: Call, situation: Situation) -> Iterator[Trial]:
    if not situation.only_gradients:
        return iter(())
    what = "the derivative at the kink is shared between both sides, as maximum and clip do it"
    return replacement_trials("kink", what, call, situation, "with_extremes")


@cause("stopped-gradient", functions=("stop_gradient", "detach"), order=0, backward=True)
def stopped(call: Call, situation: Situation) -> Iterator[Trial]:
    if not situation.kinds & {"gradients", "input gradients", "parameters"}:
        return iter(())
    what = "the gradient ends at a value in one and goes through it in the other"
    return replacement_trials("stopped-gradient", what, call, situation, "left_out")


_ARITHMETIC = (
    "mul",
    "__mul__",
    "div",
    "__truediv__",
    "add",
    "__add__",
    "sub",
    "__sub__",
    "rsub",
    "__rsub__",
    "pow",
    "__rmul__",
    "clamp",
    "clamp_min",
    "clamp_max",
    "masked_fill",
    "masked_fill_",
    "__pow__",
    "__rpow__",
    "__rtruediv__",
    "float_power",
    "full",
    "true_divide",
)


@cause("constant", functions=_ARITHMETIC, order=4)
def constant(call: Call, situation: Situation) -> Iterator[Trial]:
    """A number in the formula is another one, of those that the other side uses there."""
    for name, own in call.arguments.items():
        if isinstance(own, bool) or not isinstance(own, int | float):
            continue
        values = [value for value in situation.constants if value != own]
        key, what = _kind_of_constant(call, own, situation)
        extra = [1 / own] if own else []
        standard = [1e-5, 1e-6, 1e-8, 1e-12] if key == "eps" else []
        for value in dict.fromkeys([*values[:12], *extra, *standard]):
            for calls in scopes(call, situation):
                edit = argument(calls, **{name: value})
                yield Trial(key, what, (edit,), shown(own), shown(value), call.number)


def _kind_of_constant(call: Call, own: float, situation: Situation) -> tuple[str, str]:
    """Key of the cause, and what a number is."""
    following = situation.calls[call.number + 1 : call.number + 3]
    key = "constant"
    what = "a constant of the formula"
    if call.function in _PRODUCTS:
        if 0 < own < 1 and any(c.function == "where" for c in following):
            key = "negative-slope"
            what = "the slope of leaky ReLU"
    elif 0 < abs(own) < 0.02:
        key = "eps"
        what = "eps"
    return key, what


_PRODUCTS = ("mul", "__mul__", "__rmul__", "div", "__truediv__", "true_divide", "__rtruediv__")


@cause("missing-operation", functions=("add", "__add__", "mul", "__mul__", "__iadd__", "add_", "sub"), order=30)
def missing(call: Call, situation: Situation) -> Iterator[Trial]:
    """A term or factor is left out: a residual, a scale, a position embedding."""
    added = call.function.strip("_") in ("add", "iadd")
    for operand, lacking in enumerate(("other", "input")):
        what = "a term of the sum (a residual, an embedding) is left out" if added else "a factor is left out"
        key = "residual" if added else "scale"
        shape = call.shape(lacking)
        is_bias = added and call.weight(lacking) and len(shape) == 1
        if is_bias:
            key = "bias"
            what = "the bias is left out"
            for names in same_named(call.weight(lacking), situation):
                yield Trial(key, what, tuple(weight(name, "zero") for name in names), call=call.number)
            continue
        for calls in scopes(call, situation)[:1]:
            yield Trial(key, what, (replaced(calls, "left_out", operand=operand),), call=call.number)


def scores(call: Call, situation: Situation) -> bool:
    """Whether a product of two values that no weight is may be the scores of attention: a softmax follows."""
    following = situation.calls[call.number + 1 : call.number + 9]
    owned = any(call.weight(name) for name in call.arguments)
    return not owned and any(c.function == "softmax" for c in following)


@cause(
    "missing-scale",
    functions=("linear", "matmul", "bmm", "embedding", "__matmul__", "einsum", "baddbmm"),
    order=26,
)
def unscaled(call: Call, situation: Situation) -> Iterator[Trial]:
    """A product that one side scales by the root of a size."""
    size = (call.shape("weight") or call.shape() or [0])[-1]
    factors = [size**0.5, size**-0.5, *(v for v in situation.constants if 0.001 < v < 1000)] if size > 1 else []
    key = "scale"
    what = "a factor of the product (a scale by the root of the width)"
    if scores(call, situation):
        key = "attention-scale"
        what = "the scale of attention"
    for factor in dict.fromkeys(factors[:8]):
        for calls in scopes(call, situation)[:1]:
            edit = replaced(calls, "scaled", by=factor)
            yield Trial(key, what, (edit,), "1", shown(float(factor)), call.number)


@cause(
    "precision",
    functions=(
        "softmax",
        "layer_norm",
        "rms_norm",
        "linear",
        "matmul",
        "cos",
        "sin",
        "__mul__",
        "mul",
        "arange",
        "outer",
        "exp",
        "scaled_dot_product_attention",
        "embedding",
        "pow",
        "log_softmax",
    ),
    order=45,
)
def precision(call: Call, situation: Situation) -> Iterator[Trial]:
    """A value went through a dtype of lower precision."""
    what = "a value is rounded to a lower precision"
    for dtype in ("float32", "bfloat16", "float16"):
        for calls in scopes(call, situation)[:1]:
            yield Trial("precision", what, (replaced(calls, "rounded", to=dtype),), "float64", dtype, call.number)


@cause(
    "axis",
    functions=("softmax", "log_softmax", "mean", "sum", "amax", "cumsum", "argmax", "norm", "normalize", "glu", "max"),
    order=6,
)
def axis(call: Call, situation: Situation) -> Iterator[Trial]:
    rank = len(call.shape())
    own = call.value("dim", None)
    own = own[0] if isinstance(own, list) and len(own) == 1 else own
    if not isinstance(own, int) or rank < 2:
        return iter(())
    others = [dim for dim in range(-1, -rank - 1, -1) if dim % rank != own % rank]
    return value_trials("axis", "the axis", call, situation, "dim", own, others)


@cause(
    "dropout-rate",
    functions=("dropout", "dropout1d", "dropout2d", "feature_dropout"),
    order=3,
)
def rate(call: Call, situation: Situation) -> Iterator[Trial]:
    own = call.value("p", 0.5)
    shares = [v for v in situation.constants if 0 < v < 1]
    # where masks are given, what is kept is divided by its share: the rate itself stands nowhere
    values = [*(round(1 - v, 12) for v in shares), *shares, 1 - own, 0.0]
    return value_trials("dropout-rate", "the rate of dropout", call, situation, "p", 0.5, values)
