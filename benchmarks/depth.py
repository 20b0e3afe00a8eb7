"""What a scan over layers costs and saves against unrolled layers: time to trace, to compile and to take a step.

Called by `python -m benchmarks`: ``python -m benchmarks.depth DEPTH`` converts one model both ways, in one process, and
prints a JSON line for each repeat, in which both are traced, compiled and run in random order.

Times are processor time: it depends less on what else the machine does.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jax
import torch
import torch.nn.functional as F
from flax import nnx

import regauge
from benchmarks import originals
from benchmarks.emitted import training
from regauge.run.jax_subject import JaxSubject, load_jax_subject

DEPTHS = (4, 12, 24, 48)
WAYS = ("scan", "unroll")
BATCH, REPEATS, STEPS = 8, 5, 2


def case(depth: int) -> regauge.Case:
    """The encoder of the benchmarks with more layers."""
    torch.manual_seed(0)
    model = originals.Encoder(depth)
    tokens = torch.randint(0, originals.VOCABULARY, (BATCH, originals.TOKENS))
    labels = torch.randint(0, originals.CLASSES, (BATCH,))
    optimizer = regauge.optimizers.AdamW(lr=1e-4, weight_decay=1e-2)
    return regauge.Case(model, (tokens,), labels, F.cross_entropy, optimizer, f"encoder of {depth} layers")


def encoder4() -> regauge.Case:
    return case(4)


def encoder12() -> regauge.Case:
    return case(12)


def encoder24() -> regauge.Case:
    return case(24)


def encoder48() -> regauge.Case:
    return case(48)


def subject(depth: str, layers: str, directory: str) -> JaxSubject:
    """The model, converted in one of the two ways and loaded."""
    from regauge.conversion import convert

    folder, work = Path(directory) / layers, Path(directory) / f"{layers}-work"
    work.mkdir()
    convert(f"{Path(__file__).resolve()}:encoder{depth}", folder, work, layers=layers)
    return load_jax_subject(folder)


def task_of(found: JaxSubject, task: str) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """A function of a fresh trace, and its arguments."""
    inputs, targets = (jax.tree.map(jax.numpy.asarray, tree) for tree in (found.inputs, found.targets))
    if task == "infer":
        found.model.eval()
        graphdef, state = nnx.split(found.model)
        return jax.jit(lambda state, *inputs: nnx.merge(graphdef, state)(*inputs)), (state, *inputs)
    train: Any = found.train
    found.model.train()
    graphdef, *held = jax.tree.map(lambda leaf: leaf, train.init(found.model))
    held = jax.tree.map(jax.numpy.copy, held)  # the step donates them
    return jax.jit(lambda *a: train.train_step(graphdef, *a), donate_argnums=(0, 1, 2)), (*held, inputs, targets)


def spent(action: Callable[[], Any]) -> tuple[Any, float]:
    """What an action returns, and the processor time that it took, in seconds."""
    started = time.process_time()
    result = jax.block_until_ready(action())
    return result, time.process_time() - started


def measure(found: JaxSubject, task: str) -> dict[str, float]:
    """Seconds of processor time to trace, to compile, and for one step after a first one."""
    function, arguments = task_of(found, task)
    lowered, trace = spent(lambda: function.lower(*arguments))  # type: ignore[attr-defined]
    made, compiling = spent(lowered.compile)
    if task == "train":
        step = training(made, *arguments[:3], arguments[3:])
    else:

        def step() -> Any:
            return made(*arguments)

    jax.block_until_ready(step())
    steps = [spent(step)[1] for _ in range(STEPS)]
    return {"trace": trace, "compile": compiling, "step": min(steps)}


def main(depth: str) -> None:
    order = random.Random(int(depth))
    with TemporaryDirectory() as directory:
        subjects = {layers: subject(depth, layers, directory) for layers in WAYS}
        for found in subjects.values():
            measure(found, "infer")  # what the first trace of a process imports
        for _ in range(REPEATS):
            for task in ("infer", "train"):
                ways = sorted(WAYS, key=lambda _: order.random())
                figures = {layers: measure(subjects[layers], task) for layers in ways}
                print(json.dumps({"depth": int(depth), "task": task, **figures}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
