"""From a graph to the text of model.py and ops.py, with the map of the weights."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from regauge.emit.body import BodyWriter
from regauge.emit.class_numbers import base_name, renumbered
from regauge.emit.expressions import Helpers
from regauge.emit.files import EmittedClass, Place, ops_text
from regauge.emit.growing import grow_lists
from regauge.emit.holders import Holder, Member, joined, lists_of, unused_reason
from regauge.emit.lines import Body, Line
from regauge.emit.loops import roll_loops
from regauge.emit.modes import align, children, in_evaluation, join_bodies, with_own_statistics
from regauge.emit.names import identifier, unique
from regauge.emit.origins import function_at
from regauge.emit.recomputed_calls import not_recomputed
from regauge.emit.records import records_of
from regauge.emit.rolling import roll_steps
from regauge.emit.same_code import code_key
from regauge.emit.scan_text import stacked_text
from regauge.emit.scopes import Scope
from regauge.emit.sequential import function_text, sequential_text
from regauge.emit.several_sizes import of_several_sizes
from regauge.emit.signature import fixed_values, signature
from regauge.emit.stacks import MODES, Scanning
from regauge.emit.statements import declared_parameters, forward_of
from regauge.emit.syntax import tree_expression
from regauge.emit.target import target
from regauge.emit.unify import unify
from regauge.emit.views import View, has_loose_norms, structured, view_of
from regauge.emit.weight_places import Placed, placed_weights
from regauge.findings import Finding
from regauge.ir.graph import Graph, Node, Ref, WeightSpec
from regauge.rules.table import RuleTable


@dataclass(frozen=True)
class Emitted:
    """The result of emission.

    Attributes:
        model: text of model.py, without the loader.
        ops: text of ops.py, or None.
        root: name of the root class.
        placed: every weight that the emitted module holds.
        unused: (weight, reason) for those that it does not need.
        places: where the lines of model.py came from, by line number.
        findings: what a person should know.
    """

    model: str
    ops: str | None
    root: str
    placed: tuple[Placed, ...]
    unused: tuple[tuple[str, str], ...]
    places: dict[int, Place]
    findings: tuple[Finding, ...] = ()


@dataclass
class _Module:
    """State of one emission; `evaluation` is the other mode, where the captures differ."""

    main: View
    evaluation: View | None
    helpers: Helpers
    classes: dict[Any, EmittedClass] = field(default_factory=dict)
    names: set[str] = field(default_factory=lambda: set(target().file_names))
    library: dict[str, type] = field(default_factory=dict)
    unused: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        self.records = records_of([self.main.graph, self.evaluation.graph if self.evaluation else None])
        self.names |= self.records.keys()

    @property
    def graph(self) -> Graph:
        return self.main.graph

    @cached_property
    def weights(self) -> Mapping[str, WeightSpec]:
        return {weight.name: weight for weight in self.graph.weights}

    def library_class(self, cls: type) -> str:
        """The name of a copied class: its own, or ``TorchBatchNorm`` where the person's model has a BatchNorm."""
        views = (self.main,) if self.evaluation is None else (self.main, self.evaluation)
        own = {base_name(scope.step.type) for view in views for scope in view.structure.holders}
        name = f"{target().copied_prefix}{cls.__name__}" if cls.__name__ in own else cls.__name__
        self.library[name] = cls
        return name

    def final_classes(self) -> list[EmittedClass]:
        """The classes of the file: those that are the same but for a few values are one."""
        bases = {base_name(made.type) for made in self.classes.values()}
        return renumbered(unify(self.classes.values()), bases, {*target().file_names, *self.library, *self.records})


