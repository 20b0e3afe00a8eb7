"""What a call of a library module may be: one layer of torch, with the call of a fresh module as the proof.

A form pairs a layer operator and its attributes with a function that builds the library's own module anew, from no more
than the configuration that the form understands, and calls it. A module with an option that the form does not know
(another reduction axis, a dtype of its own, a mask) leaves other nodes than the fresh one, and is no layer.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen, nnx

from regauge.capture.jaxpr_attention import AttentionDropout
from regauge.ir.graph import Node, Operand
from regauge.run.jax_haiku import FunctionalDropout
from regauge.run.jax_keras_model import is_own_class

Arrays = Mapping[str, Any]  # of a module by leaf name: kernel, bias
Fresh = Callable[[Any, Arrays, Any], Any]  # input, arrays, key -> result, or results


@dataclass(frozen=True)
class Form:
    """A call of a module as one layer.

    Attributes:
        op: of the layer's node, ``layer.linear``.
        fresh: a call of a fresh module.
        leaves: operand of the node by leaf name of the module's arrays, in the order in which `fresh` reads them.
        attributes: of the node.
        rank: axes of the input that the fresh module takes; the others are mapped over; -1 for all.
        batched: whether the layer takes exactly one axis more than `rank`, that of the batch.
        keyed: whether it draws random numbers.
        reads: attributes that are taken from the operator of this name, where the library computes them.
        flat: trailing axes of the input that the layer takes as one, and the sizes that its last axis stands for.
    """

    op: str
    fresh: Fresh
    leaves: Mapping[str, str]
    attributes: Mapping[str, Operand]
    rank: int = -1
    batched: bool = False
    keyed: bool = False
    reads: str = ""
    flat: tuple[int, tuple[int, ...]] = (1, ())


def forms(module: Any, arrays: Arrays) -> Iterator[Form]:
    """The layers that a call of this module may be.

    Args:
        module: as it was called.
        arrays: its own, abstract, by leaf name.
    """
    for library, names in (("nnx", nnx), ("linen", linen)):
        for name, make in _FLAX.items():
            if type(module) is getattr(names, name, None) or type(module) is getattr(names, _LINEN.get(name, ""), None):
                found = _Flax(library, module, arrays)
                yield from () if found.is_stacked(name) else make(found)
    if isinstance(module, FunctionalDropout):
        drop = module.function
        fresh = lambda x, _, key: drop(key, module.rate, x)  # noqa: E731
        yield Form("layer.dropout", fresh, {}, {"p": module.rate}, keyed=True)
    if isinstance(module, AttentionDropout):
        attention: Fresh = lambda x, _, key: module(x, key)  # noqa: E731
        yield Form("layer.dropout", attention, {}, {"p": module.rate, "shared": module.shared}, keyed=True)
    if "equinox" in sys.modules:
        from regauge.capture.jaxpr_forms_equinox import forms as equinox_forms

        yield from equinox_forms(module, arrays)
    if "haiku" in sys.modules:
        from regauge.capture.jaxpr_forms_haiku import forms as haiku_forms

        yield from haiku_forms(module, arrays)
    if is_own_class(type(module)):
        from regauge.capture.jaxpr_forms_keras import forms as keras_forms

        yield from keras_forms(module, arrays)


def parts(module: Any, nodes: Sequence[Node]) -> Iterator[tuple[str, Any, int]]:
    """The modules that the call of one is made of, one after the other, for torch: name, module, end of its nodes."""
    if is_own_class(type(module)):
        from regauge.capture.jaxpr_forms_keras import parts as keras_parts

        yield from keras_parts(module, nodes)


_LINEN = {"Linear": "Dense", "LinearGeneral": "DenseGeneral"}


@dataclass(frozen=True)
class _Flax:
    """A module of NNX or Linen: both have the same names for configuration and arrays."""

    library: str
    module: Any
    arrays: Arrays

    def config(self, *names: str) -> dict[str, Any]:
        return {name: getattr(self.module, name) for name in names}

    def fresh(self, name: str, sizes: tuple[Any, ...], config: Mapping[str, Any], **call: Any) -> Fresh:
        """A call of a fresh module; `sizes` are positional arguments that only NNX takes."""
        if self.library == "nnx":
            return _of_nnx(lambda: getattr(nnx, name)(*sizes, **config, rngs=nnx.Rngs(0)), call)
        made = getattr(linen, _LINEN.get(name, name))(**config)
        return lambda x, arrays, key: _of_linen(made, x, arrays, key, call)

    def leaves(self, **operands: str) -> dict[str, str]:
        """Those of these leaves that the module has."""
        return {leaf: operand for leaf, operand in operands.items() if leaf in self.arrays}

    def shape(self, leaf: str) -> tuple[int, ...]:
        return tuple(self.arrays[leaf].shape)

    def is_stacked(self, name: str) -> bool:
        """Whether its arrays are those of several modules, as `nnx.vmap` and `linen.vmap` make them."""
        axes = _AXES.get(name, 1)
        own = {"kernel": axes if isinstance(axes, int) else axes(self.module), "embedding": 2, "scale": 1, "mean": 1}
        return any(array.ndim != own.get(leaf, array.ndim) for leaf, array in self.arrays.items())


def _image_axes(module: Any) -> int:
    """The axes of a convolution's kernel; Linen takes a number for a kernel with one axis of its own."""
    return len(module.kernel_size) + 2 if isinstance(module.kernel_size, tuple | list) else 3


