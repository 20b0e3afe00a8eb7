"""Which sizes stay symbolic: what is offered to torch.export, and what it could prove."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch.export import Dim, ExportedProgram, ShapesCollection
from torch.export.graph_signature import InputKind
from torch.utils import _pytree as pytree

from regauge.capture.sizes import symbols_of
from regauge.findings import Finding
from regauge.ir.graph import Graph, Symbol

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


def as_call(inputs: tuple[Any, ...] | dict[str, Any]) -> Arguments:
    """Positional and keyword arguments of a case's inputs."""
    return ((), inputs) if isinstance(inputs, dict) else (inputs, {})


def tensors_in(tree: Any) -> list[torch.Tensor]:
    """All tensors of a pytree, in order."""
    return [leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def offered(tensor: torch.Tensor) -> list[int]:
    """The axes that may become symbolic: the batch, and the length of token ids and masks."""
    if tensor.ndim == 0:
        return []
    is_tokens = tensor.ndim >= 2 and not tensor.is_floating_point() and not tensor.is_complex()
    return [0, 1] if is_tokens else [0]


def unnamed(model: torch.nn.Module, inputs: tuple[Any, ...] | dict[str, Any]) -> list[str]:
    """Keyword inputs that the model's forward takes through ``**kwargs``."""
    if not isinstance(inputs, dict):
        return []
    parameters = inspect.signature(model.forward).parameters
    named = {name for name, parameter in parameters.items() if parameter.kind is not parameter.VAR_KEYWORD}
    return [name for name in inputs if name not in named]


def shapes(
    model: torch.nn.Module,
    inputs: tuple[Any, ...] | dict[str, Any],
    fixed: Collection[tuple[int, int]] = (),
    varying: Collection[tuple[int, int]] = (),
) -> Any:
    """The `dynamic_shapes` of torch.export for inputs, or None when they hold no tensor with axes.

    Args:
        model: that is exported.
        inputs: tuple of positional or dict of keyword arguments.
        fixed: axes that stay numbers: ``(id(tensor), axis)``.
        varying: axes that are offered beside the usual ones: ``(place in tensors_in(inputs), axis)``.
    """
    args, kwargs = as_call(inputs)
    collection = ShapesCollection()
    found = False
    tensors = tensors_in(inputs)
    more = {(id(tensors[place]), axis) for place, axis in varying}
    for tensor in {id(t): t for t in tensors}.values():
        wanted = {*offered(tensor), *(axis for key, axis in more if key == id(tensor))}
        axes = {axis: Dim.AUTO for axis in sorted(wanted) if (id(tensor), axis) not in fixed}
        if axes:
            collection[tensor] = axes
            found = True
    return collection.dynamic_shapes(model, args, kwargs or None) if found else None


def distinct(inputs: Any) -> Any:
    """The tree with a tensor that stands in it twice copied, because export would take both places for one input."""
    seen: set[int] = set()

    def own(tensor: torch.Tensor) -> torch.Tensor:
        if id(tensor) in seen:
            return tensor.detach().clone()
        seen.add(id(tensor))
        return tensor

    return pytree.tree_map_only(torch.Tensor, own, inputs)


def apart(inputs: Any, model: torch.nn.Module) -> Any:
    """The tree with copies of what looks at other memory, of a weight too: export would give both the same sizes.

    Args:
        inputs: a pytree of tensors that stand in it once each.
        model: whose weights keep the sizes that they have.
    """
    held = {_memory(tensor) for tensor in (*model.parameters(), *model.buffers()) if tensor.numel()}

    def own(tensor: torch.Tensor) -> torch.Tensor:
        shares = tensor.numel() and _memory(tensor) in held
        return _copy(tensor) if shares or tensor._is_view() else tensor

    return pytree.tree_map_only(torch.Tensor, own, inputs)


def _memory(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr() if tensor.layout is torch.strided else tensor.data_ptr()


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    """The elements in memory of their own, in the same strides."""
    data = tensor.detach()
    if 0 in data.stride():  # several elements in one place
        memory = data.untyped_storage().clone()
        made = data.new_empty(0).set_(memory, data.storage_offset(), data.shape, data.stride())
    else:
        made = torch.empty_strided(data.shape, data.stride(), dtype=data.dtype, device=data.device).copy_(data)
    return made.requires_grad_(tensor.requires_grad)


def is_single(*trees: Any) -> bool:
    """Whether the first size of all tensors is 1: export would take the 1 for a constant."""
    firsts = [tensor.shape[0] for tree in trees for tensor in tensors_in(tree) if tensor.ndim]
    return bool(firsts) and set(firsts) == {1}


def doubled(tree: Any) -> Any:
    """The tree with every tensor repeated once along its first axis."""
    return pytree.tree_map_only(torch.Tensor, lambda t: torch.cat([t, t]).detach() if t.ndim else t, tree)


def symbol_names(inputs: Sequence[tuple[str, torch.Tensor]], taken: Iterable[str]) -> dict[str, str]:
    """Names for torch's symbols from the first input axis that each is the size of, or part of the size."""
    used = set(taken)
    names: dict[str, str] = {}
    for size in symbols_of([tensor for _, tensor in inputs]):
        number, axis = size.place
        wanted = {0: "batch", 1: "sequence"}.get(axis, f"{inputs[number][0]}_size_{axis}") + "_part" * size.part
        candidate, number = wanted, 2
        while candidate in used:
            candidate, number = f"{wanted}_{number}", number + 1
        used.add(candidate)
        names[size.symbol.name] = candidate
    return names


def symbols(inputs: list[torch.Tensor], names: Mapping[str, str], ranges: Mapping[Any, Any]) -> tuple[Symbol, ...]:
    """The symbolic sizes of the inputs, with the ranges that export proved.

    Args:
        inputs: the fake tensors of the exported graph.
        names: torch's symbol -> the graph's.
        ranges: the exported program's `range_constraints`.
    """
    found = []
    for size in symbols_of(inputs):
        bounds = ranges.get(size.symbol)
        low = int(bounds.lower) if bounds is not None else 0
        high = None if bounds is None or not bounds.upper.is_Integer else int(bounds.upper)
        found.append(Symbol(names[size.symbol.name], size.hint, low, high))
    return tuple(found)


def constant_size(size: int | torch.SymInt) -> int | None:
    """The number that a size is, or None where it depends on a symbol."""
    if isinstance(size, int):
        return size
    return int(size.node.expr) if size.node.expr.is_Integer else None


def names_in(program: ExportedProgram, inputs: Any) -> list[tuple[Any, str]]:
    """Each leaf of the inputs that a program was traced from, with the name of its placeholder."""
    args, kwargs = pytree.tree_unflatten(list(program.graph_signature.user_inputs), program.call_spec.in_spec)
    traced = {name: kwargs[name] for name in inputs} if isinstance(inputs, dict) else tuple(args)
    return list(zip(pytree.tree_leaves(inputs), pytree.tree_leaves(traced), strict=True))


def fixed_sizes(
    program: ExportedProgram, offers: Collection[tuple[str, int]], lines: Mapping[tuple[str, int], str]
) -> list[Finding]:
    """A finding for each size that was offered as symbolic and became a number.

    Args:
        program: with the shapes that export left.
        offers: the sizes that were offered: names of placeholders, and axes.
        lines: ``file.py:12`` of sizes that the code needs as numbers.
    """
    nodes = {node.name: node for node in program.graph.find_nodes(op="placeholder")}
    found = []
    for spec in program.graph_signature.input_specs:
        tensor = nodes[spec.arg.name].meta.get("val") if spec.kind is InputKind.USER_INPUT else None
        if not isinstance(tensor, torch.Tensor):
            continue
        for axis in range(tensor.ndim):
            size = constant_size(tensor.shape[axis])
            if size is not None and (spec.arg.name, axis) in offers:
                text = _fixed_text(spec.arg.name, axis, size, lines.get((spec.arg.name, axis), ""))
                found.append(Finding("C110", "info", spec.arg.name, text))
    return found


def _fixed_text(name: str, axis: int, size: int, line: str) -> str:
    if line:
        return f"Size {axis} of {name} is fixed at {size} in the converted model: {line} needs it as a number."
    reason = (
        "export takes 0 and 1 for constants"
        if size < 2
        else "the code, or the size of another input, needs this number"
    )
    return f"Size {axis} of {name} is fixed at {size} in the converted model: {reason}."


def differ(training: Graph, evaluation: Graph) -> bool:
    """Whether other sizes are symbolic in evaluation than in training."""
    return {symbol.name for symbol in training.symbols} != {symbol.name for symbol in evaluation.symbols}


def fixed_by_modes(name: str) -> Finding:
    """The finding that a model of `name` got fixed sizes because they `differ`: one conversion serves both modes."""
    text = f"All sizes are fixed: {name} needs other sizes as numbers in evaluation than in training."
    return Finding("C110", "warning", name, text)


def forget_marks(inputs: Any) -> None:
    """Take off the marks of symbolic sizes that torch.export leaves on tensors: the compiler of torch trips on them."""
    for tensor in pytree.tree_leaves(inputs):
        if isinstance(tensor, torch.Tensor):
            for name in [name for name in vars(tensor) if name.startswith(("_dynamo_", "_has_dynamo_"))]:
                delattr(tensor, name)
