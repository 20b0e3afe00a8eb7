"""One network on both sides in one process: the original through its own case, the conversion from its saved folder."""

from __future__ import annotations

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx

from regauge.run import jax_emit, torch_capture
from regauge.run.array_files import save_arrays
from regauge.run.evaluation import InputSets
from regauge.run.jax_arrays import named_outputs
from regauge.run.jax_subject import load_jax_subject
from regauge.run.protocol import read_json
from regauge.run.torch_arithmetic import widen_module
from regauge.run.torch_evaluate import TorchEvaluator
from regauge.run.torch_subject import load_torch_subject

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Network:
    """A converted network.

    Attributes:
        case: reference of the original.
        folder: the saved conversion.
        sets: its inputs by name: ``reference``, and ``other`` if the batch size is symbolic.
        names: of `sets`.
    """

    case: str
    folder: Path
    sets: InputSets
    names: tuple[str, ...]


def convert(case: str, directory: Path) -> Network:
    """Convert a case as `regauge convert` does, without its processes."""
    captured, folder = directory / "capture", directory / "folder"
    captured.mkdir()
    torch_capture.run({"case": case, "out": str(captured)})
    jax_emit.run({"capture": str(captured), "folder": str(folder)})
    conversion = read_json(folder / "conversion.json")
    description = {"inputs": conversion["inputs"], "targets": conversion["targets"], "files": {}}
    reference = InputSets({**description, "files": {"": folder / "reference.safetensors"}}).leaves("")
    leaves = {name: array for name, array in reference.items() if name.startswith(("inputs", "targets"))}
    sets = {"reference": leaves}
    if any(symbol["name"] == "batch" for symbol in conversion["symbols"]):
        sets["other"] = {name: array[:-1] for name, array in leaves.items()}
    for name, arrays in sets.items():
        description["files"][name] = directory / f"{name}.safetensors"
        save_arrays(description["files"][name], arrays)
    return Network(case, folder, InputSets(description), tuple(sets))


def original(network: Network, name: str, widen: bool) -> Arrays:
    """``outputs.*``, ``loss`` and ``gradients.*`` of the original in evaluation mode, in float32 or in float64."""
    subject = load_torch_subject(network.case)
    with _default_dtype(torch.float64 if widen else torch.float32):
        if widen:
            widen_module(subject.model)
        task = {"mode": "eval", "input": name, "dropout": "off"}
        arrays, _ = TorchEvaluator(subject, network.sets, widen, network.folder.parent).step(task)
    return {n: array for n, array in arrays.items() if n.startswith(("outputs", "loss", "gradients"))}


class Converted:
    """The conversion in evaluation mode, compiled; arrays have the original's names and layouts."""

    def __init__(self, network: Network) -> None:
        subject = load_jax_subject(network.folder)
        subject.model.eval()
        self._subject, self._sets = subject, network.sets
        train: Any = subject.train
        self._graphdef, self._params, self._state = train.init(subject.model)[:3]
        self._pass = jax.jit(train.loss_and_gradients, static_argnums=0)
        self._forward = jax.jit(self._outputs, static_argnums=0)

    def everything(self, name: str) -> Arrays:
        """``outputs.*``, ``loss`` and ``gradients.*``."""
        inputs, targets = self._trees(name)
        loss, outputs, gradients, *_ = self._pass(self._graphdef, self._params, self._state, inputs, targets)
        arrays = {"loss": np.asarray(loss), **_numpy(named_outputs(outputs))}
        entries = self._subject.weight_map.by_target
        for path, variable in nnx.to_flat_state(gradients):
            for entry in entries[".".join(map(str, path))]:
                arrays[f"gradients.{entry.source}"] = entry.to_source(np.asarray(variable[...]))
        return arrays

    def outputs(self, name: str) -> Arrays:
        """``outputs.*`` alone."""
        return _numpy(self._forward(self._graphdef, self._params, self._state, self._trees(name)[0]))

    def _outputs(self, graphdef: Any, params: Any, state: Any, inputs: Any) -> dict[str, jax.Array]:
        return named_outputs(self._subject.call(nnx.merge(graphdef, params, state, copy=True), inputs))

    def _trees(self, name: str) -> tuple[Any, Any]:
        leaves = {key: jnp.asarray(array) for key, array in self._sets.leaves(name).items()}
        return self._sets.inputs(leaves), self._sets.targets(leaves)


def _numpy(arrays: Mapping[str, Any]) -> Arrays:
    return {name: np.asarray(array) for name, array in arrays.items()}


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
