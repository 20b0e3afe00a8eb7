"""The body of `__call__`: statements in the order of the original, with its names, lines and shapes.

A value that is used once, by an operator of the same original statement, is written inside that expression; every
other value is assigned, under the name that the original's statement gives it.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from regauge.emit.deferring import later_reader, swaps_heads
from regauge.emit.dropouts import dropout_function, dropped
from regauge.emit.expressions import Helpers, cast_expression, draws, times_written, write_node
from regauge.emit.lines import Body, Line
from regauge.emit.members import Structure
from regauge.emit.names import RESERVED, identifier, unique
from regauge.emit.origins import Statement
from regauge.emit.partial import substitute
from regauge.emit.scan_text import scan_lines, scan_name
from regauge.emit.scopes import Item, Scope, item_inputs, item_outputs, owns
from regauge.emit.signature import Parameter, accesses, texts
from regauge.emit.simplify import simplify
from regauge.emit.stacks import Run
from regauge.emit.statements import parameter_names, statement_of
from regauge.emit.syntax import call, is_atomic, member_expression, refs, shape_comment, size_lines, undo_layout
from regauge.errors import EmitError
from regauge.ir.graph import Node, Ref
from regauge.lower.plan import Plan

_LONGEST_INLINE = 88  # characters of an expression that is still written inside another


class BodyWriter:
    """Writes the statements of one module call.

    Args:
        scope: the call.
        structure: what is a member of what.
        plan: rules of the operators.
        result_casts: casts that the shape check found necessary, by value name.
        constants: expressions of small constant tensors, by value name.
        helpers: receives functions for ops.py.
        parameter_hints: names that the caller uses for the values it passes.
    """

    def __init__(
        self,
        scope: Scope,
        structure: Structure,
        plan: Plan,
        result_casts: Mapping[str, str],
        constants: Mapping[str, ast.expr],
        helpers: Helpers,
        parameter_hints: Mapping[str, str],
    ) -> None:
        self.scope = scope
        self.structure = structure
        self.specs = structure.context.specs
        self.weights = structure.context.weights
        self.plan = plan
        self.result_casts = result_casts
        self.constants = constants
        self.helpers = helpers
        self.sizes = {symbol.name for symbol in structure.graph.symbols}  # names of sizes are no names of arrays
        self.expressions: dict[str, ast.expr] = {}
        self.names: dict[str, str] = {}  # local name -> value that it holds now
        self.statement: dict[str, Statement | None] = {}
        self.left: Counter[str] = Counter()
        self.pinned: Counter[str] = Counter()  # local names that a kept expression still needs
        self.kept: dict[str, list[str]] = {}
        self.readers: dict[str, list[Item]] = {}
        self.lines: list[Line] = []
        self.child_hints: dict[Scope, dict[str, str]] = {}
        self._count_uses()
        self.parameters = self._name_parameters(parameter_hints)
        self.inputs: dict[str, ast.expr] = {v: self.expressions[v] for v in scope.inputs}

    # names -----------------------------------------------------------------------------------------------------

    def _count_uses(self) -> None:
        for item in self.scope.items:
            names = item_inputs(item)
            self.left.update(names)
            for name in set(names):
                self.readers.setdefault(name, []).append(item)
        self.left.update(self.scope.outputs)
        self.left.update(value for _, value in self._stored_here())

    def _stored_here(self) -> list[tuple[str, str]]:
        """(weight, value) of the buffers that this module owns and this call changes."""
        made = {name for item in self.scope.items for name in item_outputs(item)}
        mutations = self.structure.graph.mutations
        return [(w, v) for w, v in mutations if v in made and owns(self.scope.path, w)]

    def _name_parameters(self, hints: Mapping[str, str]) -> list[str]:
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
            names[value] = self._free(identifier(fallback), names)
        for value, name in names.items():
            safe = identifier(name)
            if safe in self.sizes:
                safe = names[value] = self._free(f"{safe}_input", names)
            self.expressions[value] = ast.Name(safe, ast.Load())
            self.names[safe] = value
        return [identifier(names[value]) for value in self.scope.inputs]

    def _free(self, name: str, taken: Mapping[str, str]) -> str:
        used = set(taken.values()) | set(self.names) | self.sizes | RESERVED
        candidate, number = name, 2
        while candidate in used:
            candidate, number = f"{name}_{number}", number + 1
        return candidate

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

    # expressions -----------------------------------------------------------------------------------------------

    def use(self, ref: Ref) -> ast.expr:
        """The expression of a value; counts as one of its uses."""
        self.left[ref.name] -= 1
        self.pinned.subtract(self.kept.pop(ref.name, ()))
        if ref.name in self.expressions:
            return self.expressions[ref.name]
        if ref.name in self.constants:
            return self.constants[ref.name]
        if ref.name in self.weights:
            return self._weight(self.weights[ref.name].name)
        raise EmitError(f"value {ref.name} is read before it is made", where=self.scope.path)

    def _weight(self, name: str) -> ast.expr:
        path, layout = self.structure.locate(self.scope, name)
        expression = ast.parse(f"{member_expression(path)}[...]", mode="eval").body
        return undo_layout(expression, layout)

    # statements ------------------------------------------------------------------------------------------------

    def write(self, returned: Callable[[Callable[[Ref], ast.expr]], ast.expr]) -> Body:
        """The body; `returned` makes the expression of the return statement from the values."""
        items = self.scope.items
        runs = {run.calls[0]: run for run in self.structure.runs.get(self.scope, ())}
        position = 0
        while position < len(items):
            item = items[position]
            run = runs.get(item) if isinstance(item, Scope) else None
            last = position + (run.depth if run else 1)
            following = items[last] if last < len(items) else None
            if run is not None:
                self._write_scan(run, following)
            elif isinstance(item, Scope):
                self._write_call(item, following)
            else:
                self._write_node(position, item, following)
            position = last
        mutated = self._mutations()
        result = simplify(returned(self.use))
        lines = [*self._sizes(result), *self.lines, *mutated]
        parts = result.elts if isinstance(result, ast.Tuple) and len(result.elts) > 1 else [result]
        lines.append(Line(f"return {', '.join(map(ast.unparse, parts))}"))
        return Body(self.parameters, lines, self._shapes())

    def _shapes(self) -> str:
        """The shape of a call's one array."""
        arrays = [value for value in self.scope.inputs if value not in self.weights]
        return shape_comment(self.specs[arrays[0]]) if len(arrays) == 1 == len(self.parameters) else ""

    def _write_node(self, position: int, node: Node, following: Item | None) -> None:
        holder = self.structure.holders[self.scope]
        drop = holder.dropouts.get(position)
        if node.op == "aten.dropout.default":
            source = node.argument("input")
            if not isinstance(source, Ref):
                raise EmitError("dropout of something that is no array", where=node.origin.line)
            expression = self.use(source)
            if drop is not None:
                expression = dropped(drop[0], expression, node.always)
            self._finish(node, [node.outputs[0].name], expression, following, pure=drop is None)
            return
        extras = {"dropout": dropout_function(drop[0], node.always)} if drop is not None else {}
        if draws(self.plan.rules[node.op]):
            extras["rng_key"] = ast.parse(f"self.{self._random_stream()}()", mode="eval").body
        self._bind_repeated(node)
        written = write_node(node, self.plan.rules[node.op], self.specs, self.use, extras, self.helpers)
        expression = written.expression
        renames: dict[str, ast.expr] = {}
        for statement in written.statements:
            self._write_residual(statement, renames, node)
        expression = substitute(renames)(expression)
        outputs = [value.name for value in node.outputs]
        if len(outputs) == 1 and outputs[0] in self.result_casts:
            expression = cast_expression(expression, self.result_casts[outputs[0]])
        self._finish(node, outputs, expression, following, pure=drop is None and "rng_key" not in extras)

    def _random_stream(self) -> str:
        holder = self.structure.holders.get(self.scope)
        if holder is None:
            raise EmitError("a function without a module has no random stream", where=self.scope.step.type)
        holder.rng = holder.rng or unique("rng", holder.taken() | self.structure.reserved)
        return holder.rng

    def _bind_repeated(self, node: Node) -> None:
        """An operand that is itself an expression must have a name before a rule writes it more than once."""
        for _, operand in node.arguments:
            for ref in refs(operand):
                expression = self.expressions.get(ref.name)
                if expression is None or is_atomic(expression):
                    continue
                if times_written(node, self.plan.rules[node.op], self.specs, ref.name) > 1:
                    self._assign([ref.name], expression, node, statement_of(self.scope, node))

    def _write_residual(self, statement: ast.stmt, renames: dict[str, ast.expr], node: Node) -> None:
        if not isinstance(statement, ast.Assign):
            raise EmitError("a rule left a statement that is no assignment", where=node.op)
        value = substitute(renames)(statement.value)
        target = statement.targets[0]
        items = target.elts if isinstance(target, ast.Tuple) else [target]
        names = []
        for item in items:
            if not isinstance(item, ast.Name):
                raise EmitError("a rule assigned to something that is no name", where=node.op)
            name = self._free(item.id.split("__")[0], {})
            self.names[name] = f"{node.outputs[0].name}:{name}"
            self.left[self.names[name]] = 1
            renames[item.id] = ast.Name(name, ast.Load())
            names.append(name)
        self.lines.append(Line(f"{', '.join(names)} = {ast.unparse(simplify(value))}", origin=node.origin.line))

    def _write_call(self, child: Scope, following: Item | None) -> None:
        member = self.structure.holders[self.scope].members[child.path]
        layer = self.structure.layers.get(child)
        inputs = list(layer.inputs) if layer is not None else child.inputs
        self.child_hints[child] = {n: self._name_of(n) for n in inputs}
        arguments = [self.use(Ref(name)) for name in inputs]
        self.left.subtract(set(child.inputs) - set(inputs))
        expression = call(member_expression([member.target]), arguments)
        self._finish(child, child.outputs, expression, following, pure=False)

    def _write_scan(self, run: Run, following: Item | None) -> None:
        """A run of equal layers: a function that calls one of them, scanned over all."""
        first, last = run.calls[0], run.calls[-1]
        self.child_hints[first] = {n: self._name_of(n) for n in first.inputs}
        arguments = [self.use(Ref(name)) for name in first.inputs]
        for later in run.calls[1:]:
            self.left.subtract(later.inputs)
        carried = parameter_names(first, self.child_hints[first]).get(first.inputs[run.carry], "x")
        function = self._free(scan_name(run), {})
        self.names[function], self.left[f"def {function}"] = f"def {function}", 1  # no array takes its name
        lines = scan_lines(run, function, identifier(carried), arguments)
        self.lines += [Line(text, "", next(first.nodes()).origin.line) for text in lines]
        stack = member_expression([self.structure.holders[self.scope].members[first.path].target])
        expression = call(function, [arguments[run.carry], ast.parse(stack, mode="eval").body])
        self._finish(last, last.outputs, expression, following, pure=False)

    def _name_of(self, value: str) -> str:
        expression = self.expressions.get(value)
        return expression.id if isinstance(expression, ast.Name) else ""

    def _finish(self, item: Item, outputs: list[str], expression: ast.expr, following: Item | None, pure: bool) -> None:
        """Keep the expression for its one use in the same original statement, or assign it."""
        statement = statement_of(self.scope, item)
        used = [name for name in outputs if self.left[name] > 0]
        if not used:
            return
        only = outputs[0]
        if len(outputs) == 1 and self.left[only] == 1:
            reader = following if self._is_read_by(item, following) else None
            if reader is None and pure and only not in self.scope.outputs:
                holder = self.structure.holders[self.scope]
                reader = later_reader(item, self.readers.get(only, ()), expression, holder, self.weights)
            if reader is not None and not self._repeats(item, reader):
                # an operator of no statement of the original, such as a change of layout, goes with what follows
                same = statement == statement_of(self.scope, reader) if statement else pure and reader is following
                if same and len(ast.unparse(expression)) <= _LONGEST_INLINE:
                    self._keep(only, expression)
                    return
            if swaps_heads(item, self.readers):
                self._keep_swap(item, only, expression, statement)
                return
            last = following is None and self.scope.outputs == [only]
            if last and not self._repeats(self._before(item), item):
                self._keep(only, expression)
                return
        if len(outputs) == 1 and is_atomic(expression) and pure:
            self.expressions[only] = expression
            return
        self._assign(outputs, expression, item, statement)

    def _keep(self, value: str, expression: ast.expr) -> None:
        """Write the value where it is used; the local names in it must not be assigned before."""
        self.expressions[value] = expression
        self.kept[value] = [n.id for n in ast.walk(expression) if isinstance(n, ast.Name) and n.id in self.names]
        self.pinned.update(self.kept[value])

    @staticmethod
    def _is_read_by(item: Item, following: Item | None) -> bool:
        return following is not None and any(name in item_inputs(following) for name in item_outputs(item))

    def _before(self, item: Item) -> Item | None:
        position = self.scope.items.index(item)
        return self.scope.items[position - 1] if position else None

    def _repeats(self, item: Item | None, following: Item | None) -> bool:
        """Two calls of one list of modules, one after the other: kept apart, they can become a loop."""
        if not isinstance(item, Scope) or not isinstance(following, Scope):
            return False
        members = self.structure.holders[self.scope].members
        paths = [members[call.path].path for call in (item, following) if call.path in members]
        return len(paths) == 2 and isinstance(paths[0][-1], int) and paths[0][:-1] == paths[1][:-1]

    def _keep_swap(self, item: Item, value: str, expression: ast.expr, statement: Statement | None) -> None:
        func = expression.func if isinstance(expression, ast.Call) else None
        if isinstance(func, ast.Attribute) and func.attr == "swapaxes" and not is_atomic(func.value):
            self.left[value] += 1
            self._assign([value], func.value, item, statement)
            self.left[value] -= 1
            func.value = self.expressions[value]
            self.lines[-1] = Line(self.lines[-1].text, "", self.lines[-1].origin)
        self._keep(value, expression)

    def _assign(self, outputs: list[str], expression: ast.expr, item: Item, statement: Statement | None) -> None:
        names = []
        for position, value in enumerate(outputs):
            if self.left[value] <= 0:
                names.append("_")
                continue
            name = self._choose(value, position, len(outputs), item, statement)
            names.append(name)
            self.names[name] = value
            self.expressions[value] = ast.Name(name, ast.Load())
        node = item if isinstance(item, Node) else next(item.nodes())
        shape = shape_comment(self.specs[outputs[0]]) if len(outputs) == 1 else ""
        self.lines.append(Line(f"{', '.join(names)} = {ast.unparse(expression)}", shape, node.origin.line))

    def _choose(self, value: str, position: int, count: int, item: Item, statement: Statement | None) -> str:
        candidates = []
        if statement is not None and statement.targets:
            if len(statement.targets) == count and statement.targets[position]:
                candidates.append(statement.targets[position])
            elif len(statement.targets) == 1 and count == 1 and statement.targets[0]:
                candidates.append(statement.targets[0])
        base = item.path.rsplit(".", 1)[-1] if isinstance(item, Scope) else item.op.split(".")[1].strip("_")
        candidates += ["x" if count == 1 and not candidates else base, re.sub(r"\d+$", "", base) or "x"]
        for candidate in candidates:
            name = identifier(candidate)
            holder = self.names.get(name)
            if name in self.sizes:
                continue
            if (holder is None or self.left[holder] <= 0) and not self.pinned[name]:
                return name
        return self._free(identifier(candidates[-1] if candidates[-1] else "x"), {})

    # state and sizes ---------------------------------------------------------------------------------------------

    def _mutations(self) -> list[Line]:
        lines = []
        for weight, value in self._stored_here():
            try:
                path, layout = self.structure.locate(self.scope, weight)
            except KeyError:  # the layer updates it itself, or nothing reads it
                continue
            if layout:
                raise EmitError(f"buffer {weight} is written in a layout of its own", where=self.scope.path)
            expression = self.use(Ref(value))
            lines.append(Line(f"{member_expression(path)}[...] = {ast.unparse(expression)}"))
        return lines

    def _sizes(self, result: ast.expr) -> list[Line]:
        """`batch = x.shape[0]` for the symbolic sizes that the body names."""
        text = "\n".join([*(line.text for line in self.lines), ast.unparse(result)])
        arrays = [(self.inputs[v], self.specs[v]) for v in self.scope.inputs if v not in self.weights]
        names = [symbol.name for symbol in self.structure.graph.symbols]
        return [Line(line) for line in size_lines(names, text, arrays, self.scope.path)]
