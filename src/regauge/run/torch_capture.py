"""The job ``capture``: load the case's torch model, capture it, and write everything that emission needs."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch.utils._pytree import tree_map

import regauge
from regauge.capture import dynamic as sizes_of_inputs
from regauge.capture import training_mode
from regauge.capture.in_memory import source_file
from regauge.capture.outputs_of_modes import OutputsOfModes
from regauge.capture.torch_export import Captured, capture_function, capture_module
from regauge.capture.written_inputs import require_other_targets
from regauge.errors import BadCase, CaptureError, OutputError
from regauge.ir.serial import graph_to_json
from regauge.optimizers import to_json
from regauge.run.protocol import Skeleton, flatten_tree, has_size, leaf_names, write_json
from regauge.run.torch_flow import as_loops
from regauge.run.torch_subject import FunctionModule, TorchSubject, load_torch_subject


def run(job: Mapping[str, Any]) -> dict[str, Any]:
    """Capture a case.

    Args:
        job: ``case`` (a reference), ``out`` (an existing directory), ``dynamic`` ("auto" or None).

    Returns:
        name, root, number of nodes and weights, codes of the findings, seconds by stage. The directory holds
        graph.json, graph_eval.json (only if evaluation is other code than training), loss.json, weights.safetensors
        (with the constants), loss_weights.safetensors, reference.safetensors and capture.json.

    Raises:
        BadCase: the case cannot be read, the model rejects its inputs, or its loss is no scalar.
        CaptureError: model or loss cannot be captured.
        OutputError: the directory cannot be written.
    """
    began = time.perf_counter()
    subject = load_torch_subject(job["case"])
    seconds = {"load": time.perf_counter() - began}
    dynamic = job.get("dynamic", "auto")
    train = subject.loss is not None or subject.model.training
    captured = capture_module(subject.model, subject.inputs, train=train, dynamic=dynamic, known=subject.known)
    seconds |= captured.seconds
    loss = _capture_loss(subject, captured, dynamic) if subject.loss is not None else None
    if loss is not None:
        seconds["loss"] = sum(loss.seconds.values())
    out = Path(job["out"])
    began = time.perf_counter()
    with _writing(out):
        skeletons = _write_reference(subject, captured.outputs, out)
        _write_graphs(captured, loss, out)
        seconds["write"] = time.perf_counter() - began
        findings = [*captured.graph.findings, *(loss.graph.findings if loss else ())]
        root, model = _root_name(subject), subject.model
        about = {
            "name": subject.name,
            "case": job["case"],
            "root": root,
            "rules": None if subject.rules is None else str(subject.rules),
            "layers": subject.layers,
            "source": source_file(model.function if isinstance(model, FunctionModule) else model),
            "train": train,
            **skeletons,
            "known": list(captured.known),
            "has_loss": loss is not None,
            "optimizer": None if subject.optimizer is None else to_json(subject.optimizer),
            "versions": versions(),
            "findings": [finding.to_json() for finding in dict.fromkeys(findings)],
            "seconds": seconds,
        }
        write_json(out / "capture.json", about)
    return {
        "name": subject.name,
        "root": root,
        "nodes": len(captured.graph.nodes),
        "weights": len(captured.graph.weights),
        "findings": [finding.code for finding in findings],
        "seconds": seconds,
    }


def versions() -> dict[str, str]:
    """Versions of what a capture depends on."""
    return {"regauge": regauge.__version__, "torch": torch.__version__, "python": platform.python_version()}


def _root_name(subject: TorchSubject) -> str:
    if isinstance(subject.model, FunctionModule):
        return getattr(subject.model.function, "__name__", "Model")
    return type(subject.model).__name__


def _capture_loss(subject: TorchSubject, captured: Captured, dynamic: Any) -> Captured:
    """The loss, captured on the outputs that the model gives in training.

    Raises:
        BadCase: it rejects outputs and targets, or does not return a scalar.
    """
    outputs = captured.outputs
    if captured.graph_eval is not None:
        with training_mode.unchanged(subject.model), torch.no_grad(), as_loops():
            training_mode.set_mode(subject.model, True)
            outputs = sizes_of_inputs.distinct(subject.call(subject.model, subject.inputs))
    if subject.loss is None:
        raise BadCase("the case has no loss")
    named = _tensors(outputs)
    modes = OutputsOfModes(_shapes(_tensors(captured.outputs)), _shapes(named))
    places = {id(tensor): place for place, tensor in enumerate(sizes_of_inputs.tensors_in(outputs))}
    require_other_targets(captured.written, subject.targets)
    _require_no_sizes(subject, captured.graph.out_tree, outputs)
    given, varying = (outputs, subject.targets), [(places[id(named[v.name])], v.axis) for v in modes.varying]
    loss = capture_function(subject.loss, given, dynamic=dynamic, model=subject.model, varying=varying)
    skeleton, specs = loss.graph.out_tree, {v.name: v.spec for node in loss.graph.nodes for v in node.outputs}
    specs |= {value.name: value.spec for value in loss.graph.inputs}
    spec = specs.get(skeleton.get("leaf", ""))
    if spec is None or spec.shape != () or not spec.dtype.startswith(("float", "bfloat")):
        received = str(spec) if spec is not None else f"{len(leaf_names(skeleton))} results"
        raise BadCase(
            "the loss does not return one float scalar",
            code="B130",
            received=received,
            next="end the loss with .mean() or .sum() and return that tensor alone",
        )
    evaluated = None
    if modes.apart:
        with suppress(Exception):  # whatever a loss does with outputs of another form
            evaluated = capture_function(
                subject.loss, (captured.outputs, subject.targets), dynamic=dynamic, model=subject.model
            )
    findings = (*loss.graph.findings, *modes.findings(loss.graph, evaluated.graph if evaluated else None))
    return replace(loss, graph=replace(loss.graph, findings=findings))


def _require_no_sizes(subject: TorchSubject, out_tree: Any, outputs: Any) -> None:
    """Refuse a loss that reads sizes among the outputs: it is captured on those of the example."""
    if not has_size(out_tree) or subject.loss is None:
        return
    others = tree_map(lambda leaf: leaf + 1 if type(leaf) is int else leaf, outputs)
    try:
        with torch.no_grad():
            same = torch.equal(subject.loss(outputs, subject.targets), subject.loss(others, subject.targets))
    except Exception:  # whatever a loss does with wrong sizes
        same = False
    if not same:
        raise CaptureError(
            "the loss reads a size that the model returns",
            code="C103",
            why="a number of Python is no input of the captured loss, which would keep that of the example",
            next="read it from the shape of an output in the loss",
        )


def _tensors(outputs: Any) -> dict[str, torch.Tensor]:
    return flatten_tree(outputs, lambda leaf: isinstance(leaf, torch.Tensor))[1]


def _shapes(tensors: Mapping[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


# files -------------------------------------------------------------------------------------------------------------


def _write_graphs(captured: Captured, loss: Captured | None, out: Path) -> None:
    for name in ("graph_eval.json", "loss.json", "loss_weights.safetensors"):
        (out / name).unlink(missing_ok=True)  # of an earlier capture
    write_json(out / "graph.json", graph_to_json(captured.graph))
    if captured.graph_eval is not None:
        write_json(out / "graph_eval.json", graph_to_json(captured.graph_eval))
    save_tensors(captured.tensors, out / "weights.safetensors")
    if loss is not None:
        write_json(out / "loss.json", graph_to_json(loss.graph))
        if loss.tensors:
            save_tensors(loss.tensors, out / "loss_weights.safetensors")


def _write_reference(subject: TorchSubject, outputs: Any, out: Path) -> dict[str, Skeleton | None]:
    """reference.safetensors; gives the skeletons of inputs, targets and outputs."""
    trees = {"inputs": subject.inputs, "targets": subject.targets, "outputs": outputs}
    skeletons: dict[str, Skeleton | None] = {}
    leaves: dict[str, torch.Tensor] = {}
    for name, tree in trees.items():
        if name == "targets" and tree is None:
            skeletons[name] = None
            continue
        try:
            skeletons[name], found = flatten_tree(tree, lambda leaf: isinstance(leaf, torch.Tensor), name)
        except TypeError as error:
            raise BadCase(f"the {name} of the case are not a tree of tensors: {error}") from error
        leaves |= found
    save_tensors(leaves, out / "reference.safetensors")
    return skeletons


def save_tensors(tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Write tensors by name in their own dtypes; only those that are not contiguous or share memory are copied."""
    stored: dict[str, torch.Tensor] = {}
    storages: set[int] = set()
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous()
        place = tensor.untyped_storage().data_ptr()
        stored[name] = tensor.clone() if place in storages else tensor
        storages.add(place)
    save_file(stored, path)


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise OutputError(
            f"cannot write to {out}: {error}", where=str(out), next="free space there, or give another directory"
        ) from error
