"""One trace of a model by torch.export, and again with what it taught: which sizes may stay symbolic, and which not."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Any, Literal

import torch
from torch import nn
from torch.export import Dim, ExportedProgram, dynamic_shapes

from regauge.capture import dynamic as sizes_of_inputs
from regauge.capture import failures, known_inputs, size_decisions, training_mode
from regauge.capture.joined_values import OtherWayFirst
from regauge.capture.sizes import NoCounterpart
from regauge.capture.source_lines import origin_of, own_line
from regauge.capture.tracing import Stages, as_traced
from regauge.errors import CaptureError
from regauge.findings import Finding

Inputs = tuple[Any, ...] | dict[str, Any]
Dynamic = Literal["auto"] | dict[str, Any] | tuple[Any, ...] | None


class _Again(Exception):
    """The trace taught something that the next one can use."""


def exported(
    model: nn.Module, inputs: Inputs, dynamic: Dynamic, name: str, stages: Stages
) -> tuple[ExportedProgram, training_mode.Reads]:
    """The exported program, and what was read of the modes.

    Args:
        model: in the mode to trace.
        inputs: tuple of positional or dict of keyword arguments.
        dynamic: as `capture_module` takes it.
        name: what errors call the model.
        stages: of the capture.

    Raises:
        CaptureError: the model cannot be captured, or needs a number where `dynamic` asks for a symbol.
    """
    args, kwargs = sizes_of_inputs.as_call(inputs)
    began, learned = time.perf_counter(), stages.gradients.learned
    stages.sizes.begin()
    refused: list[Finding] = []
    try:
        with as_traced(model, inputs, stages) as reads:
            shapes = _shapes(model, inputs, dynamic, stages)
            try:
                program = torch.export.export(model, args, kwargs or None, dynamic_shapes=shapes, strict=False)
            except Exception as error:
                again = stages.gradients.learned > learned or isinstance(error, OtherWayFirst)
                if again or shapes is None or dynamic != "auto" or failures.is_data_dependent(error):
                    raise
                if _teaches_sizes(stages, error):
                    raise _Again from error
                sizes_of_inputs.forget_marks((args, kwargs))
                program = torch.export.export(model, args, kwargs or None, strict=False)
                reason = str(error).strip().splitlines()[0][:200]
                text = f"All sizes are fixed: torch.export refuses symbolic ones ({type(error).__name__}: {reason})."
                refused.append(Finding("C110", "warning", own_line(error), text))
    except Exception as error:
        # Again, now by the forward of functions with their own derivative, or with both ways of a condition.
        known = stages.gradients.learned > learned or stages.branches.learn(error) or stages.numbers.learn()
        if isinstance(error, _Again) or known or (dynamic is not None and _teaches_sizes(stages, error)):
            sizes_of_inputs.forget_marks((args, kwargs))
            return exported(model, inputs, dynamic, name, stages)
        needs_number = failures.needs_number(error, name, stages.sizes.fixed_at)
        raise needs_number or failures.not_captured(error, name, stages.known.asked) from error
    sizes_of_inputs.forget_marks((args, kwargs))
    stages.add("export", began)
    if stages.branches.learn_sizes() or _decides(model, program, inputs, dynamic, stages):
        return exported(model, inputs, dynamic, name, stages)
    stages.findings += refused
    return program, reads


def fixed_sizes(
    model: nn.Module, program: ExportedProgram, inputs: Inputs, dynamic: Dynamic, stages: Stages
) -> list[Finding]:
    """Findings for the sizes that were offered as symbolic, as those of known inputs are not, and became numbers."""
    if dynamic is None:
        return []
    known = {id(tensor) for tensor in known_inputs.tensors_at(inputs, stages.places).values()}
    asked = None if dynamic == "auto" else _asked(model, inputs, dynamic)
    offered, lines = set(), {}
    for place, (leaf, name) in enumerate(sizes_of_inputs.names_in(program, inputs)):
        if not isinstance(leaf, torch.Tensor) or id(leaf) in known:
            continue
        for axis in range(leaf.ndim) if asked is not None else sizes_of_inputs.offered(leaf):
            if asked is None or (id(leaf), axis) in asked:
                offered.add((name, axis))
            decided = stages.decided.get((id(leaf), axis))
            if line := decided[1] if decided else stages.sizes.line_of(place, axis):
                lines[name, axis] = line
    return sizes_of_inputs.fixed_sizes(program, offered, lines)


def _teaches_sizes(stages: Stages, error: Exception) -> bool:
    """Whether a trace may succeed with sizes in place of numbers of Python, or without those that stand there."""
    stages.branches.note_error(error)  # np.sqrt takes no size
    return stages.branches.learn_sizes() or stages.branches.forget_sizes()


def _decides(model: nn.Module, program: ExportedProgram, inputs: Inputs, dynamic: Dynamic, stages: Stages) -> bool:
    """Whether there are sizes that may not stay symbols, because Python decides on them; they are fixed from now on.

    Raises:
        CaptureError: one of them has to stay a symbol.
    """
    undecided = size_decisions.undecided(stages.sizes.decisions, program)
    if dynamic is None or not undecided:
        return False
    fixed = size_decisions.axes_of(undecided, program, inputs)
    if dynamic != "auto":
        _require_free(fixed, _asked(model, inputs, dynamic))
    new = {place: said for place, said in fixed.items() if place not in stages.decided}
    # The batch last: where Python decides on a quotient of sizes, it may go with the others as numbers.
    later = {place: said for place, said in new.items() if place[1] > 0}
    stages.decided |= later or new
    return bool(new)


def without(
    error: NoCounterpart, model: nn.Module, program: ExportedProgram, inputs: Inputs, dynamic: Dynamic, stages: Stages
) -> bool:
    """Whether another trace may do without a size that cannot be written: those that it is made of are fixed now."""
    symbols = dict.fromkeys((symbol.name for symbol in error.expression.free_symbols), _line_of(error, program))
    fixed = {} if dynamic is None else size_decisions.axes_of(symbols, program, inputs)
    asked = {} if dynamic == "auto" else _asked(model, inputs, dynamic)
    if any(asked.get(place, Dim.AUTO) != Dim.AUTO for place in fixed) or not fixed.keys() - stages.decided.keys():
        return False
    stages.decided |= fixed
    return True


def _line_of(error: NoCounterpart, program: ExportedProgram) -> str:
    """``file.py:12`` of the first operator that has to do with the size."""
    for node in program.graph.nodes:
        value = node.meta.get("val") if node.op == "call_function" else None
        sizes = value.shape if isinstance(value, torch.Tensor) else [value]
        held = [size.node.expr for size in sizes if isinstance(size, torch.SymInt | torch.SymFloat)]
        if any(expression.has(error.expression) for expression in held):
            return origin_of(node.meta).line
    return ""


def _require_free(fixed: Mapping[tuple[int, int], tuple[str, str]], asked: Mapping[tuple[int, int], Any]) -> None:
    for place, (name, line) in fixed.items():
        if asked.get(place, Dim.AUTO) != Dim.AUTO:
            raise CaptureError(
                f"size {place[1]} of {name} is to stay symbolic, and Python decides on it",
                code="C260",
                where=line,
                why="the graph is what the code does for the size of the example; for others it may do otherwise",
                next="compute sizes with +, -, *, //, %, min and max only, or give Dim.AUTO, which fixes such a size",
            )


# what is offered -----------------------------------------------------------------------------------------------------


def _shapes(model: nn.Module, inputs: Inputs, dynamic: Dynamic, stages: Stages) -> Any:
    """The sizes that may become symbolic, in torch's notation; None where there are none."""
    if dynamic == "auto":
        return _offered(model, inputs, stages)
    if dynamic is None or not stages.decided:
        return dynamic
    return _without(model, inputs, dynamic, stages.decided)


