"""Parameters without a gradient in PyTorch: none at all, or none in the calls that do not read them.

An optimizer of PyTorch leaves a parameter alone whose gradient is None. JAX has a gradient of zero there, with which
the decay of weights, momentum and averages of gradients go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from regauge import dtypes
from regauge.findings import Finding
from regauge.ir.captured import CapturedModel
from regauge.ir.graph import Graph, Node, Value, node_inputs, references
from regauge.optimizers import SGD, Optimizer
from regauge.run.protocol import leaf_names

# The gradient does not pass these, nor what gives whole numbers.
_STOPS = frozenset({"aten.detach.default", "aten.zeros_like.default", "lax.stop_gradient"})


def without_gradient(graph: Graph, loss: Graph) -> tuple[str, ...]:
    """Trainable parameters that the loss does not depend on: torch leaves their gradient None, and them alone.

    Args:
        graph: the model.
        loss: a function of (outputs, targets).
    """
    read = {name for node in loss.nodes for name in node_inputs(node)}
    read |= {name for operand in loss.outputs for name in references(operand)}
    outputs = leaf_names(loss.in_tree["tuple"][0])
    leaves = leaf_names(graph.out_tree)
    reached = {leaf for leaf, name in zip(leaves, outputs, strict=True) if name in read}
    reached = _reached(graph.nodes, reached, node_inputs)
    tied = {w.tied_to for w in graph.weights if w.tied_to is not None and w.value in reached}
    return tuple(
        w.name
        for w in graph.weights
        if w.trainable and w.tied_to is None and w.value not in reached and w.name not in tied
    )


def _reached(nodes: Sequence[Node], wanted: Iterable[str], passed: Callable[[Node], Iterable[str]]) -> set[str]:
    """Values that a gradient reaches from others; `passed` says which values a node hands it on to."""
    reached = set(wanted)
    for node in reversed(nodes):
        if node.op not in _STOPS and any(value.name in reached and _has_slope(value) for value in node.outputs):
            reached.update(passed(node))
    return reached


def _has_slope(value: Value) -> bool:
    return dtypes.kind(value.spec.dtype) in ("float", "complex")


def read_at_times(graph: Graph) -> tuple[str, ...]:
    """Trainable parameters that get a gradient in some calls only, because a condition or a loop on values decides.

    In a graph of PyTorch these are conditions of Python: `torch.cond` has gradients of zero, as JAX has.
    """
    places = {finding.where for finding in graph.findings if finding.code == "C178"}
    if graph.dialect == "aten" and not places:
        return ()

    def chooses(node: Node) -> bool:
        return node.op in _CHOICES and (graph.dialect == "lax" or node.origin.line in places)

    def passed(node: Node) -> set[str]:
        """What a gradient reaches whichever way conditions go; a loop may make no step."""
        around = {name for key, operand in node.arguments if key != "closure" for name in references(operand)}
        ends = [[name for operand in body.outputs for name in references(operand)] for body in node.bodies]
        inside = [_reached(body.nodes, end, passed) for body, end in zip(node.bodies, ends, strict=True)]
        if not chooses(node):
            return around.union(*inside)
        return around if node.op == "regauge.while_loop" else around | set.intersection(*inside)

    outputs = leaf_names(graph.out_tree)
    some = _reached(graph.nodes, outputs, node_inputs) - _reached(graph.nodes, outputs, passed)
    return tuple(w.name for w in graph.weights if w.trainable and w.tied_to is None and w.value in some)


_CHOICES = ("regauge.cond", "regauge.switch", "regauge.while_loop")


def left_out_by_conditions(captured: CapturedModel) -> list[Finding]:
    """A finding for parameters that only some calls read, if the converted optimizer moves them in all steps."""
    optimizer = captured.optimizer
    names = read_at_times(captured.graph)
    if not names or not isinstance(optimizer, Optimizer) or _rests_without_slope(optimizer):
        return []
    text = (
        f"A call reads {', '.join(names)} only if its values ask for it. In a step where none does, PyTorch has no "
        "gradient and its optimizer leaves them alone; here the gradient is zero, and decay of weights, momentum and "
        "averages of gradients go on. With torch.cond in the place of the condition it is zero in PyTorch too."
    )
    return [Finding("E122", "warning", "", text)]


def _rests_without_slope(optimizer: Optimizer) -> bool:
    """Whether a gradient of zero changes nothing, in any of the groups."""
    each = [optimizer, *(optimizer.for_group(group) for group in optimizer.groups)]
    return all(isinstance(one, SGD) and one.momentum == 0 and one.weight_decay == 0 for one in each)
