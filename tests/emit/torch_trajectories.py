"""A process of its own that runs torch's optimizers: ``python torch_trajectories.py OUT``.

Writes ``native.npz`` (torch.optim and lr_scheduler as the case constructs them), ``built.npz`` (regauge's optimizer
made of the spec that was read off the first) and ``specs.json``. Keys: ``case/step/parameter``.
"""

from __future__ import annotations

import dataclasses
import json
import math
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from optimizer_cases import CASES, STEPS, OptimizerCase, gradient, initial
from torch import nn
from torch.optim import lr_scheduler

from regauge.capture.torch_optimizer import from_torch
from regauge.optimizers import Optimizer, WarmupCosine, from_json, to_json
from regauge.run.torch_optimizers import build

warnings.simplefilter("error")
# torch warns when a scheduler is made a second time for one optimizer, as SequentialLR's parts are
warnings.filterwarnings("ignore", message=".*lr_scheduler.*", category=UserWarning)


def parameters(case: OptimizerCase) -> dict[str, nn.Parameter]:
    return {
        name: nn.Parameter(torch.from_numpy(value.copy()), requires_grad=name not in case.fixed)
        for name, value in initial().items()
    }


def optimizer_of(case: OptimizerCase, named: dict[str, nn.Parameter]) -> torch.optim.Optimizer:
    given = {name: parameter for name, parameter in named.items() if name not in case.left_out}
    groups: list[dict[str, Any]] = []
    for endings, options in case.groups:
        members = [name for name in given if name.endswith(endings)]
        groups.append({"params": [given.pop(name) for name in members], **options})
    return getattr(torch.optim, case.kind)([*groups, {"params": [*given.values()]}], **case.options)


def scheduler_of(description: tuple[str, dict[str, Any]], optimizer: torch.optim.Optimizer) -> Any:
    name, arguments = description
    if name == "WarmupCosine":
        return lr_scheduler.LambdaLR(optimizer, lambda step: warmup_cosine(step, **arguments))
    made = dict(arguments)
    if "schedulers" in made:
        made["schedulers"] = [scheduler_of(part, optimizer) for part in made["schedulers"]]
    if name == "ChainedScheduler":
        return lr_scheduler.ChainedScheduler(**made)
    return getattr(lr_scheduler, name)(optimizer, **made)


def warmup_cosine(step: int, warmup_steps: int, total_steps: int) -> float:
    """The factor of Hugging Face's get_cosine_schedule_with_warmup."""
    if step < warmup_steps:
        return step / max(1, warmup_steps)
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return max(0.0, 0.5 * (1.0 + math.cos(math.pi * progress))) if progress < 1 else 0.0


def set_gradients(named: dict[str, nn.Parameter], step: int) -> None:
    for name, parameter in named.items():
        if parameter.requires_grad:
            parameter.grad = torch.from_numpy(gradient(name, parameter.detach().numpy(), step))


def keep(arrays: dict[str, np.ndarray], case: str, step: int, named: dict[str, nn.Parameter]) -> None:
    for name, parameter in named.items():
        arrays[f"{case}/{step}/{name}"] = parameter.detach().numpy().copy()


def native(name: str, case: OptimizerCase, arrays: dict[str, np.ndarray]) -> Optimizer:
    named = parameters(case)
    optimizer = optimizer_of(case, named)
    if case.scheduler is not None and case.scheduler[0] == "WarmupCosine":
        spec = dataclasses.replace(from_torch(optimizer, named.items()), schedule=WarmupCosine(**case.scheduler[1]))
        scheduler = scheduler_of(case.scheduler, optimizer)
    else:
        scheduler = None if case.scheduler is None else scheduler_of(case.scheduler, optimizer)
        spec = from_torch(optimizer, named.items(), scheduler)
    for step in range(STEPS):
        set_gradients(named, step)
        if case.clip_value is not None:
            nn.utils.clip_grad_value_([p for p in named.values() if p.requires_grad], case.clip_value)
        if case.clip is not None:
            nn.utils.clip_grad_norm_([p for p in named.values() if p.requires_grad], case.clip)
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        keep(arrays, name, step, named)
    return spec


def built(name: str, case: OptimizerCase, spec: Optimizer, arrays: dict[str, np.ndarray]) -> None:
    named = parameters(case)
    optimizer = build(spec, named.items())
    for step in range(STEPS):
        set_gradients(named, step)
        optimizer.step()
        keep(arrays, name, step, named)


def main(out: Path) -> None:
    torch.set_num_threads(1)
    specs: dict[str, Any] = {}
    native_arrays: dict[str, np.ndarray] = {}
    built_arrays: dict[str, np.ndarray] = {}
    for name, case in CASES.items():
        data = to_json(native(name, case, native_arrays))
        specs[name] = json.loads(json.dumps({**data, "clip_norm": case.clip, "clip_value": case.clip_value}))
        built(name, case, from_json(specs[name]), built_arrays)
    np.savez(out / "native.npz", **native_arrays)
    np.savez(out / "built.npz", **built_arrays)
    (out / "specs.json").write_text(json.dumps(specs, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
