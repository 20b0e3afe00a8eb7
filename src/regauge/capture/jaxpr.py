"""Capture of a JAX model: its jaxpr as a `Graph`, module calls and the names of weights kept; of its loss likewise."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from regauge.capture import jaxpr_library, jaxpr_modes, jaxpr_modules, jaxpr_recomputed
from regauge.capture.jax_compat import is_own, symbolic_axis_sizes, symbolic_lengths
from regauge.capture.jax_example import Dynamic, Example, Inputs, Shapes, renamed_leaves, shapes_of
from regauge.capture.jax_failures import first_line, not_traced, why_fixed
from regauge.capture.jax_given import no_parameters, not_a_number, refuse_given
from regauge.capture.jax_loss import Arrays, Loss, loss_graph, outputs_of
from regauge.capture.jax_purity import placeholders, side_effects, source_line
from regauge.capture.jax_reference import evaluated
from regauge.capture.jaxpr_exact import traced_wide, with_exact_numbers
from regauge.capture.jaxpr_layers import Layers, taken_apart_otherwise
from regauge.capture.jaxpr_recomputed import recomputed_calls, with_recomputation
from regauge.capture.jaxpr_state import refuse_new_parameters, refuse_new_state, refuse_streams
from regauge.capture.jaxpr_values import Known
from regauge.capture.jaxpr_walk import Walk
from regauge.capture.jaxpr_weights import kept_state, owners_of, weights_of
from regauge.errors import RegaugeError
from regauge.findings import Finding
from regauge.ir.check import check_graph
from regauge.ir.graph import (
    Graph,
    ModuleStep,
    Node,
    Operand,
    Ref,
    Symbol,
    Value,
    node_inputs,
    references,
    without_dead,
)
from regauge.run.jax_program import FunctionProgram, JaxProgram, program_of
from regauge.run.jax_scopes import ModuleCall, calls_in, module_type, scopes
from regauge.run.jax_trees import Mode


class Traced(NamedTuple):
    """One trace of a model.

    Attributes:
        graph: where nothing says yet what is recomputed.
        arrays: that it holds.
        outputs: abstract.
        again: what is recomputed.
    """

    graph: Graph
    arrays: Arrays
    outputs: Any
    again: jaxpr_recomputed.Calls


@dataclass(frozen=True)
class Captured:
    """A captured JAX model.

    Attributes:
        graph: the model in the mode that was asked for.
        graph_eval: the model in evaluation, where that is different code; else None.
        arrays: weights and constants by name.
        constants: the arrays among them that the program holds and that are no weights.
        loss: the loss as a graph of (outputs, targets), or None.
        loss_constants: the arrays that the loss holds, by name.
        findings: what a person should know.
        donates: whether the program takes the memory of what it is called with.
    """

    graph: Graph
    graph_eval: Graph | None
    arrays: Arrays
    constants: Arrays
    loss: Graph | None = None
    loss_constants: Arrays | None = None
    findings: tuple[Finding, ...] = ()
    donates: bool = False


def capture_model(
    model: Any,
    inputs: Inputs,
    *,
    train: bool,
    dynamic: Dynamic = "auto",
    loss: Loss | None = None,
    targets: Any = None,
    layers: str = "auto",
) -> Captured:
    """Capture a model on example inputs.

    Args:
        model: as `regauge.run.jax_program.program_of` takes it.
        inputs: tuple of positional or dict of keyword arguments; arrays of jax or numpy in any pytree.
        train: capture in training mode.
        dynamic: "auto" keeps the first axis of the inputs symbolic where the trace allows it; None fixes all sizes;
            a pytree of `jax.export` shapes such as ``"batch, 16"`` in the structure of the inputs says which stay.
        loss: ``loss(outputs, targets) -> scalar``, or None.
        targets: its second argument.
        layers: "scan" leaves a scan over stacked weights what it is; else its layers get weights of their own.

    Raises:
        BadCase: the model rejects its inputs, or the loss is no scalar.
        CaptureError: model or loss cannot be traced, the model is no function of its arguments, an array has no
            values, or the program holds what a graph cannot.
    """
    refuse_given(model, inputs)
    program = program_of(model)
    asked = _Asked(program, inputs, loss, targets, frozenset(program.params if layers == "scan" else ()))
    mode: Mode = "train" if train else "eval"
    before = placeholders(program, inputs, mode)
    try:
        with symbolic_axis_sizes(), symbolic_lengths():
            captured = asked.in_sizes(mode, dynamic)
        if asked.sown:
            text = f"Values put aside with sow are left out: {', '.join(sorted(asked.sown))}. Return what is needed."
            captured = replace(captured, findings=(*captured.findings, Finding("C159", "info", program.name, text)))
        effects, donates = side_effects(program, inputs, mode)
    except Exception as error:  # whatever a model raises
        left = tuple(name for name in placeholders(program, inputs, mode) if name not in before)
        raise not_traced(
            error, program.name, lambda: evaluated(program, inputs), left, source_line(program, left)
        ) from error
    findings = (*captured.findings, *effects, *not_a_number(program.params))
    return replace(captured, findings=tuple(dict.fromkeys(findings)), donates=donates)


class _Asked:
    """What is to be captured."""

    def __init__(
        self, program: JaxProgram, inputs: Inputs, loss: Loss | None, targets: Any, whole: frozenset[str]
    ) -> None:
        self.program, self.whole = program, whole
        positions = () if isinstance(inputs, dict) else tuple(program.positions)[: len(inputs)]
        self.inputs = Example(inputs, positions)
        self.loss = loss
        self.targets = Example((targets,), ("targets",))
        self.templates: dict[Any, Any] = {}

    def shapes(self, dynamic: Dynamic) -> tuple[Shapes, tuple[Symbol, ...]]:
        """Abstract inputs and targets, with the symbolic sizes that they share."""
        arrays = {f"inputs {name}": array for name, array in self.inputs.arrays.items()}
        if self.loss is not None:
            arrays |= {f"targets {name}": array for name, array in self.targets.arrays.items()}
        return shapes_of(arrays, dynamic, self.inputs.outermost)

    @property
    def sown(self) -> set[str]:
        """Names of values that the model's calls put aside."""
        return getattr(self.program, "sown", set())

    def in_sizes(self, mode: Mode, dynamic: Dynamic) -> Captured:
        """The capture with symbolic sizes, or where the trace does not allow them with fixed ones."""
        shapes, symbols = self.shapes(dynamic)
        if not symbols or dynamic != "auto":
            return self.captured(mode, shapes, symbols)
        try:
            return self.captured(mode, shapes, symbols)
        except Exception as error:  # whatever a model does with a size that has no value
            fixed = Finding("C152", "info", self.program.name, f"All sizes are fixed: {why_fixed(error)}")
        captured = self.captured(mode, *self.shapes(None))
        return replace(captured, findings=(*captured.findings, fixed))

    def captured(self, mode: Mode, shapes: Shapes, symbols: Sequence[Symbol]) -> Captured:
        own = {name.removeprefix("inputs "): s for name, s in shapes.items() if name.startswith("inputs ")}
        wanted, evaluation, graph, graph_eval, constants, findings = self._both(mode, own, symbols, self.whole)
        weights = {**self.program.params, **kept_state(self.program)}
        arrays = {name: np.asarray(value) for name, value in weights.items()}
        findings = (*findings, *wanted.graph.findings)
        if isinstance(self.program, FunctionProgram) and not self.program.trees:
            findings = (*findings, *no_parameters(self.program.name, constants))
        captured = Captured(graph, graph_eval, {**arrays, **constants}, constants, findings=findings)
        outputs = wanted.outputs
        if self.loss is None:
            return captured
        others = {name.removeprefix("targets "): s for name, s in shapes.items() if name.startswith("targets ")}
        loss, held, said = loss_graph(self.loss, outputs, evaluation, self.targets, others, symbols)
        return replace(captured, loss=loss, loss_constants=held, findings=(*findings, *said))

    def _both(
        self, mode: Mode, shapes: Shapes, symbols: Sequence[Symbol], whole: frozenset[str]
    ) -> tuple[Traced, Any, Graph, Graph | None, Arrays, tuple[Finding, ...]]:
        """Both modes of a model that knows them; one that cannot be traced in training is captured in evaluation.

        The second result is the abstract outputs in evaluation.
        """
        wanted = self._traced(mode, shapes, symbols, whole)
        if not self.program.knows_mode:
            return wanted, wanted.outputs, with_recomputation(wanted.graph, wanted.again), None, wanted.arrays, ()
        train = mode == "train"
        try:
            second: Mode = "eval" if train else "train"
            other = self._traced(second, shapes, symbols, whole)
        except Exception as error:  # whatever a model does in a mode that was not asked for
            if train:
                raise
            noticed = _evaluation_only(self.program, error)
            graph = jaxpr_modes.following_all(wanted.graph)
            return wanted, wanted.outputs, with_recomputation(graph, wanted.again), None, wanted.arrays, (noticed,)
        training, evaluation = (wanted, other) if train else (other, wanted)
        if otherwise := taken_apart_otherwise(training.graph, evaluation.graph):
            return self._both(mode, shapes, symbols, whole | otherwise)
        main, apart = jaxpr_modes.joined(training.graph, evaluation.graph)
        if apart is None:
            return wanted, evaluation.outputs, with_recomputation(main, training.again), None, training.arrays, ()
        apart, held = _apart(apart, evaluation.arrays, training.arrays)
        ours, theirs = recomputed_calls(main, training.again), recomputed_calls(apart, evaluation.again)
        main = with_recomputation(main, training.again, theirs)
        apart = with_recomputation(apart, evaluation.again, ours)
        return wanted, evaluation.outputs, main, apart, {**training.arrays, **held}, ()

    def _traced(self, mode: Mode, shapes: Shapes, symbols: Sequence[Symbol], whole: frozenset[str]) -> Traced:
        return _model_graph(self.program, self.inputs, mode, shapes, symbols, self.templates, whole)


