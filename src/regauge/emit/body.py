"""The body of `__call__`: statements in the order of the original, with its names, lines and shapes.

A value that is used once, by an operator of the same original statement, is written inside that expression; every
other value is assigned, under the name that the original's statement gives it.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Mapping, Sequence

from regauge.emit.deferring import is_returned, later_reader, swaps_heads
from regauge.emit.dropouts import dropout_function, dropped
from regauge.emit.expressions import Helpers, cast_expression, times_written, write_node
from regauge.emit.extended_layers import BASE, base_call
from regauge.emit.flow import Group, write_flow
from regauge.emit.lines import Body, Line
from regauge.emit.local_names import Function, LocalNames
from regauge.emit.members import Structure
from regauge.emit.names import identifier, unique
from regauge.emit.origins import Statement
from regauge.emit.own_gradients import write_own_gradient
from regauge.emit.partial import substitute
from regauge.emit.scan_text import scan_lines, scan_name
from regauge.emit.scopes import Item, Scope, is_body, is_recomputed, item_inputs, item_outputs
from regauge.emit.stacks import Run
from regauge.emit.statements import line_of, parameter_names, statement_of
from regauge.emit.steps import steps_of
from regauge.emit.stored import changes_state, is_changed, keep_old_values, storing_lines
from regauge.emit.syntax import (
    bare_text,
    call,
    first_of,
    is_atomic,
    is_short,
    member_expression,
    refs,
    shape_comment,
    undo_layout,
    with_sizes,
)
from regauge.emit.target import target
from regauge.emit.weight_places import locate
from regauge.errors import EmitError
from regauge.ir.graph import Graph, Node, Ref, node_inputs
from regauge.lower.plan import Plan

_LONGEST_RESULT = 24  # of one that is one of several results of a local function


class BodyWriter(LocalNames):
    """Writes the statements of one module call.

    Args:
        scope: the call.
        structure: what is a member of what.
        plan: rules of the operators.
        result_casts: casts that the shape check found necessary, by value name.
        constants: expressions of small constant tensors, by value name.
        helpers: receives functions for ops.py.
        parameter_hints: names that the caller uses for the values it passes.
        function: how the scope is called, if it is a body.
        looped: the lines of the original whose loops are written so that they can be loops; None for all.
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
        function: Function | None = None,
        looped: Collection[str] | None = (),
    ) -> None:
        super().__init__(scope, structure)
        self.plan = plan
        self.result_casts = result_casts
        self.constants = constants
        self.helpers = helpers
        self.around = function.writer if function is not None else None
        self.kept: dict[str, list[str]] = {}
        self.readers: dict[str, list[Item]] = {}
        self.makers: dict[str, Item] = {name: item for item in scope.items for name in item_outputs(item)}
        self.child_hints: dict[Scope, dict[str, str]] = {}
        self.waiting: list[Scope] = []  # bodies whose operator comes next
        for item in scope.items:
            for name in set(item_inputs(item)):
                self.readers.setdefault(name, []).append(item)
        # (weight, value) of the buffers that this module owns and this call changes
        self.stored = structure.stored(scope, scope.items) if scope.body is None else []
        self.left.update(value for _, value in self.stored)
        self.steps = steps_of(scope, self.readers, self.left, looped)
        if function is not None:
            self.enter(function)
        else:
            self.name_parameters(parameter_hints)
        self.inputs: dict[str, ast.expr] = {v: self.expressions[v] for v in scope.inputs}

    # names -----------------------------------------------------------------------------------------------------

    def inside(self, body: Scope, groups: Sequence[Group], hints: Mapping[str, str]) -> BodyWriter:
        """The writer of a function that an operator of this code runs; it reads the names around it."""
        function = Function(self, groups, hints)
        return BodyWriter(
            body, self.structure, self.plan, self.result_casts, self.constants, self.helpers, {}, function
        )

    def apart(self, body: Scope, graph: Graph, groups: Sequence[Group], hints: Mapping[str, str]) -> BodyWriter:
        """The writer of a function of its own, which stands elsewhere and reads its parameters only."""
        structure = Structure(graph, body)
        structure.context.specs.update((name, spec) for name, spec in self.specs.items() if name in self.constants)
        function = Function(None, groups, hints)
        return BodyWriter(body, structure, self.plan, self.result_casts, self.constants, self.helpers, {}, function)

    # expressions -----------------------------------------------------------------------------------------------

    def use(self, ref: Ref) -> ast.expr:
        """The expression of a value; counts as one of its uses."""
        self.left[ref.name] -= 1
        if self.left[ref.name] <= 0:
            self.pinned.subtract(self.kept.pop(ref.name, ()))
        if ref.name in self.expressions:
            return self.expressions[ref.name]
        if ref.name in self.constants:
            return target().placed(self.constants[ref.name], self._device())
        if ref.name in self.weights:
            return self.weight(self.weights[ref.name].name)
        raise EmitError(f"value {ref.name} is read before it is made", where=self.scope.path)

    def _device(self) -> ast.expr | None:
        """``x.device`` of an array that this code is given, or of a weight that it reads; None without any."""
        given = [value for group in self.groups for value in group.values] or list(self.scope.inputs)
        found = [self.inputs.get(value, self.expressions.get(value)) for value in given if value not in self.weights]
        places: list[ast.expr] = [p for p in found if isinstance(p, ast.Name | ast.Attribute | ast.Subscript)]
        for value in () if places else self.weights:
            if value in self.readers and value not in self.constants:
                path, _ = locate(self.structure, self.scope, self.weights[value].name)
                places.append(target().weight(member_expression(path)))
        return ast.Attribute(places[0], "device", ast.Load()) if places else None

    def weight(self, name: str) -> ast.expr:
        path, layout = locate(self.structure, self.scope, name)
        return undo_layout(target().weight(member_expression(path)), layout)

    # statements ------------------------------------------------------------------------------------------------

    def write(self, returned: Callable[[Callable[[Ref], ast.expr]], ast.expr]) -> Body:
        """The body; `returned` makes the expression of the return statement from the values."""
        keep_old_values(self)
        items = self.scope.items
        runs = {run.calls[0]: run for run in self.structure.runs.get(self.scope, ())}
        position = 0
        while position < len(items):
            item = items[position]
            run = runs.get(item) if isinstance(item, Scope) else None
            last = position + (run.depth if run else 1)
            following = next((later for later in items[last:] if not is_body(later)), None)
            if run is not None:
                self._write_scan(run, following)
            elif is_body(item):
                self.waiting.append(item)
            elif isinstance(item, Scope):
                self._write_call(item, following)
            elif item.bodies:
                bodies, self.waiting = self.waiting, []
                if item.op == "regauge.own_gradient":
                    write_own_gradient(self, item, following)
                else:
                    write_flow(self, item, bodies, following)
            else:
                self._write_node(item, following)
            position = last
        mutated = storing_lines(self)
        result = target().simplify(returned(self.use))
        lines = [*self.lines, *mutated, Line(f"return {bare_text(result)}")]
        return Body(self.signature(), self._with_sizes(lines), self._shapes())

    def _shapes(self) -> str:
        """The shape of a call's one array."""
        arrays = [value for value in self.scope.inputs if value not in self.weights]
        return shape_comment(self.specs[arrays[0]]) if len(arrays) == 1 == len(self.parameters) else ""

    def _write_node(self, node: Node, following: Item | None) -> None:
        holder = self.structure.holders.get(self.scope)
        drop = holder.dropouts.get(node.outputs[0].name) if holder is not None and node.outputs else None
        if node.op in (BASE, "aten.dropout.default"):
            (source,) = refs(node.argument("input"))
            expression = self.use(source)
            if drop is not None:
                expression = dropped(drop.attribute, expression, node.always)
            whole = base_call(expression) if node.op == BASE else expression
            self.finish(node, [node.outputs[0].name], whole, following, pure=drop is None and node.op != BASE)
            return
        extras = {"dropout": dropout_function(drop.attribute, node.always)} if drop is not None else {}
        if self.plan.rules[node.op].draws:
            extras["rng_key"] = ast.parse(f"self.{self.random_stream()}()", mode="eval").body
        device = self._device() if target().follows_device else None
        if device is not None:
            extras["device"] = device
        self._bind_repeated(node)
        written = write_node(node, self.plan.rules[node.op], self.specs, self.use, extras, self.helpers)
        expression = written.expression
        renames: dict[str, ast.expr] = {}
        for statement in written.statements:
            self._write_residual(statement, renames, node)
        expression = substitute(renames)(expression)
        outputs = [value.name for value in node.outputs]
        if len(outputs) == 1 and self.plan.rules[node.op].gives_list:
            expression = first_of(expression)
        if len(outputs) == 1 and outputs[0] in self.result_casts:
            expression = cast_expression(expression, self.result_casts[outputs[0]])
        self.finish(node, outputs, expression, following, pure=drop is None and "rng_key" not in extras)

    def random_stream(self) -> str:
        """The attribute of the module's own random stream."""
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
                    maker = self.makers.get(ref.name, node)
                    self._assign([ref.name], expression, maker)

    def _write_residual(self, statement: ast.stmt, renames: dict[str, ast.expr], node: Node) -> None:
        if not isinstance(statement, ast.Assign):
            raise EmitError("a rule left a statement that is no assignment", where=node.op)
        value = substitute(renames)(statement.value)
        left = statement.targets[0]
        items = left.elts if isinstance(left, ast.Tuple) else [left]
        names = []
        for item in items:
            if not isinstance(item, ast.Name):
                raise EmitError("a rule assigned to something that is no name", where=node.op)
            name = self.free_name(item.id.split("__")[0], {})
            self.names[name] = f"{node.outputs[0].name}:{name}"
            self.left[self.names[name]] = 1
            renames[item.id] = ast.Name(name, ast.Load())
            names.append(name)
        text = ast.unparse(target().simplify(value))
        self.lines.append(Line(f"{', '.join(names)} = {text}", origin=node.origin.line))

    def _write_call(self, child: Scope, following: Item | None) -> None:
        member = self.structure.holders[self.scope].members[child.path]
        layer = self.structure.layers.get(child)
        inputs = list(layer.inputs) if layer is not None else child.inputs
        self.child_hints[child] = {n: self.name_of(n) for n in inputs}
        arguments = [self.use(Ref(name)) for name in inputs if name not in child.keywords]
        keywords = {child.keywords[name]: self.use(Ref(name)) for name in inputs if name in child.keywords}
        self.left.subtract(set(child.inputs) - set(inputs))
        expression = call(member_expression([member.target]), arguments, keywords)
        if is_recomputed(child):
            expression = target().recomputing(expression)
        self.finish(child, child.outputs, expression, following, pure=False)

    def _write_scan(self, run: Run, following: Item | None) -> None:
        """A run of equal layers: a function that calls one of them, scanned over all."""
        first, last = run.calls[0], run.calls[-1]
        self.child_hints[first] = {n: self.name_of(n) for n in first.inputs}
        arguments = [self.use(Ref(name)) for name in first.inputs]
        for later in run.calls[1:]:
            self.left.subtract(later.inputs)
        carried = parameter_names(first, self.child_hints[first]).get(first.inputs[run.carry], "x")
        function = self.free_name(scan_name(run), {})
        self.names[function], self.left[f"def {function}"] = f"def {function}", 1  # no array takes its name
        lines = scan_lines(run, function, identifier(carried), arguments)
        self.lines += [Line(text, "", next(first.nodes()).origin.line) for text in lines]
        stack = member_expression([self.structure.holders[self.scope].members[first.path].target])
        expression = call(function, [arguments[run.carry], ast.parse(stack, mode="eval").body])
        self.finish(last, last.outputs, expression, following, pure=False)

    def finish(self, item: Item, outputs: list[str], expression: ast.expr, following: Item | None, pure: bool) -> None:
        """Keep the expression for its one use in the same original statement, or assign it."""
        statement = statement_of(self.scope, item)
        used = [name for name in outputs if self.left[name] > 0]
        if not used:
            if isinstance(item, Scope) and changes_state(item, self.structure.graph):  # what it is called for
                self.lines.append(Line(ast.unparse(expression), origin=line_of(self.scope, item)))
            return
        only = outputs[0]
        if len(outputs) == 1 and self.left[only] == 1 and not self.steps.is_named(item):
            reader = following if self._is_read_by(item, following) else None
            holder = self.structure.holders.get(self.scope)  # None in functions beside the classes
            if reader is None and pure and holder is not None and only not in self.scope.results():
                reader = later_reader(item, self.readers.get(only, ()), expression, holder, self.weights)
            if reader is not None and not self._repeats(item, reader) and not self._ends_loop(item):
                # an operator of no statement of the original, such as a change of layout, goes with what follows
                same = self._is_one_statement(item, reader, statement) or (
                    statement is None and pure and reader is following
                )
                if same and is_short(expression, self.listed) and not is_recomputed(item):
                    self._keep(only, expression)
                    return
            if swaps_heads(item, self.readers):
                self._keep_swap(item, only, expression)
                return
            last = following is None and self.scope.results() == [only]
            if last and not self._ends_loop(item) and not is_changed(self, expression):
                self._keep(only, expression)
                return
            if self._is_short_result(only, expression, pure) or is_returned(self, item, expression, statement):
                self._keep(only, expression)
                return
        if len(outputs) == 1 and is_atomic(expression) and pure and not is_changed(self, expression):
            self._keep(only, expression)
            return
        self._assign(outputs, expression, item)

    def _is_short_result(self, value: str, expression: ast.expr, pure: bool) -> bool:
        """`return i + 1, x`: what a function only gives back needs no name of its own."""
        returned = self.scope.body is not None and value in self.scope.results()
        return returned and pure and len(ast.unparse(expression)) <= _LONGEST_RESULT

    def _is_one_statement(self, item: Item, following: Item | None, statement: Statement | None) -> bool:
        """Whether two operators are of one statement of the original; in library code, a call and what follows it."""
        if following is None:
            return False
        if statement is None and isinstance(item, Scope) and isinstance(following, Node):
            alone = self.structure.graph.dialect == "lax" and set(item_inputs(following)) == set(item.outputs)
            return alone and statement_of(self.scope, following) is None
        return statement is not None and statement == statement_of(self.scope, following)

    def _keep(self, value: str, expression: ast.expr) -> None:
        """Write the value where it is used; the local names in it must not be assigned before."""
        self.expressions[value] = expression
        named = [node.id for node in ast.walk(expression) if isinstance(node, ast.Name)]
        self.kept[value] = [name for name in named if name in self.names or name in self.functions]
        self.pinned.update(self.kept[value])

    @staticmethod
    def _is_read_by(item: Item, following: Item | None) -> bool:
        return following is not None and any(name in item_inputs(following) for name in item_outputs(item))

    def _repeats(self, item: Item | None, following: Item | None) -> bool:
        """Two calls of one list of modules, one after the other: kept apart, they can become a loop."""
        item, _ = self._call_behind(item)
        if item is None or not isinstance(following, Scope) or is_body(following):
            return False
        members = self.structure.holders[self.scope].members
        paths = [members[call.path].path for call in (item, following) if call.path in members]
        return len(paths) == 2 and isinstance(paths[0][-1], int) and paths[0][:-1] == paths[1][:-1]

    def _call_behind(self, item: Item | None) -> tuple[Scope | None, int]:
        """The call of which an item is the result, and how many operators of one array have been on it since."""
        operators = 0
        while isinstance(item, Node):
            inputs = node_inputs(item)
            item = self.makers.get(inputs[0]) if len(inputs) == 1 else None
            operators += 1
        return (item if isinstance(item, Scope) and not is_body(item) else None), operators

    def _ends_loop(self, item: Item) -> bool:
        """Whether an item is what the last of several calls of one list gives: as much was done with those before."""
        call, operators = self._call_behind(item)
        before = [self.makers.get(name) for name in call.inputs] if call is not None else []
        return any(self._repeats(item, call) and self._call_behind(item)[1] == operators for item in before)

    def _keep_swap(self, item: Item, value: str, expression: ast.expr) -> None:
        func = expression.func if isinstance(expression, ast.Call) else None
        if isinstance(func, ast.Attribute) and func.attr == "swapaxes" and not is_atomic(func.value):
            self.left[value] += 1
            self._assign([value], func.value, item)
            self.left[value] -= 1
            func.value = self.expressions[value]
            self.lines[-1] = Line(self.lines[-1].text, "", self.lines[-1].origin)
        self._keep(value, expression)

    def _assign(self, outputs: list[str], expression: ast.expr, item: Item) -> None:
        names = self.choose_names(outputs, item, expression)
        if isinstance(expression, ast.Tuple) and len(expression.elts) == len(names) > 1:
            read = [(name, part) for name, part in zip(names, expression.elts, strict=True) if name != "_"]
            names, parts = [name for name, _ in read], [part for _, part in read]
            expression = parts[0] if len(parts) == 1 else ast.Tuple(parts, ast.Load())
        shape = shape_comment(self.specs[outputs[0]]) if len(outputs) == 1 else ""
        self.lines.append(Line(f"{', '.join(names)} = {bare_text(expression)}", shape, line_of(self.scope, item)))

    # state and sizes ---------------------------------------------------------------------------------------------

    def _with_sizes(self, lines: list[Line]) -> list[Line]:
        """Behind `batch = x.shape[0]` for the symbolic sizes that they name; a function reads those around it."""
        if self.around is not None:
            return lines
        arrays = [(self.inputs[v], self.specs[v]) for v in self.scope.inputs if v not in self.weights]
        names = [symbol.name for symbol in self.structure.graph.symbols]
        return with_sizes(names, lines, arrays, self.scope.path)
