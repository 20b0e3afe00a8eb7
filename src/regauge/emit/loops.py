"""Calls of one module after the other in a list, rolled into the loop that a person would write."""

from __future__ import annotations

import re

from regauge.emit.lines import Body, Line

_CALL = re.compile(r"^(?P<target>\w+) = self\.(?P<list>\w+)\[(?P<index>\d+)\]\((?P<arguments>[^()]*)\)$")


def roll_loops(body: Body) -> Body:
    """`x = self.blocks[0](x)`, `x = self.blocks[1](x)`, ... as `for block in self.blocks: x = block(x)`."""
    lines: list[Line] = []
    position = 0
    while position < len(body.lines):
        run = _run_length(body.lines, position)
        if run < 2:
            lines.append(body.lines[position])
            position += 1
            continue
        match = _CALL.match(body.lines[position].text)
        if match is None:
            break
        name = match["list"].rstrip("s") or "layer"
        name = name if name not in (match["target"], match["list"]) else f"{name}_module"
        first = body.lines[position]
        lines.append(Line(f"for {name} in self.{match['list']}:", "", first.origin))
        same_shape = all(line.comment == first.comment for line in body.lines[position : position + run])
        comment = first.comment if same_shape else ""
        lines.append(Line(f"    {match['target']} = {name}({match['arguments']})", comment))
        position += run
    return Body(body.parameters, lines)


def _run_length(lines: list[Line], start: int) -> int:
    first = _CALL.match(lines[start].text)
    if first is None or first["index"] != "0" or first["target"] not in re.findall(r"\w+", first["arguments"]):
        return 0
    count = 0
    for line in lines[start:]:
        match = _CALL.match(line.text)
        same = match is not None and all(match[k] == first[k] for k in ("target", "list", "arguments"))
        if not same or match is None or int(match["index"]) != count:
            break
        count += 1
    rest = "\n".join(line.text for line in lines[start + count :])
    return 0 if f"self.{first['list']}[" in rest else count
