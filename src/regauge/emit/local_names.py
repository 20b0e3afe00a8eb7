"""Names of local variables: which value each holds now, and which name a value gets."""

from __future__ import annotations

import ast
import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from regauge.emit.flow import Group, unpacking
from regauge.emit.lines import Line
from regauge.emit.loops import singular
from regauge.emit.members import Structure
from regauge.emit.names import identifier, reserved_names
from regauge.emit.original_names import OriginalNames, returned_as
from regauge.emit.scopes import Item, Scope, item_inputs
from regauge.emit.signature import Parameter, accesses, texts
from regauge.emit.statements import parameter_names
from regauge.emit.syntax import module_called
from regauge.ir.graph import Node, Ref

if TYPE_CHECKING:
    from regauge.emit.body import BodyWriter


@dataclass(frozen=True)
class Function:
    """What a function is called with, and where it stands: the writer of the code around it, or nowhere (None)."""

    writer: BodyWriter | None
    groups: Sequence[Group]
    hints: Mapping[str, str]


class LocalNames:
    """The names in one scope.

    Args:
        scope: the call.
        structure: what is a member of what.
    """

    def __init__(self, scope: Scope, structure: Structure) -> None:
        self.scope = scope
        self.structure = structure
        self.original = OriginalNames(scope)
        self.specs = structure.context.specs
        self.weights = structure.context.weights
        self.sizes = {symbol.name for symbol in structure.graph.symbols}  # names of sizes are no names of arrays
        self.lines: list[Line] = []
        self.expressions: dict[str, ast.expr] = {}
        self.inputs: dict[str, ast.expr] = {}
        self.parameters: list[str] = []
        self.listed: list[str] = []  # parameters that the original was passed in a container
        self.groups: list[Group] = []  # parameters of a body
        self.result_names: dict[str, str] = {}  # names that the original gives results of control flow
        self.result_bases: dict[str, str] = {}  # what results of control flow are called, where nothing says
        self.names: dict[str, str] = {}  # local name -> value that it holds now
        self.left: Counter[str] = Counter()  # how often a value is still read
        self.functions: set[str] = set()  # names of local functions
        self.pinned: Counter[str] = Counter()  # local names that a kept expression still needs
        self.stored: list[tuple[str, str]] = []  # (weight, value) of the buffers that this code changes
        for item in scope.items:
            self.left.update(item_inputs(item))
        self.left.update(scope.results())

    # parameters ------------------------------------------------------------------------------------------------

    def name_parameters(self, hints: Mapping[str, str]) -> None:
        """Name the values that enter a call; `hints` are the caller's names for them."""
        names = parameter_names(self.scope, hints)
        arrays = [value for value in self.scope.inputs if value not in self.weights]
        for value in self.scope.inputs:
            if value in names:
                continue
            if value in self.weights:
                fallback = self.weights[value].name.split(".")[-1]
            elif len(arrays) == 1:
                fallback = "x"
            else:
                fallback = hints.get(value) or re.sub(r"_last$", "", value)
            names[value] = self.free_name(identifier(fallback), names)
        for value, name in names.items():
            safe = identifier(name)
            if safe in self.sizes:
                safe = names[value] = self.free_name(f"{safe}_input", names)
            self.expressions[value] = ast.Name(safe, ast.Load())
            self.names[safe] = value
        self.parameters = [identifier(names[value]) for value in self.scope.inputs]
        passed = self.scope.passed or {}
        inside = [v for v in self.scope.inputs if v not in passed.values()] if None in passed.values() else []
        self.listed = [identifier(names[value]) for value in inside]

    def rename_parameters(self, names: Sequence[str]) -> None:
        """Name the values that enter a call as the same call in the other mode does."""
        self.parameters = list(names)
        found = dict(zip(self.scope.inputs, names, strict=True))
        self.names = {name: value for value, name in found.items()}
        self.expressions.update({value: ast.Name(name, ast.Load()) for value, name in found.items()})
        self.inputs.update({value: self.expressions[value] for value in found})

    def enter(self, function: Function) -> None:
        """Take the names around the function as they are, and name its parameters."""
        for value in self.scope.inputs:
            if function.writer is None:
                break
            expression = function.writer.use(Ref(value))
            self.expressions[value] = expression
            for name in [n.id for n in ast.walk(expression) if isinstance(n, ast.Name)]:
                self.names[name] = value
                self.pinned[name] += 1  # assigned here, it would be another variable
        named: dict[str, str] = {}
        for group in function.groups:
            for number, value in enumerate(group.values):
                fallback = group.name if len(group.values) == 1 else f"{group.name}_{number}"
                name = named[value] = self.free_name(identifier(function.hints.get(value, fallback)), {})
                self.names[name] = value
                self.expressions[value] = ast.Name(name, ast.Load())
            whole = named[group.values[0]] if len(group.values) == 1 else self.free_name(identifier(group.name), {})
            self.names.setdefault(whole, group.values[0])
            self.groups.append(Group(whole, group.values))
        self.parameters = [group.name for group in self.groups]
        self.lines += unpacking(self.groups, named)

    def read_inputs_as(self, parameters: Sequence[Parameter]) -> None:
        """Take the signature as given: inputs that nothing reads, and inputs that are parts of one parameter."""
        found = {value: e for value, e in accesses(parameters).items() if value in self.scope.inputs}
        self.inputs.update(found)
        self.expressions.update(found)
        self.names = {}
        for parameter in parameters:
            whole = parameter.leaf if parameter.leaf in self.scope.inputs else None
            self.names[parameter.name] = whole or f"parameter {parameter.name}"
            if whole is None and "leaf" not in parameter.tree:
                self.left[self.names[parameter.name]] = 1  # parts of it are read: the name is not free
        self.parameters = texts(parameters)

    def signature(self) -> list[str]:
        """The parameters as they are written, those that are passed by keyword behind `*`."""
        keywords = self.scope.keywords
        if not keywords:
            return self.parameters
        named = list(zip(self.scope.inputs, self.parameters, strict=True))
        return [*(n for v, n in named if v not in keywords), "*", *(n for v, n in named if v in keywords)]

    # variables -------------------------------------------------------------------------------------------------

    def free_name(self, name: str, taken: Mapping[str, str]) -> str:
        """The name, with a number where it is in use."""
        used = set(taken.values()) | set(self.names) | self.sizes | reserved_names()
        used |= {function for function in self.functions if self.pinned[function]}
        candidate, number = name, 2
        while candidate in used:
            candidate, number = f"{name}_{number}", number + 1
        return candidate

    def choose_names(self, outputs: list[str], item: Item, expression: ast.expr | None = None) -> list[str]:
        """Names under which an item's results are assigned; `_` for those that nothing reads."""
        names = []
        given = item_inputs(item) if isinstance(item, Scope) else ()
        for position, value in enumerate(outputs):
            if value in given:  # it comes back as it was passed
                name = self.name_of(value)
                names.append(name if self.names.get(name) == value else "_")
                continue
            if self.left[value] <= 0:
                names.append("_")
                continue
            name = self._choose(value, position, len(outputs), item, expression)
            names.append(name)
            self.names[name] = value
            self.expressions[value] = ast.Name(name, ast.Load())
        return names

    def _choose(self, value: str, position: int, count: int, item: Item, expression: ast.expr | None) -> str:
        original = self.original.of(value, position, count) if value in self.original.makers else []
        listed = isinstance(item, Scope) and item.path.rpartition(".")[2].isdigit()
        held = self._held_by(original[0]) if original and (listed or isinstance(item, Node)) else ""
        if held and self.original.are_of_one_statement(value, held):
            return self._numbered(original[0])  # the same variable in another round of a loop
        candidates = list(original)
        if isinstance(item, Scope) and count > 1 and not candidates and (inside := returned_as(item, value)):
            return self.free_name(identifier(inside), {}) if self._is_held(identifier(inside)) else identifier(inside)
        candidates += [self.result_names[value]] if value in self.result_names else []
        candidates += [weight.rpartition(".")[2] for weight, stored in self.stored if stored == value]
        base = item.path.rsplit(".", 1)[-1] if isinstance(item, Scope) else item.op.split(".")[1].strip("_")
        base = singular(item.path.rpartition(".")[0]) if isinstance(item, Scope) and listed else base
        if isinstance(item, Node) and item.bodies:
            base = self.result_bases.get(value, "y")
        elif isinstance(item, Node) and count > 1 and item.op.startswith(("lax.", "jnp.")):
            base = re.sub(r"_\d+$", "", value)  # capture names each result of a JAX program
        if expression is not None:
            base = module_called(expression) or base
        candidates += ["x"] if count == 1 else []
        candidates += [base, re.sub(r"\d+$", "", base) or "x"]
        for candidate in candidates:
            if not self._is_held(name := identifier(candidate)):
                return name
        return self._numbered(original[0] if original else candidates[-1])

    def _numbered(self, name: str) -> str:
        """A name with the first number with which it stands for nothing that is still read."""
        return next(n for i in itertools.count(2) if not self._is_held(n := identifier(f"{name}_{i}")))

    def _held_by(self, name: str) -> str:
        """The value that a name stands for and that is still read, or an empty string."""
        return self.names.get(identifier(name), "") if self._is_held(identifier(name)) else ""

    def _is_held(self, name: str) -> bool:
        """Whether a name stands for something that is still read."""
        return name in self.sizes or bool(self.pinned[name]) or self.left[self.names.get(name, "")] > 0

    def name_of(self, value: str) -> str:
        """The variable that holds a value, or an empty string."""
        expression = self.expressions.get(value)
        return expression.id if isinstance(expression, ast.Name) else ""
