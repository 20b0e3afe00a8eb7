"""The lines of a loop over steps, and of what stands around it."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from regauge.emit.lines import Line
from regauge.emit.loop_headers import Header, header_of
from regauge.emit.loop_names import UNREAD, Behind, base_name, name_variables, plural
from regauge.emit.loop_nodes import Filled, written_inside
from regauge.emit.merging import Merger, Unlike
from regauge.emit.names import identifier, unique
from regauge.emit.original_loops import OriginalLoop
from regauge.emit.syntax import text_of
from regauge.emit.value_ids import Values, last_call, local_names

_SPLITS = ("jnp.unstack", "jnp.split", "torch.unbind", "torch.split", "torch.chunk", "torch.tensor_split")
_TAKE_SEQUENCES = ("jnp.stack", "jnp.concatenate", "torch.stack", "torch.cat")


@dataclass
class Code:
    """Statements, the lines that each of them is written in, and what their names stand for."""

    statements: list[ast.stmt]
    lines: dict[ast.stmt, list[Line]]
    parameters: Sequence[str]
    values: Values

    def names(self, statements: Sequence[ast.stmt]) -> set[str]:
        """All names in some statements, but for those that functions in them have for themselves, and of parameters."""
        nodes = [node for statement in statements for node in ast.walk(statement)]
        named = {node.id for node in nodes if isinstance(node, ast.Name) and node not in self.values.local}
        return named | {node.name for node in nodes if isinstance(node, ast.FunctionDef)} | {*self.parameters, "self"}


@dataclass
class Loop:
    """Steps in some code that become a loop.

    Attributes:
        code: all of it.
        begin: where the first step begins.
        merger: of the steps, which has merged them.
        lists: the lists of modules, with their lengths.
        original: the loop that the person wrote.
    """

    code: Code
    begin: int
    merger: Merger
    lists: Mapping[str, int]
    original: OriginalLoop
    moved: dict[ast.stmt, None] = field(default_factory=dict)  # statements whose value the head of the loop has
    taken: set[str] = field(default_factory=set)
    names: dict[str, str] = field(default_factory=dict)
    kept: dict[int, str] = field(default_factory=dict)  # names of the lists that steps append to, by variable

    def __post_init__(self) -> None:
        self.template, self.values = self.merger.template, self.code.values
        self.count = len(self.merger.steps)
        end = self.begin + sum(map(len, self.merger.steps))
        self.before, self.rest = self.code.statements[: self.begin], self.code.statements[end:]
        self.steps = self.code.statements[self.begin : end]
        self.reads = Counter(
            [*self.values.read.values(), *(v for e in self.values.entered.values() for v in e.values())]
        )
        self.taken |= self.code.names([*self.before, *self.rest]) | self.template.fixed
        nodes = [node for step in self.merger.steps for statement in step for node in ast.walk(statement)]
        named = self.taken | self.code.names(self.steps) | {n.name for n in nodes if isinstance(n, ast.FunctionDef)}
        stored = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        self.parameters = {n.arg for n in nodes if isinstance(n, ast.arg)} - named - stored
        self.taken |= {name for s in [*self.merger.steps[-1], *self.rest] for name in local_names(s, self.values)}
        self.origin = self.code.lines[self.steps[0]][0].origin

    def lines(self) -> list[Line]:
        """The lines of all the code, with the loop in place of the steps.

        Raises:
            Unlike: the loop would be longer than the steps, or other code needs what it does not have.
        """
        behind = self._behind()
        over = [self._run_over(column) for column in self.template.values]
        header = header_of(self.template, self.count, self.lists, over, self.original, self.taken, self.parameters)
        listed = {self._text_of(value) for column in self.template.values for value in column}
        if any(self.template.variables[number].is_function for number in {*behind.final, *behind.kept}):
            raise Unlike
        blocked = self.template.fixed | behind.outer | header.variables | listed | self._late_names()
        self.names = name_variables(self.template, self.merger.end, behind, self.values, blocked, self.taken)
        for number in sorted(behind.kept):
            wanted = plural(self.names[f"v{number}"])
            original = self.original.lists
            if len(original) == len(behind.kept) == 1 and original[0] not in self.taken:
                wanted = identifier(original[0])
            self.kept[number] = unique(wanted, self.taken)
            self.taken.add(self.kept[number])
        renamed, starts = self._starts()
        loop = self._loop(header, starts, behind)
        if len(loop) >= sum(len(self.code.lines[statement]) for statement in self.steps):
            raise Unlike
        before = [line for statement in self.before for line in self._before(statement, renamed)]
        rest = [self._after(statement) for statement in self.rest]
        if len(loop) == 1 and rest and self.kept:
            (name,) = self.kept.values()
            loop, rest[0] = written_inside(loop, rest[0], name, rest[1:])
        return [*before, *loop, *(line for lines in rest for line in lines)]

    def _late_names(self) -> set[str]:
        """The names in functions before the loop that may still be called in it or behind it."""
        found: set[str] = set()
        for place, statement in enumerate(self.before):
            for node in ast.walk(statement):
                if isinstance(node, ast.FunctionDef | ast.Lambda):
                    called = last_call(node, self.code.statements[place:], self.values)
                    late = called is None or place + called >= self.begin
                    found |= {name.id for name in ast.walk(node) if isinstance(name, ast.Name)} if late else set()
        return found

    # what is read behind the loop ----------------------------------------------------------------------------------

    def _behind(self) -> Behind:
        found, last = Behind(), self.count - 1
        for place, statement in enumerate(self.rest):
            self._note_names(statement, self._read_at(place), found)
            for name, value in self.values.entered.get(statement, {}).items():
                maker = self.merger.maker(value)
                if maker is None:
                    found.outer.add(name)
                elif maker[0] != last:
                    raise Unlike
                else:
                    found.final[maker[1]], found.wanted[maker[1]] = place, name
            found.assigned += [(name, place) for name in self.values.left[statement]]
        return found

    def _read_at(self, place: int) -> int:
        """The place behind the loop where a statement reads: a function does when it is called."""
        statement = self.rest[place]
        if not isinstance(statement, ast.FunctionDef):
            return place
        called = last_call(statement, self.rest[place:], self.values)
        return len(self.rest) if called is None else place + called

    def _note_names(self, statement: ast.stmt, place: int, found: Behind) -> None:
        """Note which values of the loop the names in a statement read."""
        last = self.count - 1
        listed: set[ast.Name] = set()
        for number, names in self._columns(statement):
            found.kept.add(number)
            listed |= {*names}
        for node in ast.walk(statement):
            value = self.values.read.get(node) if isinstance(node, ast.Name) and node not in listed else None
            if value is None or not isinstance(node, ast.Name):
                continue
            maker = self.merger.maker(value)
            if maker is None:
                if value < 0 or self.values.made[value][0] in self.before:
                    found.outer.add(node.id)
                continue
            found.local.setdefault(maker[1], set()).update(local_names(statement, self.values))
            if maker[0] == last:
                found.final[maker[1]] = max(place, found.final.get(maker[1], 0))
            elif maker[0] == last - 1 and self.template.variables[maker[1]].passed_on is not None:
                found.delayed[maker[1]] = max(place, found.delayed.get(maker[1], 0))
            else:
                found.kept.add(maker[1])

    def _columns(self, statement: ast.AST) -> Iterator[tuple[int, list[ast.Name]]]:
        """The variables of which a tuple or list has what they were in every step, with their names there."""
        for node in ast.walk(statement):
            if isinstance(node, ast.Tuple | ast.List):
                for _, number, names in self._runs(node.elts):
                    yield number, names

    def _runs(self, parts: Sequence[ast.expr]) -> Iterator[tuple[int, int, list[ast.Name]]]:
        """Where the values of one variable stand in the order of the steps: place, variable and names."""
        makers = [
            self.merger.maker(self.values.read[p]) if isinstance(p, ast.Name) and p in self.values.read else None
            for p in parts
        ]
        place = 0
        while place + self.count <= len(parts):
            first = makers[place]
            if first is not None and makers[place : place + self.count] == [(s, first[1]) for s in range(self.count)]:
                yield place, first[1], [p for p in parts[place : place + self.count] if isinstance(p, ast.Name)]
                place += self.count
            else:
                place += 1

    # what the steps read of before -----------------------------------------------------------------------------------

    def _run_over(self, column: tuple[int, ...]) -> tuple[str, str]:
        """What a loop runs over that reads these values one after the other, and a name for one of them."""
        names = [self.values.made[value][1] for value in column]
        maker = self.values.made[column[0]][0]
        if isinstance(maker, ast.Assign) and self._is_split_for(maker, column):
            self.moved[maker] = None
            return ast.unparse(maker.value), base_name(names[0])
        return f"({', '.join(names)})", base_name(names[0])

    def _is_split_for(self, maker: ast.Assign, column: tuple[int, ...]) -> bool:
        """Whether a statement splits an array into just these values, and could as well do so in the loop's head."""
        if not isinstance(maker.value, ast.Call) or ast.unparse(maker.value.func) not in _SPLITS:
            return False
        read = {node.id for node in ast.walk(maker.value) if isinstance(node, ast.Name)}
        between = self.before[self.before.index(maker) + 1 :]
        changed = {name for statement in between for name in self.values.left[statement]}
        whole = tuple(self.values.left[maker].values()) == column and all(
            self.reads[value] == self.count_of(column) for value in column
        )
        return whole and not read & changed

    def count_of(self, column: tuple[int, ...]) -> int:
        """How often a step reads the values of a column."""
        place = f"?s{self.template.values.index(column)}"
        nodes = [node for statement in self.template.statements for node in ast.walk(statement)]
        return sum(isinstance(node, ast.Name) and node.id == place for node in nodes)

    def _starts(self) -> tuple[dict[ast.stmt, str], list[str]]:
        """Statements that assign what the first step reads, with their new names; and assignments of all else of it."""
        first: dict[str, int | str] = {}
        for number, variable in enumerate(self.template.variables):
            if variable.start is not None:
                first[self.names[f"c{number}"]] = variable.start
            if variable.passed_on is not None:
                first[self.names[f"d{number}"]] = variable.passed_on
        renamed: dict[ast.stmt, str] = {}
        targets, starts = [], []
        for name, value in first.items():
            text = self._text_of(value)
            if text == name:
                continue
            maker = self.values.made[value][0] if isinstance(value, int) and value in self.values.made else None
            if isinstance(value, int) and maker is not None and self._can_rename(maker, value, name, first.values()):
                renamed[maker] = name
            else:
                targets.append(name)
                starts.append(text)
        return renamed, [f"{', '.join(targets)} = {', '.join(starts)}"] if targets else []

    def _text_of(self, value: int | str) -> str:
        if isinstance(value, str):
            return value
        if value in self.values.made:
            return self.values.made[value][1]
        return next(name for name, number in self.values.outside.items() if number == value)

    def _can_rename(self, maker: ast.stmt, value: int, name: str, starts: Collection[int | str]) -> bool:
        """Whether the statement that makes the first value may assign it under the name that the loop has for it."""
        if not isinstance(maker, ast.Assign) or not isinstance(maker.targets[0], ast.Name):
            return False
        first = [node for statement in self.merger.steps[0] for node in ast.walk(statement)]
        inside = sum(self.values.read.get(node) == value for node in first if isinstance(node, ast.Name))
        others = {self._text_of(other) for other in starts if other != value}
        if inside != self.reads[value] or list(starts).count(value) > 1 or name in others:
            return False
        between = self.before[self.before.index(maker) + 1 :]
        nodes = [node for statement in between for node in ast.walk(statement)]
        return all(not isinstance(node, ast.Name) or node.id != name for node in nodes)

    def _before(self, statement: ast.stmt, renamed: Mapping[ast.stmt, str]) -> list[Line]:
        if statement in self.moved:
            return []
        lines = self.code.lines[statement]
        if statement in renamed and isinstance(statement, ast.Assign):
            return [replace(lines[0], text=f"{renamed[statement]} = {ast.unparse(statement.value)}")]
        return lines

    # the loop --------------------------------------------------------------------------------------------------------

    def _loop(self, header: Header, starts: Sequence[str], behind: Behind) -> list[Line]:
        body = [line for place in range(len(self.template.statements)) for line in self._step(place, header, behind)]
        body += self._passing_on()
        names = [*self.kept.values()]
        if len(body) == 1 == len(names) and not starts and body[0].text.startswith(f"{names[0]}.append("):
            value = body[0].text.removeprefix(f"{names[0]}.append(")[:-1]
            return [Line(f"{names[0]} = [{value} for {header.target} in {header.iterable}]", "", self.origin)]
        total = self._sum(body, header) if len(self.merger.steps[0]) == 1 else ""
        if total:
            return [Line(total, body[0].comment, self.origin)]
        lines = [Line(text, "", self.origin) for text in [*starts, *(f"{name} = []" for name in names)]]
        lines.append(Line(f"for {header.target} in {header.iterable}:", "", self.origin))
        return [*lines, *(replace(line, text=f"    {line.text}") for line in body)]

    def _sum(self, body: Sequence[Line], header: Header) -> str:
        """`z = sum(f(x) for f in fs)`, where that is what a loop does: '' where it does anything else."""
        started = [(number, v) for number, v in enumerate(self.template.variables) if v.carried is not None]
        if len(body) != 1 or len(started) != 1 or started[0][1].start != "0":
            return ""
        name = self.names[f"v{started[0][0]}"]
        value = body[0].text.removeprefix(f"{name} = {name} + ")
        read = [node.id for node in ast.walk(ast.parse(body[0].text)) if isinstance(node, ast.Name)]
        if value == body[0].text or read.count(name) != 2:
            return ""
        return f"{name} = sum({value} for {header.target} in {header.iterable})"

    def _step(self, place: int, header: Header, behind: Behind) -> list[Line]:
        statement = Filled(self.names, header).visit(self.template.statements[place])
        columns = [self.code.lines[step[place]] for step in self.merger.steps]
        texts = [text for text in text_of(statement).split("\n") if text]  # one blank line is before a function
        # steps that are one form may be written on different numbers of lines
        comments = [{lines[i].comment if i < len(lines) else "" for lines in columns} for i in range(len(texts))]
        lines = [
            Line(text, comment.pop() if len(comment) == 1 else "", columns[0][0].origin)
            for text, comment in zip(texts, comments, strict=True)
        ]
        for number, variable in enumerate(self.template.variables):
            if number not in self.kept or variable.made // 2 != place:
                continue
            unread = variable.read is None and variable.carried is None and number not in behind.final
            if variable.alone and unread and isinstance(statement, ast.Assign):
                text = f"{self.kept[number]}.append({ast.unparse(statement.value)})"
                return [replace(lines[0], text=text)]
            lines.append(Line(f"{self.kept[number]}.append({self.names[f'v{number}']})", "", columns[0][0].origin))
        return lines

    def _passing_on(self) -> list[Line]:
        """`a, b = b, a` at the end of a step."""
        targets, sources = [], []
        for number, variable in enumerate(self.template.variables):
            if variable.is_late and self.names[f"c{number}"] != self.names[f"v{number}"]:
                targets.append(self.names[f"c{number}"])
                sources.append(self.names[f"v{number}"])
            if variable.passed_on is not None:
                targets += [self.names[f"c{number}"], self.names[f"d{number}"]]
                sources += [self.names[f"v{number}"], self.names[f"c{number}"]]
        return [Line(f"{', '.join(targets)} = {', '.join(sources)}", "", self.origin)] if targets else []

    # what stands behind --------------------------------------------------------------------------------------------

    def _after(self, statement: ast.stmt) -> list[Line]:
        """The lines of a statement behind the loop, which reads what the loop gives."""
        lines = self.code.lines[statement]
        nodes = [n for n in ast.walk(statement) if isinstance(n, ast.Name)]
        if not any(self.merger.maker(self.values.read[n]) is not None for n in nodes if n in self.values.read):
            return lines
        texts = text_of(_Reading(self).visit(statement)).split("\n")
        if len(texts) != len(lines):
            return [Line(text, "", lines[0].origin) for text in texts]
        return [replace(line, text=text) for line, text in zip(lines, texts, strict=True)]


