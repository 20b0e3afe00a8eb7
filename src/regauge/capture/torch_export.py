"""Capture of a torch model: `torch.export` in its training form, made functional, as a `Graph`."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram

from regauge.capture import dynamic as sizes_of_inputs
from regauge.capture import (
    export_paths,
    failures,
    known_inputs,
    own_gradients,
    packed,
    python_state,
    size_decisions,
    training_mode,
    value_checks,
    weights,
)
from regauge.capture.constants_of_modes import with_constants_of
from regauge.capture.containers import register_dataclasses
from regauge.capture.conversion import Conversion
from regauge.capture.exporting import Dynamic, Inputs, exported, fixed_sizes, without
from regauge.capture.known_values import ReadAndChanged
from regauge.capture.sizes import NoCounterpart
from regauge.capture.tracing import Stages
from regauge.capture.wide_integers import wide_integers
from regauge.capture.written_inputs import Written, require_unshared, written_inputs, written_parameters
from regauge.collecting import new_objects_only
from regauge.errors import BadCase, CaptureError
from regauge.findings import Finding
from regauge.ir.check import check_graph
from regauge.ir.graph import Graph
from regauge.run.protocol import flatten_tree
from regauge.run.torch_flow import as_loops
from regauge.run.torch_subject import FunctionModule, TorchSubject


@dataclass(frozen=True)
class Captured:
    """A captured model.

    Attributes:
        graph: the model in the mode that was asked for.
        graph_eval: the model in evaluation, where that is different code; else None.
        tensors: weights and constants by name, the first of tied ones only; they share memory with the model.
        outputs: what the model gives for the inputs in evaluation, a pytree of tensors without gradients.
        findings: what a person should know.
        seconds: wall time by stage: run, export, functionalise.
        known: tensors of the inputs whose values are part of the graphs, by their names in a flattened tree.
        written: inputs that the model writes to.
    """

    graph: Graph
    graph_eval: Graph | None
    tensors: dict[str, torch.Tensor]
    outputs: Any
    findings: tuple[Finding, ...]
    seconds: dict[str, float]
    known: tuple[str, ...] = ()
    written: tuple[Written, ...] = ()


@new_objects_only()
def capture_module(
    model: nn.Module | Callable[..., Any],
    inputs: Inputs,
    *,
    train: bool,
    dynamic: Dynamic = "auto",
    finite: bool = True,
    known: Sequence[str] = (),
    varying: Collection[tuple[int, int]] = (),
) -> Captured:
    """Capture a model on example inputs; the model, its modes, buffers and the random streams stay as they are.

    Args:
        model: a module, or a function of tensors.
        inputs: tuple of positional or dict of keyword arguments, any pytree of tensors and constants.
        train: capture what the model does in training; parts that were left in evaluation stay there.
        dynamic: ``"auto"`` keeps batch and token lengths symbolic where export can prove it, None fixes all sizes,
            anything else is passed to torch.export as its `dynamic_shapes`.
        finite: refuse a model whose outputs hold NaN; nothing that is checked later may hold it.
        known: names of inputs, tensors of integers or booleans, whose values become part of the code.
        varying: with ``"auto"``, axes that stay symbolic too where export can prove it: (place among the tensors of
            the inputs, axis).

    Raises:
        BadCase: the model rejects the inputs, weights are not finite, outputs hold NaN, or `known` names no input.
        CaptureError: the model cannot be captured; the message names the person's own line.
    """
    module, name = _as_module(model)
    weights.require_usable(module)
    stages = Stages(places=known_inputs.places_of(module, inputs, known), varying=varying, given=inputs)
    register_dataclasses(inputs)
    with python_state.kept(module) as attributes, training_mode.unchanged(module):
        outputs = _outputs(module, inputs, name, finite, attributes, stages)
        training_mode.set_mode(module, False)
    with training_mode.unchanged(module):
        training_mode.set_mode(module, train)
        frozen = training_mode.left_in_evaluation(module) if train else []
        inputs = sizes_of_inputs.apart(sizes_of_inputs.distinct(inputs), module)
        example = _example(module, inputs, stages.places) if dynamic == "auto" else inputs
        stages.gradients.lost.update(own_gradients.of_modules(module))
        program, reads, graph, tensors = _traced(module, example, dynamic, name, train, stages)
        graph_eval = None
        if not train:
            graph = training_mode.always_dropping(graph)
        elif reads.that_matter() or training_mode.needs_evaluation(graph):
            training_mode.set_mode(module, False)
            graph, graph_eval = _evaluation(module, example, dynamic, name, graph, tensors, stages)
            if graph_eval is not None and dynamic == "auto" and sizes_of_inputs.differ(graph, graph_eval):
                captured = capture_module(model, inputs, train=train, dynamic=None, finite=finite, known=known)
                findings = (sizes_of_inputs.fixed_by_modes(name), *captured.findings)
                return replace(captured, graph=replace(captured.graph, findings=findings), findings=findings)
    stages.findings += [training_mode.evaluation_finding(frozen)] if frozen else []
    if not any(finding.code == "C110" for finding in stages.findings):
        stages.findings += fixed_sizes(module, program, example, dynamic, stages)
    stages.findings += known_inputs.findings(inputs, stages.places, known)
    findings = tuple(dict.fromkeys([*stages.findings, *_about_values(inputs, tensors, outputs)]))
    known_leaves = tuple(known_inputs.tensors_at(inputs, stages.places))
    graph = replace(graph, findings=findings)
    return Captured(graph, graph_eval, tensors, outputs, findings, stages.seconds, known_leaves, stages.written)


def _about_values(inputs: Inputs, tensors: dict[str, torch.Tensor], outputs: Any) -> list[Finding]:
    """Findings for integers that JAX narrows, and for outputs that are not finite."""
    given, found = (
        flatten_tree(tree, lambda leaf: isinstance(leaf, torch.Tensor), name)[1]
        for tree, name in ((inputs, "inputs"), (outputs, ""))
    )
    return [*wide_integers({**given, **tensors}), *weights.infinite_outputs(found)]


def capture_function(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    *,
    dynamic: Dynamic = "auto",
    model: nn.Module | None = None,
    varying: Collection[tuple[int, int]] = (),
) -> Captured:
    """Capture a function of tensors, or a module used as one (a loss); tensors that it closes over become constants.

    Args:
        function: called as ``function(*args)``.
        args: example arguments, any pytrees.
        dynamic, varying: as in `capture_module`.
        model: the model whose outputs the function gets, if there is one.

    Raises:
        BadCase: it raises when it is called with `args`.
        CaptureError: as `capture_module`; also when it reads a tensor that an optimizer changes.
    """
    try:
        captured = capture_module(function, args, train=True, dynamic=dynamic, varying=varying)
    except BadCase as error:
        if error.code != "B110" or error.__cause__ is None:
            raise
        raise failures.loss_rejected(error.__cause__, getattr(function, "__name__", "")) from error.__cause__
    trained = [w.name for w in captured.graph.weights if w.trainable and w.value]
    places = {p.data_ptr(): name for name, p in (model.named_parameters() if model is not None else ())}
    trained += [places[t.data_ptr()] for t in captured.tensors.values() if t.numel() and t.data_ptr() in places]
    if trained:
        raise CaptureError(
            f"the function reads trainable tensors of its own: {', '.join(trained)}",
            code="C108",
            why="their gradient would be lost, because the function only gets the model's outputs",
            next="return what it needs from the model, so that it comes with the outputs",
        )
    return captured


def _as_module(model: nn.Module | Callable[..., Any]) -> tuple[nn.Module, str]:
    """The module to export, and what errors call it; a function keeps its own parameter names."""
    function = model.function if isinstance(model, FunctionModule) else model
    if isinstance(function, nn.Module):
        return function, type(function).__name__
    module = FunctionModule(function)
    with suppress(ValueError, TypeError):  # builtins have no signature
        inspect.signature(function)
        module.forward = function  # type: ignore[method-assign]
    return module, getattr(function, "__name__", "the function")


# running and exporting -----------------------------------------------------------------------------------------------


def _outputs(
    model: nn.Module,
    inputs: Inputs,
    name: str,
    finite: bool,
    attributes: python_state.PythonState,
    stages: Stages,
) -> Any:
    """What the model gives in evaluation, if every call gives it, an exported one too."""

    def again() -> Any:
        with training_mode.unchanged(model):
            return _run(model, inputs, name, finite)

    began = time.perf_counter()
    with packed.observed(stages.reached):
        outputs = again()
    attributes.require_no_memory(outputs, again, name)
    export_paths.require_one_function(outputs, again, name)

    def plainly() -> Any:
        with training_mode.unchanged(model), torch.no_grad():
            return TorchSubject.call(model.eval(), inputs)

    stages.findings += export_paths.left_out(model, outputs, plainly)
    stages.add("run", began)
    return outputs


def _run(model: nn.Module, inputs: Inputs, name: str, finite: bool) -> Any:
    """The model's outputs in evaluation, which shows that it accepts its inputs."""
    try:
        flatten_tree(inputs, lambda leaf: isinstance(leaf, torch.Tensor), "inputs")
    except TypeError as error:
        raise BadCase(
            f"the inputs of the case are not a tree of tensors: {error}",
            code="B111",
            next="give torch tensors in tuples, lists and dicts: torch.from_numpy(array) makes one of a numpy array",
        ) from error
    for tensor in sizes_of_inputs.tensors_in(inputs):
        weights.require_dense(tensor, "an input")
    model.eval()
    try:
        with torch.no_grad(), as_loops(), value_checks.CountsOfExamples():
            outputs = TorchSubject.call(model, inputs)
    except CaptureError:
        raise
    except Exception as error:
        raise failures.rejected(error, name) from error
    try:
        _, leaves = flatten_tree(outputs, lambda leaf: isinstance(leaf, torch.Tensor))
    except TypeError as error:
        raise failures.unknown_container(error, name) from error
    problems = {key: weights.not_finite(tensor, allow_infinite=True) for key, tensor in leaves.items()}
    broken = [f"{key or 'the output'}: {problem}" for key, problem in problems.items() if problem]
    if broken and finite:
        raise BadCase(
            f"{name} gives outputs that are not finite",
            code="B121",
            details=broken[:20],
            why="NaN compares equal to nothing, so the conversion could not be checked",
            next="give inputs for which the outputs are finite",
        )
    if not leaves:
        raise BadCase(
            f"{name} returns no tensor",
            code="B122",
            received=type(outputs).__name__,
            next="return a tensor, or a tuple, list or dict of tensors, from forward",
        )
    return outputs


