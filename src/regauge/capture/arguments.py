"""Arguments of operators as torch.fx has them, bound to the names of the operator's schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import fx

from regauge.capture.sizes import dtype_name
from regauge.errors import CaptureError
from regauge.ir.graph import DType, Operand

# Names of schema arguments that are keywords of Python: everything downstream writes them with an underscore.
_KEYWORDS = {"from": "from_", "in": "in_", "lambda": "lambda_"}


@lru_cache(maxsize=4096)
def parameters(op: Any) -> tuple[tuple[str, bool, Any], ...]:
    """(name, is a keyword argument, default) of all parameters of an overload."""
    return tuple((argument.name, argument.kwarg_only, _default(argument)) for argument in op._schema.arguments)


def _default(argument: Any) -> Any:
    """The default of a schema's argument; a dtype stands there by its number, and int64 (4) is the only one."""
    value = argument.default_value if argument.has_default_value() else None
    return torch.int64 if argument.name == "dtype" and value == 4 else value


@lru_cache(maxsize=4096)
def written(op: Any) -> tuple[str, ...]:
    """Names of the arguments that an overload writes to."""
    return tuple(a.name for a in op._schema.arguments if a.alias_info is not None and a.alias_info.is_write)


@lru_cache(maxsize=4096)
def may_alias(op: Any) -> bool:
    """Whether a result can be a view of the first argument, by the schema."""
    returns = op._schema.returns
    return bool(returns) and returns[0].alias_info is not None and not returns[0].alias_info.is_write


def bind(node: fx.Node) -> dict[str, Any]:
    """All arguments of a call of an overload by name, in the schema's order, defaults filled, still as fx has them."""
    bound: dict[str, Any] = {}
    positional: Sequence[Any] = node.args
    for position, (name, _, default) in enumerate(parameters(node.target)):
        if position < len(positional):
            bound[name] = positional[position]
        else:
            bound[name] = node.kwargs.get(name, default)
    return bound


def operand(raw: Any, resolve: Callable[[fx.Node], Operand]) -> Operand:
    """An argument as an `Operand`; `resolve` gives the operand of another node's result."""
    if isinstance(raw, fx.Node):
        return resolve(raw)
    if raw is None or isinstance(raw, bool | int | float | complex | str):
        return raw
    if isinstance(raw, torch.dtype):
        return DType(dtype_name(raw))
    if isinstance(raw, list | tuple):
        return tuple(operand(item, resolve) for item in raw)
    if isinstance(raw, torch.device | torch.layout | torch.memory_format):
        return str(raw).removeprefix("torch.")
    if isinstance(raw, fx.GraphModule):
        return type(raw).__name__
    raise CaptureError(f"an operator has an argument of type {type(raw).__qualname__}", received=repr(raw)[:200])


def named(arguments: dict[str, Operand]) -> tuple[tuple[str, Operand], ...]:
    """Arguments as a `Node` holds them."""
    return tuple((_KEYWORDS.get(name, name), value) for name, value in arguments.items())


def op_name(target: Any) -> str:
    """``aten.linear.default``, ``higher_order.cond``."""
    if isinstance(target, torch._ops.OpOverload):
        return str(target)
    if isinstance(target, torch._ops.HigherOrderOperator):
        return f"higher_order.{target.name()}"
    return getattr(target, "__name__", str(target))


def is_tensor(node: fx.Node) -> bool:
    """Whether a traced result is one tensor."""
    return isinstance(node.meta.get("val"), torch.Tensor)


def shares_memory(node: fx.Node, source: fx.Node) -> bool:
    """Whether two traced tensors are the same memory: fake tensors keep the identity of their storage."""
    a, b = node.meta["val"], source.meta["val"]
    return a.untyped_storage()._cdata == b.untyped_storage()._cdata


def viewed(raw: Mapping[str, Any]) -> Any:
    """What the result of an operator may look at: the first argument, or the only tensor of `torch.einsum`."""
    first = next(iter(raw.values()), None)
    tensors = raw.get("tensors", ())
    return tensors[0] if isinstance(first, str) and len(tensors) == 1 else first


def is_view_unsaid(node: fx.Node, raw: Mapping[str, Any]) -> bool:
    """Whether the result is a view of a tensor without the schema's saying so, as of `torch.atleast_3d`."""
    source = viewed(raw)
    values = [node.meta.get("val"), source.meta.get("val") if isinstance(source, fx.Node) else None]
    if not all(isinstance(value, torch.Tensor) and value.layout == torch.strided for value in values):
        return False
    return isinstance(source, fx.Node) and shares_memory(node, source)


def attribute(node: fx.Node) -> Any:
    """What a `get_attr` node stands for: a sub-graph."""
    found: Any = node.graph.owning_module
    for part in str(node.target).split("."):
        found = getattr(found, part)
    return found
