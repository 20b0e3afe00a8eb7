"""Layers of Keras as layers of torch; activations are not among them, they stand behind the call."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import keras

from regauge.capture.jaxpr_forms import Form, Fresh
from regauge.ir.graph import Node, Operand

Arrays = Mapping[str, Any]

_CONVOLUTION = "lax.conv_general_dilated"
_ZEROS = dict.fromkeys(("kernel_initializer", "bias_initializer"), "zeros")


def forms(module: Any, arrays: Arrays) -> Iterator[Form]:
    """The layers that a call of this module may be; none if it is no layer of Keras's own."""
    make = _FORMS.get(type(module))
    if make is not None:
        yield from make(module, arrays)


def _dense(layer: Any, arrays: Arrays) -> Iterator[Form]:
    if "kernel" not in arrays:
        return
    inner, outer = arrays["kernel"].shape
    fresh = _fresh(lambda: keras.layers.Dense(outer, use_bias="bias" in arrays, **_ZEROS))
    attributes: dict[str, Operand] = {"in_features": inner, "out_features": outer}
    yield Form("layer.linear", fresh, _leaves(arrays, kernel="kernel", bias="bias"), attributes)


def _einsum(layer: Any, arrays: Arrays) -> Iterator[Form]:
    """The last axes of the input against the first of the kernel, as attention has them: ``abc,cde->abde``."""
    operands, _, output = layer.equation.partition("->")
    given, _, kernel = operands.partition(",")
    count = sum(label in given for label in kernel)
    if "kernel" not in arrays or not count or kernel[:count] != given[-count:]:
        return
    sizes = tuple(arrays["kernel"].shape)
    inner, outer = sizes[:count], sizes[count:]
    if output != given[:-count] + kernel[count:] or ("bias" in arrays and tuple(arrays["bias"].shape) != outer):
        return
    config = {"output_shape": layer.partial_output_shape, "bias_axes": layer.bias_axes}
    fresh = _fresh(lambda: keras.layers.EinsumDense(layer.equation, **config, **_ZEROS))
    attributes: dict[str, Operand] = {"in_features": math.prod(inner), "out_features": math.prod(outer)}
    leaves = _leaves(arrays, kernel="kernel", bias="bias")
    yield Form("layer.linear", fresh, leaves, attributes, flat=(count, outer if len(outer) > 1 else ()))


def _convolution(layer: Any, arrays: Arrays) -> Iterator[Form]:
    if "kernel" not in arrays:
        return
    config = _config(layer, "filters", "kernel_size", "strides", "padding", "data_format", "dilation_rate", "groups")
    fresh = _fresh(lambda: type(layer)(**config, use_bias="bias" in arrays, **_ZEROS))
    yield Form(
        "layer.conv", fresh, _leaves(arrays, kernel="kernel", bias="bias"), _order(layer), reads=_CONVOLUTION
    )  # fmt: skip


def _depthwise(layer: Any, arrays: Arrays) -> Iterator[Form]:
    """Each channel has kernels of its own: [..., channels, kernels of each]."""
    if "kernel" not in arrays:
        return
    config = _config(layer, "kernel_size", "strides", "padding", "depth_multiplier", "data_format", "dilation_rate")
    options = {"depthwise_initializer": "zeros", "use_bias": "bias" in arrays}
    fresh = _fresh(lambda: type(layer)(**config, **options))
    yield Form(
        "layer.conv", fresh, _leaves(arrays, kernel="kernel", bias="bias"), {**_order(layer), "depthwise": True},
        reads=_CONVOLUTION,
    )  # fmt: skip


def _transposed_convolution(layer: Any, arrays: Arrays) -> Iterator[Form]:
    if "kernel" not in arrays:
        return
    names = ("filters", "kernel_size", "strides", "padding", "output_padding", "data_format", "dilation_rate")
    config = _config(layer, *names)
    fresh = _fresh(lambda: type(layer)(**config, use_bias="bias" in arrays, **_ZEROS))
    yield Form(
        "layer.conv_transpose", fresh, _leaves(arrays, kernel="kernel", bias="bias"), _order(layer),
        reads=_CONVOLUTION,
    )  # fmt: skip


def _batch_norm(layer: Any, arrays: Arrays) -> Iterator[Form]:
    """With running statistics as Flax has them: of the biased variance, the momentum being the share of the old."""
    if "moving_mean" not in arrays:
        return
    config = _config(layer, "axis", "momentum", "epsilon")
    options = {"scale": "gamma" in arrays, "center": "beta" in arrays}
    leaves = _leaves(arrays, moving_mean="mean", moving_variance="var", gamma="scale", beta="bias")
    attributes: dict[str, Operand] = {"eps": layer.epsilon, "momentum": layer.momentum}
    for train in (False, True):
        fresh = _fresh(lambda: keras.layers.BatchNormalization(**config, **options), training=train)
        yield Form(
            "layer.batch_norm", fresh, leaves, {**attributes, "channels_first": layer.axis == 1, "train": train}
        )  # fmt: skip


def _layer_norm(layer: Any, arrays: Arrays) -> Iterator[Form]:
    """Over the last axis."""
    options = {"epsilon": layer.epsilon, "scale": "gamma" in arrays, "center": "beta" in arrays}
    yield from _norm("layer.layer_norm", lambda: keras.layers.LayerNormalization(**options), layer, arrays)