def _general_axes(module: Any) -> int:
    """The axes of the kernel of a LinearGeneral: those of the input that it takes, and those of its output."""
    return sum(len(axes) if isinstance(axes, tuple | list) else 1 for axes in (module.axis, _outer(module)))


def _outer(module: Any) -> Any:
    return module.out_features if hasattr(module, "out_features") else module.features


_AXES: dict[str, int | Callable[[Any], int]] = {
    "Linear": 2, "LinearGeneral": _general_axes, "Conv": _image_axes, "ConvTranspose": _image_axes
}  # fmt: skip


def _of_nnx(make: Callable[[], nnx.Module], call: Mapping[str, Any]) -> Fresh:
    def run(x: Any, arrays: Arrays, key: Any) -> Any:
        graphdef, state = nnx.split(nnx.eval_shape(make))  # here, since most forms are known from an equal module
        flat = nnx.to_flat_state(state)
        given = [(path, variable.replace(arrays[".".join(map(str, path))])) for path, variable in flat]
        module: Any = nnx.merge(graphdef, nnx.from_flat_state(given), copy=True)
        result = module(x, **call, **({"rngs": key} if key is not None else {}))
        if "mean" in arrays and call.get("use_running_average") is False:
            return result, module.mean[...], module.var[...]
        return result

    return run


def _of_linen(module: linen.Module, x: Any, arrays: Arrays, key: Any, call: Mapping[str, Any]) -> Any:
    statistics = {name: array for name, array in arrays.items() if name in ("mean", "var")}
    params = {name: array for name, array in arrays.items() if name not in statistics}
    variables = {"params": params, **({"batch_stats": statistics} if statistics else {})}
    options = {**call, **({"rng": key} if key is not None else {})}
    if statistics and call.get("use_running_average") is False:
        result, changed = module.apply(variables, x, mutable=["batch_stats"], **options)
        return result, changed["batch_stats"]["mean"], changed["batch_stats"]["var"]
    return module.apply(variables, x, **options)


def _linear(m: _Flax) -> Iterator[Form]:
    if "kernel" not in m.arrays:
        return
    inner, outer = m.shape("kernel")
    config = m.config("use_bias") | ({} if m.library == "nnx" else {"features": outer})
    fresh = m.fresh("Linear", (inner, outer), config)
    yield Form("layer.linear", fresh, m.leaves(kernel="kernel", bias="bias"), _sizes((inner,), (outer,)))


def _sizes(inner: tuple[int, ...], outer: tuple[int, ...]) -> dict[str, Operand]:
    return {"in_features": math.prod(inner), "out_features": math.prod(outer)}


def _linear_general(m: _Flax) -> Iterator[Form]:
    """The last axes of the input against the first of the kernel."""
    if "kernel" not in m.arrays:
        return
    axes = m.module.axis if isinstance(m.module.axis, tuple | list) else (m.module.axis,)
    count = len(axes)
    inner, outer = m.shape("kernel")[:count], m.shape("kernel")[count:]
    if tuple(axes) != tuple(range(-count, 0)):
        return
    config = m.config("use_bias") | {"axis": tuple(axes)} | ({} if m.library == "nnx" else {"features": outer})
    fresh = m.fresh("LinearGeneral", (inner, outer), config)
    leaves = m.leaves(kernel="kernel", bias="bias")
    yield Form("layer.linear", fresh, leaves, _sizes(inner, outer), flat=(count, outer if len(outer) > 1 else ()))


def _convolution(m: _Flax) -> Iterator[Form]:
    if "kernel" not in m.arrays:
        return
    *kernel, inner, outer = m.shape("kernel")
    groups = m.module.feature_group_count
    config = m.config("strides", "padding", "input_dilation", "kernel_dilation", "feature_group_count", "use_bias")
    config |= {"kernel_size": tuple(kernel)} | ({} if m.library == "nnx" else {"features": outer})
    fresh = m.fresh("Conv", (inner * groups, outer), config)
    attributes: dict[str, Operand] = {"channels_first": False}
    yield Form(
        "layer.conv", fresh, m.leaves(kernel="kernel", bias="bias"), attributes, reads="lax.conv_general_dilated"
    )


def _transposed_convolution(m: _Flax) -> Iterator[Form]:
    if "kernel" not in m.arrays or not m.module.transpose_kernel:
        return  # without it the kernel is that of torch turned round, which no reordering of axes gives
    *kernel, outer, inner = m.shape("kernel")
    config = m.config("strides", "padding", "kernel_dilation", "use_bias", "transpose_kernel")
    config |= {"kernel_size": tuple(kernel)} | ({} if m.library == "nnx" else {"features": outer})
    fresh = m.fresh("ConvTranspose", (inner, outer), config)
    attributes: dict[str, Operand] = {"channels_first": False}
    yield Form(
        "layer.conv_transpose", fresh, m.leaves(kernel="kernel", bias="bias"), attributes,
        reads="lax.conv_general_dilated",
    )  # fmt: skip


