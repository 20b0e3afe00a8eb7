"""Completes the hand-made conversion of the encoder: ``python build.py DIRECTORY [case|without_loss]``."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

from regauge.case import load_case
from regauge.optimizers import to_json
from regauge.run.protocol import flatten_tree, write_json
from regauge.weights.mapping import WeightEntry, WeightMap

HERE = Path(__file__).parent
RENAMED = {"norm1.weight": "norm1.scale", "norm2.weight": "norm2.scale", "words.weight": "words.embedding"}
LINEAR = ("qkv", "proj", "fc1", "fc2", "head")


def entry(name: str, tensor: torch.Tensor, parameters: set[str]) -> WeightEntry:
    owner, _, last = name.rpartition(".")
    linear = owner.rpartition(".")[2] in LINEAR and last == "weight"
    target = f"{owner}.kernel" if linear else name
    for old, new in RENAMED.items():
        target = target.replace(old, new)
    trained = name in parameters
    return WeightEntry(
        source=name,
        target=target,
        layout=(("permute", (1, 0)),) if linear else (),
        shape=tuple(tensor.shape),
        role="parameter" if trained else "buffer",
        trainable=trained,
    )


def build(directory: Path, name: str = "case") -> None:
    directory.mkdir(parents=True, exist_ok=True)
    case = load_case(f"{HERE / 'original.py'}:{name}")
    shutil.copy(HERE / "model.py", directory / "model.py")
    if case.loss is not None:
        shutil.copy(HERE / "train.py", directory / "train.py")
    tensors = case.model.state_dict()
    parameters = {name for name, _ in case.model.named_parameters()}
    mapping = WeightMap(tuple(entry(name, tensor, parameters) for name, tensor in tensors.items()))
    write_json(directory / "weights.json", mapping.to_json())
    arrays = {e.target: np.ascontiguousarray(e.to_target(tensors[e.source].numpy())) for e in mapping.entries}
    save_file(arrays, directory / "weights.safetensors")

    reference: dict[str, np.ndarray] = {}
    skeletons = {}
    outputs = case.model.eval()(**case.inputs)
    for prefix, tree in (("inputs", case.inputs), ("targets", case.targets), ("outputs", outputs)):
        skeletons[prefix], leaves = flatten_tree(tree, lambda leaf: isinstance(leaf, torch.Tensor), prefix)
        reference |= {key: leaf.detach().numpy() for key, leaf in leaves.items()}
    save_file(reference, directory / "reference.safetensors")
    conversion = {
        "schema": 1,
        "name": "Encoder",
        "direction": "torch->jax",
        "root": "Encoder",
        "case": f"original.py:{name}",
        "versions": {},
        "inputs": skeletons["inputs"],
        "targets": None if case.targets is None else skeletons["targets"],
        "outputs": skeletons["outputs"],
        "has_loss": case.loss is not None,
        "optimizer": None if case.optimizer is None else to_json(case.optimizer),
        "findings": [],
        "symbols": [{"name": "batch", "hint": 4, "low": 1, "high": None}],
        "lines": {},
    }
    write_json(directory / "conversion.json", conversion)


if __name__ == "__main__":
    build(Path(sys.argv[1]), *sys.argv[2:])
