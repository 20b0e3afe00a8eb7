"""The emitted optimizers take torch's steps: 30 of them in float64, torch in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import optax
import pytest
from flax import nnx
from optimizer_cases import CASES, PARAMETERS, STEPS, gradient, initial

from regauge.emit.train import emit_train
from regauge.optimizers import from_json
from regauge.run.jax_source import load_sources
from regauge.weights.mapping import WeightEntry

LOSS = "def loss(outputs, targets):\n    return ((outputs - targets) ** 2).mean()"

# Both sides round differently in every operation; 30 steps of a contraction keep that at a few hundred ulp.
LIMIT = 1e-12


@pytest.fixture(scope="module")
def torch_run(tmp_path_factory):
    out = tmp_path_factory.mktemp("trajectories")
    script = Path(__file__).with_name("torch_trajectories.py")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, script, out], check=True, env=environment, timeout=300)
    specs = json.loads((out / "specs.json").read_text())
    return specs, dict(np.load(out / "native.npz")), dict(np.load(out / "built.npz"))


def entries(case):
    return [
        WeightEntry(name, target, shape=shape, dtype="float64", trainable=name not in case.fixed)
        for name, (target, shape) in PARAMETERS.items()
    ]


class Layer(nnx.Module):
    def __init__(self, **arrays):
        for name, array in arrays.items():
            setattr(self, name, nnx.Param(array))


class Model(nnx.Module):
    """The modules of the problem, each parameter under its path in the converted module."""

    def __init__(self, arrays):
        layers: dict[str, dict[str, np.ndarray]] = {}
        for name, (target, _) in PARAMETERS.items():
            layer, _, leaf = target.partition(".")
            layers.setdefault(layer, {})[leaf] = jax.numpy.asarray(arrays[name])
        for layer, leaves in layers.items():
            setattr(self, layer, Layer(**leaves))


def by_source(params):
    found = {".".join(map(str, path)): array for path, array in nnx.to_flat_state(params)}
    return {name: np.asarray(found[target]) for name, (target, _) in PARAMETERS.items() if target in found}


def emitted_trajectory(spec, case):
    """The parameters after every step, by the original's names."""
    text = emit_train(loss=LOSS, optimizer=spec, entries=entries(case), name="Problem")
    train = load_sources({"train": text})["train"]
    start = initial()
    _, params, _, opt_state = train.init(Model(start))
    sources = {target: name for name, (target, _) in PARAMETERS.items()}

    @jax.jit
    def apply(params, opt_state, gradients):
        updates, opt_state = train.make_optimizer().update(gradients, opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    trajectory = []
    for step in range(STEPS):

        def grad(path, array, step=step):
            return jax.numpy.asarray(gradient(sources[".".join(map(str, path))], np.asarray(array), step))

        params, opt_state = apply(params, opt_state, nnx.map_state(grad, params))
        trajectory.append({**start, **by_source(params)})
    return trajectory


def distance(trajectory, arrays, case):
    """Largest relative 2-norm over the steps, of all parameters together."""
    worst = 0.0
    for step, found in enumerate(trajectory):
        truth = {name: arrays[f"{case}/{step}/{name}"] for name in PARAMETERS}
        assert all(np.isfinite(value).all() for value in truth.values())
        difference = np.sqrt(sum(np.sum((found[name] - truth[name]) ** 2) for name in truth))
        worst = max(worst, difference / np.sqrt(sum(np.sum(value**2) for value in truth.values())))
    return worst


@pytest.mark.parametrize("name", CASES)
def test_emitted_optimizer_takes_torchs_steps(name, torch_run):
    specs, native, _ = torch_run
    with jax.enable_x64(True):
        trajectory = emitted_trajectory(from_json(specs[name]), CASES[name])
    assert trajectory[-1]["outer.bias"].dtype == np.float64
    assert distance(trajectory, native, name) < LIMIT


@pytest.mark.parametrize("name", CASES)
def test_optimizer_of_the_spec_takes_torchs_steps(name, torch_run):
    _, native, built = torch_run
    trajectory = [{p: built[f"{name}/{step}/{p}"] for p in PARAMETERS} for step in range(STEPS)]
    assert distance(trajectory, native, name) < LIMIT


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("adamw", {"weight_decay": 1e-4}),
        ("adam", {"eps": 1e-7}),
        ("sgd-nesterov", {"nesterov": False}),
        ("rmsprop", {"alpha": 0.9}),
        ("sgd-clip", {"clip_norm": 0.5 * (1 + 1e-6)}),
        ("linear", {"schedule": {"type": "LinearWarmup", "total_iters": 9}}),
    ],
)
def test_a_wrong_argument_shows(name, change, torch_run):
    specs, native, _ = torch_run
    with jax.enable_x64(True):
        trajectory = emitted_trajectory(from_json({**specs[name], **change}), CASES[name])
    assert distance(trajectory, native, name) > 100 * LIMIT
