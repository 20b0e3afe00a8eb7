"""Recognised norms: layer, root-mean-square, group and batch norms as NNX modules."""

from __future__ import annotations

from typing import Any

from regauge.emit.layers import Context, Layer, Layout, Recogniser, is_of_torch, param_dtype, ref_name
from regauge.emit.scopes import Scope
from regauge.ir.graph import Node, TensorSpec, WeightSpec

_TRAINS = {"training": True, "evaluation": False}  # batch norms, by the mode of the capture


def _scale_and_bias(weight: WeightSpec | None, bias: WeightSpec | None, keywords: dict[str, Any]) -> dict[str, Any]:
    weights: dict[str, tuple[str, Layout]] = {}
    if weight is not None:
        weights["weight"] = ("scale", ())
    else:
        keywords["use_scale"] = False
    if bias is not None:
        weights["bias"] = ("bias", ())
    else:
        keywords["use_bias"] = False
    return weights


def layer_norm(scope: Scope, node: Node, context: Context) -> Layer | None:
    shape = node.argument("normalized_shape")
    if not isinstance(shape, tuple) or len(shape) != 1 or not isinstance(shape[0], int):
        return None
    keywords: dict[str, Any] = {"epsilon": node.argument("eps")}
    weight, bias = context.weight(node, "weight"), context.weight(node, "bias")
    source = ref_name(node.argument("input"))
    constructor = "LayerNorm"
    if any(spec.dtype not in ("float32", "float64") for spec in (context.specs[source], *_specs(weight, bias))):
        constructor, keywords["use_fast_variance"] = "nnx.LayerNorm", False  # it computes in float32, as torch does
    weights = _scale_and_bias(weight, bias, keywords)
    keywords |= param_dtype(weight.spec) if weight else {}
    return Layer(constructor, (shape[0],), keywords, weights, (source,), node.outputs[0].name)


def _specs(*weights: WeightSpec | None) -> tuple[TensorSpec, ...]:
    return tuple(weight.spec for weight in weights if weight is not None)


def rms_norm(scope: Scope, node: Node, context: Context) -> Layer | None:
    shape, epsilon = node.argument("normalized_shape"), node.argument("eps")
    weight = context.weight(node, "weight")
    spec = context.specs[ref_name(node.argument("input"))]
    if not isinstance(shape, tuple) or len(shape) != 1 or not isinstance(shape[0], int) or weight is None:
        return None
    if epsilon is None and spec.dtype == "float32":
        epsilon = 1.1920928955078125e-07  # torch: the epsilon of the input's dtype
    if epsilon is None:
        return None
    keywords = {"epsilon": epsilon, "use_fast_variance": False} | param_dtype(weight.spec)
    weights: dict[str, tuple[str, Layout]] = {"weight": ("scale", ())}
    return Layer(
        "nnx.RMSNorm", (shape[0],), keywords, weights, (ref_name(node.argument("input")),), node.outputs[0].name
    )


def group_norm(scope: Scope, node: Node, context: Context) -> Layer | None:
    if dict(node.arguments).get("channels_last") is not True:
        return None
    weight, bias = context.weight(node, "weight"), context.weight(node, "bias")
    channels = context.specs[ref_name(node.argument("input"))].shape[-1]
    keywords: dict[str, Any] = {
        "num_groups": node.argument("num_groups"),
        "epsilon": node.argument("eps"),
        "use_fast_variance": False,
    }
    weights = _scale_and_bias(weight, bias, keywords)
    keywords |= param_dtype(weight.spec) if weight else {}
    return Layer(
        "nnx.GroupNorm", (channels,), keywords, weights, (ref_name(node.argument("input")),), node.outputs[0].name
    )


def batch_norm(scope: Scope, node: Node, context: Context) -> Layer | None:
    mean, var = context.weight(node, "running_mean"), context.weight(node, "running_var")
    weight, bias = context.weight(node, "weight"), context.weight(node, "bias")
    spec = context.specs[ref_name(node.argument("input"))]
    last = spec.ndim == 2 or dict(node.arguments).get("channels_last") is True
    if context.frozen and node.argument("training") is False:
        return None
    if not is_of_torch(scope) and node.argument("training") is not _TRAINS.get(context.mode):
        return None  # whether code of the person's own follows the mode is known where both were captured
    if mean is None or var is None or not last or (weight is None) != (bias is None):
        return None
    keywords: dict[str, Any] = {"epsilon": node.argument("eps"), "momentum": node.argument("momentum")}
    weights: dict[str, tuple[str, Layout]] = {"running_mean": ("mean", ()), "running_var": ("var", ())}
    if weight is None:
        keywords["affine"] = False
    else:
        weights |= {"weight": ("scale", ()), "bias": ("bias", ())}
    return Layer(
        "BatchNorm",
        (mean.spec.shape[0],),
        keywords | param_dtype(mean.spec),
        weights,
        (ref_name(node.argument("input")),),
        node.outputs[0].name,
        rngs=False,
        unused={"num_batches_tracked": "a counter that nothing reads"},
    )


NORMS: dict[str, Recogniser] = {
    "aten.layer_norm.default": layer_norm,
    "aten.rms_norm.default": rms_norm,
    "aten.group_norm.default": group_norm,
    "aten.batch_norm.default": batch_norm,
}
