"""Names in emitted code: valid, unique where they must be, never shadowing what the file uses."""

from __future__ import annotations

import builtins
import keyword
import re

from regauge.emit.target import target

# What emitted files import or define; a local of the same name would hide it.
RESERVED = frozenset(
    {"jax", "jnp", "lax", "nnx", "np", "math", "partial", "ops", "self", "rngs", "Path", "load", "Buffer"}
)


def reserved_names() -> frozenset[str]:
    """Names that emitted files import or define; a local of the same name would hide it."""
    return RESERVED | target().file_names


_BUILTINS = frozenset(dir(builtins)) - {"input", "filter", "next", "iter", "hash", "id", "vars", "format"}


def identifier(text: str, fallback: str = "value") -> str:
    """A valid Python identifier close to the text."""
    name = re.sub(r"\W+", "_", text).strip("_")
    if not name:
        name = fallback
    if name[0].isdigit():
        name = f"_{name}"
    if keyword.iskeyword(name) or name in reserved_names() or name in _BUILTINS:
        name += "_"
    return name


def camel(text: str) -> str:
    """A class name from an attribute or type name."""
    name = identifier(text, "Module")
    return name if name[:1].isupper() else "".join(part[:1].upper() + part[1:] for part in name.split("_") if part)


def unique(name: str, taken: set[str] | dict[str, object]) -> str:
    """The name, or the name with the first free number from 2 on."""
    if name not in taken:
        return name
    number, name = 2, name.rstrip("_") or name  # sum_2, not sum__2
    while f"{name}{number}" in taken or f"{name}_{number}" in taken:
        number += 1
    return f"{name}_{number}" if name[:1].islower() else f"{name}{number}"
