"""The captured modes of a model, ready to be written: what each module of them becomes."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from regauge.emit.agreement import Agreement, disagreement
from regauge.emit.argument_order import give_one_order
from regauge.emit.members import Structure
from regauge.emit.modes import follows_the_mode
from regauge.emit.scopes import build_scopes
from regauge.emit.stacks import Scanning
from regauge.emit.target import target
from regauge.ir.graph import Graph
from regauge.lower.plan import Plan, plan
from regauge.rules.table import RuleTable

_SMALL_CONSTANT = 16  # elements of a literal tensor that is written into the code


@dataclass
class View:
    """One captured mode of the model, ready to be written; `mode` as `Context` has it."""

    graph: Graph
    structure: Structure
    plan: Plan
    casts: Mapping[str, str]
    constants: Mapping[str, ast.expr]
    scanning: Scanning | None = None
    mode: str = ""


def has_loose_norms(view: View) -> bool:
    """Whether a batch norm of torch's own layer is written from its operators, which do not look at the mode."""
    structure = view.structure
    layers = {id(node) for s in structure.root.scopes() if s in structure.layers for node in s.nodes()}
    return any(follows_the_mode(node) and id(node) not in layers for node in view.graph.nodes)


def view_of(
    graph: Graph, table: RuleTable, constants: Mapping[str, np.ndarray], scanning: Scanning | None, mode: str = ""
) -> View:
    plan(graph, table)  # gaps are reported on the graph that was captured, before it is rewritten
    graph = target().rewritten(graph)
    chosen = plan(graph, table)
    small = {
        w.value: ast.parse(target().array_text(constants[w.name]), mode="eval").body
        for w in graph.weights
        if w.role == "constant" and w.value and w.name in constants and constants[w.name].size <= _SMALL_CONSTANT
    }
    if scanning is not None:
        unfit = {op for op in chosen.rules if "conv" in op and not scanning.convolutions}
        unfit |= {op for op, rule in chosen.rules.items() if op != "aten.dropout.default" and rule.draws}
        scanning = replace(scanning, draws=lambda node: node.op in unfit)
    structure = Structure(graph, build_scopes(graph), small, target().reserved, scanning, mode=mode)
    return View(graph, structure, chosen, target().check_specs(graph, chosen), small, scanning, mode)


def structured(
    main: View, evaluation: View | None, unlike: Callable[[View, View | None], frozenset[str]]
) -> tuple[View, View | None]:
    """The modes with structures whose modules have names, and are opened where one class cannot serve all calls.

    Args:
        main: the mode that was asked for.
        evaluation: the other mode, where that is different code.
        unlike: the paths of modules whose calls have different texts; it is asked once the modules have names.
    """
    opened = Agreement()
    while True:
        if evaluation is not None:
            main, evaluation = _agreeing(main, evaluation, opened)
        elif opened != Agreement():
            main = _restructured(main, opened)
        views = [main] if evaluation is None else [main, evaluation]
        _name_alike([view.structure for view in views])
        wider = opened | Agreement(opened=unlike(main, evaluation))
        if wider == opened:
            return main, evaluation
        opened = wider


def _agreeing(training: View, evaluation: View, opened: Agreement) -> tuple[View, View]:
    """Both modes with structures that make the same of every module, each of which knows the other."""
    agreed = (opened, opened)
    if opened != Agreement():
        training, evaluation = _restructured(training, opened), _restructured(evaluation, opened)
    while True:
        found = disagreement(training.structure, evaluation.structure)
        wider = (agreed[0] | found[0], agreed[1] | found[1])
        if wider == agreed:
            break
        agreed = wider
        training, evaluation = _restructured(training, agreed[0]), _restructured(evaluation, agreed[1])
    training.structure.other, evaluation.structure.other = evaluation.structure, training.structure
    give_one_order(training.structure, evaluation.structure)
    return training, evaluation


def _restructured(view: View, agreed: Agreement) -> View:
    small = view.structure.literals
    structure = Structure(
        view.graph, build_scopes(view.graph), small, target().reserved, view.scanning, agreed, view.mode
    )
    return replace(view, structure=structure)


def _name_alike(structures: Sequence[Structure]) -> None:
    """Name the contents of all modules; a module has the same attributes in every mode."""
    contents: dict[str, list[str]] = {}
    for structure in structures:
        for path, names in structure.contents().items():
            found = contents.setdefault(path, [])
            found += [name for name in names if name not in found]
    for structure in structures:
        structure.hold(contents)
