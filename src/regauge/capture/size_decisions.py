"""Sizes that Python decides on while a model is traced: ``if x.shape[0] % 2:``, ``int(1.25 * x.shape[0])``.

torch.export takes the course that the example takes, and the size stays a symbol. For another size the original would
go another way, and the converted model would not. Such a size has to become a number, unless what is known about it
(``2 <= batch <= 100``) settles the question for every size that is left, or the other way ends in an error.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

import sympy
import torch
from torch.export import ExportedProgram
from torch.fx.experimental.sym_node import SymNode
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.utils._sympy import functions as torch_functions
from torch.utils._sympy.numbers import int_oo
from torch.utils._sympy.value_ranges import ValueRanges, bound_sympy

from regauge.capture import size_numbers
from regauge.capture.dynamic import names_in
from regauge.capture.size_proofs import is_constant
from regauge.capture.source_lines import is_own
from regauge.findings import Finding

_ANY_SIZE = ValueRanges(2, int_oo)  # of a symbol of which nothing else is known: export takes 0 and 1 for constants
_QUESTIONS: tuple[tuple[type, str, Callable[[Any], Any]], ...] = (
    (torch.SymBool, "__bool__", lambda truth: truth),
    (torch.SymInt, "__bool__", lambda size: size != 0),
    (torch.SymFloat, "__bool__", lambda size: size != 0),
)
_REPLACED = "_set_replacement"  # torch's own name for what it calls when a symbol turns out to be something else
_NUMBERS = ("guard_int", "guard_float")  # what gives Python a number, whoever asks
_ROUNDINGS = {
    "__floor__": torch_functions.FloorToInt,
    "__ceil__": torch_functions.CeilToInt,
    "__trunc__": torch_functions.TruncToInt,
    "__round__": torch_functions.RoundToInt,
}


@dataclass(frozen=True)
class Decision:
    """One answer that Python got about a size.

    Attributes:
        node: torch's symbolic value that was asked for; its expression follows what the trace learns later.
        line: ``file.py:12``.
        bound: symbols of which the answer was one number, which leaves a relation between them (n + m is 8).
    """

    node: Any
    line: str
    bound: frozenset[Any] = frozenset()

    @property
    def symbols(self) -> set[str]:
        """Names of torch's symbols that the answer depends on."""
        expressions = [self.node.expr, *(self.node.shape_env.replace(symbol) for symbol in self.bound)]
        return {symbol.name for expression in expressions for symbol in expression.free_symbols}

    def is_settled(self, ranges: Mapping[Any, ValueRanges[Any]]) -> bool:
        """Whether every size within the ranges gets the same answer."""
        expression = self.node.expr
        if self.bound:
            return not self.symbols
        if expression.is_number or expression in (sympy.true, sympy.false):
            return True
        known = {symbol: ranges.get(symbol, _ANY_SIZE) for symbol in expression.free_symbols}
        return bool(bound_sympy(expression, known).is_singleton()) or is_constant(expression, known)


@dataclass
class Sizes:
    """What a trace asked of symbolic sizes.

    Attributes:
        decisions: answers that Python got.
        lines: of torch's symbols that became numbers, with the line that they became one at.
        symbols: of the traced inputs, by the place among all leaves of the arguments and the axis.
    """

    decisions: list[Decision] = field(default_factory=list)
    lines: dict[str, str] = field(default_factory=dict)
    symbols: dict[tuple[int, int], str] = field(default_factory=dict)

    def begin(self) -> None:
        """Forget the trace before."""
        for found in (self.decisions, self.lines, self.symbols):
            found.clear()

    def take(self, leaves: Sequence[Any]) -> None:
        """Learn the symbols of a trace from the leaves of the model's arguments."""
        for place, leaf in enumerate(leaves):
            for axis, size in enumerate(leaf.shape if isinstance(leaf, torch.Tensor) else ()):
                if isinstance(size, torch.SymInt) and size.node.expr.is_Symbol:
                    self.symbols[place, axis] = size.node.expr.name

    @property
    def fixed_at(self) -> str:
        """Where the first size became a number, or was decided on, or an empty string."""
        decided = (decision.line for decision in self.decisions if not decision.is_settled({}))
        return next(iter(self.lines.values()), "") or next(decided, "")

    def line_of(self, place: int, axis: int) -> str:
        """Where the size of an input became a number, or an empty string."""
        return self.lines.get(self.symbols.get((place, axis), ""), "")


@contextmanager
def noted(found: Sizes, ask: Callable[[FrameType], None]) -> Iterator[None]:
    """Within the block `found` gets what a person's code asks of symbolic sizes.

    Without what ends in an error otherwise (``assert t <= n``, ``if c % 2: raise``): the original has no answer there.

    Args:
        found: of the trace.
        ask: gets the person's frame wherever a size becomes a number.
    """

    watch = _Watch(found, ask)
    with ExitStack() as stack:
        for owner, name, question in _QUESTIONS:
            stack.enter_context(mock.patch.object(owner, name, watch.asked(getattr(owner, name), question)))
        for name in _NUMBERS:
            stack.enter_context(mock.patch.object(SymNode, name, watch.numbered(getattr(SymNode, name))))
        for name, function in _ROUNDINGS.items():
            if not hasattr(torch.SymFloat, name):
                continue
            watched = watch.rounded(getattr(torch.SymFloat, name), function)
            stack.enter_context(mock.patch.object(torch.SymFloat, name, watched))
        if hasattr(ShapeEnv, _REPLACED):
            watched = watch.replaced(getattr(ShapeEnv, _REPLACED))
            stack.enter_context(mock.patch.object(ShapeEnv, _REPLACED, watched))
        yield


