"""What optax did in a process of its own, and the same with what is emitted for torch."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch
from optax_problem import SHAPES, STEPS, TARGETS, gradients, initial

from regauge.emit.expressions import Helpers
from regauge.emit.files import ops_text
from regauge.emit.formatting import format_source
from regauge.emit.target import writing
from regauge.emit.torch_target import TORCH
from regauge.emit.torch_train import emit_train
from regauge.optax_specs import from_json
from regauge.run.torch_source import load_sources
from regauge.weights.mapping import WeightEntry

LOSS = "def loss(outputs, targets):\n    return ((outputs - targets) ** 2).mean()"


@dataclass(frozen=True)
class Walks:
    """What optax did, and how to do the same with what is emitted."""

    specs: dict[str, Any]
    arrays: dict[str, np.ndarray]

    def text(self, case: str, **gradients: tuple[str, ...]) -> dict[str, str]:
        """Emitted sources by module; `gradients` are parameters without them, as `emit_train` takes them."""
        entries = [WeightEntry(name, TARGETS[name], shape=shape, dtype="float64") for name, shape in SHAPES.items()]
        helpers = Helpers()
        with writing(TORCH):
            train = emit_train(
                loss=LOSS,
                optimizer=from_json(self.specs[case]),
                entries=entries,
                name="problem",
                helpers=helpers,
                **gradients,
            )
            ops = ops_text(helpers)
        return {**({"ops": format_source(ops)} if ops else {}), "train": format_source(train)}

    def apart(self, case: str, train: ModuleType) -> float:
        """The largest relative distance of a parameter at any step."""
        named = parameters()
        optimizer = train.make_optimizer(iter(named.items()))
        worst = 0.0
        for step in range(STEPS):
            one_step(optimizer, named, step, case=case)
            for name, target in TARGETS.items():
                expected = self.arrays[f"{case}/{step}/{name}"]
                scale = np.abs(expected).max() or 1.0
                distance = np.abs(named[target].detach().numpy() - expected).max() / scale
                worst = max(worst, float(distance) if np.isfinite(distance) else np.inf)
        return worst


def parameters() -> dict[str, torch.nn.Parameter]:
    return {TARGETS[name]: torch.nn.Parameter(torch.from_numpy(array)) for name, array in initial().items()}


def one_step(
    optimizer: Any, named: dict[str, torch.nn.Parameter], step: int, compiled: Any = None, case: str = ""
) -> None:
    """One step of an optimizer, or of its compiled `step`."""
    optimizer.zero_grad()
    for name, gradient in gradients(step, case).items():
        named[TARGETS[name]].grad = torch.from_numpy(gradient)
    (compiled or optimizer.step)()


def load(texts: dict[str, str]) -> ModuleType:
    """train.py with float64 for the float32 that a captured schedule names."""
    return load_sources(texts, ".", widen=True)["train"]
