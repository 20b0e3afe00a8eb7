"""What an operation of a jaxpr is, in the words of the table of causes, which are torch's names of functions.

A library's function that a jaxpr holds as one call (`jax.nn.gelu`) is one operation; others are described by their
primitive.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from regauge.run.jax_equations import body_of
from regauge.run.jax_origins import Origin


@dataclass(frozen=True)
class Description:
    """One operation.

    Attributes:
        function: its name.
        operands: by name of an argument the number of the operand.
        settings: the arguments that are no operands.
    """

    function: str
    operands: Mapping[str, int]
    settings: Mapping[str, Any] = field(default_factory=dict)


# functions of jax.nn and jax.numpy that are calls in a jaxpr, by the name that they have there
_NAMED = {
    "gelu": "gelu", "silu": "silu", "relu": "relu", "relu6": "relu6", "elu": "elu", "selu": "selu", "celu": "celu",
    "leaky_relu": "leaky_relu", "softplus": "softplus", "mish": "mish", "soft_sign": "softsign",
    "hard_tanh": "hardtanh", "hard_sigmoid": "hardsigmoid", "hard_silu": "hardswish", "log_sigmoid": "logsigmoid",
    "_softmax": "softmax", "softmax": "softmax", "log_softmax": "log_softmax", "_where": "where", "_var": "var",
    "_std": "std",
}  # fmt: skip
_SECOND = {"leaky_relu": "negative_slope", "elu": "alpha", "celu": "alpha", "var": "correction", "std": "correction"}

# what computes nothing that a cause could be about
SILENT = frozenset(
    {
        "broadcast_in_dim", "convert_element_type", "squeeze", "expand_dims", "iota", "eq", "ne", "lt", "le", "gt",
        "ge", "and", "or", "not", "copy", "copy_p", "random_wrap", "random_unwrap", "random_bits", "random_seed",
        "random_fold_in", "threefry2x32", "shift_right_logical", "shift_left", "bitcast_convert_type", "is_finite",
    }
)  # fmt: skip

_UNARY = {"logistic": "sigmoid", "reduce_and": "all", "reduce_or": "any", "rev": "flip", "integer_pow": "pow"}
_REDUCING = {
    "reduce_sum": "sum", "reduce_max": "amax", "reduce_min": "amin", "reduce_prod": "prod", "argmax": "argmax",
    "argmin": "argmin",
}  # fmt: skip
_CUMULATIVE = {"cumsum": "cumsum", "cumprod": "cumprod", "cummax": "cummax", "cummin": "cummin", "cumlogsumexp": ""}
# of two operands: the name, and the one where a number comes first
_BINARY = {
    "add": ("add", "add"), "add_any": ("add", "add"), "mul": ("mul", "mul"), "sub": ("sub", "rsub"),
    "div": ("div", "__rtruediv__"), "max": ("clamp_min", "clamp_min"), "min": ("clamp_max", "clamp_max"),
    "pow": ("pow", "__rpow__"),
}  # fmt: skip
_NUMBER = {"clamp_min": "min", "clamp_max": "max", "pow": "exponent"}
_SCATTERS = {"scatter": "scatter", "scatter-add": "scatter_add"}
_JOINS = {"scatter-max": "amax", "scatter-min": "amin", "scatter-mul": "prod"}


def name_of_call(equation: Any) -> str:
    """The name of a library's function that an equation calls; empty for others."""
    if body_of(equation) is None:
        return ""
    params = equation.params
    name = params.get("name") or getattr(getattr(params.get("call_jaxpr"), "jaxpr", None), "debug_info", None)
    name = name if isinstance(name, str) else getattr(name, "func_name", "")
    found = _NAMED.get(str(name).rpartition(".")[2], "")
    return found if found and len(equation.outvars) == 1 else ""


def describe(equation: Any, given: Sequence[Origin]) -> Description:
    """What an equation is.

    Args:
        equation: an operation, or a call that `name_of_call` knows.
        given: where its operands come from.
    """
    found = _described(equation, given)
    return replace(found, settings={name: _plain(value) for name, value in found.settings.items()})


