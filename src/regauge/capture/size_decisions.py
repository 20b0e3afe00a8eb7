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
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest import mock

import sympy
import torch
from torch.export import ExportedProgram
from torch.utils._sympy.numbers import int_oo
from torch.utils._sympy.value_ranges import ValueRanges, bound_sympy

from regauge.capture.dynamic import names_in
from regauge.capture.source_lines import is_own
from regauge.findings import Finding

_ANY_SIZE = ValueRanges(2, int_oo)  # of a symbol of which nothing else is known: export takes 0 and 1 for constants
_QUESTIONS: tuple[tuple[type, str, Callable[[Any], Any]], ...] = (
    (torch.SymBool, "__bool__", lambda truth: truth),
    (torch.SymInt, "__bool__", lambda size: size != 0),
    (torch.SymInt, "__int__", lambda size: size),
    (torch.SymInt, "__index__", lambda size: size),
    (torch.SymFloat, "__bool__", lambda size: size != 0),
    (torch.SymFloat, "__int__", lambda size: size.__trunc__()),
)


@dataclass(frozen=True)
class Decision:
    """One answer that Python got about a size.

    Attributes:
        node: torch's symbolic value that was asked for; its expression follows what the trace learns later.
        line: ``file.py:12``.
    """

    node: Any
    line: str

    @property
    def symbols(self) -> set[str]:
        """Names of torch's symbols that the answer depends on."""
        return {symbol.name for symbol in self.node.expr.free_symbols}

    def is_settled(self, ranges: Mapping[Any, ValueRanges[Any]]) -> bool:
        """Whether every size within the ranges gets the same answer."""
        expression = self.node.expr
        if expression.is_number or expression in (sympy.true, sympy.false):
            return True
        known = {symbol: ranges.get(symbol, _ANY_SIZE) for symbol in expression.free_symbols}
        return bool(bound_sympy(expression, known).is_singleton())


@contextmanager
def noted(found: list[Decision]) -> Iterator[None]:
    """Within the block `found` gets what a person's code asks of symbolic sizes.

    Without what ends in an error otherwise (``assert t <= n``, ``if c % 2: raise``): the original has no answer there.
    """

    def asking(original: Callable[..., Any], question: Callable[[Any], Any]) -> Callable[..., Any]:
        def answer(size: Any) -> Any:
            code, line = sys._getframe(1).f_code, sys._getframe(1).f_lineno
            if is_own(code.co_filename) and not _or_raises(code.co_filename, line):
                asked = question(size)
                if hasattr(asked, "node") and asked.node.expr.free_symbols:
                    found.append(Decision(asked.node, f"{Path(code.co_filename).name}:{line}"))
            return original(size)

        return answer

    with ExitStack() as stack:
        for owner, name, question in _QUESTIONS:
            stack.enter_context(mock.patch.object(owner, name, asking(getattr(owner, name), question)))
        yield


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


def _or_raises(file: str, line: int) -> bool:
    """Whether the condition on a line is one that must hold: another answer ends in an error."""
    return line in _lines_that_must_hold(file)


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