def emit_module(
    graph: Graph,
    table: RuleTable,
    constants: Mapping[str, np.ndarray],
    title: str,
    helpers: Helpers | None = None,
    graph_eval: Graph | None = None,
    scanning: Scanning | None = None,
) -> Emitted:
    """The NNX source of a captured model.

    Args:
        graph: the captured graph (dialect aten).
        table: the rules.
        constants: values of the graph's constant tensors by name.
        title: first line of the file's docstring.
        helpers: receives the functions for ops.py, when other files of the folder need some too.
        graph_eval: the capture in evaluation mode, where more differs than dropout and batch norm.
        scanning: which equal layers become a scan over stacked weights; none when None.

    Raises:
        UnsupportedOps: operators without a rule, all at once.
        SpecMismatch: a rule that does not give the captured shape or dtype.
    """
    modes = ("training", "evaluation") if graph_eval else ("", "")
    main = view_of(with_own_statistics(graph), table, constants, None if graph_eval else scanning, modes[0])
    if has_loose_norms(main):
        graph_eval = graph_eval or in_evaluation(graph)
        main = view_of(graph, table, constants, None, modes[0])
    evaluation = None if graph_eval is None else view_of(align(graph, graph_eval), table, constants, None, modes[1])
    main, evaluation = structured(main, evaluation, _of_several_sizes)
    module = _Module(main, evaluation, helpers if helpers is not None else Helpers())
    root = _emit_class(module, main, main.structure.root, {}, evaluation.structure.root if evaluation else None)
    structures = [view.structure for view in (main, evaluation) if view is not None]
    placed = placed_weights(structures)
    used = {p.source for p in placed}
    literals = {w.name for w in graph.weights if w.value in main.constants}
    module.unused = tuple(
        (w.name, unused_reason(w.name, w.name in literals))
        for w in graph.weights
        if w.name not in used and w.tied_to is None
    )
    text, places = target().model_text(module, root.name, title)
    findings = main.plan.findings + (evaluation.plan.findings if evaluation else ())
    findings += tuple(main.structure.stacks.findings) if main.structure.stacks else ()
    findings += (MODES,) if evaluation and scanning else ()
    findings += not_recomputed(main.graph, main.structure.holders)
    root_scope = main.structure.root
    findings += fixed_values(signature(main.graph.in_tree, declared_parameters(root_scope)), main.graph.dialect)
    return Emitted(
        text, ops_text(module.helpers), root.name, placed, module.unused, places, tuple(dict.fromkeys(findings))
    )


def _of_several_sizes(main: View, evaluation: View | None) -> frozenset[str]:
    """Modules that are opened because the sizes of their inputs are written into their code."""
    module = _Module(main, evaluation, Helpers())
    return frozenset().union(*(_opened(module, view) for view in (main, evaluation) if view is not None))


def _opened(module: _Module, view: View) -> frozenset[str]:
    def body(call: Scope) -> Body:
        return _writer(module, view, call, {}).write(_returned(view.graph, call))

    return of_several_sizes(view.structure, body, lambda node: _function_text(module, view, node))


def _function_text(module: _Module, view: View, node: Node) -> str:
    return function_text(node, view.plan, view.structure.context, view.casts, module.helpers)


# classes ---------------------------------------------------------------------------------------------------------


def _key(view: View, scope: Scope) -> Any:
    structure = view.structure
    runs = tuple(
        (inner.path.removeprefix(scope.path), run.key)
        for inner in (scope, *scope.scopes())
        for run in structure.runs.get(inner, ())
    )
    bases = tuple(
        structure.extensions[inner].layer.constructor
        for inner in (scope, *scope.scopes())
        if inner in structure.extensions
    )
    return code_key(scope, structure.context.weights, structure.layers, view.constants), runs, bases


def _emit_class(
    module: _Module,
    view: View,
    scope: Scope,
    hints: Mapping[Scope, Mapping[str, str]],
    evaluated: Scope | None = None,
) -> EmittedClass:
    """The class of a call, made once for all calls that are the same code.

    Args:
        module: receives it.
        view: the mode that the call is of.
        scope: the call.
        hints: by call, the caller's names for the values that it passes; values of the two modes share names by chance.
        evaluated: the call in evaluation.
    """
    other = module.evaluation
    key = (_key(view, scope), None if evaluated is None or other is None else _key(other, evaluated))
    if key in module.classes:
        made = module.classes[key]
        made.settings = {name: s for name, s in made.settings.items() if scope.settings.get(name) == s}
        made.values = {name: v for name, v in made.values.items() if scope.values.get(name) == v}
        return made
    name = unique(base_name(scope.step.type), module.names)
    module.names.add(name)
    code = _class_code(module, view, scope, hints, evaluated)
    counterparts = children(evaluated) if evaluated is not None else {}
    holder, maker = code.holder, _Maker(module, view, code.hints)
    constructors = {path: maker.constructor(member, counterparts) for path, member in holder.members.items()}
    init = target().init_lines(module, holder, constructors)
    if code.asks and target().framework == "jax":
        init = [*init, Line("self.deterministic = False", "model.eval() sets it")]
    made = EmittedClass(name, scope.path, _class_comment(scope), init, code.body, scope.step.type)
    if holder.base is not None:
        made.base, made.init = target().layer_text(module, holder.base).partition("(")[0], []
    made.settings, made.values = scope.settings, scope.values
    containers = [identifier(name) for name, value in (scope.passed or {}).items() if value is None]
    made.gathers = containers[0] if len(containers) == 1 else ""
    if scope is not view.structure.root:  # whose arguments may be trees
        specs = [view.structure.context.specs[value] for value in scope.inputs]
        sizes = [tuple(size if isinstance(size, int) else None for size in spec.shape) for spec in specs]
        made.shapes = dict(zip(code.parameters, sizes, strict=True))
    module.classes[key] = made
    return made


