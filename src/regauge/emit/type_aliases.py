"""Names of types that annotations use, such as `Sizes = int | tuple[int, ...]`: found by value, written as source."""

from __future__ import annotations

import types
import typing
from typing import Any


def is_alias(found: Any) -> bool:
    """Whether a value of a module is a type that is put together from others, or any."""
    return (
        found is Any or isinstance(found, types.GenericAlias | types.UnionType) or typing.get_origin(found) is not None
    )


def written_type(kind: Any) -> str:
    """The source of a type: `tuple[int, ...] | None`."""
    if kind is Ellipsis:
        return "..."
    if kind in (None, type(None)):
        return "None"
    if isinstance(kind, list):  # the arguments of a Callable
        return f"[{', '.join(map(written_type, kind))}]"
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return " | ".join(map(written_type, arguments))
    if origin is typing.Literal:
        return f"Literal[{', '.join(map(repr, arguments))}]"
    name = str(getattr(origin or kind, "__name__", kind)).rpartition(".")[-1]  # jax.Array's has its module
    return f"{name}[{', '.join(map(written_type, arguments))}]" if origin else name