def _offered(model: nn.Module, inputs: Inputs, stages: Stages) -> Any:
    """The sizes that are offered unasked; None where there are none."""
    known = known_inputs.tensors_at(inputs, stages.places).values()
    fixed = {(id(tensor), axis) for tensor in known for axis in range(tensor.ndim)}
    return sizes_of_inputs.shapes(model, inputs, stages.decided.keys() | fixed, stages.varying)


def _asked(model: nn.Module, inputs: Inputs, dynamic: Any) -> dict[tuple[int, int], Any]:
    """What a person asks for in torch's notation, by tensor and axis: ``(id(tensor), axis)`` -> a `Dim`."""
    found: dict[tuple[int, int], Any] = {}

    def take(path: Any, leaf: Any, shape: Any) -> None:
        if isinstance(leaf, torch.Tensor) and shape is not None:
            dims = shape.items() if isinstance(shape, dict) else enumerate(shape)
            found.update({(id(leaf), axis % leaf.ndim): dim for axis, dim in dims if _is_symbolic(dim)})

    _with_shapes(take, model, inputs, dynamic)
    return found


def _without(model: nn.Module, inputs: Inputs, dynamic: Any, fixed: Collection[tuple[int, int]]) -> Any:
    """The same in torch's notation, without some axes."""

    def keep(path: Any, leaf: Any, shape: Any) -> Any:
        if not isinstance(leaf, torch.Tensor) or shape is None:
            return shape
        dims = shape.items() if isinstance(shape, dict) else enumerate(shape)
        return {axis: dim for axis, dim in dims if (id(leaf), axis % leaf.ndim) not in fixed}

    return _with_shapes(keep, model, inputs, dynamic)


def _with_shapes(function: Any, model: nn.Module, inputs: Inputs, dynamic: Any) -> Any:
    args, kwargs = sizes_of_inputs.as_call(inputs)
    given = dynamic_shapes._combine_args(model, args, kwargs)
    if isinstance(dynamic, dynamic_shapes.ShapesCollection | dynamic_shapes.AdditionalInputs):
        dynamic = dynamic.dynamic_shapes(model, args, kwargs)
    if isinstance(dynamic, tuple | list):
        dynamic = dict(zip(given, dynamic, strict=True))
    return dynamic_shapes._tree_map_with_path(function, given, dynamic, tree_name="inputs")


def _is_symbolic(dim: Any) -> bool:
    return dim is not None and not isinstance(dim, int) and dim != Dim.STATIC
