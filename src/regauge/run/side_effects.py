"""What a model changes besides its results: attributes of modules, globals of the person's files, random streams.

A check runs a model many times and in any order, so a model that remembers its calls is another function each time.
Two passes on the same inputs are compared by fingerprints of everything that is at hand. What only the first pass
changes is a table that is made once; what every pass changes is reported.
"""

from __future__ import annotations

import inspect
import random
import sys
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

Fingerprints = dict[str, str]

_DEPTH, _ITEMS, _ELEMENTS = 3, 200, 20_000_000
_TRACED = "a traced array"
_LIBRARIES = ("site-packages", "dist-packages")


# attributes by name of their owner, as they are now
Owners = Callable[[], Mapping[str, Mapping[str, Any]]]


def changes(call: Callable[[], object], owners: Owners, functions: Iterable[Any]) -> list[str]:
    """What every pass changes, each by its name and both values.

    Args:
        call: one pass.
        owners: gives the attributes that are looked at, by the name of what has them.
        functions: functions and classes whose files, closures and class attributes are looked at.
    """
    functions = list(functions)
    call()  # tables that are made once are made now
    before = _fingerprints(owners, functions)
    call()
    after = _fingerprints(owners, functions)
    return [
        f"{name} ({before.get(name, 'not there')}, then {after.get(name, 'not there')})"
        for name in dict.fromkeys([*before, *after])
        if before.get(name) != after.get(name)
    ]


def traced_in(owners: Owners, functions: Iterable[Any]) -> tuple[str, ...]:
    """Names of what holds arrays of a trace of JAX; arguments as those of `changes`."""
    return tuple(name for name, shown in _fingerprints(owners, list(functions)).items() if _TRACED in shown)


def _fingerprints(owners: Owners, functions: Iterable[Any]) -> Fingerprints:
    found: Fingerprints = {}
    for name, attributes in owners().items():
        for attribute, value in attributes.items():
            _add(found, f"{name}.{attribute}" if name else attribute, value)
    for function in functions:
        inner = inspect.unwrap(getattr(function, "__func__", function)) if callable(function) else function
        if isinstance(inner, FunctionType):
            for free, cell in zip(inner.__code__.co_freevars, inner.__closure__ or (), strict=True):
                _add(found, f"{free} of {inner.__qualname__}", _content(cell))
            _globals(found, inner.__globals__, inner.__code__.co_filename)
        elif isinstance(inner, type):
            for attribute, value in vars(inner).items():
                if not attribute.startswith("__"):
                    _add(found, f"{inner.__name__}.{attribute}", value)
            module = sys.modules.get(inner.__module__)
            _globals(found, vars(module) if module else {}, getattr(module, "__file__", None) or "")
    found["numpy's random numbers"] = str(zlib.crc32(repr(np.random.get_state()).encode()))
    found["Python's random numbers"] = str(zlib.crc32(repr(random.getstate()).encode()))
    return found


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not yet filled
        return None


def _globals(found: Fingerprints, names: Mapping[str, Any], file: str) -> None:
    if not file or any(part in file for part in _LIBRARIES) or file.startswith(sys.base_prefix):
        return
    for name, value in list(names.items()):
        if not name.startswith("__"):
            _add(found, f"{name} of {Path(file).name}", value)


def _add(found: Fingerprints, name: str, value: Any) -> None:
    shown = _of(value, _DEPTH)
    if shown:
        found[name] = shown


def _of(value: Any, depth: int) -> str:
    """A short text that changes with the value; empty for what has none (functions, modules, objects)."""
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return repr(value)[:60]
    if isinstance(value, type | ModuleType | FunctionType):
        return ""
    if "Tracer" in type(value).__name__:
        return f"{_TRACED} {id(value):x}"
    array = _array(value)
    if array is not None:
        return f"array {list(array.shape)} {zlib.crc32(np.ascontiguousarray(array).data):08x}"
    if depth and isinstance(value, Mapping):
        items = [f"{key!r}: {_of(item, depth - 1)}" for key, item in list(value.items())[:_ITEMS]]
        return f"{len(value)} entries {zlib.crc32(repr(items).encode()):08x}{_among(items)}"
    if depth and isinstance(value, list | tuple | set | frozenset):
        items = [_of(item, depth - 1) for item in list(value)[:_ITEMS]]
        return f"{len(value)} items {zlib.crc32(repr(items).encode()):08x}{_among(items)}"
    return ""


def _among(items: list[str]) -> str:
    return f", {_TRACED} among them" if any(_TRACED in item for item in items) else ""


def _array(value: Any) -> np.ndarray | None:
    """The array of a value that is one, of any library; none of those too large to look at, and none being traced."""
    if not hasattr(value, "__array__") or not hasattr(value, "shape"):
        return None
    try:
        seen = value.detach() if hasattr(value, "detach") else value
        if np.prod(seen.shape, dtype=float) > _ELEMENTS:
            return None
        array = np.asarray(seen)
        return array if array.dtype.kind in "fciub" else None
    except Exception:  # whatever a foreign class raises: it has no fingerprint
        return None
