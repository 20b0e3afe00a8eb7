"""What a loop runs over: numbers in order, the modules of lists, the values that each step reads."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from regauge.emit.loops import singular
from regauge.emit.merging import Number, Template, Unlike
from regauge.emit.names import identifier, unique
from regauge.emit.original_loops import OriginalLoop

_COUNTERS = ("i", "j", "k", "step")


@dataclass
class Header:
    """The head of a loop, and what stands for the placeholders of its step.

    Attributes:
        target: the variables of the loop, as they are written.
        variables: their names.
        counter: the one that counts the steps, '' without.
        iterable: what it runs over.
        numbers: what stands for the numbers that differ, by their place in the template.
        elements: the variables that stand for modules in lists, by the text of the list and the place of the number.
        unpacked: those that stand for the parts of such a module, which is a list itself.
        values: the variables that stand for the values that differ, by their place in the template.
    """

    target: str = "_"
    variables: set[str] = field(default_factory=set)
    counter: str = ""
    iterable: str = ""
    numbers: dict[int, str] = field(default_factory=dict)
    elements: dict[tuple[str, int], str] = field(default_factory=dict)
    unpacked: dict[tuple[str, int], tuple[str, ...]] = field(default_factory=dict)
    values: dict[int, str] = field(default_factory=dict)


def header_of(
    template: Template,
    count: int,
    lists: Mapping[str, int],
    values: Sequence[tuple[str, str]],
    original: OriginalLoop,
    taken: set[str],
    parameters: Collection[str] = (),
) -> Header:
    """The head of the loop over some steps.

    Args:
        template: one step.
        count: how many there are.
        lists: the lists of modules, with their lengths.
        values: for each of the template's values what it runs over, and a name for one of them.
        original: the loop that the person wrote.
        taken: names that are not free; those that the head takes are added.
        parameters: those of them that functions in the step have for their parameters and nothing else has.

    Raises:
        Unlike: its numbers follow no rule.
    """
    found = Header()
    runs: list[tuple[str, str]] = []
    uses = [use for statement in template.statements for use in _uses(statement, lists)]
    listed = dict.fromkeys((text, place) for text, place in uses if text and _follows(template.numbers[place]))
    elsewhere = {place for text, place in uses if (text, place) not in listed}
    alone = len(listed) + len(values) == 1
    for text, place in listed:
        names = original.item(text, alone)
        if len(names) > 1 and _is_unpacked(template, text, place, lists, len(names)) and not {*names} & taken:
            found.unpacked[text, place] = names
            name = f"({', '.join(names)})" if not alone else ", ".join(names)
            taken |= {*names}
            found.variables |= {*names}
        else:
            hidden = {p for p in parameters if not _is_read_beside(template, text, place, lists, p)}
            name = unique(names[0] if len(names) == 1 else singular(text), taken - hidden)
            found.elements[text, place] = name
            taken.add(name)
        runs.append((name, _part(text, template.numbers[place], lists[text])))
    for place, (iterable, name) in enumerate(values):
        names = original.item(iterable, alone)
        found.values[place] = _free(names[0] if len(names) == 1 else name, taken)
        runs.append((found.values[place], iterable))
    counter = next((name for name in (original.counter, *_COUNTERS) if _is_good(name) and name not in taken), "")
    base = _count(found, template, sorted(elsewhere), counter or unique("step", taken), count, runs, taken)
    _join(found, runs, base, count)
    found.variables |= {name for name, _ in runs} | {found.counter for _ in range(bool(found.counter))}
    return found


def _count(
    found: Header,
    template: Template,
    places: Sequence[int],
    counter: str,
    count: int,
    runs: list[tuple[str, str]],
    taken: set[str],
) -> range:
    """Note what stands for numbers in the head of a loop; where none follows the counter, it has none.

    Returns:
        What the counter goes through.

    Raises:
        Unlike: the numbers follow no rule.
    """
    columns = [(place, template.numbers[place]) for place in places]
    whole = [(place, [n for n in numbers if isinstance(n, int)]) for place, numbers in columns if _is_counted(numbers)]
    base = _base([column for _, column in whole], count)
    for place, column in whole:
        found.numbers[place], found.counter = _linear(counter, base, column), counter
    for place, numbers in columns:
        if place in found.numbers:
            continue
        text = _product(counter, base, numbers)
        if text:
            found.counter = counter
        else:
            text = _free("value", taken)
            runs.append((text, f"({', '.join(map(repr, numbers))})"))
        found.numbers[place] = text
    taken |= {found.counter} - {""}
    return base


def _uses(node: ast.AST, lists: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """The numbers that a statement has, each with the list of which it is the place, or with an empty text."""
    place = _place(node) if isinstance(node, ast.Subscript) else None
    if isinstance(node, ast.Subscript) and place is not None:
        text = ast.unparse(node.value)
        yield (text if text in lists else ""), place
        yield from _uses(node.value, lists)
        return
    if isinstance(node, ast.Name) and node.id.startswith("?n"):
        yield "", int(node.id[2:])
    for child in ast.iter_child_nodes(node):
        yield from _uses(child, lists)


def _is_read_beside(template: Template, text: str, place: int, lists: Mapping[str, int], parameter: str) -> bool:
    """Whether a function with a parameter of this name reads a module in a list as well."""
    nodes = [node for statement in template.statements for node in ast.walk(statement)]
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.Lambda)]
    having = [f for f in functions if parameter in {arg.arg for arg in ast.walk(f.args) if isinstance(arg, ast.arg)}]
    bodies = [part for f in having for part in (f.body if isinstance(f.body, list) else [f.body])]
    return any((text, place) in _uses(part, lists) for part in bodies)


def _is_unpacked(template: Template, text: str, place: int, lists: Mapping[str, int], count: int) -> bool:
    """Whether steps read nothing of a module in a list but its parts, of which there are so many."""
    nodes = [node for statement in template.statements for node in ast.walk(statement)]
    whole = [n for n in nodes if isinstance(n, ast.Subscript) and _place(n) == place and ast.unparse(n.value) == text]
    parts = [
        n for n in nodes if isinstance(n, ast.Subscript) and n.value in whole and isinstance(n.slice, ast.Constant)
    ]
    return len(parts) == len(whole) and all(lists.get(f"{text}[{i}]") == count for i in range(lists[text]))


def _place(node: ast.Subscript) -> int | None:
    """Which of a template's numbers an index is."""
    is_number = isinstance(node.slice, ast.Name) and node.slice.id.startswith("?n")
    return int(node.slice.id[2:]) if is_number and isinstance(node.slice, ast.Name) else None


