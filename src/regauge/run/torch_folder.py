"""A saved torch conversion as a worker sees it: the module and train.py of the folder, with its reference inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from regauge.errors import BadResult
from regauge.run.protocol import read_json, unflatten_tree
from regauge.run.torch_source import load_sources
from regauge.run.torch_subject import TorchSubject


def load_torch_folder(folder: str | Path) -> TorchSubject:
    """The subject of a saved folder, loaded from its source files.

    Args:
        folder: holds model.py, weights.safetensors, reference.safetensors, conversion.json and, if the case has a loss,
            train.py.

    Raises:
        BadResult: a file of the folder is missing.
    """
    folder = Path(folder).resolve()
    conversion = read_json(_existing(folder / "conversion.json"))
    files = {name: folder / f"{name}.py" for name in ("ops", "model", "train")}
    _existing(files["model"])
    texts = {name: path.read_text(encoding="utf-8") for name, path in files.items() if path.is_file()}
    modules = load_sources(texts, str(folder))
    reference = load_file(_existing(folder / "reference.safetensors"))
    train, targets = modules.get("train"), conversion.get("targets")
    return TorchSubject(
        model=modules["model"].load(folder),
        inputs=unflatten_tree(conversion["inputs"], reference),
        targets=None if targets is None else unflatten_tree(targets, reference),
        loss=getattr(train, "loss", None),
        optimizer=None,
        name=conversion["name"],
        own=EmittedOptimizer(train) if train is not None and hasattr(train, "make_optimizer") else None,
    )


@dataclass(frozen=True)
class EmittedOptimizer:
    """The optimizer of an emitted train.py."""

    train: ModuleType
    name: str = "optimizer"

    def of(self, named: Mapping[str, nn.Parameter]) -> torch.optim.Optimizer:
        """A new one for the parameters of these names."""
        made: Any = self.train.make_optimizer(named.items())
        return made  # type: ignore[no-any-return]


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise BadResult(
            f"{path.parent.name} is not a whole conversion: {path.name} is missing",
            where=str(path),
            next="convert the case again",
        )
    return path
