"""A captured function without modules (a loss) as the text of one function."""

from __future__ import annotations

import ast
from collections.abc import Mapping

import numpy as np

from regauge.emit.body import BodyWriter
from regauge.emit.expressions import Helpers
from regauge.emit.members import Structure
from regauge.emit.scopes import function_scope
from regauge.emit.signature import signature
from regauge.emit.syntax import tree_expression
from regauge.emit.target import target
from regauge.ir.graph import Graph
from regauge.lower.plan import plan
from regauge.rules.table import RuleTable


def emit_function(
    graph: Graph,
    table: RuleTable,
    tensors: Mapping[str, np.ndarray],
    name: str,
    parameters: tuple[str, ...],
    helpers: Helpers,
) -> str:
    """`def name(parameters): ...` for a captured function.

    Args:
        graph: the captured function; its `in_tree` is a tuple with one entry for each parameter.
        table: the rules.
        tensors: values of the tensors that the function holds (class weights of a loss), by name; they are
            written into the code.
        name: of the function.
        parameters: its parameters, in the order of the tree.
        helpers: receives the functions that `ops.py` must hold.
    """
    plan(graph, table, f"the {name}")  # gaps are reported on what was captured, before it is rewritten
    graph = target().rewritten(graph)
    chosen = plan(graph, table, f"the {name}")
    casts = target().check_specs(graph, chosen)
    scope = function_scope(graph, name)
    structure = Structure(graph, scope)
    structure.hold()
    texts = {w.value: target().array_text(tensors[w.name]) for w in graph.weights if w.value}
    constants = {value: ast.parse(text, mode="eval").body for value, text in texts.items()}
    writer = BodyWriter(scope, structure, chosen, casts, constants, helpers, {})
    entries = signature(graph.in_tree, parameters)
    writer.read_inputs_as(entries)
    body = writer.write(lambda use: tree_expression(graph.out_tree, use))
    lines = [f"def {name}({', '.join(body.parameters)}):"]
    lines += [f"    {line.text}" + (f"  # {line.comment}" if line.comment else "") for line in body.lines]
    return "\n".join(lines)