def _plain(value: Any) -> Any:
    """A setting as JSON has it: `jax.vmap` leaves axes that are numbers of numpy."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def _described(equation: Any, given: Sequence[Origin]) -> Description:
    if named := name_of_call(equation):
        return _named(named, equation, given)
    primitive = equation.primitive.name
    if primitive in _BINARY:
        return _binary(primitive, equation, given)
    if primitive == "dot_general":
        return _product(equation, given)
    if primitive == "conv_general_dilated":
        return _convolution(equation)
    if primitive in ("reduce_window_max", "reduce_window_sum"):
        return _pool(primitive, equation, given)
    if primitive == "select_n" and len(equation.invars) == 3:
        return _choice(given, {"mask": 0, "input": 1, "other": 2})
    return _other(primitive, equation, given)


def _named(name: str, equation: Any, given: Sequence[Origin]) -> Description:
    inner = [inside.primitive.name for inside in inside_of(equation)]
    if name == "where":
        return _choice(given, {"mask": 0, "input": 2, "other": 1})
    operands: dict[str, int] = {"input": 0}
    settings: dict[str, Any] = {}
    if name in _SECOND and len(equation.invars) > 1:
        operands[_SECOND[name]] = 1
    if name == "gelu":
        settings["approximate"] = "tanh" if "tanh" in inner else "none"
    if name in ("softmax", "log_softmax"):
        settings["dim"] = next((_axis(i) for i in inside_of(equation) if i.primitive.name == "reduce_max"), None)
    return Description(name, operands, settings)


def inside_of(equation: Any) -> Iterator[Any]:
    """All operations of a call, those of calls within it too."""
    body = body_of(equation)
    jaxpr = getattr(body, "jaxpr", body)
    for inner in jaxpr.eqns if jaxpr is not None else ():
        if body_of(inner) is not None:
            yield from inside_of(inner)
        else:
            yield inner


def _axis(equation: Any) -> int | list[int]:
    axes = [axis - equation.invars[0].aval.ndim for axis in equation.params["axes"]]
    return axes[0] if len(axes) == 1 else axes


def _binary(primitive: str, equation: Any, given: Sequence[Origin]) -> Description:
    usual, turned = _BINARY[primitive]
    first = given[1].number is None and given[0].number is not None
    name, number = (turned if first else usual), 0 if first else 1
    if given[number].number is None:
        name = {"clamp_min": "maximum", "clamp_max": "minimum"}.get(name, name)
        return Description(name, {"input": 0, "other": 1})
    return Description(name, {"input": 1 - number, _NUMBER.get(name, "other"): number})


def _choice(given: Sequence[Origin], operands: Mapping[str, int]) -> Description:
    """One of two values by a mask: a mask that fills with a number, if one of them is a number."""
    for number, kept in (("other", "input"), ("input", "other")):
        if given[operands[number]].number is not None and given[operands[kept]].number is None:
            named = {"input": operands[kept], "mask": operands["mask"], "value": operands[number]}
            return Description("masked_fill", named)
    return Description("where", operands)


def _product(equation: Any, given: Sequence[Origin]) -> Description:
    batched = any(equation.params["dimension_numbers"][1])
    owned = [index for index, origin in enumerate(given) if origin.weight]
    if len(owned) == 1 and not batched:
        return Description("linear", {"input": 1 - owned[0], "weight": owned[0]})
    return Description("matmul", {"input": 0, "other": 1})


def _convolution(equation: Any) -> Description:
    params = equation.params
    rank = len(params["window_strides"])
    operands = {"input": 0, "weight": 1}
    if any(size != 1 for size in params["lhs_dilation"]):
        return Description(f"conv_transpose{rank}d", operands, {"groups": params["feature_group_count"]})
    settings = {
        "stride": list(params["window_strides"]),
        "padding": _padding(params["padding"]),
        "dilation": list(params["rhs_dilation"]),
        "groups": params["feature_group_count"],
    }
    return Description(f"conv{rank}d", operands, settings)


def _padding(pads: Sequence[Sequence[int]]) -> list[Any]:
    """One number for each axis, or where both ends differ the two of them."""
    return [low if low == high else [low, high] for low, high in pads]


def _pool(primitive: str, equation: Any, given: Sequence[Origin]) -> Description:
    params = equation.params
    axes = spatial_axes(equation)
    settings: dict[str, Any] = {
        "kernel_size": [params["window_dimensions"][axis] for axis in axes],
        "stride": [params["window_strides"][axis] for axis in axes],
        "padding": _padding([params["padding"][axis] for axis in axes]),
    }
    if primitive == "reduce_window_sum":
        settings["count_include_pad"] = not given[0].fixed  # the sum of ones counts what is there
    rank = min(max(len(equation.invars[0].aval.shape) - 2, 1), 3)
    return Description(f"{'max' if primitive == 'reduce_window_max' else 'avg'}_pool{rank}d", {"input": 0}, settings)


def spatial_axes(equation: Any) -> list[int]:
    """The axes along which the window of a pool reaches or moves."""
    params = equation.params
    sizes = list(zip(params["window_dimensions"], params["window_strides"], strict=True))
    return [axis for axis, (size, stride) in enumerate(sizes) if size > 1 or stride > 1]


def _other(primitive: str, equation: Any, given: Sequence[Origin]) -> Description:
    params = equation.params
    if primitive in _REDUCING:
        return Description(_REDUCING[primitive], {"input": 0}, {"dim": _axis(equation)})
    if primitive in _CUMULATIVE:
        return Description(_CUMULATIVE[primitive] or primitive, {"input": 0}, {"dim": params["axis"]})
    if primitive == "reshape":
        return Description("reshape", {"input": 0}, {"shape": list(params["new_sizes"])})
    if primitive == "transpose":
        return Description("permute", {"input": 0}, {"dims": list(params["permutation"])})
    if primitive == "concatenate":
        return Description("cat", {"input": 0}, {"dim": params["dimension"]})
    if primitive == "split":
        return Description("split", {"input": 0}, {"sizes": list(params["sizes"]), "dim": params["axis"]})
    if primitive == "slice":
        return Description("narrow", {"input": 0})
    if primitive == "gather":
        if given[0].weight:
            return Description("embedding", {"input": 1, "weight": 0})
        return Description("gather", {"input": 0, "index": 1})
    if primitive.replace("_", "-") in _JOINS:
        settings = {"reduce": _JOINS[primitive.replace("_", "-")]}
        return Description("scatter_reduce", {"input": 0, "index": 1, "src": 2}, settings)
    if primitive.replace("_", "-") in _SCATTERS:
        return Description(_SCATTERS[primitive.replace("_", "-")], {"input": 0, "index": 1, "src": 2})
    settings = {"exponent": params["y"]} if primitive == "integer_pow" else {}
    names = ("input", "other", "third")
    operands = {name: index for index, name in enumerate(names[: len(equation.invars)])}
    return Description(_UNARY.get(primitive, primitive), operands, settings)


def is_float(aval: Any) -> bool:
    return bool(jnp.issubdtype(aval.dtype, jnp.inexact))