class _Reading(ast.NodeTransformer):
    """Writes what the code behind a loop reads of it."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if ast.unparse(node.func) in _TAKE_SEQUENCES and node.args and isinstance(node.args[0], ast.Tuple | ast.List):
            parts = self._parts(node.args[0])
            only = parts[0] if len(parts) == 1 else None
            if isinstance(only, ast.Starred):
                node.args[0] = only.value
        return self.generic_visit(node)

    def visit_Tuple(self, node: ast.Tuple) -> ast.AST:
        parts = self._parts(node)
        if len(parts) == 1 and isinstance(parts[0], ast.Starred):
            return ast.Call(ast.Name("tuple", ast.Load()), [parts[0].value], [])
        return ast.Tuple(parts, node.ctx)

    def visit_List(self, node: ast.List) -> ast.AST:
        parts = self._parts(node)
        if len(parts) == 1 and isinstance(parts[0], ast.Starred):
            return parts[0].value
        return ast.List(parts, node.ctx)

    def _parts(self, node: ast.Tuple | ast.List) -> list[ast.expr]:
        """The elements, with a whole list in place of what a variable was in every step."""
        parts, done = [], 0
        for place, number, names in self.loop._runs(node.elts):
            parts += [self.visit(part) for part in node.elts[done:place]]
            parts.append(ast.Starred(ast.Name(self.loop.kept[number], ast.Load()), ast.Load()))
            done = place + len(names)
        return [*parts, *(self.visit(part) for part in node.elts[done:])]

    def visit_Name(self, node: ast.Name) -> ast.AST:
        maker = self.loop.merger.maker(self.loop.values.read[node]) if node in self.loop.values.read else None
        if maker is None:
            return ast.Name(UNREAD, node.ctx) if base_name(node.id) == UNREAD else node
        step, number = maker
        if step == self.loop.count - 1:
            return ast.Name(self.loop.names[f"v{number}"], node.ctx)
        if number not in self.loop.kept:
            return ast.Name(self.loop.names[f"d{number}"], node.ctx)
        return ast.Subscript(ast.Name(self.loop.kept[number], ast.Load()), ast.Constant(step), node.ctx)
