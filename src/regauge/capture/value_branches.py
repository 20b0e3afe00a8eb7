"""Python that decides on the values of tensors, as branches of the graph.

`torch.export` stops where Python asks a tensor for its value. The line that asked says which condition it was; the
function runs again as `capture.branch_source` rewrites it, and both ways are traced, as `torch.cond` would have them.
A way sets names, or returns; a condition that leads to an error is left out, because a compiled function cannot raise
one for a value.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from types import CellType, CodeType, FrameType, FunctionType, MethodType
from typing import Any

from regauge.capture import value_ways
from regauge.capture.branch_source import NotRewritten, rewritten
from regauge.capture.failures import is_data_dependent
from regauge.capture.joined_values import OtherWayFirst
from regauge.capture.source_lines import is_own
from regauge.findings import Finding


@dataclass
class _Rewritten:
    """A function that runs as other code; `functions` are those of one definition, of a closure several."""

    functions: list[FunctionType]
    lines: frozenset[int]
    code: CodeType


@dataclass
class ValueBranches:
    """The conditions on values of a model, as its captures meet them."""

    _functions: dict[CodeType, _Rewritten] = field(default_factory=dict)  # by the code that a person wrote
    _swapped: set[str] = field(default_factory=set)  # lines whose second way is traced first

    def learn(self, error: BaseException) -> bool:
        """Whether a capture that failed may be tried again: the line that asked for a value is a condition.

        The function that it stands in runs rewritten from now on, within `in_place`.
        """
        if isinstance(error, OtherWayFirst):
            place = error.args[0]
            self._swapped.add(place)
            return True
        asked = self._asked(error) if is_data_dependent(error) else None
        if asked is None:
            return False
        code, line, frame = asked
        before = self._functions.get(code)
        lines = frozenset({line}) | (before.lines if before else frozenset())
        functions = before.functions if before else list(_functions(code, frame))
        if not functions or (before is not None and line in before.lines):
            return False
        try:
            self._functions[code] = _Rewritten(functions, lines, rewritten(code, lines, value_ways.__name__))
        except NotRewritten:
            return False
        return True

    def _asked(self, error: BaseException) -> tuple[CodeType, int, FrameType] | None:
        """The outermost function around the person's line that asked, the line, and the function's frame."""
        frames = list(traceback.walk_tb(error.__traceback__))
        own = [(frame, line) for frame, line in frames if is_own(frame.f_code.co_filename)]
        if not own:
            return None
        innermost, line = own[-1]
        around = next(frame for frame, _ in own if _contains(frame.f_code, innermost.f_code))
        written = (code for code, made in self._functions.items() if made.code is around.f_code)
        return next(written, around.f_code), line, around

    @contextmanager
    def in_place(self, findings: list[Finding]) -> Iterator[None]:
        """Within the block the functions run rewritten; `findings` gets what that changes."""
        value_ways.active.append(value_ways.Run(findings, frozenset(self._swapped)))
        try:
            with ExitStack() as stack:
                for made in self._functions.values():
                    for function in made.functions:
                        stack.callback(setattr, function, "__code__", function.__code__)
                        function.__code__ = made.code
                yield
        finally:
            value_ways.active.pop()


def _contains(code: CodeType, inner: CodeType) -> bool:
    return code is inner or any(isinstance(item, CodeType) and _contains(item, inner) for item in code.co_consts)


def _functions(code: CodeType, frame: FrameType) -> Iterator[FunctionType]:
    """The functions of a code: of its object's class, of its module, behind decorators."""
    arguments = [frame.f_locals[name] for name in code.co_varnames[:1] if name in frame.f_locals]
    waiting: list[Any] = [owner for argument in arguments for owner in type(argument).__mro__]
    waiting += [*frame.f_globals.values(), *(frame.f_back.f_locals.values() if frame.f_back else ())]
    seen: set[int] = set()
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, type):
            waiting += vars(item).values() if item.__module__ == frame.f_globals.get("__name__") else ()
        elif isinstance(item, FunctionType):
            if item.__code__ is code:
                yield item
            waiting += [cell.cell_contents for cell in item.__closure__ or () if _is_filled(cell)]
        elif isinstance(item, MethodType | staticmethod | classmethod):
            waiting.append(item.__func__)
        elif isinstance(item, property):
            waiting.append(item.fget)
        elif isinstance(item, partial):
            waiting.append(item.func)


def _is_filled(cell: CellType) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:  # a name that is not bound yet
        return False
