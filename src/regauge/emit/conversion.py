"""From captured graphs to the converted sources with their weight map: what a saved folder and `to_jax` both hold."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from regauge.collecting import new_objects_only
from regauge.emit.expressions import Helpers
from regauge.emit.files import Place, ops_text
from regauge.emit.formatting import format_source, moved_places
from regauge.emit.functions import emit_function
from regauge.emit.gradients import left_out_by_conditions, read_at_times, without_gradient
from regauge.emit.nnx import Emitted, emit_module
from regauge.emit.signature import constants
from regauge.emit.stacks import REFUSED, Scanning
from regauge.emit.target import target
from regauge.findings import Finding
from regauge.ir.captured import CapturedModel
from regauge.ir.graph import Symbol, TensorSpec, WeightSpec
from regauge.lower.plan import value_specs
from regauge.lower.widths import width_findings
from regauge.optax_specs import AnyOptimizer
from regauge.optimizers import Optimizer
from regauge.weights import layout as layouts
from regauge.weights.mapping import WeightEntry, WeightMap

_ORIGINALS = {"aten": "PyTorch", "lax": "JAX"}


@dataclass(frozen=True)
class Conversion:
    """A converted model as text, with the map of its weights.

    Attributes:
        name: of the case.
        sources: text by module name (`ops`, `model`, `train`), in the order in which they import each other.
        root: name of the root class of model.py.
        weight_map: every weight of the original and where it is in the module.
        places: module path and `file.py:12` of the original by line of model.py.
        symbols: the sizes that stay symbolic.
        optimizer: the case's, or None.
        findings: what a person should know, of capture, rules and emission.
    """

    name: str
    sources: Mapping[str, str]
    root: str
    weight_map: WeightMap
    places: Mapping[int, Place]
    symbols: tuple[Symbol, ...]
    optimizer: AnyOptimizer | None
    findings: tuple[Finding, ...]


@new_objects_only()
def convert(captured: CapturedModel) -> Conversion:
    """Write the sources of a captured model, its loss and its training step.

    Raises:
        UnsupportedOps: operators without a rule, of the model or of the loss.
        SpecMismatch: a rule does not give the captured shape or dtype.
    """
    helpers = Helpers()
    title = _title(captured)
    table = target().table()
    no_gradient = () if captured.loss is None else without_gradient(captured.graph, captured.loss)
    scanning = _scanning(captured, no_gradient) if target().scans else None
    emitted = emit_module(captured.graph, table, captured.constants, title, helpers, captured.graph_eval, scanning)
    loss = None
    if captured.loss is not None:
        parameters = ("outputs", "targets")
        loss = emit_function(captured.loss, table, captured.loss_constants, "loss", parameters, helpers)
    weight_map = _weight_map(captured.graph.weights, emitted)
    train, stored = None, dict(captured.graph.mutations)
    if loss is not None and captured.loss is not None:
        train = target().emit_train(
            loss=loss,
            optimizer=captured.optimizer,
            entries=weight_map.entries,
            name=captured.name,
            unused=weight_map.unused,
            without_gradient=_labels(captured.graph.weights, no_gradient),
            at_times=_labels(captured.graph.weights, read_at_times(captured.graph)),
            rewrites=any(w.name in stored for w in captured.graph.weights if w.role == "parameter"),
            texts=_has_texts([captured.graph.in_tree, *captured.loss.in_tree["tuple"][1:]]),
            helpers=helpers,
        )
    sources: dict[str, str] = {}
    ops = ops_text(helpers)
    if ops is not None:
        sources["ops"] = format_source(ops)
    sources["model"] = format_source(emitted.model)
    if train is not None:
        sources["train"] = format_source(train)
    own = [f for f in emitted.findings if captured.layers == "scan" or f.code not in REFUSED]
    own += width_findings(captured.graph) if captured.graph.dialect == "aten" else []
    own += left_out_by_conditions(captured) if train is not None else []
    findings = dict.fromkeys((*captured.findings, *captured.graph.findings, *own))
    return Conversion(
        name=captured.name,
        sources=sources,
        root=emitted.root,
        weight_map=weight_map,
        places=moved_places(emitted.model, sources["model"], emitted.places),
        symbols=captured.graph.symbols,
        optimizer=captured.optimizer,
        findings=tuple(findings),
    )


def conversion_of(model: Any) -> Conversion | None:
    """What a model of `regauge.to_jax` or `regauge.to_torch` was made by; None of any other model."""
    found = getattr(model, "_conversion", None)
    return found if isinstance(found, Conversion) else None


def names_of(conversion: Conversion) -> dict[str, str]:
    """Names in the converted model by the original's, for every weight that has an array of its own there."""
    return {
        entry.source: entry.target
        for entry in conversion.weight_map.entries
        if entry.stacked is None and not entry.sliced
    }


