"""The job ``capture`` of the JAX worker: load the case's model, capture it, write everything that emission needs."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import flax
import jax
import numpy as np

import regauge
from regauge.capture.jax_given import refuse_given
from regauge.capture.jax_in_memory import as_numpy
from regauge.capture.jax_optimizer import from_optax
from regauge.capture.jax_reference import reference_outputs
from regauge.capture.jaxpr import Captured, capture_model, source_file
from regauge.case import Case, load_case
from regauge.errors import BadCase, CaptureError, OutputError, UnsupportedOptimizer
from regauge.findings import Finding
from regauge.ir.serial import graph_to_json
from regauge.optax_specs import OptaxOptimizer, to_json
from regauge.run.describing import flatten
from regauge.run.jax_program import program_of
from regauge.run.jax_trees import is_array
from regauge.run.protocol import write_json
from regauge.weights.files import save_arrays


def run(job: Mapping[str, Any]) -> dict[str, Any]:
    """Capture a case.

    Args:
        job: ``case`` (a reference), ``out`` (an existing directory), ``dynamic`` ("auto" or None), ``layers`` (one of
            `regauge.case.LAYERS`, where that is not the case's own choice).

    Returns:
        name, root, number of nodes and weights, codes of the findings, seconds by stage. The directory holds what
        `regauge.run.torch_capture` writes for a torch model.

    Raises:
        BadCase: the case cannot be read, the model rejects its inputs, or its loss is no scalar.
        CaptureError: model or loss cannot be captured.
        UnsupportedOptimizer: its optimizer has no exact counterpart.
        OutputError: the directory cannot be written.
    """
    began = time.perf_counter()
    case = load_case(job["case"])
    _refuse_known(case)
    refuse_given(case.model, case.inputs)  # before anything reads the arrays
    program = program_of(case.model)
    loaded = time.perf_counter()
    train = case.loss is not None
    captured = _captured(case, job.get("dynamic", "auto"), job.get("layers") or case.layers or "auto")
    outputs = reference_outputs(program, case.inputs, captured.donates)
    spec = None if case.optimizer is None else from_optax(case.optimizer, program)
    if spec is not None and spec.sees_whole_parameters and any(w.slice_of for w in captured.graph.weights):
        captured = _stacked(case, job.get("dynamic", "auto"), program.name, spec)
    optimizer = None if spec is None else to_json(spec)
    seconds = {"load": loaded - began, "trace": time.perf_counter() - loaded}
    out = Path(job["out"])
    skeletons = _write(case, captured, outputs, out)
    findings = list(dict.fromkeys(captured.findings))
    name = case.name or program.name
    about = {
        "name": name,
        "case": job["case"],
        "root": program.name,
        "rules": None,
        "source": source_file(case.model),
        "train": train,
        **skeletons,
        "has_loss": captured.loss is not None,
        "optimizer": optimizer,
        "versions": versions(),
        "findings": [finding.to_json() for finding in findings],
        "seconds": seconds,
    }
    write_json(out / "capture.json", about)
    return {
        "name": name,
        "root": program.name,
        "nodes": len(captured.graph.nodes),
        "weights": len(captured.graph.weights),
        "findings": [finding.code for finding in findings],
        "seconds": seconds,
    }


def _refuse_known(case: Case) -> None:
    if case.known:
        raise BadCase(
            "inputs with known values are those of a torch model",
            code="C190",
            received=f"known={tuple(case.known)!r}",
            next="leave known= out, and close over the numbers: jax.tree_util.Partial(function, n=3)",
        )


def _captured(case: Case, dynamic: Any, layers: str) -> Captured:
    return capture_model(
        case.model,
        case.inputs,
        train=case.loss is not None,
        dynamic=dynamic,
        loss=case.loss,
        targets=case.targets,
        layers=layers,
    )


def _stacked(case: Case, dynamic: Any, name: str, optimizer: OptaxOptimizer) -> Captured:
    """The capture with layers that stay a scan over stacked weights, as an optimizer sees them that takes norms.

    Raises:
        UnsupportedOptimizer: the layers draw random numbers, which a scan of torch does not.
    """
    why = f"{optimizer.name} looks at the norm of a whole parameter, and that of a stack is not that of each layer"
    try:
        captured = _captured(case, dynamic, "scan")
    except CaptureError as error:
        if error.code != "C153":
            raise
        raise UnsupportedOptimizer(
            f"{optimizer.name} of layers that are stacked, with dropout in them",
            why=why,
            next="call the layers in a loop of Python, or train with an optimizer that takes no norms (optax.adamw)",
        ) from error
    text = (
        f"Its layers stay a scan over stacked weights: {optimizer.name} looks at the norm of a whole parameter, and "
        "that of a stack is not that of each layer."
    )
    return replace(captured, findings=(*captured.findings, Finding("C176", "info", name, text)))


def _write(case: Case, captured: Captured, outputs: Any, out: Path) -> dict[str, Any]:
    try:
        skeletons = _write_reference(case, outputs, out)
        _write_graphs(captured, out)
    except OSError as error:
        raise OutputError(
            f"cannot write to {out}: {error}", where=str(out), next="free space there, or give another directory"
        ) from error
    return skeletons


def versions() -> dict[str, str]:
    """Versions of what a capture depends on."""
    return {
        "regauge": regauge.__version__,
        "jax": jax.__version__,
        "flax": flax.__version__,
        "python": platform.python_version(),
    }


def _write_graphs(captured: Captured, out: Path) -> None:
    for name in ("graph_eval.json", "loss.json", "loss_weights.safetensors"):
        (out / name).unlink(missing_ok=True)  # of an earlier capture
    write_json(out / "graph.json", graph_to_json(captured.graph))
    if captured.graph_eval is not None:
        write_json(out / "graph_eval.json", graph_to_json(captured.graph_eval))
    save_arrays(out / "weights.safetensors", captured.arrays)
    if captured.loss is not None:
        write_json(out / "loss.json", graph_to_json(captured.loss))
        if captured.loss_constants:
            save_arrays(out / "loss_weights.safetensors", captured.loss_constants)


def _write_reference(case: Case, outputs: Any, out: Path) -> dict[str, Any]:
    """reference.safetensors; gives the skeletons of inputs, targets and outputs."""
    trees = {"inputs": case.inputs, "targets": case.targets, "outputs": outputs}
    skeletons: dict[str, Any] = {"targets": None}
    arrays: dict[str, np.ndarray] = {}
    for name, tree in trees.items():
        if name == "targets" and tree is None:
            continue
        skeletons[name], found = flatten(tree, name, is_array)
        arrays |= {leaf: as_numpy(array) for leaf, array in found.items()}
    try:
        save_arrays(out / "reference.safetensors", arrays)
    except TypeError as error:
        raise BadCase(f"inputs or outputs cannot be stored: {error}") from error
    return skeletons
