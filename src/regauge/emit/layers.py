"""Recognised layers: calls of modules that one NNX module, with every argument written, equals exactly.

An entry looks at the operators that really ran in the call, not at the module's class: a person's own class whose
forward is `F.layer_norm` of its weights is a layer too, a subclass of torch's layer with another forward, or a layer
with an option that NNX lacks, does not match and is emitted from its operators.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from regauge.emit.layer_casts import before_casts, computes_in_one_dtype
from regauge.emit.scopes import Scope
from regauge.ir.graph import Graph, Node, Ref, TensorSpec, WeightSpec, node_inputs

Layout = tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True)
class Layer:
    """A recognised call: how the module is constructed, and where the original's weights are in it.

    Attributes:
        constructor: ``nnx.Linear`` or a class of `rules.modules.nnx_modules`.
        arguments: positional arguments as Python values.
        keywords: keyword arguments as Python values; dtypes as `Text`.
        weights: the original's leaf name -> (attribute, layout).
        inputs: the values that the call takes.
        output: the value that it makes.
        rngs: whether the constructor takes ``rngs=rngs``.
        unused: leaf names of weights that the NNX module does not need, with the reason.
        frozen: whether its parameters are weights that do not train.
    """

    constructor: str
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    weights: dict[str, tuple[str, Layout]]
    inputs: tuple[str, ...]
    output: str
    rngs: bool = True
    unused: dict[str, str] = field(default_factory=dict)
    frozen: bool = False

    @property
    def made(self) -> tuple[str, ...]:
        """How the module is made and what it holds: one module can serve all calls for which this is equal."""
        held = repr(sorted(self.weights.items()))
        return self.constructor, repr(self.arguments), repr(self.keywords), held, repr(self.frozen)


@dataclass(frozen=True)
class Text:
    """A value that is written as this expression."""

    text: str


@dataclass(frozen=True)
class Context:
    """What recognition looks up: weights by value name, specs by value name.

    `frozen` says that modules were left in evaluation while the model trains (C121): their layers must not follow
    model.train(), as nnx.Dropout and BatchNorm do. `lent` are names of weights that other modules read than their own.
    `mode` is ``training`` or ``evaluation`` where the person's code was captured in both, and differs.
    """

    weights: dict[str, WeightSpec]
    specs: dict[str, TensorSpec]
    frozen: bool = False
    lent: frozenset[str] = frozenset()
    mode: str = ""

    def weight(self, node: Node, argument: str) -> WeightSpec | None:
        operand = node.argument(argument)
        return self.weights.get(operand.name) if isinstance(operand, Ref) else None


Recogniser = Callable[[Scope, Node, Context], Layer | None]
LAYERS: dict[str, Recogniser] = {}


def recognises(op: str) -> Callable[[Recogniser], Recogniser]:
    def register(fn: Recogniser) -> Recogniser:
        LAYERS[op] = fn
        return fn

    return register


def recognise(scope: Scope, context: Context, recognisers: Mapping[str, Recogniser]) -> Layer | None:
    """The NNX layer that this call is, or None; `recognisers` by the operator that they look at."""
    if any(isinstance(item, Scope) for item in scope.items):
        return None
    nodes = [item for item in scope.items if isinstance(item, Node)]
    main, dtype = before_casts(scope, [node for node in nodes if not counts_batches(node, context)])
    if len(main) != 1 or main[0].op not in recognisers:
        return None
    layer = recognisers[main[0].op](scope, main[0], context)
    if layer is None or not owns_all(scope, layer, context):
        return None
    if any(f"{scope.path}.{leaf}" in context.lent for leaf in layer.unused):
        return None
    if {name for name in node_inputs(main[0]) if name not in context.weights} - set(layer.inputs):
        return None  # a weight was computed elsewhere: by torch.func.functional_call, or by what changed it in place
    if any(0 in context.weights[name].spec.shape for name in node_inputs(main[0]) if name in context.weights):
        return None  # Flax divides by the number of features where it makes a weight
    if dtype:
        layer = replace(layer, keywords=layer.keywords | {"dtype": Text(f"jnp.{dtype}")})
    elif not computes_in_one_dtype(*_dtypes(scope, layer, context)):
        return None
    return layer if scope.outputs == [layer.output] else None


def is_of_torch(scope: Scope) -> bool:
    """Whether a call is one of torch's own modules."""
    return scope.step.type.startswith("torch.nn.")


