"""The calls of torch's functions in one pass, numbered in order: where they stand, and what they are given."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from regauge.capture.source_lines import is_own

_CALLER = "regauge/run/torch_evaluate.py"  # beyond it are whoever called the check
# what a call is not: reading an attribute, asking for a size or printing
_SILENT = frozenset({"__get__", "__set__", "size", "dim", "stride", "numel", "__repr__", "__hash__", "__len__"})
_SILENT |= {
    "is_floating_point",
    "is_complex",
    "data_ptr",
    "storage_offset",
    "requires_grad_",
    "element_size",
    "__bool__",
}


class CallCounter(TorchFunctionMode):
    """Numbers the calls of torch's functions; a call that torch makes within another one is not counted."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if name_of(func) in _SILENT:
            return func(*args, **(kwargs or {}))
        self.count += 1
        return self.called(self.count - 1, func, args, kwargs or {})

    def called(self, index: int, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return func(*args, **kwargs)


def name_of(func: Any) -> str:
    return getattr(func, "__name__", type(func).__name__)


def arguments_of(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call by name, without those that are left to their defaults; unnamed ones by number."""
    names = _names(func, tuple(map(_kind, args)), frozenset(kwargs))
    found = {names[i] if i < len(names) else str(i): value for i, value in enumerate(args)}
    return {**found, **kwargs}


def with_arguments(
    func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], changes: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments with some of them replaced, by name."""
    names = _names(func, tuple(map(_kind, args)), frozenset(kwargs))
    changed, named = list(args), dict(kwargs)
    for name, value in changes.items():
        if name in names[: len(args)]:
            changed[names.index(name)] = value
        elif name.isdigit() and int(name) < len(args):
            changed[int(name)] = value
        else:
            named[name] = value
    return tuple(changed), named


def _kind(value: Any) -> str:
    if isinstance(value, Tensor):
        return "Tensor"
    return type(value).__name__


_FITS = {
    "Tensor": ("Tensor", "Optional[Tensor]", "number", "Scalar"),
    "bool": ("bool", "Optional[bool]"),
    "int": (
        "int",
        "Optional[int]",
        "SymInt",
        "List[int]",
        "Optional[List[int]]",
        "number",
        "Optional[number]",
        "float",
        "Optional[float]",
        "Optional[SymInt]",
    ),
    "float": ("float", "Optional[float]", "number", "Optional[number]"),
    "tuple": ("List[int]", "Optional[List[int]]", "List[Tensor]", "List[float]", "Optional[List[float]]"),
    "list": ("List[int]", "Optional[List[int]]", "List[Tensor]", "List[float]", "Optional[List[float]]"),
    "Size": ("List[int]",),
    "str": ("str", "Optional[str]"),
}


@lru_cache(maxsize=4096)
def _names(func: Any, kinds: tuple[str, ...], keywords: frozenset[str]) -> tuple[str, ...]:
    """Names of a function's positional parameters, of a Python signature or of the fitting schema of an operator."""
    try:
        parameters = inspect.signature(func).parameters.values()
        return tuple("input" if p.name == "self" else p.name for p in parameters if p.kind is not p.VAR_POSITIONAL)
    except (TypeError, ValueError):
        pass
    packet = getattr(torch.ops.aten, name_of(func), None)
    if not isinstance(packet, torch._ops.OpOverloadPacket):  # nothing of that name, or a method of the namespace itself
        return ("input",)
    for overload in packet.overloads():
        given = getattr(packet, overload)._schema.arguments
        names = tuple("input" if a.name == "self" else a.name for a in given)
        if len(kinds) <= len(names) and keywords <= {*names, "out"}:
            types = [str(a.type) for a in given]
            if all(kind == "NoneType" or types[i] in _FITS.get(kind, types) for i, kind in enumerate(kinds)):
                return names
    return ("input",)


def person_frame() -> tuple[str, int]:
    """File and line of the innermost frame that is the person's; ``("", 0)`` where the check itself calls torch."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if is_own(file):
            return file, frame.f_lineno
        if file.endswith(_CALLER):
            break
        frame = frame.f_back
    return "", 0


class ModuleStack:
    """Which module runs now: kept by hooks within `watching`."""

    def __init__(self) -> None:
        self._paths: list[str] = []

    @property
    def now(self) -> str:
        return self._paths[-1] if self._paths else ""

    @contextmanager
    def watching(self, model: nn.Module, returned: Callable[[str, Any], None]) -> Iterator[None]:
        """Follow the modules of a model; `returned` is told the path and the output of each when it returns."""
        handles = []
        for path, module in model.named_modules():

            def enter(_module: nn.Module, _args: Any, path: str = path) -> None:
                self._paths.append(path)

            def leave(_module: nn.Module, _args: Any, output: Any, path: str = path) -> None:
                self._paths.pop()
                returned(path, output)

            handles.append(module.register_forward_pre_hook(enter, prepend=True))
            handles.append(module.register_forward_hook(leave, always_call=True))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