def _norm(name: str, op: str) -> Callable[[_Flax], Iterator[Form]]:
    """LayerNorm and RMSNorm over the last axis."""

    def norm(m: _Flax) -> Iterator[Form]:
        options = ("epsilon", "use_scale", "use_fast_variance") + (("use_bias",) if name == "LayerNorm" else ())
        sizes = next((m.shape(leaf) for leaf in ("scale", "bias") if leaf in m.arrays), (_features(m.module),))
        fresh = m.fresh(name, (sizes[-1],), m.config(*options))
        yield Form(
            op, fresh, m.leaves(scale="scale", bias="bias"), {"features": sizes[-1], "eps": float(m.module.epsilon)}
        )

    return norm


def _features(module: Any) -> int:
    return int(getattr(module, "num_features", 0) or 0)


def _group_norm(m: _Flax) -> Iterator[Form]:
    features = next((m.shape(leaf)[0] for leaf in ("scale", "bias") if leaf in m.arrays), _features(m.module))
    groups = m.module.num_groups or (features // m.module.group_size if m.module.group_size else 0)
    if not features or not groups:
        return
    config = m.config("epsilon", "use_scale", "use_bias", "use_fast_variance") | {"num_groups": groups}
    fresh = m.fresh("GroupNorm", (features,), config)
    attributes: dict[str, Operand] = {
        "num_groups": groups, "features": features, "eps": float(m.module.epsilon), "channels_first": False
    }  # fmt: skip
    yield Form("layer.group_norm", fresh, m.leaves(scale="scale", bias="bias"), attributes)


def _batch_norm(m: _Flax) -> Iterator[Form]:
    if "mean" not in m.arrays:
        return
    config = m.config("momentum", "epsilon", "use_scale", "use_bias", "use_fast_variance")
    attributes: dict[str, Operand] = {
        "eps": float(m.module.epsilon), "momentum": float(m.module.momentum), "channels_first": False
    }  # fmt: skip
    leaves = m.leaves(mean="mean", var="var", scale="scale", bias="bias")
    for train in (False, True):
        fresh = m.fresh("BatchNorm", m.shape("mean"), config, use_running_average=not train)
        yield Form("layer.batch_norm", fresh, leaves, attributes | {"train": train})


def _embedding(m: _Flax) -> Iterator[Form]:
    if "embedding" not in m.arrays:
        return
    rows, features = m.shape("embedding")
    config = {} if m.library == "nnx" else {"num_embeddings": rows, "features": features}
    fresh = m.fresh("Embed", (rows, features), config)
    yield Form("layer.embedding", fresh, m.leaves(embedding="weight"), {"rows": rows, "features": features})


def _dropout(m: _Flax) -> Iterator[Form]:
    rate = float(m.module.rate)
    fresh: Fresh
    if m.library == "nnx":
        dropout = nnx.Dropout(rate)
        fresh = lambda x, _, key: dropout(x, deterministic=False, rngs=key)  # noqa: E731
    else:
        fresh = m.fresh("Dropout", (), {"rate": rate}, deterministic=False)
    yield Form("layer.dropout", fresh, {}, {"p": rate}, keyed=True)


_FLAX: dict[str, Callable[[_Flax], Iterator[Form]]] = {
    "Linear": _linear,
    "LinearGeneral": _linear_general,
    "Conv": _convolution,
    "ConvTranspose": _transposed_convolution,
    "LayerNorm": _norm("LayerNorm", "layer.layer_norm"),
    "RMSNorm": _norm("RMSNorm", "layer.rms_norm"),
    "GroupNorm": _group_norm,
    "BatchNorm": _batch_norm,
    "Embed": _embedding,
    "Dropout": _dropout,
}


def mapped(form: Form, ndim: int, keys: int = 0) -> Fresh:
    """The call over the leading axes that the module itself does not take.

    Args:
        form: of the call.
        ndim: axes of the input.
        keys: how many leading axes have a key for each of their places (`jax.vmap(dropout)(x, keys)`).
    """
    fresh = form.fresh
    for _ in range(ndim - form.rank if form.rank >= 0 else 0):
        inner = fresh
        fresh = lambda x, arrays, key, inner=inner: jax.vmap(lambda item: inner(item, arrays, key))(x)  # type: ignore[misc]  # noqa: E731
    for _ in range(keys):
        inner = fresh
        fresh = lambda x, arrays, key, inner=inner: jax.vmap(lambda item, own: inner(item, arrays, own))(x, key)  # type: ignore[misc]  # noqa: E731
    return fresh


def key_aval(shape: tuple[Any, ...] = ()) -> Any:
    """Keys of a random stream, as flax makes them."""
    return jax.ShapeDtypeStruct(shape, jax.eval_shape(lambda: jax.random.key(0)).dtype)


def is_float(aval: Any) -> bool:
    return bool(jnp.issubdtype(aval.dtype, jnp.floating))
