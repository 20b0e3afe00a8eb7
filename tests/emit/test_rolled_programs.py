"""Loops that were unrolled at random, with names given out at random, do what they did once they are loops again."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from types import SimpleNamespace

import pytest

from regauge.emit.lines import Body, Line
from regauge.emit.original_loops import OriginalLoop
from regauge.emit.rolling import roll_steps
from regauge.emit.steps import SourceLine

VARIABLES = ("h", "c", "y", "z")
OLD = ("h before", "c before")
FORMS = ("", "", "lambdas", "def", "called", "comprehension")
LOOPS = tuple(OriginalLoop(length=4 - n) for n in range(3))
LINES = {
    f"f.py:{line}": SourceLine(LOOPS[line // 10 - 1], (line,))
    for line in (*range(10, 15), *range(20, 25), *range(30, 35))
}


@dataclass
class Unrolled:
    """Assignments of one value each: its number, how it is computed from others, the line of the original, its form."""

    assignments: list[tuple[int, str, tuple[int, ...], str, str]] = field(default_factory=list)
    current: dict[str, int] = field(default_factory=dict)
    before: dict[str, int] = field(default_factory=dict)  # what variables were when the step began
    made: int = 0

    def assign(self, variable: str, text: str, reads: tuple[int, ...], origin: str, form: str = "") -> int:
        self.current[variable] = self.made
        self.assignments.append((self.made, text, reads, origin, form))
        self.made += 1
        return self.made - 1


def unrolled(choose: random.Random) -> tuple[Unrolled, list[list[int]]]:
    """A program of one or two loops, of which each step may have a loop in it; and the values that steps keep."""
    program = Unrolled()
    for variable in VARIABLES:
        program.assign(variable, f"{choose.randint(2, 9)} + x", (), "")
    kept: list[list[int]] = []
    for first_line in (10, 20) if choose.random() < 0.5 else (10,):
        steps = [_assignment(choose) for _ in range(choose.randint(1, 3))]
        inner = [_assignment(choose) for _ in range(choose.randint(1, 2))] if choose.random() < 0.4 else []
        keeps = choose.choice([*VARIABLES, ""])
        column: list[int] = []
        times = choose.randint(2, 5)
        for step in range(times):
            program.before = dict(program.current)
            for line, assignment in enumerate(steps):
                _run(program, assignment, step, f"f.py:{first_line + line}")
            for inner_step in range(3 if inner else 0):
                for line, assignment in enumerate(inner):
                    _run(program, assignment, inner_step, f"f.py:{30 + line}")
            if keeps:
                column.append(program.current[keeps])
            if choose.random() < 0.02:  # something else in one step
                program.assign("z", "{} - 7", (program.current["z"],), f"f.py:{first_line + 4}")
        kept += [column] if keeps and len(set(column)) == times else []
        program.assign("c", "{} + {}", (program.current["c"], program.current["y"]), "")
    return program, kept


Assignment = tuple[str, list[str | int], str]


def _assignment(choose: random.Random) -> Assignment:
    """A variable, the variables and numbers that it is the sum of, where an index `i` counts the steps, and a form."""
    parts = [choose.choice([*VARIABLES, *OLD, 3, "i", "2i", "-i", "table"]) for _ in range(choose.randint(1, 3))]
    return choose.choice(VARIABLES), parts, choose.choice(FORMS)


def _run(program: Unrolled, assignment: Assignment, step: int, origin: str) -> None:
    variable, parts, form = assignment
    numbers = {"i": f"{step}", "2i": f"{2 * step + 1}", "-i": f"{9 - step}", "table": f"table[{step + 1}]"}
    values = program.current | {f"{name} before": value for name, value in program.before.items()}
    texts = ["{}" if part in values else numbers.get(str(part), str(part)) for part in parts]
    reads = tuple(values[str(part)] for part in parts if part in values)
    program.assign(variable, " + ".join([*texts, "f(1)"]), reads, origin, form)


def named(program: Unrolled, results: list[int], choose: random.Random) -> list[Line]:
    """The lines of a program; a name is free again once nothing reads the value that had it."""
    last = {value: len(program.assignments) for value in results}
    for place, (_, _, reads, _, _) in reversed([*enumerate(program.assignments)]):
        for value in reads:
            last.setdefault(value, place)
    names: dict[int, str] = {}
    lines = []
    for place, (value, text, reads, origin, form) in enumerate(program.assignments):
        if value not in last:
            continue  # as dead code is left out
        taken = {names[other] for other in names if last[other] > place}
        free = [name for name in _candidates() if name not in taken]
        names_of_reads = [names[other] for other in reads]
        names[value] = free[0] if choose.random() < 0.7 else choose.choice(free[:4])
        local = choose.choice([name for name in _some_candidates() if name not in names_of_reads])
        texts = _written(names[value], text.format(*names_of_reads), form, local, [*names_of_reads, "0"][0])
        lines += [Line(text, "", origin) for text in texts]
    return [*lines, *_returned(results, names)]


def _written(name: str, value: str, form: str, local: str, other: str) -> list[str]:
    """The lines that assign a value, some with names of their own: in functions that a call calls at once, in lists."""
    if form == "lambdas":
        return [f"{name} = jax.lax.cond(x > 0, lambda: {value}, lambda: {other})"]
    if form == "comprehension":
        return [f"{name} = sum([{value} + {local} for {local} in (1, 2)])"]
    if not form:
        return [f"{name} = {value}"]
    call = "way()" if form == "called" else f"jax.lax.cond(x > 0, way, lambda: {other})"
    return ["def way():", f"    {local} = {value}", f"    return {local} + {local}", f"{name} = {call}"]


def _some_candidates() -> list[str]:
    return list(islice(_candidates(), 6))


def _candidates() -> Iterator[str]:
    return (f"{name}{number}" for number in ("", *(f"_{n}" for n in range(2, 60))) for name in VARIABLES)


def _returned(results: list[int], names: dict[int, str]) -> list[Line]:
    return [Line(f"return ({', '.join(names[value] for value in results)},)")]


def run(lines: list[Line]) -> object:
    code = "\n".join(f"    {part}" for line in lines for part in line.text.split("\n"))
    jax = SimpleNamespace(lax=SimpleNamespace(cond=_cond))
    space: dict[str, object] = {"table": [n * n for n in range(40)], "f": lambda x: x + 1, "jax": jax}
    exec(f"def g(x):\n{code}", space)
    function = space["g"]
    assert callable(function)
    return function(5)


def _cond(chosen: bool, when_true: Callable[[], object], when_false: Callable[[], object]) -> object:
    return when_true() if chosen else when_false()


@pytest.mark.parametrize("block", range(20))
def test_a_program_does_what_it_did(block: int) -> None:
    rolled_some = 0
    for seed in range(100 * block, 100 * block + 100):
        choose = random.Random(seed)
        program, kept = unrolled(choose)
        results = [value for column in kept for value in column] + list(program.current.values())
        lines = named(program, results, choose)
        rolled, _ = roll_steps(Body(["x"], lines), {}, LINES)
        assert run(rolled.lines) == run(lines), f"seed {seed}"
        rolled_some += len(rolled.lines) < len(lines) - 1
    assert rolled_some > 30
