"""Modules of Haiku as layers of torch; their parameters are called `w`, `b`, `scale`, `offset` and `embeddings`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import haiku as hk

from regauge.capture.jaxpr_forms import Form, Fresh
from regauge.ir.graph import Operand

Arrays = Mapping[str, Any]


def forms(module: Any, arrays: Arrays) -> Iterator[Form]:
    """The layers that a call of this module may be; none if it is no module of Haiku's own."""
    make = _FORMS.get(type(module))
    if make is not None:
        yield from make(module, arrays)


def _fresh(make: Callable[[], hk.Module]) -> Fresh:
    """A call of a module that `make` gives the name ``layer``."""
    apply = hk.without_apply_rng(hk.transform(lambda x: make()(x))).apply  # type: ignore[attr-defined, operator]
    return lambda x, arrays, key: apply({"layer": dict(arrays)}, x)


def _leaves(arrays: Arrays, **operands: str) -> dict[str, str]:
    return {leaf: operand for leaf, operand in operands.items() if leaf in arrays}


def _linear(module: Any, arrays: Arrays) -> Iterator[Form]:
    if "w" not in arrays or arrays["w"].ndim != 2:
        return
    inner, outer = arrays["w"].shape
    fresh = _fresh(lambda: hk.Linear(outer, with_bias="b" in arrays, name="layer"))
    attributes: dict[str, Operand] = {"in_features": inner, "out_features": outer}
    yield Form("layer.linear", fresh, _leaves(arrays, w="kernel", b="bias"), attributes)


def _convolution(module: Any, arrays: Arrays) -> Iterator[Form]:
    rank = module.num_spatial_dims
    if "w" not in arrays or arrays["w"].ndim != rank + 2:
        return
    *kernel, _, outer = arrays["w"].shape
    channels_first = module.channel_index == 1
    fresh = _fresh(
        lambda: hk.ConvND(
            rank, outer, tuple(kernel), module.stride, module.kernel_dilation, module.padding, "b" in arrays,
            data_format="channels_first" if channels_first else "channels_last",
            feature_group_count=module.feature_group_count, name="layer",
        )
    )  # fmt: skip
    yield Form(
        "layer.conv", fresh, _leaves(arrays, w="kernel", b="bias"), {"channels_first": channels_first}, rank=rank + 2,
        reads="lax.conv_general_dilated",
    )  # fmt: skip


def _layer_norm(module: Any, arrays: Arrays) -> Iterator[Form]:
    """Over the last axis; without parameters nothing tells its size."""
    sizes: tuple[int, ...] = next((arrays[leaf].shape for leaf in ("scale", "offset") if leaf in arrays), ())
    if len(sizes) != 1:
        return
    fresh = _fresh(
        lambda: hk.LayerNorm(
            -1, "scale" in arrays, "offset" in arrays, module.eps, use_fast_variance=module.use_fast_variance,
            param_axis=-1, name="layer",
        )
    )  # fmt: skip
    attributes: dict[str, Operand] = {"features": sizes[0], "eps": float(module.eps)}
    yield Form("layer.layer_norm", fresh, _leaves(arrays, scale="scale", offset="bias"), attributes)


def _rms_norm(module: Any, arrays: Arrays) -> Iterator[Form]:
    if "scale" not in arrays or arrays["scale"].ndim != 1:
        return
    fresh = _fresh(lambda: hk.RMSNorm(-1, module.eps, param_axis=-1, name="layer"))
    attributes: dict[str, Operand] = {"features": arrays["scale"].shape[0], "eps": float(module.eps)}
    yield Form("layer.rms_norm", fresh, {"scale": "scale"}, attributes)


def _group_norm(module: Any, arrays: Arrays) -> Iterator[Form]:
    sizes: tuple[int, ...] = next((arrays[leaf].shape for leaf in ("scale", "offset") if leaf in arrays), ())
    if len(sizes) != 1:  # channels-first they have the axes of an image
        return
    fresh = _fresh(
        lambda: hk.GroupNorm(
            module.groups, slice(1, None), "scale" in arrays, "offset" in arrays, module.eps, name="layer"
        )
    )
    attributes: dict[str, Operand] = {
        "num_groups": int(module.groups), "features": sizes[0], "eps": float(module.eps), "channels_first": False
    }  # fmt: skip
    yield Form("layer.group_norm", fresh, _leaves(arrays, scale="scale", offset="bias"), attributes)


def _embedding(module: Any, arrays: Arrays) -> Iterator[Form]:
    if "embeddings" not in arrays or arrays["embeddings"].ndim != 2:
        return
    rows, features = arrays["embeddings"].shape
    fresh = _fresh(lambda: hk.Embed(rows, features, name="layer"))
    yield Form("layer.embedding", fresh, {"embeddings": "weight"}, {"rows": rows, "features": features})


_FORMS: dict[type, Callable[[Any, Arrays], Iterator[Form]]] = {
    hk.Linear: _linear,
    **dict.fromkeys((hk.ConvND, hk.Conv1D, hk.Conv2D, hk.Conv3D), _convolution),
    hk.LayerNorm: _layer_norm,
    hk.RMSNorm: _rms_norm,
    hk.GroupNorm: _group_norm,
    hk.Embed: _embedding,
}
