"""A graph as text that a person reads: one line a node, modules as headings, source lines at the right."""

from __future__ import annotations

from regauge.ir.graph import DType, Graph, Node, Operand, Ref, Sym, Value, WeightSpec

_COLUMN = 96  # where the source line begins


def show(graph: Graph) -> str:
    """The readable form of a graph: inputs, weights, nodes by module, outputs, mutations, symbols."""
    lines = [f"graph {graph.dialect}"]
    lines += [
        f"  symbol {s.name} = {s.hint} in [{s.low}, {'inf' if s.high is None else s.high}]" for s in graph.symbols
    ]
    lines += [f"  input  {_value(value)}" for value in graph.inputs]
    lines += [f"  {_weight(weight)}" for weight in graph.weights]
    module = None
    for node in graph.nodes:
        if node.origin.path != module:
            module = node.origin.path
            kind = node.origin.modules[-1].type.rsplit(".", 1)[-1] if node.origin.modules else ""
            again = ", ".join(f"{step.path} recomputed" for step in node.origin.modules if step.recomputed)
            lines.append(f"  # {module or '(root)'}  {kind}".rstrip() + (f"  ({again})" if again else ""))
        lines.append(show_node(node))
        for body in node.bodies:
            lines += [f"      {line}" for line in show(body).splitlines()]
    lines.append(f"  return {', '.join(_operand(operand) for operand in graph.outputs)}")
    lines += [f"  store  {weight} <- {value}" for weight, value in graph.mutations]
    lines += [f"  {finding.severity} {finding.code} {finding.where}: {finding.text}" for finding in graph.findings]
    return "\n".join(lines)


def show_node(node: Node) -> str:
    """One node as a line: results with their specs, the operator, its arguments by name, the source line."""
    results = ", ".join(_value(value) for value in node.outputs)
    arguments = ", ".join(f"{name}={_operand(operand)}" for name, operand in node.arguments if operand is not None)
    text = f"  {results} = {node.op}({arguments})"
    return f"{text:<{_COLUMN}}  # {node.origin.line}" if node.origin.line else text


def _value(value: Value) -> str:
    return f"{value.name}: {value.spec}"


def _weight(weight: WeightSpec) -> str:
    marks = [
        "" if weight.trainable or weight.role != "parameter" else "frozen",
        "" if weight.persistent or weight.role != "buffer" else "not persistent",
        f"tied to {weight.tied_to}" if weight.tied_to else "",
        "" if weight.value or weight.tied_to else "unused",
    ]
    read = f" as {weight.value}" if weight.value else ""
    note = ", ".join(mark for mark in marks if mark)
    return f"{weight.role} {weight.name}: {weight.spec}{read}" + (f"  ({note})" if note else "")


def _operand(operand: Operand) -> str:
    if isinstance(operand, Ref | DType):
        return operand.name
    if isinstance(operand, Sym):
        return operand.text
    if isinstance(operand, tuple):
        return f"({', '.join(_operand(item) for item in operand)}{',' if len(operand) == 1 else ''})"
    return repr(operand)
