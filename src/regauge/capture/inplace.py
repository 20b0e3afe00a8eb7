"""The functional operator that computes what an in-place operator writes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from regauge.capture.arguments import may_alias, parameters, written
from regauge.errors import CaptureError
from regauge.ir.graph import Origin

# In-place operators whose functional counterpart is no overload of the same name without the underscore.
_RENAMED = {"normal_": "normal_functional"}
# Functional counterparts that give booleans, while the written tensor keeps its dtype.
_BOOLEAN = frozenset(
    {"eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or", "logical_xor", "logical_not"}
    | {"greater", "greater_equal", "less", "less_equal", "not_equal"}
)


def functional(op: Any, origin: Origin) -> Any:
    """The functional overload of an in-place one: of the same name without the underscore, with the same arguments.

    The names of the two overloads say nothing: ``floor_divide_.Tensor`` is ``floor_divide.default``, and ``pow.Scalar``
    raises a number to a tensor, while ``pow_.Scalar`` raises the tensor to a number.

    Args:
        op: an in-place overload.
        origin: of its use.

    Raises:
        CaptureError: there is none, as for what changes the memory that a tensor has (``resize_``, ``set_``).
    """
    family, packet, _ = str(op).split(".")
    changes_memory = torch.Tag.inplace_view in op.tags
    if packet.endswith("_") and family == "aten":
        augmented = re.fullmatch(r"__i(\w+)__", packet)  # `x <<= y`
        name = f"__{augmented[1]}__" if augmented else _RENAMED.get(packet, packet.removesuffix("_"))
        for found in _with_arguments(getattr(torch.ops.aten, name, None), op):
            if may_alias(found) or not changes_memory:
                return found
    raise CaptureError(
        f"{op} has no functional counterpart in torch",
        code="C130",
        where=origin.line or origin.path,
        next=f"write the result to a new name: y = x.{packet.rstrip('_')}(...)"
        if changes_memory
        else "write the computation without in-place operations",
    )


def functional_of_out(op: Any, origin: Origin) -> Any:
    """The overload that returns what an ``out=`` overload writes: the one with the same other arguments.

    Raises:
        CaptureError: there is none.
    """
    for found in _with_arguments(op.overloadpacket, op):
        return found
    raise CaptureError(
        f"{op} has no counterpart that returns its result",
        code="C130",
        where=origin.line or origin.path,
        next="write the computation without out=",
    )


def _with_arguments(packet: Any, op: Any) -> Iterator[Any]:
    """The overloads that take the arguments of `op` and write to none."""
    for overload in packet.overloads() if packet is not None else ():
        found = getattr(packet, overload)
        if written(found) or len(_types(found)) != len(_types(op)):
            continue
        if reordered(found, _types(op)) == _types(found):
            yield found


def _types(op: Any) -> dict[str, Any]:
    return {argument.name: str(argument.type) for argument in op._schema.arguments if argument.name != "out"}


def reordered(counterpart: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of one overload under the names of another: ``polygamma`` has another order, ``dropout`` other names.

    Args:
        counterpart: the overload that returns what another one writes.
        arguments: all of the other one, but for ``out``.
    """
    names = [name for name, _, _ in parameters(counterpart)]
    if arguments.keys() == set(names):
        return {name: arguments[name] for name in names}
    return dict(zip(names, arguments.values(), strict=True))


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
