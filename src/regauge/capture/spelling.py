"""One spelling for what torch writes in several ways: casts, broadcasts, tensors filled with a value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from regauge.capture.memory import Arguments, Emit, View
from regauge.ir.graph import DType, Origin, Ref, TensorSpec

# Same elements, another spelling: no meaning without memory.
SAME = frozenset(
    f"aten.{name}.default" for name in ("contiguous", "clone", "alias", "lift_fresh_copy", "lift_fresh", "detach_")
)
CASTS = frozenset(
    {"aten.to.dtype", "aten.to.dtype_layout", "aten.to.device", "aten.to.other", "aten._to_copy.default"}
    | {"aten.type_as.default"}
)
IGNORED = ("aten._assert", "aten.sym_constrain", "aten._functional_assert", "aten._async_assert")
# Operators that give a Python number of a tensor's value.
VALUES = frozenset({"aten.item.default", "aten._local_scalar_dense.default"})
# Views that may also be copies: only the memory tells.
MAYBE_COPIES = frozenset(
    f"aten.{name}" for name in ("reshape.default", "flatten.using_ints", "reshape_as.default", "ravel.default")
)
# Operators that do nothing when the shape is the one that is there.
SHAPES = MAYBE_COPIES | {f"aten.{name}.default" for name in ("view", "view_as", "expand", "expand_as")}
# Operators that do nothing to real numbers.
OF_COMPLEX = frozenset(f"aten.{name}.default" for name in ("real", "conj", "resolve_conj", "resolve_neg", "positive"))
# A tensor of any content: zeros are as good, and reproducible. And what takes symbolic sizes in a trace alone.
UNFILLED = {
    "aten.empty.memory_format": "aten.zeros.default",
    "aten.empty_like.default": "aten.zeros_like.default",
    "aten.new_empty.default": "aten.new_zeros.default",
    "regauge.linspace.default": "aten.linspace.default",
}


def to(emit: Emit, value: str, spec: TensorSpec, name: str, origin: Origin) -> str:
    """The value in the dtype of `spec`, as `aten.to.dtype`."""
    arguments: Arguments = {
        "self": Ref(value),
        "dtype": DType(spec.dtype),
        "non_blocking": False,
        "copy": False,
        "memory_format": None,
    }
    return emit("aten.to.dtype", arguments, [(name, spec)], origin)[0]


def expand(emit: Emit, value: str, spec: TensorSpec, name: str, origin: Origin) -> str:
    """The value broadcast to the shape of `spec`, as `aten.expand.default`."""
    arguments: Arguments = {"self": Ref(value), "size": spec.shape, "implicit": False}
    return emit("aten.expand.default", arguments, [(name, spec)], origin)[0]


def filled(emit: Emit, value_of: Callable[[View], str], view: View, source: Any, name: str, origin: Origin) -> str:
    """What a tensor holds after `copy_`, `fill_` or `zero_`.

    Args:
        emit: makes nodes.
        value_of: gives the graph value of a view.
        view: the tensor that is written to.
        source: a `View`, a number or a `Sym`; None for zeros.
        name: wanted name of the new value.
        origin: of the operation.
    """
    if isinstance(source, View):
        value, spec = value_of(source), source.spec
        if spec.dtype != view.spec.dtype:
            spec = TensorSpec(spec.shape, view.spec.dtype)
            value = to(emit, value, spec, name, origin)
        return value if spec.shape == view.spec.shape else expand(emit, value, view.spec, name, origin)
    like: Arguments = {"dtype": None, "layout": None, "device": None, "pin_memory": None, "memory_format": None}
    now = Ref(value_of(view))
    if source is None:
        return emit("aten.zeros_like.default", {"self": now, **like}, [(name, view.spec)], origin)[0]
    arguments: Arguments = {"self": now, "fill_value": source, **like}
    return emit("aten.full_like.default", arguments, [(name, view.spec)], origin)[0]
