"""Layers that each take what all before them gave, as the loop over a growing list that a person would write.

features = [x]
for layer in self.layers:
    features.append(layer(*features))
return jnp.concatenate(features, axis=3)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from regauge.emit.lines import Body, Line
from regauge.emit.loops import singular

_CALL = re.compile(
    r"^(?P<target>\w+) = self\.(?P<path>[\w.\[\]]*?)(?:\[(?P<index>\d+)\]|(?P<number>\d+))\((?P<arguments>[\w, ]*)\)$"
)
_FEWEST = 3  # calls, of which the last one takes what two others gave
_NAMES = ("features", "outputs", "arrays")


@dataclass(frozen=True)
class _Run:
    """Calls from a line on, each of which takes what the one before was given, and what that one gave.

    Attributes:
        targets: what they give.
        arguments: of the first one.
        layers: the layers, as they are written.
        path: the list that they are in, or what their names have in common.
        whole: whether they are all of a list.
    """

    targets: tuple[str, ...]
    arguments: tuple[str, ...]
    layers: tuple[str, ...]
    path: str
    whole: bool


def grow_lists(body: Body) -> Body:
    """The body with such calls in loops, where what they give is read afterwards in one tuple and nowhere else."""
    lines, position = list(body.lines), 0
    while position < len(lines):
        run = _run(lines, position)
        rest = lines[position + len(run.targets) :] if run is not None else []
        found = _tuple(run, rest) if run is not None else None
        if run is None or found is None:
            position += 1
            continue
        before, whole = found
        taken = {word for line in (*lines, Line(" ".join(body.parameters))) for word in re.findall(r"\w+", line.text)}
        name = next((name for name in _NAMES if name not in taken), "")
        layer = singular(run.path if run.layers[0].endswith("]") else run.path.rstrip("_") + "s")
        if not name or layer in taken - {*run.targets}:
            position += 1
            continue
        loop = _loop(run, before, name, layer, lines[position].origin)
        lines[position:] = [*loop, *(replace(line, text=line.text.replace(whole, name)) for line in rest)]
        position += len(loop)
    return replace(body, lines=lines)


def _run(lines: Sequence[Line], start: int) -> _Run | None:
    calls: list[re.Match[str]] = []
    arguments: list[str] = []
    for line in lines[start:]:
        call = _CALL.match(line.text)
        given = _split(call["arguments"]) if call is not None else []
        if call is None or not given or (calls and (given != arguments or not _follows(calls[-1], call))):
            break
        calls.append(call)
        arguments = [*given, call["target"]]
    targets = tuple(call["target"] for call in calls)
    if len(calls) < _FEWEST or len({*targets, *arguments}) < len(arguments):
        return None
    first = calls[0]
    layers = tuple(f"self.{call['path']}{_place(call)}" for call in calls)
    others = "\n".join(line.text for line in (*lines[:start], *lines[start + len(calls) :]))
    whole = first["index"] == "0" and f"self.{first['path']}[" not in others
    return _Run(targets, tuple(_split(first["arguments"])), layers, first["path"], whole)


def _place(call: re.Match[str]) -> str:
    return call["number"] or f"[{call['index']}]"


def _follows(call: re.Match[str], other: re.Match[str]) -> bool:
    """Whether a call is of the next layer."""
    if call["path"] != other["path"] or (call["index"] is None) != (other["index"] is None):
        return False
    kind = "index" if call["index"] is not None else "number"
    return int(other[kind]) == int(call[kind]) + 1


def _tuple(run: _Run, rest: Sequence[Line]) -> tuple[int, str] | None:
    """How many of the first arguments are not in the list, and the text of the tuple of all that are."""
    text = "\n".join(line.text for line in rest)
    for before in range(len(run.arguments)):
        listed = (*run.arguments[before:], *run.targets)
        whole = f"({', '.join(listed)})"
        left = text.replace(whole, "")
        if whole in text and not any(re.search(rf"(?<![\w.]){name}(?!\w)", left) for name in run.targets):
            return before, whole
    return None


def _loop(run: _Run, before: int, name: str, layer: str, origin: str) -> list[Line]:
    layers = f"self.{run.path}" if run.whole else f"({', '.join(run.layers)})"
    given = ", ".join([*run.arguments[:before], f"*{name}"])
    return [
        Line(f"{name} = [{', '.join(run.arguments[before:])}]", "", origin),
        Line(f"for {layer} in {layers}:", "", origin),
        Line(f"    {name}.append({layer}({given}))"),
    ]


def _split(arguments: str) -> list[str]:
    return [argument.strip() for argument in arguments.split(",") if argument.strip()]
