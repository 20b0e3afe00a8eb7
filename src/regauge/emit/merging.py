"""Steps of a loop that was unrolled, merged into the one step that they all are.

In a template, what differs from step to step has a name that no code has: `?v0` is the first variable that every step
assigns, `?n0` the first number that changes, `?s0` the first place at which every step reads another value.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from regauge.emit.target import target
from regauge.emit.value_ids import Binder, Values, assigned, last_call

Number = int | float


class Unlike(Exception):
    """The steps are not one."""


@dataclass
class Variable:
    """What every step assigns.

    Times count statements: a step reads at even ones and assigns at odd ones.

    Attributes:
        names: in each step.
        made: when it is assigned.
        read: when it is last read in the same step, or None.
        carried: when the value of the step before is last read, or None.
        start: the value that the first step reads instead, or the text of the number.
        passed_on: where a step reads what it held two steps before, what the first step reads instead; None for most.
        alone: whether a statement assigns it and nothing else.
        is_function: whether it is a function, which reads the names around it when it is called.
    """

    names: tuple[str, ...]
    made: int
    read: int | None = None
    carried: int | None = None
    start: int | str | None = None
    passed_on: int | None = None
    alone: bool = False
    is_function: bool = False

    @property
    def is_late(self) -> bool:
        """Whether a step reads the value of the step before when it has a value of its own: they are two then."""
        return self.passed_on is None and self.carried is not None and self.carried > self.made


@dataclass
class Template:
    """One step, and what differs in it.

    Attributes:
        statements: with names as above.
        variables: what each step assigns.
        numbers: the numbers of one place, step by step; equal ones are one.
        values: the values that are read at one place, step by step.
        fixed: the names that all steps read alike.
        tied: pairs of variables that have one name, as a loop within the step goes on with what was before.
        local: the names that functions in the step have for themselves.
        inside: what such functions read of the step, as `v0`, which cannot have those names.
    """

    statements: list[ast.stmt] = field(default_factory=list)
    variables: list[Variable] = field(default_factory=list)
    numbers: list[tuple[Number, ...]] = field(default_factory=list)
    values: list[tuple[int, ...]] = field(default_factory=list)
    fixed: set[str] = field(default_factory=set)
    tied: list[tuple[str, str]] = field(default_factory=list)
    local: set[str] = field(default_factory=set)
    inside: set[str] = field(default_factory=set)


class Merger:
    """Merges the statements of equal steps.

    Args:
        steps: the statements of each.
        values: of the whole body.
    """

    def __init__(self, steps: Sequence[Sequence[ast.stmt]], values: Values) -> None:
        self.steps = steps
        self.values = values
        self.end = 2 * len(steps[0])
        self.template = Template()
        self.place = 0
        self.function: ast.AST | None = None  # of the first step, that is merged; it reads what it reads when called
        self.called = 0  # when it is called last
        self.scopes = 0  # functions and comprehensions around what is merged
        self.local: dict[tuple[int, str], str] = {}  # names within it, by step and what the last step has for them
        self.step_of = {statement: (i, j) for i, step in enumerate(steps) for j, statement in enumerate(step)}
        self.variables: dict[tuple[int, int], int] = {}
        for place, column in enumerate(zip(*steps, strict=True)):
            names = [assigned(statement) for statement in column]
            if len({len(found) for found in names}) > 1:
                raise Unlike
            compound = not isinstance(column[0], ast.Assign)
            alone = isinstance(column[0], ast.Assign) and isinstance(column[0].targets[0], ast.Name)
            for order, texts in enumerate(zip(*names, strict=True)):
                self.variables[place, order] = len(self.template.variables)
                made = 2 * place + (0 if compound else 1)
                inner = compound and any(isinstance(n, ast.FunctionDef | ast.Lambda) for n in ast.walk(column[0]))
                function = inner or isinstance(getattr(column[0], "value", None), ast.Lambda)
                self.template.variables.append(Variable(texts, made, alone=alone, is_function=function))

    def merge(self) -> Template:
        """The template of all steps.

        Raises:
            Unlike: they differ in more than numbers, names and values.
        """
        for place, column in enumerate(zip(*self.steps, strict=True)):
            self.place = place
            self.template.statements.append(self._merge(column))
            self._tie(column)
        return self.template

    def _merge(self, nodes: Sequence[Any]) -> Any:
        first = nodes[0]
        if number_of(first) is not None and all(isinstance(node, ast.Name) for node in nodes[1:]):
            return ast.Name(self._started(ast.unparse(first), nodes[1:]), ast.Load())
        if any(type(node) is not type(first) for node in nodes):
            raise Unlike
        if isinstance(first, ast.Name):
            return ast.Name(self._name(nodes), first.ctx)
        numbers = [number_of(node) for node in nodes]
        if all(number is not None for number in numbers):
            return self._number(first, [number for number in numbers if number is not None])
        if isinstance(first, list):
            if len({len(node) for node in nodes}) > 1:
                raise Unlike
            return [self._merge(column) for column in zip(*nodes, strict=True)]
        if not isinstance(first, ast.AST):
            if any(node != first for node in nodes):
                raise Unlike
            return first
        if isinstance(first, ast.AugAssign) and isinstance(first.target, ast.Name):
            raise Unlike
        if isinstance(first, ast.FunctionDef | ast.Lambda) and target().framework != "jax":
            raise Unlike  # it may run later, when the loop's variables are those of the last step
        if isinstance(first, ast.FunctionDef | ast.Lambda):
            return self._function(nodes)
        if isinstance(first, ast.arg):
            return ast.arg(self._local([node.arg for node in nodes]))
        self.scopes += isinstance(first, Binder)
        fields = {name: self._merge([getattr(node, name) for node in nodes]) for name in first._fields}
        self.scopes -= isinstance(first, Binder)
        return type(first)(**fields)

    def _tie(self, column: Sequence[ast.stmt]) -> None:
        """Note whose values a compound statement goes on with."""
        entered = [self.values.entered.get(statement, {}) for statement in column]
        for name in entered[0]:
            order = assigned(column[0]).index(name)
            values = [found.get(assigned(s)[order], None) for found, s in zip(entered, column, strict=True)]
            known = [value for value in values if value is not None]
            found = (self._own(known) or self._carried(known)) if len(known) == len(values) else None
            if found is None:
                raise Unlike
            self.template.tied.append((found[1:], f"v{self.variables[self.place, order]}"))
        if any(len(found) != len(entered[0]) for found in entered):
            raise Unlike

    def _function(self, nodes: Sequence[ast.FunctionDef | ast.Lambda]) -> ast.AST:
        """A function, or one within another."""
        first = nodes[0]
        outermost = self.function is None
        if outermost:
            self.function, self.local = first, {}
            self.called = self._last_call(nodes)
        self.scopes += 1
        fields = {
            name: self._merge([getattr(node, name) for node in nodes]) for name in first._fields if name != "name"
        }
        self.scopes -= 1
        if isinstance(first, ast.FunctionDef):
            names = [node.name for node in nodes if isinstance(node, ast.FunctionDef)]
            fields["name"] = self._assigned(names) if outermost else self._local(names)
        if outermost:
            self.function = None
        return type(first)(**fields)

    def _last_call(self, nodes: Sequence[ast.FunctionDef | ast.Lambda]) -> int:
        """When functions are called last: the end where that is not known, as another function may have them."""
        times = [last_call(node, step[self.place :], self.values) for node, step in zip(nodes, self.steps, strict=True)]
        return max(self.end if time is None else self._end_of_reading(self.place + time) for time in times)

    def _local(self, texts: Sequence[str]) -> str:
        """A name that functions have for themselves: any, if it is the same one wherever it stands in a step."""
        name = texts[-1]
        for step, text in enumerate(texts):
            if self.local.setdefault((step, name), text) != text:
                raise Unlike
        if len({(step, text) for (step, _), text in self.local.items()}) < len(self.local):
            raise Unlike
        self.template.local.add(name)
        return name

    # names -----------------------------------------------------------------------------------------------------

    def _name(self, nodes: Sequence[ast.Name]) -> str:
        if any(node in self.values.local for node in nodes):
            return self._local([node.id for node in nodes])
        if isinstance(nodes[0].ctx, ast.Store):
            return self._assigned([node.id for node in nodes])
        values = [self.values.read[node] for node in nodes]
        if len(set(values)) == 1 and not self._is_of_steps(values[0]):
            self.template.fixed.add(nodes[0].id)
            return nodes[0].id
        for read in (self._own, self._carried, self._delayed):
            found = read(values)
            if found is not None:
                self.template.inside |= {found[1:]} if self.scopes else set()
                return found
        if any(self._is_of_steps(value) or value < 0 for value in values):
            raise Unlike
        return _placed("s", self.template.values, tuple(values))

    def _assigned(self, texts: Sequence[str]) -> str:
        orders = {assigned(step[self.place]).index(text) for step, text in zip(self.steps, texts, strict=True)}
        if len(orders) > 1:
            raise Unlike
        return f"?v{self.variables[self.place, orders.pop()]}"

    def _is_of_steps(self, value: int) -> bool:
        return value in self.values.made and self.values.made[value][0] in self.step_of

    def maker(self, value: int) -> tuple[int, int] | None:
        """The step and the variable that a value is of; None where no step makes it."""
        if not self._is_of_steps(value):
            return None
        statement, name = self.values.made[value]
        step, place = self.step_of[statement]
        return step, self.variables[place, assigned(statement).index(name)]

    def _shared(self, values: Sequence[int], behind: int) -> int | None:
        """The variable of which each step reads the value of the step so many before; None where it is not one."""
        makers = [self.maker(value) for value in values]
        if any(maker is not None for maker in makers[:behind]):
            return None
        found = {
            maker[1] if maker is not None and maker[0] == step - behind else None
            for step, maker in enumerate(makers)
            if step >= behind
        }
        return found.pop() if len(found) == 1 else None

    def _end_of_reading(self, place: int) -> int:
        """A statement with others in it still reads when it has assigned."""
        return 2 * place + (not isinstance(self.steps[0][place], ast.Assign | ast.Expr))

    def _time(self, variable: Variable) -> int:
        if self.function is not None:
            return self.called
        return 2 * self.place + (1 if variable.made == 2 * self.place else 0)

    def _own(self, values: Sequence[int]) -> str | None:
        number = self._shared(values, 0)
        if number is None:
            return None
        variable = self.template.variables[number]
        variable.read = max(variable.read or 0, self._time(variable))
        return f"?v{number}"

    def _started(self, text: str, nodes: Sequence[ast.Name]) -> str:
        """What a number stands for in the first step, and what the step before gave in all others."""
        makers = [self.maker(self.values.read[node]) if node in self.values.read else None for node in nodes]
        numbers = {maker[1] if maker and maker[0] == step else None for step, maker in enumerate(makers)}
        number = numbers.pop()
        if numbers or number is None:
            raise Unlike
        return self._carry(number, text)

    def _carried(self, values: Sequence[int]) -> str | None:
        number = self._shared(values, 1)
        return self._carry(number, values[0]) if number is not None else None

    def _carry(self, number: int, start: int | str) -> str:
        variable = self.template.variables[number]
        if variable.start not in (None, start) or variable.is_function:
            raise Unlike  # a function would find the variables of this step
        variable.start = start
        time = self.called if self.function is not None else self._end_of_reading(self.place)
        variable.carried = max(variable.carried or 0, time)
        return f"?c{number}"

    def _delayed(self, values: Sequence[int]) -> str | None:
        """What a variable held two steps before, as in `a, b = b, a`."""
        number = self._shared(values, 2) if len(values) > 2 else None
        if number is None:
            return None
        variable = self.template.variables[number]
        if variable.start not in (None, values[1]) or variable.is_function:
            raise Unlike
        variable.start = values[1]
        variable.carried = variable.carried or 0
        if variable.passed_on not in (None, values[0]):
            raise Unlike
        variable.passed_on = values[0]
        return f"?d{number}"

    # numbers -----------------------------------------------------------------------------------------------------

    def _number(self, first: ast.expr, numbers: Sequence[Number]) -> ast.expr:
        if len({(type(number), repr(number)) for number in numbers}) == 1:
            return copy.deepcopy(first)
        if len({type(number) for number in numbers}) > 1:
            raise Unlike
        return ast.Name(_placed("n", self.template.numbers, tuple(numbers)), ast.Load())


def number_of(node: object) -> Number | None:
    """The number that an expression is, with its sign; None for all others."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        number = number_of(node.operand)
        return None if number is None else -number
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return node.value  # type: ignore[return-value]
    return None


def _placed(kind: str, columns: list[tuple[Any, ...]], column: tuple[Any, ...]) -> str:
    if column not in columns:
        columns.append(column)
    return f"?{kind}{columns.index(column)}"
