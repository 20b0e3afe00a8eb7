"""Is the emitted model as fast as the original under torchax? One launch: both jitted, alternating blocks.

Called by `python -m benchmarks torchax`: ``python -m benchmarks.against_torchax NAME FOLDER SEED`` prints a JSON line a
task. torchax is no dependency: ``pip install --no-deps torchax``. It does not move the statistics of batch norms, the
emitted model does.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import optax
import torchax
from torch import nn

from benchmarks import originals
from benchmarks.blocks import Step, compare
from benchmarks.emitted import inference, training
from benchmarks.handwritten import OPTIMIZERS
from regauge.run.jax_subject import load_jax_subject

MODELS: dict[str, Callable[[], nn.Module]] = {"encoder": originals.Encoder, "resnet": originals.ResNet}


def torchax_inference(model: nn.Module, inputs: tuple[Any, ...]) -> Step:
    weights, call = torchax.extract_jax(model.eval())
    forward = jax.jit(lambda weights, *inputs: call(weights, inputs))
    return lambda: forward(weights, *inputs)


def torchax_training(name: str, model: nn.Module, inputs: tuple[Any, ...], targets: Any) -> Step:
    weights, call = torchax.extract_jax(model.train())
    optimizer = OPTIMIZERS[name]()
    params = {path: weights.pop(path) for path, _ in model.named_parameters()}

    def step(params, buffers, opt_state, inputs, targets):
        def loss_fn(params):
            scores = call({**params, **buffers}, inputs)
            return optax.softmax_cross_entropy_with_integer_labels(scores, targets).mean()

        loss, gradients = jax.value_and_grad(loss_fn)(params)
        updates, opt_state = optimizer.update(gradients, opt_state, params)
        return optax.apply_updates(params, updates), buffers, opt_state, loss

    jitted = jax.jit(step, donate_argnums=(0, 1, 2))
    return training(jitted, params, weights, optimizer.init(params), (inputs, targets))


def main(name: str, folder: str, seed: str) -> None:
    order = random.Random(int(seed))
    subject = load_jax_subject(Path(folder))
    inputs = jax.tree.map(jax.numpy.asarray, subject.inputs)
    targets = jax.tree.map(jax.numpy.asarray, subject.targets)
    subject.model.eval()
    emitted = inference(subject.model, inputs)
    found = {"infer": compare(emitted, torchax_inference(MODELS[name](), inputs), order, jax.block_until_ready)}
    subject.model.train()
    graphdef, *held = subject.train.init(subject.model)
    emitted = training(subject.train.make_train_step(graphdef), *held, (inputs, targets))
    other = torchax_training(name, MODELS[name](), inputs, targets)
    found["train"] = compare(emitted, other, order, jax.block_until_ready)
    for task, figures in found.items():
        print(json.dumps({"task": task, **figures}))


if __name__ == "__main__":
    main(*sys.argv[1:])
