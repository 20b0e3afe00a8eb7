"""Layers that compute in another dtype than their weights have, as in torch.autocast: `nnx.Linear(..., dtype=...)`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from regauge.dtypes import is_float
from regauge.emit.scopes import Scope
from regauge.ir.graph import Node, Ref, TensorSpec, WeightSpec, node_inputs, with_names

# NNX casts inputs and weights of these to their `dtype`.
_CASTING = frozenset({"aten.linear.default", *(f"aten.conv{rank}d.default" for rank in (1, 2, 3))})


def before_casts(scope: Scope, nodes: Sequence[Node]) -> tuple[Sequence[Node], str]:
    """The operators of a call without casts of all that its one layer reads, and the dtype that they cast to.

    The operators as they are, and an empty string, where there is no such layer.
    """
    casts = {node.outputs[0].name: node for node in nodes if node.op == "aten.to.dtype"}
    others = [node for node in nodes if node.op != "aten.to.dtype"]
    if not casts or len(others) != 1 or others[0].op not in _CASTING:
        return nodes, ""
    (main,) = others
    dtypes = {node.outputs[0].spec.dtype for node in casts.values()}
    read = node_inputs(main)
    if len(dtypes) > 1 or set(casts) - set(read) or set(casts) & set(scope.outputs):
        return nodes, ""
    sources: dict[str, Any] = {name: node.argument("self") for name, node in casts.items()}
    names = {name: source.name for name, source in sources.items() if isinstance(source, Ref)}
    return [with_names(main, names)], dtypes.pop()


def computes_in_one_dtype(inputs: Sequence[TensorSpec], weights: Sequence[WeightSpec], output: TensorSpec) -> bool:
    """Whether an NNX layer, which promotes inputs and weights, gives the dtype that torch gives."""
    floats = {spec.dtype for spec in (*inputs, *(weight.spec for weight in weights)) if is_float(spec.dtype)}
    return floats <= {output.dtype} or not is_float(output.dtype)
