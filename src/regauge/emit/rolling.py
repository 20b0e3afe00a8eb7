"""Steps that torch.export unrolled, as the loop that the person wrote.

    h = self.cell(h, x[:, 0])                    outs = []
    out = self.out(h)                            for i in range(2):
    h = self.cell(h, x[:, 1])                        h = self.cell(h, x[:, i])
    out_2 = self.out(h)                              outs.append(self.out(h))
    return jnp.stack((out, out_2), axis=1)       return jnp.stack(outs, axis=1)

Steps are lines that came from the same lines of the original, again and again, and are the same but for numbers in
order, for what the step before gave, and for values that are read one after the other.
"""

from __future__ import annotations

import ast
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import replace

from regauge.emit.last_steps import completed
from regauge.emit.lines import Body, Line
from regauge.emit.loop_names import UNREAD
from regauge.emit.loop_text import Code, Loop
from regauge.emit.merging import Merger, Unlike, number_of
from regauge.emit.original_loops import OriginalLoop
from regauge.emit.steps import SourceLine, Spot, Stretch, stretches
from regauge.emit.value_ids import values_of


def roll_steps(
    body: Body, lists: Mapping[str, int], originals: Mapping[str, SourceLine]
) -> tuple[Body, frozenset[str]]:
    """The body with loops where steps repeat, and the lines of the original that they have.

    Args:
        body: of a function.
        lists: the lists of modules that it can read (`self.blocks`), with their lengths.
        originals: the lines of loops that the person wrote, by what the body's lines have for them.
    """
    lines = body.lines
    failed: set[tuple[str, ...]] = set()
    done: set[str] = set()
    while originals:
        code = _code(lines, body.parameters, originals)
        rolled = _rolled(code, lists, originals, failed, done)
        if rolled is None:
            break
        lines = rolled
    return replace(body, lines=_returned_at_once(lines)), frozenset(done)


def _code(lines: Sequence[Line], parameters: Sequence[str], originals: Mapping[str, SourceLine]) -> Code:
    owners = [line for line in lines for _ in line.text.split("\n")]
    statements = ast.parse("\n".join(line.text for line in lines)).body
    places = [(s.lineno - 1, s.end_lineno or s.lineno) for s in statements]
    found = {s: owners[begin:end] for s, (begin, end) in zip(statements, places, strict=True)}
    same_form = _SameForm()
    for statement in statements:
        if found[statement][0].origin in originals:
            same_form.visit(statement)
    return Code(statements, found, parameters, values_of(statements))


class _SameForm(ast.NodeTransformer):
    """Steps that differ in form alone, in one: `0 + x` for `x + 0`, as a sum begins, and a name for each `_`."""

    unread = 0

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.op, ast.Add) and number_of(node.right) == 0 and type(number_of(node.right)) is int:
            node.left, node.right = node.right, node.left
        return node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id == UNREAD and isinstance(node.ctx, ast.Store):
            self.unread += 1
            return ast.Name(f"{UNREAD}_{self.unread}", node.ctx)  # base_name() of it is UNREAD
        return node


def _rolled(
    code: Code,
    lists: Mapping[str, int],
    originals: Mapping[str, SourceLine],
    failed: set[tuple[str, ...]],
    done: set[str],
) -> list[Line] | None:
    """The lines with one more loop, the innermost first; None where no steps are left to make one of.

    Notes the lines of the original in `done`, and steps that are no loop in `failed`.
    """
    spots = _spots(code, originals)
    for stretch in _innermost_first(stretches(spots)):
        steps = code.statements[stretch.start : stretch.end]
        texts = tuple(line.text for statement in steps for line in code.lines[statement])
        if texts in failed:
            continue
        line = spots[stretch.start].line
        original = line.loop if line is not None else OriginalLoop()
        whole = _with_last_step(code, stretch, spots)
        for part in _parts(stretch) if whole is None else [replace(stretch, count=stretch.count + 1), *_parts(stretch)]:
            found = _loop(code if whole is None or part.end <= stretch.end else whole, part, lists, original)
            if found is not None:
                done |= {line.origin for statement in steps for line in code.lines[statement]}
                return found
        failed.add(texts)
    return None


def _innermost_first(found: Sequence[Stretch], begin: int = 0) -> Iterator[Stretch]:
    for stretch in found:
        for step in range(stretch.count):
            yield from _innermost_first(stretch.inner, begin + stretch.start + step * stretch.period)
        yield replace(stretch, start=begin + stretch.start)


def _parts(stretch: Stretch) -> Iterator[Stretch]:
    """All steps, and all but the first, the last or both: those may be written in another way."""
    for first, last in ((0, 0), (1, 0), (0, 1), (1, 1)):
        count = stretch.count - first - last
        if count > 1 or count == stretch.count:
            yield replace(stretch, start=stretch.start + first * stretch.period, count=count)


def _with_last_step(code: Code, stretch: Stretch, spots: Sequence[Spot]) -> Code | None:
    """The code with one more step behind the others, of which it has a part; None where it has no such part."""
    last = slice(stretch.end - stretch.period, stretch.end)
    rest = code.statements[stretch.end :]
    keys = [spot.key for spot in spots]
    step = completed(code.statements[last], keys[last], rest, keys[stretch.end :])
    if step is None:
        return None
    lines = dict(code.lines)
    for part in step:
        if isinstance(part, tuple):
            added, model = part
            lines[added] = [replace(lines[model][0], text=ast.unparse(added))]
    whole = [part[0] if isinstance(part, tuple) else part for part in step]
    statements = [*code.statements[: stretch.end], *whole, *(s for s in rest if s not in whole)]
    return Code(statements, lines, code.parameters, values_of(statements))


def _loop(code: Code, stretch: Stretch, lists: Mapping[str, int], original: OriginalLoop) -> list[Line] | None:
    begins = range(stretch.start, stretch.end, stretch.period)
    try:
        merger = Merger([code.statements[begin : begin + stretch.period] for begin in begins], code.values)
        merger.merge()
        return Loop(code, stretch.start, merger, lists, original).lines()
    except Unlike:
        return None


def _spots(code: Code, originals: Mapping[str, SourceLine]) -> list[Spot]:
    """What each statement has in common with those of other steps; a function is from where it is called."""
    found: list[Spot] = []
    origin = ""
    for statement in reversed(code.statements):
        if not isinstance(statement, ast.FunctionDef):
            origin = code.lines[statement][0].origin
        found.append(Spot((_shape(statement), origin), originals.get(origin)))
    return found[::-1]


def _shape(node: object) -> Hashable:
    """A statement without its names and numbers."""
    if isinstance(node, ast.Name) or number_of(node) is not None:
        return "name or number"
    if isinstance(node, list):
        return tuple(map(_shape, node))
    if isinstance(node, ast.FunctionDef):
        return "def", _shape(node.args), _shape(node.body)
    if isinstance(node, ast.AST):
        return (type(node).__name__, *(_shape(getattr(node, name, None)) for name in node._fields))
    return node


def _returned_at_once(lines: list[Line]) -> list[Line]:
    """`x = f(x)` and `return x` in one line: only a step of a loop needs the name."""
    if len(lines) < 2 or not lines[-1].text.startswith("return "):
        return lines
    name = lines[-1].text.removeprefix("return ")
    left, equals, value = lines[-2].text.partition(" = ")
    if not equals or left != name or not name.isidentifier():
        return lines
    return [*lines[:-2], Line(f"return {value}", "", lines[-2].origin)]