def lent_weights(graph: Graph) -> frozenset[str]:
    """Names of weights that code of another module reads than the one that holds them."""
    weights = {weight.value: weight.name for weight in graph.weights if weight.value}
    reads = [(weights[n], node.origin.path) for node in graph.nodes for n in node_inputs(node) if n in weights]
    return frozenset(name for name, path in reads if name.rpartition(".")[0] != path)


def counts_batches(node: Node, context: Context) -> bool:
    """Whether an operator counts the batches of a batch norm, which no layer here does."""
    used = [context.weights[r.name].name for _, r in node.arguments if isinstance(r, Ref) and r.name in context.weights]
    return len(used) == 1 and used[0].endswith("num_batches_tracked") and node.op == "aten.add.Tensor"


def owns_all(scope: Scope, layer: Layer, context: Context) -> bool:
    """All weights that the call reads belong to the module itself and are not borrowed or tied elsewhere."""
    read = [
        context.weights[n]
        for node in scope.nodes()
        for _, o in node.arguments
        for n in _refs(o)
        if n in context.weights
    ]
    leaves = {spec.name.removeprefix(scope.path + ".") for spec in read if spec.tied_to is None}
    foreign = any(not spec.name.startswith(scope.path + ".") or spec.tied_to is not None for spec in read)
    return not foreign and leaves <= set(layer.weights) | set(layer.unused)


def _dtypes(scope: Scope, layer: Layer, context: Context) -> tuple[list[TensorSpec], list[WeightSpec], TensorSpec]:
    """The inputs, the weights and the output of a layer."""
    read = dict.fromkeys(name for node in scope.nodes() for _, operand in node.arguments for name in _refs(operand))
    weights = [context.weights[name] for name in read if name in context.weights]
    held = [spec for spec in weights if spec.name.removeprefix(scope.path + ".") in layer.weights]
    return [context.specs[name] for name in layer.inputs], held, context.specs[layer.output]


def _refs(operand: Any) -> list[str]:
    return [operand.name] if isinstance(operand, Ref) else []


def ref_name(operand: Any) -> str:
    """The value that an operand is, or an empty string."""
    return operand.name if isinstance(operand, Ref) else ""


def param_dtype(spec: TensorSpec) -> dict[str, Any]:
    """The keyword of a layer whose weights are not float32."""
    return {} if spec.dtype == "float32" else {"param_dtype": Text(f"jnp.{spec.dtype}")}


def _fixed(spec: TensorSpec) -> tuple[int, ...]:
    return tuple(d for d in spec.shape if isinstance(d, int))


@recognises("aten.linear.default")
def linear(scope: Scope, node: Node, context: Context) -> Layer | None:
    weight, bias = context.weight(node, "weight"), context.weight(node, "bias")
    if weight is None or (node.argument("bias") is not None and bias is None):
        return None
    out_features, in_features = _fixed(weight.spec)
    keywords: dict[str, Any] = {} if bias else {"use_bias": False}
    weights: dict[str, tuple[str, Layout]] = {"weight": ("kernel", (("permute", (1, 0)),))}
    if bias:
        weights["bias"] = ("bias", ())
    return Layer(
        "nnx.Linear",
        (in_features, out_features),
        keywords | param_dtype(weight.spec),
        weights,
        (ref_name(node.argument("input")),),
        node.outputs[0].name,
    )


def _per_axis(value: Any, rank: int) -> tuple[int, ...]:
    items = tuple(value) if isinstance(value, tuple) else (value,)
    return items * rank if len(items) == 1 else items


def _short(values: tuple[int, ...]) -> Any:
    """One number where all axes agree, as a person writes it."""
    return values[0] if len(set(values)) == 1 else values


