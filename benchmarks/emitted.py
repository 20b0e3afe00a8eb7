"""Is the emitted model as fast as one written by hand? One launch: both jitted, alternating blocks.

Called by `python -m benchmarks`: ``python -m benchmarks.emitted NAME FOLDER SEED`` prints a JSON line per task. A
launch gives one difference a task: two processes with the same program differ by more than the blocks within one.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from flax import nnx

from benchmarks.blocks import Step, compare
from benchmarks.handwritten import MODELS, OPTIMIZERS, make_train_step
from regauge.run.jax_subject import load_jax_subject


def inference(model: nnx.Module, inputs: tuple[Any, ...]) -> Step:
    graphdef, state = nnx.split(model)
    forward = jax.jit(lambda state, *inputs: nnx.merge(graphdef, state)(*inputs))
    arrays = nnx.as_pure(state)  # of both: what is compared is the modules
    return lambda: forward(arrays, *inputs)


def training(step: Callable[..., Any], params: Any, state: Any, opt_state: Any, batch: tuple[Any, Any]) -> Step:
    held = [params, state, opt_state]

    def run() -> Any:
        *held[:], loss = step(*held, *batch)
        return loss

    return run


def main(name: str, folder: str, seed: str) -> None:
    order = random.Random(int(seed))
    subject = load_jax_subject(Path(folder))
    inputs = jax.tree.map(jax.numpy.asarray, subject.inputs)
    targets = jax.tree.map(jax.numpy.asarray, subject.targets)
    own = MODELS[name](rngs=nnx.Rngs(0))
    for model in (subject.model, own):
        model.eval()
    found = {"infer": compare(inference(subject.model, inputs), inference(own, inputs), order, jax.block_until_ready)}
    for model in (subject.model, own):
        model.train()
    graphdef, *held = subject.train.init(subject.model)
    emitted = training(subject.train.make_train_step(graphdef), *held, (inputs, targets))
    own_graphdef, params, state = nnx.split(own, nnx.Param, ...)
    step = make_train_step(name, own_graphdef)
    handwritten = training(step, params, state, OPTIMIZERS[name]().init(params), (inputs, targets))
    found["train"] = compare(emitted, handwritten, order, jax.block_until_ready)
    for task, figures in found.items():
        print(json.dumps({"task": task, **figures}))


if __name__ == "__main__":
    main(*sys.argv[1:])
