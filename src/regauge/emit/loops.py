"""Calls of one module after the other in a list, rolled into the loop that a person would write."""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from regauge.emit.lines import Body, Line

_CALL = re.compile(
    r"^(?P<target>\w+(?:, \w+)*) = (?P<before>.*?)"
    r"self\.(?P<list>[\w.]+(?:\[\d+\])*)\[(?P<index>\d+)\]\((?P<arguments>[^()]*)\)"
    r"(?P<after>.*)$"
)
_NAME = re.compile(r"(?<![\w.])[A-Za-z_]\w*")  # not of an attribute
_ALIKE = ("target", "list", "before", "arguments", "after")  # what the calls of a loop have in common


def roll_loops(body: Body) -> Body:
    """`x = self.blocks[0](x)`, `x = self.blocks[1](x)`, ... as `for block in self.blocks: x = block(x)`.

    What is done with the result of every call, `x = relu(self.blocks[0](x))`, is done in the loop. Where the first ones
    are called otherwise, it is `for block in self.blocks[1:]`.
    """
    taken = {*body.parameters, *(name for line in body.lines for name in _NAME.findall(line.text))}
    lines: list[Line] = []
    position = 0
    while position < len(body.lines):
        run = _run_length(body.lines, position)
        if run < 2:
            lines.append(body.lines[position])
            position += 1
            continue
        lines += _loop(body.lines[position : position + run], taken)
        position += run
    return replace(body, lines=lines)


def _loop(calls: list[Line], taken: Collection[str]) -> list[Line]:
    second = _CALL.match(calls[1].text)
    first = None if second is None else _first_call(calls[0].text, second)
    if first is None or second is None:
        return calls
    target, name = second["target"], singular(second["list"])
    # the variable of a loop hides what has its name: `self.masks` beside the argument `mask`
    while name in taken or name == second["list"]:
        name = f"{name}_module"
    start = _first_argument(first["arguments"], second["arguments"], target)
    lines = [] if start in (None, target) else [Line(f"{target} = {start}")]
    begin = "" if first["index"] == "0" else f"[{first['index']}:]"
    lines.append(Line(f"for {name} in self.{second['list']}{begin}:", "", calls[0].origin))
    comment = calls[0].comment if all(line.comment == calls[0].comment for line in calls) else ""
    return [*lines, Line(f"    {target} = {second['before']}{name}({second['arguments']}){second['after']}", comment)]


def singular(path: str) -> str:
    """`block` for `transformer.blocks`; a name of one letter, a keyword or `self` says nothing about what it holds."""
    name = re.sub(r"\[\d+\]", "", path).rsplit(".", 1)[-1].rstrip("s")
    return name if len(name) > 1 and name != "self" and not keyword.iskeyword(name) else "layer"


def _first_argument(first: str, following: str, target: str) -> str | None:
    """What the first call takes where the others take the target; None if they differ in anything else.

    Where they have several results, the first call takes what the others do.
    """
    if "," in target:
        return target if first == following else None
    given, others = _split(first), _split(following)
    if len(given) != len(others):
        return None
    pairs = list(zip(given, others, strict=True))
    found = {a for a, b in pairs if b == target}
    same = all(a == b for a, b in pairs if b != target)
    return found.pop() if len(found) == 1 and same else None


def _first_call(text: str, following: re.Match[str]) -> Mapping[str, str] | None:
    """The parts of a call before this one, as `_CALL` has them; it may be given an expression: `self.stem(x)`."""
    begin = f"{following['target']} = {following['before']}self.{following['list']}[0]("
    end = f"){following['after']}"
    arguments = text[len(begin) : -len(end)]
    if text.startswith(begin) and text.endswith(end) and _split(arguments):
        return {**following.groupdict(), "index": "0", "arguments": arguments}
    found = _CALL.match(text)
    return found.groupdict() if found is not None else None


def _split(arguments: str) -> list[str]:
    """The texts of the arguments of a call; none where they are no whole ones."""
    try:
        call = ast.parse(f"f({arguments})", mode="eval").body
    except SyntaxError:
        return []
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        return []
    return [ast.unparse(part) for part in (*call.args, *call.keywords)]


def _run_length(lines: list[Line], start: int) -> int:
    following = _CALL.match(lines[start + 1].text) if start + 1 < len(lines) else None
    first = None if following is None else _first_call(lines[start].text, following)
    if first is None or following is None or first["target"] != following["target"]:
        return 0
    begins_with = _first_argument(first["arguments"], following["arguments"], first["target"])
    if begins_with is None:
        return 0
    around = following["before"] + following["after"]
    if any(first[part] != following[part] for part in ("before", "after")) or "self." in around:
        return 0
    if begins_with != first["target"] and re.search(rf"\b{first['target']}\b", around):
        return 0  # the first call has two values where the others have one
    begin, count = int(first["index"]), 1
    for line in lines[start + 1 :]:
        match = _CALL.match(line.text)
        same = match is not None and all(match[k] == following[k] for k in _ALIKE)
        if not same or match is None or match["list"] != first["list"] or int(match["index"]) != begin + count:
            break
        count += 1
    others = _called(first["list"], [*lines[:start], *lines[start + count :]])
    return 0 if count < 2 or any(index >= begin + count for index in others) else count


def _called(path: str, lines: Iterable[Line]) -> list[int]:
    """The places in a list whose modules some lines call."""
    text = "\n".join(line.text for line in lines)
    return [int(index) for index in re.findall(rf"self\.{re.escape(path)}\[(\d+)\]", text)]