def _evaluation_only(program: JaxProgram, error: Exception) -> Finding:
    line = error.where if isinstance(error, RegaugeError) else None
    text = f"Evaluation only: {first_line(error)[:160]}" + (f" ({line})" if line else "")
    return Finding("C155", "info", program.name, text)


def _apart(graph: Graph, arrays: Arrays, others: Arrays) -> tuple[Graph, dict[str, np.ndarray]]:
    """The constants of a graph under names that do not say something else in the other graph."""
    clash = {n for n, array in arrays.items() if n in others and not np.array_equal(array, others[n], equal_nan=True)}
    names = {name: f"{name}_eval" for name in clash}
    weights = tuple(replace(w, name=names.get(w.name, w.name)) for w in graph.weights)
    return replace(graph, weights=weights), {names.get(name, name): array for name, array in arrays.items()}


# the model ---------------------------------------------------------------------------------------------------------


def _model_graph(
    program: JaxProgram,
    example: Example,
    mode: Mode,
    shapes: Shapes,
    symbols: Sequence[Symbol],
    templates: dict[Any, Any],
    whole: frozenset[str],
) -> Traced:
    """One trace of a model, as a graph.

    `templates` of layers are found once for both modes; the weights `whole` are not taken apart by layers.
    """
    order = (program.params, program.state, shapes)

    def forward(params: Any, state: Any, arrays: Any, key: Any) -> Any:
        return *program.call(params, state, example.tree(arrays), mode, key), dict(program.rewritten)

    with scopes(program) as calls:
        closed, (outputs, state, rewritten) = jax.make_jaxpr(forward, return_shape=True)(*order, jax.random.key(0))
    program.rewritten = {}  # arrays of the trace
    refuse_new_state(program, state)
    modules: dict[str, Any] = {}
    walk = Walk(_steps(calls, program.name, modules), fold=jaxpr_library.fold)
    reads = _taken(walk, order, closed.jaxpr.invars)
    weights = {name.split(" ", 1)[1]: ref.name for name, ref in reads.items() if not name.startswith("input ")}
    root = getattr(program, "module", None)
    layers = partial(jaxpr_modules.fold, modules=modules, reads=weights, memo=templates, root=root)
    walk.layers = layers
    kept = {weights[name]: name for name in (*program.params, *kept_state(program))}
    walk.stacked = stacked = Layers(kept, program.params, modules, weights, whole)
    results = walk.run(closed.jaxpr, closed.consts, list(reads.values()))
    tree, operands = outputs_of(walk, outputs, results)
    left = results[len(operands) :]
    mutations = _mutations(program, walk, reads, dict(zip(sorted(state), left, strict=False)))
    refuse_new_parameters(program, walk, reads, dict(zip(sorted(rewritten), left[len(state) :], strict=True)))
    wanted = {name for operand in operands for name in references(operand)} | {value for _, value in mutations}
    nodes, again = _folded(walk, wanted, layers)
    read = {name for node in nodes for name in node_inputs(node)} | wanted
    if conflicts := stacked.conflicts(read, {name for name, _ in mutations}):
        return _model_graph(program, example, mode, shapes, symbols, templates, whole | conflicts)
    refuse_streams(program, reads, nodes, wanted)
    owners = owners_of(nodes)
    taken = {name: reads[f"input {name}"].name for name in example.arrays}
    graph = Graph(
        dialect="lax",
        inputs=tuple(Value(value, walk.specs[value]) for value in taken.values()),
        weights=weights_of(program, reads, read, walk, owners),
        nodes=nodes,
        outputs=operands,
        mutations=mutations,
        symbols=tuple(symbols),
        in_tree=renamed_leaves(example.skeleton(), taken),
        out_tree=tree,
        findings=tuple(dict.fromkeys(walk.findings)),
    )
    graph = with_exact_numbers(graph, closed, lambda: traced_wide(forward, *order, jax.random.key(0)))
    check_graph(graph)
    constants = {owners.get(name, name): array for name, array in walk.constants.items() if name in read}
    return Traced(graph, constants, outputs, again)