def _is_good(name: str) -> bool:
    return bool(name.strip("_")) and identifier(name) == name


def _free(name: str, taken: set[str]) -> str:
    found = unique(name, taken)
    taken.add(found)
    return found


def _is_counted(column: Sequence[Number]) -> bool:
    """Whether numbers can follow a counter; any two do, but only of one after the other does it say anything."""
    return all(isinstance(number, int) for number in column) and (len(column) > 2 or _follows(column))


def _follows(column: Sequence[Number]) -> bool:
    """Whether numbers are places one after the other."""
    return all(later == number + 1 for number, later in pairwise(column))


def _part(text: str, column: Sequence[Number], length: int) -> str:
    """The part of a list that has these places."""
    begin, end = int(column[0]), int(column[-1]) + 1
    if (begin, end) == (0, length):
        return text
    return f"{text}[{begin or ''}:{end if end < length else ''}]"


def _base(columns: Sequence[Sequence[int]], count: int) -> range:
    """The numbers that the counter of a loop goes through.

    Raises:
        Unlike: some that differ begin with two that do not.
    """
    steps = {column[1] - column[0] for column in columns}
    if 0 in steps:
        raise Unlike
    if len(steps) == 1:
        (step,) = steps
        first = min((column[0] for column in columns), key=lambda begin: (abs(begin), begin))
        return range(first, first + count * step, step)
    by_one = [column[0] for column in columns if column[1] - column[0] == 1]
    begin = min(by_one, default=0)
    return range(begin, begin + count)


def _linear(counter: str, base: range, column: Sequence[int]) -> str:
    """Numbers as a sum and product of the counter.

    Raises:
        Unlike: they are none.
    """
    factor, rest = divmod(column[1] - column[0], base.step)
    begin = column[0] - factor * base.start
    if rest or any(number != begin + factor * place for number, place in zip(column, base, strict=True)):
        raise Unlike
    text = counter if factor == 1 else f"{factor} * {counter}" if factor != -1 else f"-{counter}"
    if factor == -1 and begin:
        return f"{begin} - {counter}"
    return text if not begin else f"{text} + {begin}" if begin > 0 else f"{text} - {-begin}"


def _product(counter: str, base: range, column: Sequence[Number]) -> str:
    """Numbers as the counter times a number or by one, where that gives the same to the last bit; '' where not."""
    place, number = next(((p, n) for p, n in zip(base, column, strict=True) if p and n), (0, 0.0))
    if not place or any(isinstance(number, int) for number in column):
        return ""
    factor, divisor = number / place, round(place / number)
    if divisor and all(n == p / divisor for p, n in zip(base, column, strict=True)):
        return f"{counter} / {divisor}"
    if all(n == p * factor for p, n in zip(base, column, strict=True)):
        return f"{counter} * {factor!r}"
    return ""


def _join(found: Header, runs: Sequence[tuple[str, str]], base: range, count: int) -> None:
    """Write the head: over a range, over what the step reads, or over both."""
    counter = found.counter
    targets, iterables = ", ".join(name for name, _ in runs), [text for _, text in runs]
    if not runs:
        found.target, found.iterable = counter or "_", _range(base if counter else range(count))
        return
    iterable = iterables[0] if len(runs) == 1 else f"zip({', '.join(iterables)})"
    found.target, found.iterable = targets, iterable
    if counter and base == range(count):
        found.target = f"{counter}, {targets if len(runs) == 1 else f'({targets})'}"
        found.iterable = f"enumerate({iterable})"
    elif counter:
        found.target = f"{counter}, {targets}"
        found.iterable = f"zip({', '.join([_range(base), *iterables])})"


def _range(numbers: range) -> str:
    if numbers.step == -1:
        return f"reversed({_range(range(numbers[-1], numbers[0] + 1))})"
    begin = f"{numbers.start}, " if numbers.start or numbers.step != 1 else ""
    step = f", {numbers.step}" if numbers.step != 1 else ""
    return f"range({begin}{numbers.stop}{step})"
