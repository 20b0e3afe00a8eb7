"""What a change of the order of axes means for an operator of lax: nothing, or other numbers in its attributes."""

from __future__ import annotations

from typing import Any

from regauge.ir.graph import Node, Operand

# Operators that act element by element on arrays of one shape.
ELEMENTWISE = frozenset(
    {f"lax.{name}" for name in (
        "abs", "acos", "acosh", "add", "add_any", "and", "asin", "asinh", "atan", "atan2", "atanh", "cbrt", "ceil",
        "clamp", "convert_element_type", "copy", "cos", "cosh", "div", "eq", "erf", "erf_inv", "erfc", "exp", "exp2",
        "expm1", "floor", "ge", "gt", "integer_pow", "is_finite", "le", "log", "log1p", "logistic", "lt", "max", "min",
        "mul", "ne", "neg", "nextafter", "not", "or", "pow", "reduce_precision", "rem", "round", "rsqrt", "select_n",
        "sign", "sin", "sinh", "sqrt", "square", "stop_gradient", "sub", "tan", "tanh", "xor",
    )}
    | {f"jax.nn.{name}" for name in (
        "relu", "relu6", "gelu", "silu", "hard_silu", "elu", "celu", "selu", "softplus", "log_sigmoid", "mish",
    )}
    | {"jax.logaddexp", "layer.dropout"}
)  # fmt: skip

# Attributes that have one item for each axis.
_PER_AXIS = (
    "window_dimensions", "window_strides", "padding", "base_dilation", "window_dilation", "padding_config",
    "start_indices", "limit_indices", "strides",
)  # fmt: skip
_WINDOWS = frozenset(
    {"lax.reduce_window_max", "lax.reduce_window_min", "lax.reduce_window_sum", "lax.pad", "lax.slice"}
)
_ALONG = {
    "lax.concatenate": "dimension",
    "jax.nn.softmax": "axis",
    "jax.nn.log_softmax": "axis",
    "jax.nn.glu": "axis",
    "lax.cumsum": "axis",
}
_REDUCTIONS = {
    **{f"jnp.{kind}": "axis" for kind in ("mean", "var", "sum", "max", "min", "prod")},
    "jax.nn.logsumexp": "axis",
    **{f"lax.reduce_{kind}": "axes" for kind in ("sum", "max", "min", "prod", "and", "or")},
}  # fmt: skip


def mapped_axes(node: Node, rank: int, order: tuple[int, ...]) -> tuple[Node, bool] | None:
    """An operator on arrays whose axes were brought into another order.

    Args:
        node: the operator on arrays of this rank.
        rank: of its arrays.
        order: the original axis that stands at each place now.

    Returns:
        The operator with its attributes changed, and whether its result has all axes, in the new order; without them
        the result is what it was. None where neither holds.
    """
    arguments: dict[str, Any] = dict(node.arguments)
    if node.op in _WINDOWS:
        changes: dict[str, Operand] = {
            name: tuple(arguments[name][axis] for axis in order) for name in _PER_AXIS if arguments.get(name)
        }
        return node.with_arguments(**changes), True
    if node.op == "lax.getitem":
        index = arguments[
            "index"
        ]  # of each axis None, which is all of it, or a slice of three numbers, or what it takes out
        if len(index) != rank or not all(
            item is None or (isinstance(item, tuple) and len(item) == 3) for item in index
        ):
            return None
        return node.with_arguments(index=tuple(index[axis] for axis in order)), True
    if node.op in _ALONG:
        name = _ALONG[node.op]
        return node.with_arguments(**{name: order.index(arguments[name] % rank)}), True
    if node.op == "jax.image.resize":
        images = tuple(order.index(axis) for axis in arguments["axes"])
        return (node.with_arguments(axes=images), True) if images == tuple(range(2, rank)) else None
    if node.op in _REDUCTIONS:
        name = _REDUCTIONS[node.op]
        given = arguments[name] if isinstance(arguments[name], tuple) else (arguments[name],)
        axes = [axis % rank for axis in given]
        mapped = tuple(sorted(order.index(axis) for axis in axes))
        changed = node.with_arguments(**{name: mapped if isinstance(arguments[name], tuple) else mapped[0]})
        if arguments.get("keepdims"):
            return changed, True
        left = [axis for axis in order if axis not in axes]
        return (changed, False) if left == sorted(left) else None
    return None


def is_pool(node: Node) -> bool:
    """Whether a node is a pooling of images that are channels-last."""
    if node.op not in ("lax.reduce_window_max", "lax.reduce_window_sum"):
        return False
    arguments: dict[str, Any] = dict(node.arguments)
    spec, sizes = node.outputs[0].spec, arguments["window_dimensions"]
    ends = (0, -1)
    plain = all(sizes[end] == arguments["window_strides"][end] == 1 for end in ends)
    plain = (
        plain and all(arguments["padding"][end] == (0, 0) for end in ends) and set(arguments["base_dilation"]) == {1}
    )
    return plain and 3 <= spec.ndim <= 5 and spec.dtype.startswith(("float", "bfloat")) and sizes[1] != 1