def _mutations(
    program: JaxProgram, walk: Walk, reads: Mapping[str, Ref], results: Mapping[str, Operand | Known]
) -> tuple[tuple[str, str], ...]:
    """The state that a call changes, with the values that it holds then; of stacked layers slice by slice."""
    changed = {n: r for n, r in results.items() if n not in program.random and r != reads.get(f"state {n}")}
    pairs = ((n, reads[f"state {n}"].name, walk.result(result).name) for n, result in changed.items())
    return tuple(change for pair in pairs for change in (walk.stacked.changes(*pair) if walk.stacked else [pair[::2]]))


def _taken(walk: Walk, order: tuple[Mapping[str, Any], ...], variables: Sequence[Any]) -> dict[str, Ref]:
    """The values of weights, state, inputs and key, ``weight layers.0.bias``, in the order of the variables."""
    reads: dict[str, Ref] = {}
    kinds = zip(("weight", "state", "input"), order, strict=True)
    leaves = [(kind, name) for kind, tree in kinds for name in sorted(tree)]
    for (kind, name), variable in zip([*leaves, ("key", "key")], variables, strict=True):
        base = name if kind == "input" else name.replace(".", "_")
        reads[f"{kind} {name}"] = walk.take(base if base.isidentifier() else f"{kind}_{len(reads)}", variable.aval)
    return reads