def _example(model: nn.Module, inputs: Inputs, places: Sequence[known_inputs.Place]) -> Inputs:
    """The inputs, with a batch of one doubled where the model takes two: export fixes sizes of 1."""
    data, known = known_inputs.split(inputs, places)
    if not sizes_of_inputs.is_single(data):
        return inputs
    twice = known_inputs.joined(sizes_of_inputs.doubled(data), known)
    try:
        with training_mode.unchanged(model), torch.no_grad(), as_loops():
            training_mode.set_mode(model, False)
            TorchSubject.call(model, twice)
    except Exception:  # whatever it says, this model wants a first size of 1
        return inputs
    return twice


def _traced(
    model: nn.Module, inputs: Inputs, dynamic: Dynamic, name: str, train: bool, stages: Stages
) -> tuple[ExportedProgram, training_mode.Reads, Graph, dict[str, torch.Tensor]]:
    """The exported program, what was read of the modes, and the graph with its tensors."""
    program, reads = exported(model, inputs, dynamic, name, stages)
    stages.findings += own_gradients.judged(stages.gradients, train, model, inputs)
    try:
        return program, reads, *_convert(model, program, name, stages)
    except NoCounterpart as error:
        if not without(error, model, program, inputs, dynamic, stages):
            raise
        return _traced(model, inputs, dynamic, name, train, stages)
    except ReadAndChanged as error:
        if not stages.known.learn():
            raise
        try:  # with conditions on the buffer as conditions on values
            return _traced(model, inputs, dynamic, name, train, stages)
        except CaptureError:
            raise error from None