# "auto": layers from which on a scan is worth its lines, see docs/benchmarks.md.
DEEP = 16


def _has_texts(trees: Iterable[Any]) -> bool:
    """Whether there is a text in skeletons of inputs and targets."""
    return any(isinstance(value, str) for tree in trees for _, value in constants(tree, ""))


def _scanning(captured: CapturedModel, no_gradient: Collection[str]) -> Scanning | None:
    """Which equal layers become scans; layers of one scan train in the same way."""
    if captured.layers == "unroll":
        return None
    trained = [w.name for w in captured.graph.weights if w.role == "parameter" and w.tied_to is None]
    groups = captured.optimizer.assign(trained) if isinstance(captured.optimizer, Optimizer) and trained else {}
    alike = {name: (groups.get(name), name in no_gradient) for name in trained}
    asked = captured.layers == "scan"
    return Scanning(2 if asked else DEEP, convolutions=asked, alike=alike)


def _title(captured: CapturedModel) -> str:
    graph = captured.graph
    origin = f", converted from {captured.source}" if captured.source else ", converted"
    specs = {value.name: value.spec for value in graph.inputs}
    inputs = ", ".join(_inputs(graph.in_tree, specs)) if graph.in_tree else ""
    written, original = target().library, _ORIGINALS[graph.dialect]
    outputs = _described(graph.out_tree, value_specs(graph))
    return f"{captured.name} in {written}{origin} ({original}).\n\n{inputs}  ->  {outputs}\n"


def _inputs(tree: Any, specs: Mapping[str, TensorSpec]) -> Iterator[str]:
    """The arrays among the inputs: `x: float32[batch, 4]`, `Batch(x: float32[batch, 4], mask: bool[batch])`."""
    if "leaf" in tree:
        yield f"{tree['leaf']}: {specs[tree['leaf']]}"
    elif "record" in tree:
        yield _described(tree, specs)
    else:
        for item in tree["dict"].values() if "dict" in tree else tree.get("tuple", tree.get("list", ())):
            yield from _inputs(item, specs)


def _described(tree: Any, specs: Mapping[str, TensorSpec]) -> str:
    """A tree of arrays: `float32[batch, 10]`, `{logits: float32[batch, 10]}`."""
    if "leaf" in tree:
        return str(specs[tree["leaf"]])
    if "dict" in tree:
        items = ", ".join(f"{key}: {_described(item, specs)}" for key, item in tree["dict"].items())
        return f"{tree['type']}({items})" if "record" in tree else f"{{{items}}}"
    if not tree.keys().isdisjoint(("none", "value", "size")):
        return str(tree.get("value", tree.get("size")))
    return "(" + ", ".join(_described(item, specs) for item in tree.get("tuple", tree.get("list"))) + ")"


def _weight_map(weights: tuple[WeightSpec, ...], emitted: Emitted) -> WeightMap:
    placed = {p.source: p for p in emitted.placed}
    entries = [
        WeightEntry(
            source=w.slice_of.name if w.slice_of else w.name,
            target=placed[w.name].target,
            layout=layouts.layout(placed[w.name].layout),
            shape=w.slice_of.shape if w.slice_of else tuple(int(d) for d in w.spec.shape if isinstance(d, int)),
            dtype=w.spec.dtype,
            role=w.role,
            trainable=w.trainable,
            stacked=placed[w.name].stacked,
            sliced=w.slice_of.steps if w.slice_of else (),
        )
        for w in weights
        if w.name in placed
    ]
    tied = {w.name: w.tied_to for w in weights if w.tied_to is not None}
    return WeightMap(tuple(entries), tied, dict(emitted.unused))


def _labels(weights: tuple[WeightSpec, ...], names: Collection[str]) -> tuple[str, ...]:
    """What the map's entries of these weights are called, as `WeightEntry.label` has it."""
    return tuple(w.slice_of.label if w.slice_of else w.name for w in weights if w.name in names)