def _rms_norm(layer: Any, arrays: Arrays) -> Iterator[Form]:
    yield from _norm("layer.rms_norm", lambda: keras.layers.RMSNormalization(epsilon=layer.epsilon), layer, arrays)


def _norm(op: str, make: Callable[[], Any], layer: Any, arrays: Arrays) -> Iterator[Form]:
    leaves = _leaves(arrays, gamma="scale", scale="scale", beta="bias")
    if leaves:
        features = arrays[next(iter(leaves))].shape[-1]
        yield Form(op, _fresh(make), leaves, {"features": features, "eps": float(layer.epsilon)})


def _group_norm(layer: Any, arrays: Arrays) -> Iterator[Form]:
    leaves = _leaves(arrays, gamma="scale", beta="bias")
    if not leaves:
        return
    config = _config(layer, "groups", "axis", "epsilon")
    options = {"scale": "gamma" in arrays, "center": "beta" in arrays}
    features = arrays[next(iter(leaves))].shape[0]
    attributes: dict[str, Operand] = {
        "num_groups": features if layer.groups == -1 else layer.groups, "features": features,
        "eps": float(layer.epsilon), "channels_first": layer.axis == 1,
    }  # fmt: skip
    fresh = _fresh(lambda: keras.layers.GroupNormalization(**config, **options))
    yield Form("layer.group_norm", fresh, leaves, attributes)


def _embedding(layer: Any, arrays: Arrays) -> Iterator[Form]:
    if "embeddings" not in arrays:
        return
    rows, features = arrays["embeddings"].shape
    fresh = _fresh(lambda: keras.layers.Embedding(rows, features, embeddings_initializer="zeros"))
    yield Form("layer.embedding", fresh, {"embeddings": "weight"}, {"rows": rows, "features": features})


def _dropout(layer: Any, arrays: Arrays) -> Iterator[Form]:
    rate = float(layer.rate)
    yield Form(
        "layer.dropout", lambda x, _, key: keras.random.dropout(x, rate, seed=key), {}, {"p": rate}, keyed=True
    )  # fmt: skip


_LAYERS = keras.layers
_FORMS: dict[type, Callable[[Any, Arrays], Iterator[Form]]] = {
    _LAYERS.Dense: _dense,
    _LAYERS.EinsumDense: _einsum,
    **dict.fromkeys((_LAYERS.Conv1D, _LAYERS.Conv2D, _LAYERS.Conv3D), _convolution),
    **dict.fromkeys((_LAYERS.DepthwiseConv1D, _LAYERS.DepthwiseConv2D), _depthwise),
    **dict.fromkeys(
        (_LAYERS.Conv1DTranspose, _LAYERS.Conv2DTranspose, _LAYERS.Conv3DTranspose), _transposed_convolution
    ),
    _LAYERS.BatchNormalization: _batch_norm,
    _LAYERS.LayerNormalization: _layer_norm,
    _LAYERS.RMSNormalization: _rms_norm,
    _LAYERS.GroupNormalization: _group_norm,
    _LAYERS.Embedding: _embedding,
    _LAYERS.Dropout: _dropout,
}


def _config(layer: Any, *names: str) -> dict[str, Any]:
    return {name: getattr(layer, name) for name in names}


def _order(layer: Any) -> dict[str, Operand]:
    return {"channels_first": layer.data_format == "channels_first"}


def _leaves(arrays: Arrays, **operands: str) -> dict[str, str]:
    return {leaf: operand for leaf, operand in operands.items() if leaf in arrays}


def _fresh(make: Callable[[], Any], **call: Any) -> Fresh:
    """A call of a fresh layer; with what it makes of its statistics, where it trains."""

    def run(x: Any, arrays: Arrays, key: Any) -> Any:
        with jax.ensure_compile_time_eval():  # its variables must have values
            layer = make()
            layer.build(tuple(size if isinstance(size, int) else None for size in x.shape))
        trained = [arrays[variable.name] for variable in layer.trainable_variables]
        others = [arrays[variable.name] for variable in layer.non_trainable_variables]
        outputs, updated = layer.stateless_call(trained, others, x, **call)
        return (outputs, *updated) if call.get("training") else outputs

    return run


def parts(module: Any, nodes: Sequence[Node]) -> Iterator[tuple[str, Any, int]]:
    """The layers of torch that a call of one layer of Keras is made of, one after the other; none for one or no layer.

    Args:
        module: that was called.
        nodes: of the call.

    Yields:
        The name of each part, a layer of Keras that is the same, and where its nodes end.
    """
    separable = {_LAYERS.SeparableConv1D: (_LAYERS.DepthwiseConv1D, _LAYERS.Conv1D)}
    separable[_LAYERS.SeparableConv2D] = (_LAYERS.DepthwiseConv2D, _LAYERS.Conv2D)
    convolutions = [position for position, node in enumerate(nodes) if node.op == _CONVOLUTION]
    if type(module) not in separable or len(convolutions) != 2:
        return
    depthwise, pointwise = separable[type(module)]
    names = ("kernel_size", "strides", "padding", "depth_multiplier", "data_format", "dilation_rate")
    yield "depthwise", depthwise(**_config(module, *names), use_bias=False), convolutions[0] + 1
    config = _config(module, "filters", "data_format", "dilation_rate")
    yield "pointwise", pointwise(kernel_size=1, **config, use_bias=module.use_bias), len(nodes)
