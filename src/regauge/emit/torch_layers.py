"""Recognised layers for torch: calls that capture proved to be a layer, as the module of torch.nn that is the same.

Arrays of the original become those of torch's module by permutations and reshapes alone (`weights/layout.py`), so the
map stays one to one and exact to the bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from regauge.emit.layers import Context, Layer, Layout, Text, owns_all
from regauge.emit.scopes import Scope
from regauge.ir.graph import Node, Ref, WeightSpec

Recogniser = Callable[[Node, Context], Layer | None]
_RECOGNISERS: dict[str, Recogniser] = {}


def recognises(op: str) -> Callable[[Recogniser], Recogniser]:
    def register(fn: Recogniser) -> Recogniser:
        _RECOGNISERS[op] = fn
        return fn

    return register


def recognise(scope: Scope, context: Context) -> Layer | None:
    """The torch layer that this call is, or None."""
    if len(scope.items) != 1 or not isinstance(scope.items[0], Node):
        return None
    node = scope.items[0]
    if node.op not in _RECOGNISERS:
        return None
    layer = _RECOGNISERS[node.op](node, context)
    if layer is None or not owns_all(scope, layer, context):
        return None
    trained = _trained(node, layer, context)
    if len(trained) > 1:
        return None  # the parameters of a module train together, or one by one in code of its own
    layer = replace(layer, frozen=trained == {False})
    return layer if scope.outputs == [layer.output] else None


def _trained(node: Node, layer: Layer, context: Context) -> set[bool]:
    """Whether the weights train that become parameters of a layer; running statistics are none."""
    read = [context.weights[o.name] for _, o in node.arguments if isinstance(o, Ref) and o.name in context.weights]
    attributes = {spec.name: layer.weights.get(_leaf(spec), ("", ()))[0] for spec in read}
    return {spec.trainable for spec in read if not attributes[spec.name].startswith("running_")}


# weights ---------------------------------------------------------------------------------------------------------


def _weight(node: Node, context: Context, name: str) -> WeightSpec | None:
    operand = dict(node.arguments).get(name)
    return context.weights.get(operand.name) if isinstance(operand, Ref) else None


def _known(node: Node, context: Context, *names: str) -> bool:
    """Whether all of these operands that the node has are weights."""
    return all(_weight(node, context, name) is not None for name in names if name in dict(node.arguments))


def _sizes(spec: WeightSpec) -> tuple[int, ...]:
    return tuple(size for size in spec.spec.shape if isinstance(size, int))


def _leaf(spec: WeightSpec) -> str:
    return spec.name.rsplit(".", 1)[-1]


def _flat(spec: WeightSpec) -> Layout:
    """A bias of one axis."""
    sizes = _sizes(spec)
    total = 1
    for size in sizes:
        total *= size
    return () if len(sizes) == 1 else (("reshape", (total,)),)


def _dtype(spec: WeightSpec) -> dict[str, Any]:
    return {} if spec.spec.dtype == "float32" else {"dtype": Text(f"torch.{spec.spec.dtype}")}


def _layer(node: Node, constructor: str, arguments: tuple[Any, ...], keywords: dict[str, Any], weights: Any) -> Layer:
    source = node.argument("x")
    inputs = (source.name,) if isinstance(source, Ref) else ()
    return Layer(constructor, arguments, keywords, weights, inputs, node.outputs[0].name, rngs=False)


def _number(node: Node, name: str) -> Any:
    return node.argument(name)


# layers ----------------------------------------------------------------------------------------------------------


@recognises("layer.linear")
def linear(node: Node, context: Context) -> Layer | None:
    kernel, bias = _weight(node, context, "kernel"), _weight(node, context, "bias")
    if kernel is None or not _known(node, context, "bias"):
        return None
    inner, outer = _number(node, "in_features"), _number(node, "out_features")
    layout: Layout = ()
    if not dict(node.arguments).get("as_torch"):
        joined: Layout = (("reshape", (inner, outer)),) if len(_sizes(kernel)) > 2 else ()
        layout = (*joined, ("permute", (1, 0)))
    weights = {_leaf(kernel): ("weight", layout)}
    if bias is not None:
        weights[_leaf(bias)] = ("bias", _flat(bias))
    keywords = ({} if bias is not None else {"bias": False}) | _dtype(kernel)
    return _layer(node, "nn.Linear", (inner, outer), keywords, weights)


@recognises("layer.conv")
def conv(node: Node, context: Context) -> Layer | None:
    kernel, bias = _weight(node, context, "kernel"), _weight(node, context, "bias")
    arguments: dict[str, Any] = dict(node.arguments)
    if kernel is None or not _known(node, context, "bias") or not arguments["channels_first"]:
        return None
    strides, dilation, groups = arguments["strides"], arguments["rhs_dilation"], arguments["groups"]
    rank = len(strides)
    sizes = _sizes(kernel)
    flat: Layout = ()
    if arguments.get("depthwise"):
        sizes = (*sizes[:-2], 1, sizes[-2] * sizes[-1])
        flat = (("reshape", sizes),)
    outer, inner, *window = sizes if arguments.get("as_torch") else (sizes[-1], sizes[-2], *sizes[:-2])
    padding = _padding(arguments["padding"], tuple(window), strides, dilation)
    if padding is None or set(arguments["lhs_dilation"]) != {1}:
        return None
    keywords: dict[str, Any] = {}
    if set(strides) != {1}:
        keywords["stride"] = _short(strides)
    if padding != 0:
        keywords["padding"] = padding
    if set(dilation) != {1}:
        keywords["dilation"] = _short(dilation)
    if groups != 1:
        keywords["groups"] = groups
    if bias is None:
        keywords["bias"] = False
    to_torch: Layout = () if arguments.get("as_torch") else (*flat, ("permute", (rank + 1, rank, *range(rank))))
    weights = {_leaf(kernel): ("weight", to_torch)}
    if bias is not None:
        weights[_leaf(bias)] = ("bias", _flat(bias))
    positional = (inner * groups, outer, _short(tuple(window)))
    return _layer(node, f"nn.Conv{rank}d", positional, keywords | _dtype(kernel), weights)


def _short(values: tuple[int, ...]) -> Any:
    """One number where all axes agree, as a person writes it."""
    return values[0] if len(set(values)) == 1 else values


def _padding(
    pairs: tuple[tuple[int, int], ...], window: tuple[int, ...], strides: tuple[int, ...], dilation: tuple[int, ...]
) -> Any:
    """The padding of a torch convolution: "same", a number, one an axis; None if torch has none like it."""
    if all(pair == (0, 0) for pair in pairs):
        return 0
    reach = [d * (k - 1) for k, d in zip(window, dilation, strict=True)]
    if set(strides) == {1} and all(p == (r // 2, r - r // 2) for p, r in zip(pairs, reach, strict=True)):
        return "same"
    if any(low != high or low < 0 for low, high in pairs):
        return None
    return _short(tuple(low for low, _ in pairs))


@recognises("layer.conv_transpose")
def conv_transpose(node: Node, context: Context) -> Layer | None:
    kernel, bias = _weight(node, context, "kernel"), _weight(node, context, "bias")
    arguments: dict[str, Any] = dict(node.arguments)
    if kernel is None or not _known(node, context, "bias") or not arguments["channels_first"]:
        return None
    *window, outer, inner = _sizes(kernel)
    rank = len(window)
    strides, dilation, pairs = arguments["lhs_dilation"], arguments["rhs_dilation"], arguments["padding"]
    crop = tuple(d * (k - 1) - low for k, d, (low, _) in zip(window, dilation, pairs, strict=True))
    rest = tuple(high - low for low, high in pairs)
    fits = all(c >= 0 and 0 <= r < max(s, d) for c, r, s, d in zip(crop, rest, strides, dilation, strict=True))
    if not fits or set(arguments["strides"]) != {1} or arguments["groups"] != 1:
        return None
    keywords: dict[str, Any] = {}
    for name, values, default in (
        ("stride", strides, 1), ("padding", crop, 0), ("output_padding", rest, 0), ("dilation", dilation, 1)
    ):  # fmt: skip
        if set(values) != {default}:
            keywords[name] = _short(values)
    if bias is None:
        keywords["bias"] = False
    weights: dict[str, tuple[str, Layout]] = {_leaf(kernel): ("weight", (("permute", (rank + 1, rank, *range(rank))),))}
    if bias is not None:
        weights[_leaf(bias)] = ("bias", _flat(bias))
    positional = (inner, outer, _short(tuple(window)))
    return _layer(node, f"nn.ConvTranspose{rank}d", positional, keywords | _dtype(kernel), weights)


@recognises("layer.layer_norm")
@recognises("layer.rms_norm")
@recognises("layer.group_norm")
def norm(node: Node, context: Context) -> Layer | None:
    arguments: dict[str, Any] = dict(node.arguments)
    scale, bias = _weight(node, context, "scale"), _weight(node, context, "bias")
    if not _known(node, context, "scale", "bias") or (scale is None and bias is not None):
        return None
    kind = node.op.removeprefix("layer.")
    name = {"layer_norm": "nn.LayerNorm", "rms_norm": "nn.RMSNorm", "group_norm": "nn.GroupNorm"}[kind]
    keywords: dict[str, Any] = {} if arguments["eps"] == 1e-5 and kind != "rms_norm" else {"eps": arguments["eps"]}
    positional: tuple[Any, ...] = (arguments["features"],)
    if kind == "group_norm":
        if not arguments["channels_first"] or (scale is None) != (bias is None):
            return None
        positional = (arguments["num_groups"], *positional)
    if scale is None:
        keywords["affine" if kind == "group_norm" else "elementwise_affine"] = False
    elif bias is None and kind == "layer_norm":
        keywords["bias"] = False
    weights: dict[str, tuple[str, Layout]] = {}
    for spec, attribute in ((scale, "weight"), (bias, "bias")):
        if spec is not None:
            weights[_leaf(spec)] = (attribute, ())
    return _layer(node, name, positional, keywords | (_dtype(scale) if scale is not None else {}), weights)


@recognises("layer.batch_norm")
def batch_norm(node: Node, context: Context) -> Layer | None:
    """The copied class `BatchNorm`: torch's own keeps the unbiased variance."""
    arguments: dict[str, Any] = dict(node.arguments)
    mean, scale, bias = (_weight(node, context, name) for name in ("mean", "scale", "bias"))
    var = _weight(node, context, "var")
    if mean is None or var is None or not _known(node, context, "scale", "bias") or not arguments.get("follows"):
        return None
    if not arguments["channels_first"] and len(node.outputs[0].spec.shape) != 2:
        return None
    if any(spec is not None and spec.spec.dtype != "float32" for spec in (mean, var, scale, bias)):
        return None
    keywords: dict[str, Any] = {}
    if arguments["eps"] != 1e-5:
        keywords["eps"] = arguments["eps"]
    if arguments["momentum"] != 0.99:
        keywords["momentum"] = arguments["momentum"]
    weights: dict[str, tuple[str, Layout]] = {_leaf(mean): ("running_mean", ()), _leaf(var): ("running_var", ())}
    for name, spec, attribute in (("scale", scale, "weight"), ("bias", bias, "bias")):
        if spec is None:
            keywords[name] = False
        else:
            weights[_leaf(spec)] = (attribute, ())
    return _layer(node, "BatchNorm", (_sizes(mean)[0],), keywords, weights)


@recognises("layer.embedding")
def embedding(node: Node, context: Context) -> Layer | None:
    weight = _weight(node, context, "weight")
    if weight is None:
        return None
    sizes = (_number(node, "rows"), _number(node, "features"))
    return _layer(node, "nn.Embedding", sizes, _dtype(weight), {_leaf(weight): ("weight", ())})


@recognises("layer.dropout")
def dropout(node: Node, context: Context) -> Layer | None:
    if not dict(node.arguments).get("follows"):
        return None  # evaluation has it too
    constructor = "SharedDropout" if dict(node.arguments).get("shared") else "nn.Dropout"
    return _layer(node, constructor, (_number(node, "p"),), {}, {})
