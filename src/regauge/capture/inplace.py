"""The functional operator that computes what an in-place operator writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from regauge.capture.arguments import parameters
from regauge.errors import CaptureError
from regauge.ir.graph import Origin

# In-place overloads whose functional counterpart has another name.
_RENAMED = {
    "aten.bernoulli_.float": "aten.bernoulli.p",
    "aten.normal_.default": "aten.normal_functional.default",
}
# Functional counterparts that give booleans, while the written tensor keeps its dtype.
_BOOLEAN = frozenset(
    {"eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or", "logical_xor", "logical_not"}
    | {"greater", "greater_equal", "less", "less_equal", "not_equal"}
)


def functional(op: Any, origin: Origin) -> Any:
    """The functional overload of an in-place one.

    Raises:
        CaptureError: the operation changes more than the values of its first argument.
    """
    name = str(op)
    family, packet, overload = name.split(".")
    if torch.Tag.inplace_view in op.tags or not packet.endswith("_") or family != "aten":
        raise CaptureError(
            f"{name} changes a tensor in place in a way that has no functional counterpart",
            code="C130",
            where=origin.line or origin.path,
            next=f"write the result to a new name: y = x.{packet.rstrip('_')}(...)",
        )
    target = _RENAMED.get(name, f"aten.{packet.removesuffix('_')}.{overload}")
    _, packet, overload = target.split(".")
    found = getattr(getattr(torch.ops.aten, packet, None), overload, None)
    if found is None:
        raise CaptureError(
            f"{name} has no functional counterpart in torch",
            code="C130",
            where=origin.line or origin.path,
            next="write the computation without in-place operations",
        )
    return found


def functional_of_out(op: Any, origin: Origin) -> Any:
    """The overload that returns what an ``out=`` overload writes: the one with the same other arguments.

    Raises:
        CaptureError: there is none.
    """
    wanted = [name for name, _, _ in parameters(op) if name != "out"]
    packet = op.overloadpacket
    for overload in packet.overloads():
        found = getattr(packet, overload)
        same_types = [str(a.type) for a in found._schema.arguments] == [
            str(a.type) for a in op._schema.arguments if a.name != "out"
        ]
        if [name for name, _, _ in parameters(found)] == wanted and same_types:
            return found
    raise CaptureError(
        f"{op} has no counterpart that returns its result",
        code="C130",
        where=origin.line or origin.path,
        next="write the computation without out=",
    )


def result_dtype(op: Any, arguments: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> torch.dtype:
    """The dtype that a functional overload gives, which the in-place one casts back to that of its first argument.

    Args:
        op: the functional overload.
        arguments: all of its arguments.
        tensors: those that are tensors (fake ones).
    """
    own = next(iter(tensors.values())).dtype
    if str(op).split(".")[1] in _BOOLEAN:
        return torch.bool
    if all(tensor.dtype == own for tensor in tensors.values()):
        return own
    if "mask" in arguments or "index" in arguments or "indices" in arguments:
        return own
    tiny = {name: torch.ones((1,) * tensor.ndim, dtype=tensor.dtype) for name, tensor in tensors.items()}
    given = {name: tiny.get(name, value) for name, value in arguments.items()}
    positional = [given[name] for name, keyword, _ in parameters(op) if not keyword]
    keywords = {name: given[name] for name, keyword, _ in parameters(op) if keyword}
    return op(*positional, **keywords).dtype
