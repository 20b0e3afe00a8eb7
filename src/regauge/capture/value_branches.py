"""Python that decides on the values of tensors, as branches of the graph, and what it makes of sizes, as sizes.

`torch.export` stops where Python asks a tensor for its value. The line that asked says which condition it was; the
function runs again as `capture.branch_source` rewrites it, and both ways are traced, as `torch.cond` would have them.
A way sets names, or returns; a condition that leads to an error is left out, because a compiled function cannot raise
one for a value.

In the same way a function that makes numbers of Python from sizes (`int(n / 2)`) runs again with sizes in their place.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile
from types import CellType, CodeType, FrameType, FunctionType, MethodType
from typing import Any

import torch

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
    lines: frozenset[int]  # of conditions on values
    sizes: frozenset[int]  # of numbers that are made of sizes
    code: CodeType


@dataclass
class ValueBranches:
    """The conditions on values of a model, as its captures meet them."""

    _functions: dict[CodeType, _Rewritten] = field(default_factory=dict)  # by the code that a person wrote
    _swapped: set[str] = field(default_factory=set)  # lines whose second way is traced first
    _sized: dict[tuple[CodeType, int], list[FunctionType]] = field(default_factory=dict)  # of the newest trace
    _keeps_sizes: bool = True

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
        functions = _functions(code, frame) if code not in self._functions else ()
        return self._learn(code, functions, lines=frozenset({line}))

    def learn_sizes(self) -> bool:
        """Whether a capture may be tried again in which fewer sizes become numbers: a call of `int` or the like did it.

        The functions in which `note_size` found such calls run rewritten from now on.
        """
        asked, self._sized = self._sized, {}
        if not self._keeps_sizes:
            return False
        learned = [self._learn(code, found, sizes=frozenset({line})) for (code, line), found in asked.items()]
        return any(learned)

    def forget_sizes(self) -> bool:
        """Whether functions ran with sizes in place of numbers, which they do not any more, nor will."""
        self._keeps_sizes = False
        before = [made for made in self._functions.values() if made.sizes]
        for code, made in list(self._functions.items()):
            del self._functions[code]
            if made.lines:
                self._learn(code, made.functions, lines=made.lines)
        return bool(before)

    def note_size(self, frame: FrameType) -> None:
        """Note that torch makes a number of a size for the person's code of a frame, or for what that calls."""
        traced = takewhile(lambda at: at[0].f_code.co_filename != torch.export.__file__, traceback.walk_stack(frame))
        self._note(list(traced)[::-1])

    def note_error(self, error: BaseException) -> None:
        """Note the line of a person's code that an error came from: it may have been given a size for a number."""
        self._note(traceback.walk_tb(error.__traceback__))

    def _note(self, frames: Iterable[tuple[FrameType, int]]) -> None:
        place = self._place(frames) if self._keeps_sizes else None
        if place is not None and place[:2] not in self._sized:
            code, line, around = place
            self._sized[code, line] = list(_functions(code, around)) if code not in self._functions else []

    def _learn(
        self,
        code: CodeType,
        functions: Iterable[FunctionType],
        lines: frozenset[int] = frozenset(),
        sizes: frozenset[int] = frozenset(),
    ) -> bool:
        """Whether the functions of a code run rewritten on these lines from now on, and did not before."""
        before = self._functions.get(code)
        functions = before.functions if before else list(functions)
        more, more_sizes = (lines | before.lines, sizes | before.sizes) if before else (lines, sizes)
        if not functions or (before is not None and (more, more_sizes) == (before.lines, before.sizes)):
            return False
        try:
            made = rewritten(code, more, more_sizes, value_ways.__name__)
        except NotRewritten:
            return False
        self._functions[code] = _Rewritten(functions, more, more_sizes, made)
        return True

    def _asked(self, error: BaseException) -> tuple[CodeType, int, FrameType] | None:
        """The outermost function around the person's line that asked a value, the line, and the function's frame."""
        return self._place(traceback.walk_tb(error.__traceback__))

    def _place(self, frames: Iterable[tuple[FrameType, int]]) -> tuple[CodeType, int, FrameType] | None:
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
        self._sized.clear()
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
