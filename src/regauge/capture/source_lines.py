"""Which of all the lines on a stack are the person's own: neither torch's machinery nor regauge's."""

from __future__ import annotations

import functools
import inspect
import re
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import nn
from torch.fx import proxy

import regauge
from regauge.ir.graph import FORMULA, Frame, ModuleStep, Origin

_TORCH = str(Path(torch.__file__).parent) + "/"
_REGAUGE = str(Path(regauge.__file__).parent) + "/"
_PROJECTS = _REGAUGE + "projects/"
_STANDARD = sysconfig.get_path("stdlib") + "/"
_UNKNOWN = Origin()
# Layers of torch that are written out: their lines name values, as those of a person do.
_FORMULAS = frozenset({nn.modules.transformer.__file__, _REGAUGE + "capture/attention_modules.py"})
_FRAME = re.compile(r'^ *File "(?P<file>[^"]+)", line (?P<line>\d+), in (?P<function>\S+)', re.MULTILINE)


@lru_cache(maxsize=4096)
def is_own(file: str) -> bool:
    """Whether a file is the person's, or a library's that builds on torch (transformers, timm)."""
    if file.startswith("<") or not file.endswith(".py"):
        return False
    if file.startswith(_REGAUGE):
        return file.startswith(_PROJECTS)
    if file.startswith((_TORCH, "torch/")):
        return False
    return "site-packages" in file or not file.startswith(_STANDARD)


@lru_cache(maxsize=65536)
def own_frames(stack_trace: str) -> tuple[Frame, ...]:
    """The own lines of a printed stack trace, outermost first, and those of layers that are written out."""
    found = (Frame(m["file"], int(m["line"]), m["function"]) for m in _FRAME.finditer(stack_trace))
    return tuple(
        replace(frame, function=FORMULA) if frame.file in _FORMULAS else frame
        for frame in found
        if frame.file in _FORMULAS or is_own(frame.file)
    )


def origin_of(meta: dict[str, Any], outer: Origin = _UNKNOWN) -> Origin:
    """The origin of a node of torch.fx from its metadata; what is missing is taken from `outer`."""
    stack = meta.get("nn_module_stack") or {}
    steps = tuple(ModuleStep(path, kind, call) for call, (path, kind) in _named(stack))
    frames = own_frames(meta.get("stack_trace") or "")
    return Origin(steps or outer.modules, frames or outer.frames)


def _named(stack: dict[str, tuple[str, Any]]) -> list[tuple[str, tuple[str, str]]]:
    return [
        (call, (path, kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}"))
        for call, (path, kind) in stack.items()
        if not call.startswith("_empty_nn_module_stack")
    ]


@contextmanager
def with_own_lines() -> Iterator[None]:
    """Let torch.export record the own lines of all functions that `forward` calls, not of `forward` alone."""
    kept = getattr(proxy.TracerBase, "_filter_traceback_frames", None)
    if kept is None:
        yield
        return

    def recorded(tracer: proxy.TracerBase, stack: traceback.StackSummary) -> traceback.StackSummary:
        chosen = {id(frame) for frame in kept(tracer, stack)}
        first = next((place for place, frame in enumerate(stack) if frame.name == "forward"), len(stack))
        found = (f for place, f in enumerate(stack) if id(f) in chosen or (place > first and is_own(f.filename)))
        return traceback.StackSummary.from_list(list(found))

    with patch.object(proxy.TracerBase, "_filter_traceback_frames", recorded):
        yield


@contextmanager
def lines_of_functions() -> Iterator[None]:
    """Within the block `record_lines_of` works; afterwards torch.export records what it did before."""
    anchors: set[tuple[str, str]] = getattr(proxy, "_STACK_TRACE_ANCHORS", set())
    before = set(anchors)
    try:
        yield
    finally:
        anchors.intersection_update(before)


def unwrapped(function: Any) -> Any:
    """The function of a person behind partial applications, decorators and torch's own transformations."""
    while True:
        code = getattr(function, "__code__", None)
        free = dict(zip(getattr(code, "co_freevars", ()), getattr(function, "__closure__", None) or (), strict=False))
        if hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        elif isinstance(function, functools.partial):
            function = function.func
        elif "func" in free and code is not None and code.co_filename.startswith(_TORCH):
            function = free["func"].cell_contents
        else:
            return function


def record_lines_of(function: Any) -> None:
    """Let torch.export record the lines of a function that is not a person's own, beside those of `forward`."""
    code = getattr(unwrapped(function), "__code__", None)
    if code is not None:
        anchors: set[tuple[str, str]] = getattr(proxy, "_STACK_TRACE_ANCHORS", set())
        anchors.add((code.co_filename, code.co_name))


def line_of_caller() -> str:
    """``file.py:12`` of the innermost own line that is running, or an empty string."""
    frame = sys._getframe(1)
    while frame is not None and not is_own(frame.f_code.co_filename):
        frame = frame.f_back  # type: ignore[assignment]
    return "" if frame is None else f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"


def line_of_member(model: nn.Module, path: str) -> str:
    """``file.py:12`` where the class of the innermost own module sets the member on the way to `path`, or "".

    Args:
        model: the root.
        path: of a module in it, as `named_modules` has it.
    """
    found, owner = "", model
    for name in path.split(".") if path else ():
        try:
            lines, first = inspect.getsourcelines(type(owner))
            file = inspect.getsourcefile(type(owner)) or ""
        except (OSError, TypeError):  # a class that was made at run time has no source
            lines, first, file = [], 0, ""
        assigns = re.compile(rf"\bself\.{re.escape(name)}\b.*=")
        number = next((number for number, line in enumerate(lines, first) if assigns.search(line)), 0)
        if number and is_own(file):
            found = f"{Path(file).name}:{number}"
        owner = owner.get_submodule(name)
    return found


def own_line(error: BaseException) -> str:
    """``file.py:12`` of the innermost own line in an error's traceback, or an empty string."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if is_own(f.filename)]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""


def own_source(error: BaseException) -> str:
    """The text of that line."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if is_own(f.filename)]
    return (frames[-1].line or "") if frames else ""
