"""Whether a JAX model is a function of its arguments: two traces are compared, and what they leave behind.

A model that reads what its calls change (a counter, a clock, numpy's random numbers) is another program at every
trace, and no conversion of it is right. One that only writes is converted without what it writes, which is said.
"""

from __future__ import annotations

import dis
import inspect
from collections.abc import Iterable, Iterator
from types import CodeType, FunctionType
from typing import Any

import jax
import numpy as np

from regauge.capture import jax_compat
from regauge.errors import CaptureError
from regauge.findings import Finding
from regauge.run.jax_program import JaxProgram
from regauge.run.jax_trees import Mode
from regauge.run.side_effects import changes, traced_in

_PLAIN = (bool, int, float, complex, str, np.generic)
_NEXT = (
    "give what changes as an input, or keep it in the state of the model (nnx.Variable, a Linen collection, "
    "hk.get_state); draw random numbers with jax.random from a key"
)


def side_effects(program: JaxProgram, inputs: Any, mode: Mode) -> tuple[tuple[Finding, ...], bool]:
    """What every call of a model changes besides its results, and whether it takes the memory of its arguments.

    Raises:
        CaptureError: two calls on the same arguments are two programs.
    """
    call, owners, functions = program.effects(program.params, program.state, inputs, mode)
    traces: list[Any] = []

    def trace() -> None:
        traces.append(jax.make_jaxpr(lambda: call())())  # a new function: JAX remembers the traces of one

    found = changes(trace, owners, functions)
    differs = _difference(*traces)
    if differs is not None:
        places = [place for place in (*_lines(differs), *_writers(found, functions)) if place]
        raise CaptureError(
            f"{program.name} is another program each time it is called",
            code="C157",
            where=places[0] if places else "",
            received="; ".join(found) or "other numbers in the same place",
            why="its result depends on something besides its arguments, which a converted module does not have",
            next=_NEXT,
        )
    where = next(iter(_writers(found, functions)), "")
    findings = [
        Finding("C157", "warning", where, f"Every call changes {change}. The converted module does not.")
        for change in found
    ]
    return tuple(findings), jax_compat.donates(traces[-1])


def placeholders(program: JaxProgram, inputs: Any, mode: Mode) -> tuple[str, ...]:
    """Where traces that are over have left their arrays: names of globals, closures and class attributes."""
    try:
        _, owners, functions = program.effects(program.params, program.state, inputs, mode)
        return traced_in(owners, functions)
    except Exception:  # the model cannot even be looked at; its own error says more
        return ()


def source_line(program: JaxProgram, names: Iterable[str] = ()) -> str:
    """``file.py:12`` where one of `names` is written, or where a model's first function or class begins, or ""."""
    written = next(_writers(names, program.sources), "")
    if written:
        return written
    for source in program.sources:
        try:
            inner = inspect.unwrap(source)
            return f"{inspect.getfile(inner)}:{inspect.getsourcelines(inner)[1]}"
        except (TypeError, OSError):
            continue
    return ""


def _difference(one: Any, other: Any) -> Any:
    """The first equation that two traces of one function do not share, None if they are the same program."""
    first, held = jax_compat.opened(one)
    if any(equation.primitive.name == "check" for equation in first.eqns):
        return None  # JAX numbers each check anew; what checks is refused for that
    second, held_too = jax_compat.opened(other)
    changed = {
        variable
        for variable, array, again in zip(first.constvars, held, held_too, strict=False)
        if not _same_array(array, again)
    }
    for equation, again in zip(first.eqns, second.eqns, strict=False):
        if equation.primitive.name != again.primitive.name or not _same_operands(equation, again):
            return equation
        if any(not jax_compat.is_literal(v) and v in changed for v in equation.invars):
            return equation
        if not _same_parameters(equation.params, again.params):
            return equation
        bodies = zip(jax_compat.branches(equation.params), jax_compat.branches(again.params), strict=False)
        inner = next((found for a, b in bodies if (found := _difference(a, b)) is not None), None)
        if inner is not None:
            return inner if _lines(inner) else equation
    if len(first.eqns) != len(second.eqns):
        return max(first.eqns, second.eqns, key=len)[min(len(first.eqns), len(second.eqns))]
    return None


def _same_operands(one: Any, other: Any) -> bool:
    if len(one.invars) != len(other.invars):
        return False
    for atom, again in zip(one.invars, other.invars, strict=True):
        if atom.aval.shape != again.aval.shape or atom.aval.dtype != again.aval.dtype:
            return False
        if jax_compat.is_literal(atom) != jax_compat.is_literal(again):
            return False
        if jax_compat.is_literal(atom) and not _same_array(atom.val, again.val):
            return False
    return True


def _same_parameters(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether the numbers and texts among parameters agree; functions are new objects in every trace."""
    return all(repr(value) == repr(other.get(name)) for name, value in one.items() if _is_plain(value))  # NaN too


def _is_plain(value: Any) -> bool:
    return isinstance(value, _PLAIN) or (isinstance(value, tuple) and all(map(_is_plain, value)))


def _same_array(one: Any, other: Any) -> bool:
    if one is other or jax_compat.is_key(one):
        return True
    first, second = np.asarray(one), np.asarray(other)
    if first.shape != second.shape or first.dtype != second.dtype:
        return False
    return first.tobytes() == second.tobytes()


def _lines(equation: Any) -> list[str]:
    """The innermost own line of an equation."""
    return [f"{frame.file}:{frame.line}" for frame in jax_compat.frames(equation)[-1:]]


# where a name is changed --------------------------------------------------------------------------------------------


def _writers(found: Iterable[str], functions: Iterable[Any]) -> Iterator[str]:
    """``file.py:12`` of the first line of the person's functions that stores, or else names, what a change is about."""
    codes = list(dict.fromkeys(code for function in functions for code in _codes(function)))
    for change in found:
        name = change.split(" ", 1)[0].rsplit(".", 1)[-1]
        lines = [line for code in codes for line in _mentions(code, name)]
        best = next((place for stores, place in lines if stores), lines[0][1] if lines else "")
        if best:
            yield best


def _codes(function: Any) -> Iterator[CodeType]:
    """The code of a function or of the methods of a class, of what they define, and of their file's functions."""
    inner = inspect.unwrap(getattr(function, "__func__", function)) if callable(function) else function
    if isinstance(inner, type):
        for member in vars(inner).values():
            if isinstance(member, FunctionType):
                yield from _nested(member.__code__)
    elif isinstance(inner, FunctionType):
        yield from _nested(inner.__code__)
        for other in inner.__globals__.values():
            code = getattr(other, "__code__", None)
            if isinstance(code, CodeType) and code.co_filename == inner.__code__.co_filename:
                yield from _nested(code)


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


def _mentions(code: CodeType, name: str) -> Iterator[tuple[bool, str]]:
    """Whether it is stored there, and the place, of each instruction that names a variable or an attribute."""
    line = code.co_firstlineno
    for instruction in dis.get_instructions(code):
        line = instruction.positions.lineno if instruction.positions and instruction.positions.lineno else line
        if instruction.argval == name:
            yield instruction.opname.startswith("STORE"), f"{code.co_filename}:{line}"
