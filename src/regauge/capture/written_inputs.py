"""Inputs and parameters that a model writes to: who holds the tensor in torch holds the changed one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from regauge.capture import dynamic as sizes_of_inputs
from regauge.errors import CaptureError
from regauge.findings import Finding
from regauge.ir.graph import Graph, Origin
from regauge.run.protocol import flatten_tree


@dataclass(frozen=True)
class Written:
    """An input that a model writes to.

    Attributes:
        name: of the placeholder.
        tensor: that the case gives.
        origin: of the first write.
    """

    name: str
    tensor: Tensor
    origin: Origin

    @property
    def finding(self) -> Finding:
        text = (
            f"The original changes its input {self.name} in place, and its caller holds the changed tensor afterwards. "
            "The converted model computes with the changed values, and leaves the caller's array as it is: what reads "
            f"{self.name} after the call (a loss, the next call) finds the values from before."
        )
        return Finding("C240", "warning", self.origin.line or self.origin.path, text)


def written_inputs(
    origins: Mapping[str, Origin], program: ExportedProgram, inputs: Any, model: nn.Module
) -> tuple[Written, ...]:
    """The inputs of a case that are written to.

    Args:
        origins: of the first writes, by the names of placeholders.
        program: the exported model.
        inputs: as the case gives them: a tensor that stands in them twice is one.
        model: the original.

    Raises:
        CaptureError: one shares memory with another input or with a weight, which changes in torch too.
    """
    if not origins:
        return ()
    leaves = {name: leaf for leaf, name in sizes_of_inputs.names_in(program, inputs) if isinstance(leaf, Tensor)}
    found = tuple(Written(name, leaves[name], origin) for name, origin in origins.items())
    held = {f"its {name}": tensor for name, tensor in [*model.named_parameters(), *model.named_buffers()]}
    for one in found:
        rest = {f"its input {name}": leaf for name, leaf in leaves.items() if name != one.name}
        _require_apart(one, {**rest, **held}, "give each its own tensor: model(x, x.clone())")
    return found


def written_parameters(graph: Graph) -> tuple[Finding, ...]:
    """C244 for each parameter whose rows the model scales (`max_norm` of embeddings), after any optimizer's step."""
    made = {value.name: node.origin for node in graph.nodes for value in node.outputs}
    roles = {weight.name: weight.role for weight in graph.weights}
    return tuple(
        Finding(
            "C244",
            "info",
            made[value].line or made[value].path,
            f"A lookup scales rows of the parameter {name} to max_norm, and the parameter keeps them, as in torch. The "
            "training step of train.py goes on from them; one of your own must take the parameters from the module "
            "after the call, and apply the updates to those.",
        )
        for name, value in graph.mutations
        if roles[name] == "parameter"
    )


def require_unshared(graph: Graph, program: ExportedProgram, inputs: Any, model: nn.Module) -> None:
    """Refuse inputs that look at a buffer which the model changes: in torch they change with it.

    Args:
        graph: of the model.
        program: that it was made of.
        inputs: as the case gives them.
        model: the original.

    Raises:
        CaptureError: one does.
    """
    made = {value.name: node.origin for node in graph.nodes for value in node.outputs}
    leaves = [(leaf, name) for leaf, name in sizes_of_inputs.names_in(program, inputs) if isinstance(leaf, Tensor)]
    buffers = dict(model.named_buffers())
    for buffer, value in graph.mutations:
        shared = [name for leaf, name in leaves if buffer in buffers and _overlap(leaf, buffers[buffer])]
        if shared:
            origin = made.get(value, Origin())
            raise CaptureError(
                f"the model changes its buffer {buffer} in place, and with it its input {', '.join(shared)}",
                code="C262",
                where=origin.line or origin.path,
                why="both are the same memory in torch; arrays of JAX never are",
                next="give a copy, as model(model.state.clone())",
            )


def require_other_targets(written: Iterable[Written], targets: Any) -> None:
    """Refuse targets that look at an input which is written to: in torch the loss compares with the changed values.

    Args:
        written: of the model.
        targets: what the loss gets besides the outputs, a pytree of tensors.

    Raises:
        CaptureError: one does.
    """
    tensors = flatten_tree(targets, lambda leaf: isinstance(leaf, Tensor), "targets")[1]
    for one in written:
        _require_apart(one, {f"the case's {name}": t for name, t in tensors.items()}, "targets=x.clone()")


def _require_apart(written: Written, others: Mapping[str, Tensor], instead: str) -> None:
    shared = [name for name, other in others.items() if _overlap(written.tensor, other)]
    if not shared:
        return
    raise CaptureError(
        f"the model changes its input {written.name} in place, and with it {', '.join(shared)}",
        code="C241",
        where=written.origin.line or written.origin.path,
        why="both are the same memory in torch; arrays of JAX never are",
        next=f"work on a copy in forward (x = x.clone()), or, where the shared memory is not meant, {instead}",
    )


def _overlap(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors have an element in common."""
    if other.layout is not torch.strided or one.untyped_storage().data_ptr() != other.untyped_storage().data_ptr():
        return False
    if one.element_size() != other.element_size():  # views of other dtypes, whose elements are no neighbours' equals
        return True
    return bool(torch.isin(_places(one), _places(other)).any())


def _places(tensor: Tensor) -> Tensor:
    """int64[elements]: where the elements stand in their storage."""
    every = torch.tensor(int(tensor.storage_offset()))
    for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
        every = every[..., None] + stride * torch.arange(size)
    return every.flatten()