def convolution(scope: Scope, node: Node, context: Context) -> Layer | None:
    """nnx.Conv on channels-last arrays; kernels are stored as HWIO."""
    weight, bias = context.weight(node, "weight"), context.weight(node, "bias")
    channels_last = dict(node.arguments).get("channels_last") is True
    if weight is None or not channels_last or (node.argument("bias") is not None and bias is None):
        return None
    out_features, in_per_group, *kernel = _fixed(weight.spec)
    rank = len(kernel)
    groups = node.argument("groups")
    stride, dilation = _per_axis(node.argument("stride"), rank), _per_axis(node.argument("dilation"), rank)
    padding = node.argument("padding")
    if not isinstance(groups, int) or not isinstance(padding, str | tuple | int):
        return None
    keywords: dict[str, Any] = {"kernel_size": tuple(kernel)}
    if set(stride) != {1}:
        keywords["strides"] = _short(stride)
    padding = padding.upper() if isinstance(padding, str) else _padding(_per_axis(padding, rank))
    if set(kernel) != {1} or padding not in ("SAME", "VALID"):  # which are one, and the default, for a single pixel
        keywords["padding"] = padding
    if set(dilation) != {1}:
        keywords["kernel_dilation"] = _short(dilation)
    if groups != 1:
        keywords["feature_group_count"] = groups
    if bias is None:
        keywords["use_bias"] = False
    to_hwio = (*range(2, rank + 2), 1, 0)
    weights: dict[str, tuple[str, Layout]] = {"weight": ("kernel", (("permute", to_hwio),))}
    if bias:
        weights["bias"] = ("bias", ())
    return Layer(
        "nnx.Conv",
        (in_per_group * groups, out_features),
        keywords | param_dtype(weight.spec),
        weights,
        (ref_name(node.argument("input")),),
        node.outputs[0].name,
    )


def _padding(padding: tuple[int, ...]) -> Any:
    return "VALID" if set(padding) == {0} else _short(padding)


for _op in ("conv1d", "conv2d", "conv3d"):
    for _overload in ("default", "padding"):
        recognises(f"aten.{_op}.{_overload}")(convolution)


def transposed_convolution(scope: Scope, node: Node, context: Context) -> Layer | None:
    """nnx.ConvTranspose on channels-last arrays, with the kernel of the convolution that it transposes."""
    weight, bias = context.weight(node, "weight"), context.weight(node, "bias")
    channels_last = dict(node.arguments).get("channels_last") is True
    if weight is None or not channels_last or (node.argument("bias") is not None and bias is None):
        return None
    in_features, out_features, *kernel = _fixed(weight.spec)
    rank = len(kernel)
    per_axis = {n: _per_axis(node.argument(n), rank) for n in ("stride", "dilation", "padding", "output_padding")}
    if node.argument("groups") != 1:
        return None  # nnx.ConvTranspose has no groups
    keywords: dict[str, Any] = {"kernel_size": tuple(kernel)}
    if set(per_axis["stride"]) != {1}:
        keywords["strides"] = per_axis["stride"]
    # torch's padding cuts from the full result; JAX's counts from the dilated input
    reach = [d * (k - 1) for k, d in zip(kernel, per_axis["dilation"], strict=True)]
    keywords["padding"] = tuple(
        (r - p, r - p + o) for r, p, o in zip(reach, per_axis["padding"], per_axis["output_padding"], strict=True)
    )
    if set(per_axis["dilation"]) != {1}:
        keywords["kernel_dilation"] = per_axis["dilation"]
    if bias is None:
        keywords["use_bias"] = False
    keywords["transpose_kernel"] = True
    weights: dict[str, tuple[str, Layout]] = {"weight": ("kernel", (("permute", (*range(2, rank + 2), 1, 0)),))}
    if bias:
        weights["bias"] = ("bias", ())
    return Layer(
        "nnx.ConvTranspose",
        (in_features, out_features),
        keywords | param_dtype(weight.spec),
        weights,
        (ref_name(node.argument("input")),),
        node.outputs[0].name,
    )


for _op, _overload in (("conv_transpose1d", "default"), ("conv_transpose2d", "input"), ("conv_transpose3d", "input")):
    recognises(f"aten.{_op}.{_overload}")(transposed_convolution)


@recognises("aten.embedding.default")
def embedding(scope: Scope, node: Node, context: Context) -> Layer | None:
    weight = context.weight(node, "weight")
    if weight is None or node.argument("scale_grad_by_freq") is True:  # which no layer does: the rule does
        return None
    rows, features = _fixed(weight.spec)
    padding_idx = node.argument("padding_idx")
    weights: dict[str, tuple[str, Layout]] = {"weight": ("embedding", ())}
    keywords = param_dtype(weight.spec)
    constructor = "nnx.Embed"
    if isinstance(padding_idx, int) and padding_idx >= 0:
        constructor, keywords = "Embedding", {"padding_idx": padding_idx} | keywords
    return Layer(
        constructor, (rows, features), keywords, weights, (ref_name(node.argument("indices")),), node.outputs[0].name
    )


@recognises("aten.dropout.default")
def dropout(scope: Scope, node: Node, context: Context) -> Layer | None:
    if node.always or (context.frozen and node.argument("train") is False):
        return None
    return Layer(
        "nnx.Dropout", (node.argument("p"),), {}, {}, (ref_name(node.argument("input")),), node.outputs[0].name
    )
