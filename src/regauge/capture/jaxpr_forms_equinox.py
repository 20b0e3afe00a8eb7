"""Modules of Equinox as layers of torch; they take one example, and `jax.vmap` maps them over a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import equinox as eqx
import jax

from regauge.capture.jaxpr_forms import Form, Fresh
from regauge.ir.graph import Operand

Arrays = Mapping[str, Any]


def forms(module: Any, arrays: Arrays) -> Iterator[Form]:
    """The layers that a call of this module may be; none if it is no module of Equinox's own."""
    kind = type(module)
    if "weight" in arrays and kind in _AXES and arrays["weight"].ndim != _AXES[kind](module):
        return  # the weights of several modules, as eqx.filter_vmap makes them
    if kind is eqx.nn.Linear and "weight" in arrays:
        outer, inner = arrays["weight"].shape
        fresh = _fresh(lambda key: eqx.nn.Linear(inner, outer, use_bias="bias" in arrays, key=key))
        attributes: dict[str, Operand] = {"in_features": inner, "out_features": outer, "as_torch": True}
        yield Form("layer.linear", fresh, _leaves(arrays, weight="kernel", bias="bias"), attributes, rank=1)
    elif kind in (eqx.nn.Conv, eqx.nn.Conv1d, eqx.nn.Conv2d, eqx.nn.Conv3d) and "weight" in arrays:
        yield _convolution(module, arrays)
    elif kind is eqx.nn.LayerNorm and len(module.shape) == 1:
        yield from _norm(eqx.nn.LayerNorm, "layer.layer_norm", module, arrays)
    elif kind is eqx.nn.RMSNorm and len(module.shape) == 1 and "bias" not in arrays:
        yield from _norm(eqx.nn.RMSNorm, "layer.rms_norm", module, arrays)
    elif kind is eqx.nn.GroupNorm and "weight" in arrays and "bias" in arrays:
        yield from _group_norm(module, arrays)
    elif kind is eqx.nn.Embedding and "weight" in arrays:
        rows, features = arrays["weight"].shape
        fresh = _fresh(lambda key: eqx.nn.Embedding(rows, features, key=key))
        yield Form("layer.embedding", fresh, {"weight": "weight"}, {"rows": rows, "features": features}, rank=0)
    elif kind is eqx.nn.Dropout and isinstance(module.p, float | int):
        dropout = eqx.nn.Dropout(float(module.p))
        yield Form("layer.dropout", lambda x, _, key: dropout(x, key=key), {}, {"p": float(module.p)}, keyed=True)


_AXES: dict[type, Callable[[Any], int]] = {
    **dict.fromkeys((eqx.nn.Linear, eqx.nn.Embedding), lambda module: 2),
    **dict.fromkeys(
        (eqx.nn.Conv, eqx.nn.Conv1d, eqx.nn.Conv2d, eqx.nn.Conv3d), lambda module: int(module.num_spatial_dims) + 2
    ),
    **dict.fromkeys((eqx.nn.LayerNorm, eqx.nn.RMSNorm), lambda module: len(module.shape)),
    eqx.nn.GroupNorm: lambda module: 1,
}


def _convolution(module: Any, arrays: Arrays) -> Form:
    outer, inner, *kernel = arrays["weight"].shape
    fresh = _fresh(
        lambda key: eqx.nn.Conv(
            len(kernel), inner * module.groups, outer, tuple(kernel), module.stride, module.padding, module.dilation,
            module.groups, "bias" in arrays, key=key,
        )
    )  # fmt: skip
    return Form(
        "layer.conv", fresh, _leaves(arrays, weight="kernel", bias="bias"), {"channels_first": True, "as_torch": True},
        rank=len(kernel) + 1, reads="lax.conv_general_dilated",
    )  # fmt: skip


def _norm(cls: Any, op: str, module: Any, arrays: Arrays) -> Iterator[Form]:
    options = {"use_weight": "weight" in arrays, "use_bias": "bias" in arrays}
    fresh = _fresh(lambda key: cls(module.shape, module.eps, **options))
    attributes: dict[str, Operand] = {"features": module.shape[0], "eps": float(module.eps)}
    yield Form(op, fresh, _leaves(arrays, weight="scale", bias="bias"), attributes, rank=1)


def _group_norm(module: Any, arrays: Arrays) -> Iterator[Form]:
    """One example is [channels, ...] with any number of axes; torch takes a batch of them."""
    fresh = _fresh(lambda key: eqx.nn.GroupNorm(module.groups, module.channels, module.eps))
    attributes: dict[str, Operand] = {
        "num_groups": int(module.groups), "features": int(module.channels), "eps": float(module.eps),
        "channels_first": True,
    }  # fmt: skip
    for rank in (1, 2, 3, 4):
        leaves = _leaves(arrays, weight="scale", bias="bias")
        yield Form("layer.group_norm", fresh, leaves, attributes, rank=rank, batched=True)


def _leaves(arrays: Arrays, **operands: str) -> dict[str, str]:
    return {leaf: operand for leaf, operand in operands.items() if leaf in arrays}


def _fresh(make: Any) -> Fresh:
    abstract = eqx.filter_eval_shape(make, jax.random.key(0))

    def run(x: Any, arrays: Arrays, key: Any) -> Any:
        module = abstract
        for leaf, array in arrays.items():
            module = eqx.tree_at(lambda m, leaf=leaf: getattr(m, leaf), module, array)  # type: ignore[misc]
        return module(x)

    return run
