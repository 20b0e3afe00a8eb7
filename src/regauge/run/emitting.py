"""The `emit` job of both workers: from the files of a capture to a saved folder."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from regauge import optax_specs
from regauge.emit.conversion import convert
from regauge.emit.package import write_folder
from regauge.emit.target import Target, writing
from regauge.findings import Finding
from regauge.ir.captured import CapturedModel, Reference
from regauge.ir.graph import Graph
from regauge.ir.serial import graph_from_json
from regauge.rules.custom import load_rules
from regauge.run.protocol import read_json
from regauge.weights.files import WeightFile


def emit(job: Mapping[str, Any], target: Target) -> dict[str, Any]:
    """Convert a capture.

    Args:
        job: ``capture``, the directory that the capture job wrote; ``folder``, where the conversion is saved;
            ``layers``, how equal layers are converted, where that is not the case's own choice.
        target: the framework that is written.

    Returns:
        The names of the files, the root class and the seconds that it took.
    """
    started = time.perf_counter()
    directory, folder = Path(job["capture"]), Path(job["folder"])
    about = read_json(directory / "capture.json")
    if about.get("rules") is not None:
        load_rules(Path(about["rules"]))
    captured = read_capture(directory, about)
    captured = replace(captured, layers=job.get("layers") or about.get("layers") or "auto")
    with writing(target):
        conversion = convert(captured)
        emitted = time.perf_counter()
        write_folder(
            conversion,
            WeightFile(directory / "weights.safetensors"),
            WeightFile(directory / "reference.safetensors"),
            Reference(
                about.get("case"),
                about["inputs"],
                about["targets"],
                about["outputs"],
                about["versions"],
                tuple(about.get("known", ())),
            ),
            folder,
        )
    return {
        "root": conversion.root,
        "findings": [finding.to_json() for finding in conversion.findings],
        "files": sorted(path.name for path in folder.iterdir()),
        "seconds": {"emit": emitted - started, "write": time.perf_counter() - emitted},
    }


def read_capture(directory: Path, about: Mapping[str, Any]) -> CapturedModel:
    """The capture in a directory."""
    graph = _graph(directory / "graph.json")
    if graph is None:
        raise FileNotFoundError(directory / "graph.json")
    spec = about["optimizer"]
    loss_weights = directory / "loss_weights.safetensors"
    constants = [w.name for w in graph.weights if w.role == "constant" and w.tied_to is None]
    return CapturedModel(
        name=about["name"],
        graph=graph,
        constants=_arrays(directory / "weights.safetensors", constants),
        graph_eval=_graph(directory / "graph_eval.json"),
        loss=_graph(directory / "loss.json"),
        loss_constants=_arrays(loss_weights) if loss_weights.exists() else {},
        optimizer=None if spec is None else optax_specs.from_json(spec),
        source=about.get("source", ""),
        findings=tuple(Finding.from_json(item) for item in about["findings"]),
    )


def _graph(path: Path) -> Graph | None:
    return graph_from_json(read_json(path)) if path.exists() else None


def _arrays(path: Path, names: list[str] | None = None) -> dict[str, np.ndarray]:
    """Arrays of a file, copied; bfloat16 with its own dtype."""
    file = WeightFile(path)
    found = {}
    for name in file if names is None else names:
        array = np.array(file[name])
        found[name] = array.view(ml_dtypes.bfloat16) if file.stored[name].dtype == "bfloat16" else array
    return found
