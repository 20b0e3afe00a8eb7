"""A torch side before it is judged: its inputs, outputs, weights and what it trains with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from regauge import optimizers
from regauge.capture.known_inputs import places_of, tensors_at
from regauge.run.describing import flatten, rejects, write_description
from regauge.run.torch_flow import as_loops
from regauge.run.torch_subject import TorchSubject, load_torch_subject
from regauge.run.torch_tensors import numpy_of, seen


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Describe the case of a job."""
    return describe(load_torch_subject(job["case"], as_it_is=True), Path(job["out"]))


def describe(subject: TorchSubject, out: Path) -> dict[str, Any]:
    """The description of a subject; its arrays are written to `out`.

    Raises:
        BadCase: the model rejects its own inputs, or they hold something that is no array.
    """
    model = subject.model
    inputs, arrays = flatten(subject.inputs, "inputs", _is_array)
    targets, target_arrays = (None, {}) if subject.targets is None else flatten(subject.targets, "targets", _is_array)
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad(), as_loops():
            found = subject.call(model, subject.inputs)
    except Exception as error:
        raise rejects(error) from error
    finally:
        for module, mode in modes.items():
            module.training = mode
    outputs, output_arrays = flatten(found, "outputs", _is_array)
    reference = {name: _numpy(leaf) for name, leaf in (arrays | target_arrays | output_arrays).items()}
    named = [*model.named_parameters(), *model.named_buffers()]
    roles = {name: "buffer" for name, _ in model.named_buffers()}
    roles |= {name: "parameter" if p.requires_grad else "frozen" for name, p in model.named_parameters()}
    optimizer = subject.own.name if subject.own else type(subject.optimizer).__name__ if subject.optimizer else ""
    return {
        "name": subject.name,
        "inputs": inputs,
        "known": list(tensors_at(subject.inputs, places_of(model, subject.inputs, subject.known))),
        "targets": targets,
        "outputs": outputs,
        "has_loss": subject.loss is not None,
        "optimizer": optimizer,
        "spec": optimizers.to_json(subject.optimizer) if subject.optimizer else None,
        "knows_mode": _knows_mode(model),
        "shared": sharing(named),
        "weights": write_description(out, reference, {name: seen(tensor) for name, tensor in named}, roles),
        "versions": {"torch": torch.__version__},
    }


def sharing(named: Sequence[tuple[str, torch.Tensor]]) -> list[list[str]]:
    """Groups of weights that are different tensors on overlapping memory; tied ones are one tensor, named once."""
    places: dict[int, list[tuple[int, int, str]]] = {}
    for name, tensor in named:
        if tensor.numel() and tensor.layout is torch.strided:
            begin = int(tensor.storage_offset())
            end = begin + 1 + sum((n - 1) * abs(s) for n, s in zip(tensor.shape, tensor.stride(), strict=True))
            places.setdefault(tensor.untyped_storage().data_ptr(), []).append((begin, end, name))
    groups = []
    for found in places.values():
        found.sort()
        group, reach = [found[0][2]], found[0][1]
        for begin, end, name in [*found[1:], (found[-1][1] + reach, 0, "")]:
            if begin < reach:
                group.append(name)
                reach = max(reach, end)
                continue
            groups += [group] if len(group) > 1 else []
            group, reach = [name], end
    return groups


def _knows_mode(model: torch.nn.Module) -> bool:
    """A plain function and a tree of layers without modes do not; a module of one's own may ask `self.training`."""
    own = [m for m in model.modules() if not type(m).__module__.startswith(("torch.nn", "regauge"))]
    switched = (torch.nn.modules.batchnorm._NormBase, torch.nn.modules.dropout._DropoutNd)
    return bool(own) or any(isinstance(module, switched) for module in model.modules())


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, torch.Tensor | np.ndarray)


def _numpy(leaf: Any) -> np.ndarray:
    return numpy_of(leaf) if isinstance(leaf, torch.Tensor) else np.array(leaf)
