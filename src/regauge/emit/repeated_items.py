"""Modules in a list that are made alike, as the comprehension that a person would write.

nnx.Sequential(Bottleneck(in_features=64), *[Bottleneck(in_features=256) for _ in range(5)])
nnx.List([DenseLayer(features=64 + 32 * i) for i in range(6)])
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Sequence
from dataclasses import replace

from regauge.emit.files import EmittedClass

_FEWEST = 3  # modules in a row are worth a comprehension
_COUNTER = "i"


def with_comprehensions(made: EmittedClass) -> EmittedClass:
    """The class with its lists of modules written so."""
    init = [replace(line, text=_rewritten(line.text)) for line in made.init]
    return made if init == made.init else replace(made, init=init)


def _rewritten(text: str) -> str:
    if text.count("(") <= _FEWEST or "\n" in text:
        return text
    tree = ast.parse(text)
    visitor = _Lists()
    visitor.visit(tree)
    return ast.unparse(tree) if visitor.changed else text


class _Lists(ast.NodeTransformer):
    """Rewrites what lists and chains of modules hold, from the inside out."""

    changed = False

    def visit_List(self, node: ast.List) -> ast.expr:
        self.generic_visit(node)
        items = self._items(node.elts)
        whole = items[0].value if len(items) == 1 and isinstance(items[0], ast.Starred) else None
        return whole if isinstance(whole, ast.ListComp) else ast.List(items, node.ctx)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        node.args = self._items(node.args)
        return node

    def _items(self, items: Sequence[ast.expr]) -> list[ast.expr]:
        found: list[ast.expr] = []
        position = 0
        while position < len(items):
            run = _run(items, position)
            self.changed = self.changed or run is not None
            found.append(items[position] if run is None else run[0])
            position += 1 if run is None else run[1]
        return found


def _run(items: Sequence[ast.expr], start: int) -> tuple[ast.Starred, int] | None:
    """The longest run of modules from a place on that are made alike, as a comprehension, and how many they are."""
    first = items[start]
    if not isinstance(first, ast.Call) or start + _FEWEST > len(items):
        return None
    numbers = [_numbers(items[start])]
    for item in items[start + 1 :]:
        following = _numbers(item)
        if not isinstance(item, ast.Call) or _shape(item) != _shape(first) or len(following) != len(numbers[0]):
            break
        if len(numbers) > 1 and _steps(numbers[-1], following) != _steps(numbers[0], numbers[1]):
            break
        numbers.append(following)
    if len(numbers) < _FEWEST:
        return None
    steps = _steps(numbers[0], numbers[1])
    if any(steps) and any(isinstance(part, ast.ListComp) for part in ast.walk(first)):
        return None  # which may count with the same variable
    element = copy.deepcopy(first)
    for constant, step in zip(_constants(element), steps, strict=True):
        if step:
            constant.value = _Progression(int(constant.value), step)  # type: ignore[arg-type, assignment]
    counter = ast.Name(_COUNTER if any(steps) else "_", ast.Store())
    over = ast.Call(ast.Name("range", ast.Load()), [ast.Constant(len(numbers))], [])
    return ast.Starred(ast.ListComp(element, [ast.comprehension(counter, over, [], 0)]), ast.Load()), len(numbers)


class _Progression:
    """`64 + 32 * i` in place of a constant."""

    def __init__(self, start: int, step: int) -> None:
        self.start, self.step = start, step

    def __repr__(self) -> str:
        times = _COUNTER if self.step == 1 else f"{self.step} * {_COUNTER}"
        return f"{self.start} + {times}" if self.start else times


def _constants(node: ast.expr) -> list[ast.Constant]:
    """The integers that say how a module is made, in one order for all of a shape."""
    return [part for part in ast.walk(node) if isinstance(part, ast.Constant) and type(part.value) is int]


def _numbers(node: ast.expr) -> list[int]:
    return [int(constant.value) for constant in _constants(node)]  # type: ignore[arg-type]


def _steps(one: Sequence[int], other: Sequence[int]) -> list[int]:
    return [b - a for a, b in zip(one, other, strict=True)]


def _shape(node: ast.expr) -> str:
    """The text of a constructor without its integers."""
    blank = copy.deepcopy(node)
    for constant in _constants(blank):
        constant.value = 0
    return ast.unparse(blank)