@dataclass
class _ClassCode:
    """The code of a class in all modes.

    Attributes:
        body: of `__call__`.
        holder: what the class holds.
        hints: its names for the values that it passes to what it calls.
        parameters: names of the values that the call gets.
        asks: whether it asks for the mode.
    """

    body: Body
    holder: Holder
    hints: Mapping[Scope, Mapping[str, str]]
    parameters: Sequence[str]
    asks: bool = False


def _class_code(
    module: _Module,
    view: View,
    scope: Scope,
    hints: Mapping[Scope, Mapping[str, str]],
    evaluated: Scope | None,
    looped: frozenset[str] | None = None,
) -> _ClassCode:
    """The code of a class; `looped` are the lines of the original whose loops stay loops, None where all may."""
    other = module.evaluation
    writer = _writer(module, view, scope, hints.get(scope, {}), looped)
    body = writer.write(_returned(view.graph, scope))
    code = _ClassCode(body, view.structure.holders[scope], writer.child_hints, writer.parameters)
    steps = writer.steps
    if evaluated is not None and other is not None:
        second = _writer(module, other, evaluated, hints.get(evaluated, {}), looped)
        if evaluated in other.structure.alike:
            second.rename_parameters(writer.parameters)
        evaluation = second.write(_returned(other.graph, evaluated))
        code.body, code.asks = join_bodies(code.body, evaluation, scope.path)
        code.holder = joined(code.holder, other.structure.holders[evaluated])
        code.hints = {**code.hints, **second.child_hints}
        steps = steps | second.steps
    code.body, rolled = roll_steps(roll_loops(grow_lists(code.body)), lists_of(code.holder), steps.lines)
    if looped is None and not steps.named_lines <= rolled:  # what is no loop is written as ever
        return _class_code(module, view, scope, hints, evaluated, rolled)
    return code


@dataclass
class _Maker:
    """Writes the expressions that construct the sub-modules of one class, and emits their classes."""

    module: _Module
    view: View
    hints: Mapping[Scope, Mapping[str, str]]

    def constructor(self, member: Member, counterparts: Mapping[str, Scope]) -> str:
        if member.run is not None:
            return stacked_text(self.constructor(replace(member, run=None), counterparts), member.run.depth)
        if member.layer is not None:
            return target().layer_text(self.module, member.layer)
        evaluation = self.module.evaluation
        view = self.view if member.scope in self.view.structure.holders or evaluation is None else evaluation
        counterpart = counterparts.get(member.scope.step.call)
        if member.kind == "sequential":
            return self._sequential(view, member.scope, children(counterpart) if counterpart else {})
        made = _emit_class(self.module, view, member.scope, self.hints, counterpart)
        base = view.structure.holders[member.scope].base
        if base is not None:
            return made.name + target().layer_text(self.module, base).removeprefix(made.base)
        return target().module_call(made.name)

    def _sequential(self, view: View, scope: Scope, counterparts: Mapping[str, Scope]) -> str:
        members = view.structure.holders[scope].members
        parts = [
            self.constructor(members[item.path], counterparts)
            if isinstance(item, Scope)
            else _function_text(self.module, view, item)
            for item in scope.items
        ]
        return sequential_text(parts)


def _writer(
    module: _Module, view: View, scope: Scope, hints: Mapping[str, str], looped: frozenset[str] | None = frozenset()
) -> BodyWriter:
    writer = BodyWriter(
        scope, view.structure, view.plan, view.casts, view.constants, module.helpers, hints, looped=looped
    )
    if scope is view.structure.root:
        writer.read_inputs_as(signature(view.graph.in_tree, declared_parameters(scope)))
    return writer


def _returned(graph: Graph, scope: Scope) -> Callable[[Callable[[Ref], ast.expr]], ast.expr]:
    if scope.path == "":
        return lambda use: tree_expression(graph.out_tree, use)

    def returned(use: Callable[[Ref], ast.expr]) -> ast.expr:
        values = [use(Ref(name)) for name in scope.outputs]
        return values[0] if len(values) == 1 else ast.Tuple(values, ast.Load())

    return returned


def _class_comment(scope: Scope) -> str:
    for node in scope.nodes():
        forward = forward_of(scope, node)
        function = function_at(forward) if forward is not None else None
        if forward is not None and function is not None and function.class_line:
            return f"{forward.file.rsplit('/', 1)[-1]}:{function.class_line}"
    return ""
