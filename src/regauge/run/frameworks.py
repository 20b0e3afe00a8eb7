"""Which framework a model belongs to, told from the object itself; imports neither."""

from __future__ import annotations

import dis
import inspect
from collections.abc import Iterator, Mapping
from types import CodeType
from typing import Any

from regauge.case import load_case
from regauge.run.keras_backend import backend_of, refuse_backend

_TORCH = ("torch", "torchvision", "transformers", "torch_geometric")
_JAX = ("jax", "jaxlib", "flax", "equinox", "haiku", "optax")


def run(job: dict[str, Any]) -> dict[str, Any]:
    """The framework of the case of a job: ``{"framework": "torch", "jax" or "", "model": its type}``."""
    model = load_case(job["case"]).model
    if backend_of(model):
        refuse_backend(model, "jax", "torch")
    return {"framework": framework_of(model), "model": type(model).__name__}


def framework_of(model: Any) -> str:
    """``torch``, ``jax``, or an empty string where neither the type nor the code tells."""
    parts = model if isinstance(model, tuple) and not hasattr(model, "_fields") else (model,)
    for part in _leaves(parts):
        if (backend := backend_of(part)) in ("jax", "torch"):
            return backend
        found = {name for cls in type(part).__mro__ if (name := _of_module(cls.__module__))}
        if len(found) == 1:
            return found.pop()
    found = set().union(*(_used(part, 0) for part in parts if callable(part)))
    return found.pop() if len(found) == 1 else ""


def _leaves(tree: Any) -> Iterator[Any]:
    """Everything in containers: a function of parameters is of the framework whose arrays they are."""
    if isinstance(tree, Mapping):
        tree = tuple(tree.values())
    if isinstance(tree, tuple | list) and not (hasattr(tree, "_fields") and hasattr(tree, "apply")):
        for item in tree:
            yield from _leaves(item)
    else:
        yield tree


def _of_module(name: str) -> str:
    root = name.partition(".")[0]
    return "torch" if root in _TORCH else "jax" if root in _JAX else ""


def _used(function: Any, depth: int) -> set[str]:
    """The frameworks whose modules a function, or one that it calls by name, refers to."""
    own = _of_module(getattr(function, "__module__", "") or "")
    if own:
        return {own}
    function = inspect.unwrap(function)
    function = getattr(function, "func", function)  # functools.partial
    code = getattr(function, "__code__", None)
    if code is None or depth > 3:
        return set()
    found: set[str] = set()
    known = {**function.__globals__, **inspect.getclosurevars(function).nonlocals}
    for name in _names(code):
        value = known.get(name)
        if inspect.ismodule(value):
            found.add(_of_module(value.__name__))
        elif callable(value) and value is not function:
            found |= _used(value, depth + 1)
    return found - {""}


def _names(code: CodeType) -> set[str]:
    """Variables that code reads, its inner functions included; not the names of attributes."""
    own = {i.argval for i in dis.get_instructions(code) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF")}
    inner = [constant for constant in code.co_consts if inspect.iscode(constant)]
    return own.union(*map(_names, inner))