@dataclass
class _Watch:
    """Functions of torch that say who calls them for what; as `noted` takes its arguments."""

    found: Sizes
    ask: Callable[[FrameType], None]

    def asked(self, original: Callable[..., Any], question: Callable[[Any], Any]) -> Any:
        """One that gives Python an answer about a size."""

        def answer(size: Any, *rest: Any) -> Any:
            frame = sys._getframe(1)
            if is_own(frame.f_code.co_filename) and not _or_raises(frame):
                asked = question(size)
                if hasattr(asked, "node") and asked.node.expr.free_symbols:
                    self.found.decisions.append(Decision(asked.node, _line(frame)))
            return original(size, *rest)

        return answer

    def numbered(self, original: Callable[..., Any]) -> Any:
        """One that gives a number in the place of a size: to a person's code, or to what this calls."""

        def answer(node: Any, *rest: Any) -> Any:
            before = node.expr.free_symbols
            number = original(node, *rest)
            frame = _own(sys._getframe(1)) if before else None
            if frame is not None and not _or_raises(frame):
                bound = len(before) > 1 and not node.expr.free_symbols
                self.found.decisions.append(Decision(node, _line(frame), frozenset(before) if bound else frozenset()))
                self.ask(frame)
            return number

        return answer

    def rounded(self, original: Callable[..., Any], function: type[sympy.Function]) -> Any:
        """One that rounds a float: to a quotient of whole numbers, or to a number of Python."""

        def answer(size: Any, *rest: Any) -> Any:
            if rest or not is_own(sys._getframe(1).f_code.co_filename):
                return original(size, *rest)
            whole = size_numbers.rounded(size, function)
            return int(original(size)) if whole is None else whole

        return answer

    def replaced(self, original: Callable[..., Any]) -> Any:
        """The one that puts a number in the place of a symbol."""

        def replace(env: Any, symbol: Any, target: Any, *rest: Any) -> Any:
            frame = _own(sys._getframe(1)) if target.is_number else None
            if frame is not None:
                self.found.lines.setdefault(symbol.name, _line(frame))
                self.ask(frame)
            return original(env, symbol, target, *rest)

        return replace


def _own(frame: FrameType | None) -> FrameType | None:
    """The innermost frame of a person's code that torch.export runs, from this one on."""
    while frame is not None and not is_own(frame.f_code.co_filename):
        frame = None if frame.f_code.co_filename == torch.export.__file__ else frame.f_back
    return frame


def _line(frame: FrameType) -> str:
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"


def undecided(decisions: Sequence[Decision], program: ExportedProgram) -> dict[str, str]:
    """torch's symbols that may not stay symbols, with the line that decides on each."""
    ranges = program.range_constraints
    found: dict[str, str] = {}
    for decision in decisions:
        if not decision.is_settled(ranges):
            for symbol in sorted(decision.symbols):
                found.setdefault(symbol, decision.line)
    return found


def axes_of(
    symbols: Mapping[str, str], program: ExportedProgram, inputs: Any
) -> dict[tuple[int, int], tuple[str, str]]:
    """The axes of input tensors that have these symbols for sizes.

    Args:
        symbols: torch's symbols, with lines.
        program: traced from `inputs`.
        inputs: tuple of positional or dict of keyword arguments.

    Returns:
        ``(id(tensor), axis)`` -> the name of the input and the line.
    """
    values = {node.name: node.meta.get("val") for node in program.graph.find_nodes(op="placeholder")}
    found: dict[tuple[int, int], tuple[str, str]] = {}
    for tensor, name in names_in(program, inputs):
        if not isinstance(tensor, torch.Tensor):
            continue
        for axis, size in enumerate(values[name].shape):
            held = size.node.expr.free_symbols if isinstance(size, torch.SymInt) else ()
            if line := next((symbols[symbol.name] for symbol in held if symbol.name in symbols), ""):
                found[id(tensor), axis] = (name, line)
    return found


def within_ranges(decisions: Sequence[Decision], program: ExportedProgram, names: Mapping[str, str]) -> list[Finding]:
    """A finding for each line whose answer holds for a range of sizes only.

    Args:
        decisions: of the trace.
        program: that it gave.
        names: torch's symbols -> those of the graph.
    """
    found = []
    for decision in decisions:
        if decision.is_settled({}) or not decision.is_settled(program.range_constraints):
            continue
        parts = []
        for symbol in sorted(decision.node.expr.free_symbols, key=str):
            bounds = program.range_constraints.get(symbol, _ANY_SIZE)
            name, low = names.get(symbol.name, symbol.name), f"{bounds.lower} <= "
            parts.append(f"{low}{name}" if bounds.upper is int_oo else f"{low}{name} <= {bounds.upper}")
        text = f"The code decides on a size here, and is converted as it runs for {', '.join(parts)}."
        found.append(Finding("C177", "warning", decision.line, text))
    return list(dict.fromkeys(found))


def _or_raises(frame: FrameType) -> bool:
    """Whether the condition on a frame's line is one that must hold: another answer ends in an error."""
    return frame.f_lineno in _lines_that_must_hold(frame.f_code.co_filename)


@lru_cache(maxsize=256)
def _lines_that_must_hold(file: str) -> frozenset[int]:
    try:
        tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return frozenset()
    found: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert) or (isinstance(node, ast.If) and _has_error(node)):
            found.update(range(node.test.lineno, (node.test.end_lineno or node.test.lineno) + 1))
    return frozenset(found)


def _has_error(statement: ast.If) -> bool:
    return any(isinstance(body[-1], ast.Raise) for body in (statement.body, statement.orelse) if body)