def _evaluation(
    model: nn.Module,
    inputs: Inputs,
    dynamic: Dynamic,
    name: str,
    training: Graph,
    tensors: dict[str, torch.Tensor],
    stages: Stages,
) -> tuple[Graph, Graph | None]:
    """The graph in training, that in evaluation too if it is different code; `tensors` get what that alone reads."""
    program, _ = exported(model, inputs, dynamic, name, stages)
    try:
        graph, own = _convert(model, program, name, stages)
    except NoCounterpart as error:
        if not without(error, model, program, inputs, dynamic, stages):
            raise
        return _evaluation(model, inputs, dynamic, name, training, tensors, stages)
    graph = training_mode.always_dropping(graph)
    training = training_mode.with_always(training, graph)
    complete, graph, more = with_constants_of(training, graph, tensors, own)
    different = training_mode.differences(training, graph)
    if not different:
        return training, None
    stages.findings.append(training_mode.mode_finding(different))
    tensors |= more
    return complete, graph


# from the exported program to the graph ------------------------------------------------------------------------------


def _convert(
    model: nn.Module, program: ExportedProgram, name: str, stages: Stages
) -> tuple[Graph, dict[str, torch.Tensor]]:
    began = time.perf_counter()
    conversion = Conversion(model, program, name, stages.known.asked)
    graph, tensors = conversion.graph()
    check_graph(graph)
    stages.written += written_inputs(conversion.written, program, stages.given, model)
    require_unshared(graph, program, stages.given, model)
    stages.findings += [*(one.finding for one in stages.written), *written_parameters(graph)]
    stages.findings += size_decisions.within_ranges(stages.sizes.decisions, program, conversion.names)
    stages.findings += stages.known.judged({weight for weight, _ in graph.mutations}, name)
    stages.add("functionalise", began)
    return graph, tensors