def _folded(
    walk: Walk, wanted: set[str], layers: Callable[[Walk, Sequence[Node], set[str]], tuple[Node, ...]]
) -> tuple[tuple[Node, ...], jaxpr_recomputed.Calls]:
    """The nodes that the values `wanted` need, with layers and library functions as one each; what is recomputed."""
    nodes = without_dead(walk.nodes, wanted)
    again, known = jaxpr_recomputed.calls_of(nodes, walk.regions), set(walk.specs)
    nodes = layers(walk, nodes, wanted)
    nodes = walk.folded(without_dead(nodes, wanted), wanted)
    return nodes, jaxpr_recomputed.widened(again, nodes, known)


def _steps(calls: Sequence[ModuleCall], root: str, modules: dict[str, Any]) -> Callable[[str], tuple[ModuleStep, ...]]:
    """The module calls of a name stack; `modules` receives the objects by the key of the call."""
    types = [module_type(call.module) for call in calls]
    outermost = ModuleStep("", root, "root")

    def steps(stack: str) -> tuple[ModuleStep, ...]:
        found = calls_in(stack)
        modules.update((key, calls[n].module) for n, key in found)
        return (outermost, *(ModuleStep(calls[n].path, types[n], key) for n, key in found))

    return steps


def source_file(model: Any) -> str:
    """The name of the person's file that defines a model, or an empty string."""
    for part in model if isinstance(model, tuple) else (model,):
        try:
            file = inspect.getfile(part if inspect.isroutine(part) or inspect.isclass(part) else type(part))
        except (TypeError, OSError):
            continue
        if is_own(file):
            return Path(file).name
    return ""
