"""What JAX holds in 32 bits where PyTorch has 64, as long as its 64-bit mode is off, which is its default."""

from __future__ import annotations

import numpy as np

from regauge.errors import UnsupportedOps
from regauge.findings import Finding
from regauge.ir.graph import Graph, Node, every_node, references
from regauge.lower.plan import value_specs
from regauge.rules.table import Limit

INTEGERS = ("int64", "uint64")
FLOATS = ("float64", "complex128")

# Operators whose results outgrow 32 bits although no operand is large. Indices and counts, which most integers of a
# model are, stay small under sums.
_GROWING = ("mul", "square", "pow", "prod", "cumprod", "bitwise_left_shift", "__lshift__")
# Operators that make arrays of Python's numbers.
_FILLING = ("full", "full_like", "new_full", "fill", "scalar_tensor", "arange")

WIDE_NUMBER = Limit(
    "with a number beyond 32 bits",
    lambda _: True,
    "unsupported",
    "JAX holds int64 as int32 unless its 64-bit mode is on, and there this number does not exist; a smaller one, such "
    "as torch.iinfo(torch.int32).max, does",
)


def is_wide(number: object) -> bool:
    """Whether a number of Python is an integer that int32 does not hold."""
    return isinstance(number, int) and not -(2**31) <= number < 2**31


def fills_wide(node: Node) -> bool:
    """Whether a node makes integers of a number that int32 does not hold; JAX wraps such a number around in silence."""
    makes = any(value.spec.dtype in INTEGERS for value in node.outputs)
    return makes and _name(node) in _FILLING and any(is_wide(operand) for _, operand in node.arguments)


def require_narrow(literal: np.ndarray) -> None:
    """Refuse an array of the source that JAX cannot write down while its 64-bit mode is off.

    Raises:
        UnsupportedOps: it holds an integer that int32 does not.
    """
    wide = [number for number in literal.ravel().tolist() if is_wide(number)] if str(literal.dtype) in INTEGERS else []
    if wide:
        raise UnsupportedOps(
            "a tensor that the model writes down holds numbers beyond 32 bits",
            received=", ".join(map(str, wide[:5])),
            why=WIDE_NUMBER.reason,
            next="write smaller numbers, or register the tensor as a buffer, which the 64-bit mode of JAX keeps",
        )


def width_findings(graph: Graph) -> list[Finding]:
    """What differs from PyTorch while the 64-bit mode of JAX is off."""
    found = [_floats(graph), _results(graph), *map(_growing, every_node(graph))]
    return [finding for finding in found if finding]


def _floats(graph: Graph) -> Finding | None:
    specs = value_specs(graph)
    wide = [specs[value.name] for value in graph.inputs] + [weight.spec for weight in graph.weights]
    nodes = [node for node in every_node(graph) if any(value.spec.dtype in FLOATS for value in node.outputs)]
    if not nodes and not any(spec.dtype in FLOATS for spec in wide):
        return None
    place = next((node.origin.line for node in nodes if node.origin.line), "")
    text = (
        "The model has numbers in float64, which are float32 in JAX while its 64-bit mode is off. "
        "jax.config.update('jax_enable_x64', True) before the model is loaded keeps float64."
    )
    return Finding("R120", "warning", place, text)


def _results(graph: Graph) -> Finding | None:
    specs = value_specs(graph)
    names = [name for operand in graph.outputs for name in references(operand)]
    if not any(specs[name].dtype in INTEGERS for name in names):
        return None
    text = (
        "Outputs that are int64 in PyTorch are int32 in JAX while its 64-bit mode is off. "
        "jax.config.update('jax_enable_x64', True) before the model is loaded keeps int64."
    )
    return Finding("R121", "info", "", text)


def _growing(node: Node) -> Finding | None:
    if _name(node) not in _GROWING or not any(value.spec.dtype in INTEGERS for value in node.outputs):
        return None
    text = (
        f"Results of {node.op} wrap around from 2**31 on in JAX while its 64-bit mode is off; PyTorch's int64 do not."
    )
    return Finding("R122", "info", node.origin.line or node.origin.path, text)


def _name(node: Node) -> str:
    """The operator without vocabulary and overload: ``mul``."""
    return node.op.removeprefix("aten.").partition(".")[0]
