"""The gate's reference for an original of torch."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from regauge.run.gate_reference import write_gate
from regauge.run.torch_subject import TorchSubject
from regauge.run.torch_time import configure, load_subject, output_arrays, train_step, update_norm


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Write gate.json and outputs.safetensors into ``job["out"]``.

    Args:
        job: case, folder, tasks, threads, precision.
    """
    configure(job["threads"], job["precision"])
    torch.set_float32_matmul_precision("highest")

    def original() -> TorchOriginal:
        return TorchOriginal(load_subject(job["case"], Path(job["folder"]), torch.device("cpu")))

    return write_gate(original, job["tasks"], job["precision"], Path(job["out"]))


class TorchOriginal:
    """`regauge.run.gate_reference.Original` for torch."""

    def __init__(self, subject: TorchSubject) -> None:
        self.subject = subject

    def outputs(self, wide: bool) -> dict[str, np.ndarray]:
        subject = _widened(self.subject) if wide else self.subject
        with torch.no_grad():
            return output_arrays(subject.call(subject.model.eval(), subject.inputs))

    def first_step(self, seed: int, wide: bool) -> tuple[float, float]:
        """On a copy of the model."""
        own = copy.copy(_widened(self.subject) if wide else self.subject)
        own.model = copy.deepcopy(own.model)
        parameters = [p for p in own.model.parameters() if p.requires_grad]
        before = [p.detach().clone() for p in parameters]
        torch.manual_seed(seed)
        loss = float(train_step(own)())
        return loss, update_norm(before, parameters)


def _widened(subject: TorchSubject) -> TorchSubject:
    """The subject with every floating-point tensor in float64."""
    wide: Callable[[Tensor], Tensor] = lambda t: t.double() if t.is_floating_point() else t  # noqa: E731
    copied = copy.copy(subject)
    copied.model = copy.deepcopy(subject.model).double()
    copied.inputs = pytree.tree_map_only(Tensor, wide, subject.inputs)
    copied.targets = pytree.tree_map_only(Tensor, wide, subject.targets)
    return copied
