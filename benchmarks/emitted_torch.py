"""Is the emitted PyTorch as fast as PyTorch written by hand? One launch: both eager or both compiled.

Called by `python -m benchmarks`: ``python -m benchmarks.emitted_torch NAME FOLDER MODE SEED`` prints a JSON line per
task. The saved folder holds a case of `benchmarks.jax_cases`; the module by hand is that of `benchmarks.originals`.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from benchmarks.blocks import Step, compare
from benchmarks.originals import Encoder, ResNet
from regauge.run.torch_folder import load_torch_folder

MODELS: dict[str, Callable[[], nn.Module]] = {"encoder": Encoder, "resnet": ResNet}
OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "encoder": lambda parameters: torch.optim.AdamW(parameters, lr=1e-4, weight_decay=1e-2),
    "resnet": lambda parameters: torch.optim.SGD(parameters, lr=1e-2, momentum=0.9),
}


def inference(model: nn.Module, inputs: tuple[Any, ...]) -> Step:
    @torch.no_grad()
    def run() -> Any:
        return model(*inputs)

    return run


def training(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss: Callable[[Any, Any], Tensor],
    inputs: tuple[Any, ...],
    targets: Any,
) -> Step:
    def run() -> Any:
        value = loss(model(*inputs), targets)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        return value

    return run


def main(name: str, folder: str, mode: str, seed: str) -> None:
    order = random.Random(int(seed))
    wait = (lambda _: torch.cuda.synchronize()) if torch.cuda.is_available() else (lambda _: None)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    subject = load_torch_folder(Path(folder))
    assert subject.loss is not None
    assert subject.own is not None
    subject.model.to(device)
    inputs, targets = tree_map(lambda x: x.to(device), (subject.inputs, subject.targets))
    by_hand = MODELS[name]().to(device)
    own = subject.own.of(dict(subject.model.named_parameters()))
    models = {"emitted": subject.model, "handwritten": by_hand}
    # Labels are int32 in JAX, which the loss by hand is given as int64, as PyTorch asks.
    losses: dict[str, Any] = {"emitted": subject.loss, "handwritten": lambda x, y: F.cross_entropy(x, y)}
    optimizers = {"emitted": own, "handwritten": OPTIMIZERS[name](by_hand.parameters())}
    labels = {"emitted": targets, "handwritten": targets.long()}
    if mode == "compile":
        models = {key: torch.compile(model) for key, model in models.items()}  # type: ignore[misc]
    steps: dict[str, dict[str, Step]] = {}
    for key, model in models.items():
        steps[key] = {
            "infer": inference(model, inputs),
            "train": training(model, optimizers[key], losses[key], inputs, labels[key]),
        }
    for task, train in (("infer", False), ("train", True)):
        for model in models.values():
            model.train(train)
        figures = compare(steps["emitted"][task], steps["handwritten"][task], order, wait)
        print(json.dumps({"task": task, **figures}))


if __name__ == "__main__":
    main(*sys.argv[1:])
