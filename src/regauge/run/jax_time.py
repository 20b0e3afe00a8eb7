"""The timing job of the JAX worker: the emitted model, jitted or op by op, on the tasks of one launch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from regauge.errors import WorkerFailed
from regauge.run import process_memory
from regauge.run.jax_case import JaxCase, load_jax_case
from regauge.run.jax_gate import output_arrays, update_norm
from regauge.run.jax_subject import JaxSubject, load_jax_subject
from regauge.run.protocol import flatten_tree
from regauge.run.timing import Settings, Stepper, measure_task, measure_tasks

_MATMUL = {"strict32": "highest", "tf32": "tensorfloat32"}
_COMPILE_EVENT = "/jax/core/compile/backend_compile_duration"
_compilations = 0


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Time the tasks of one launch.

    Args:
        job: case, folder, original (whether the case is of JAX and to be timed, not the folder), gate, tasks, mode (jit
            or op-by-op), purposes, steps, step_seconds, threads, precision, and launched: the monotonic clock when the
            process was started.

    Returns:
        ``{"tasks": {task: result of measure_task}, "environment": what was read back}``.
    """
    imported = time.monotonic() - job["launched"]
    above = process_memory.resident_bytes()
    jax.config.update("jax_default_matmul_precision", _MATMUL[job["precision"]])
    jax.monitoring.register_event_duration_secs_listener(_count_compilation)
    settings = Settings.of(job)

    def measure(task: str) -> dict[str, Any]:
        start = time.perf_counter()
        copies = not settings.weighs_memory  # the gate's own copies would weigh too
        stepper: Stepper
        if job["original"]:
            stepper = _OF_CASE[task](load_jax_case(job["case"], Path(job["folder"])), settings.compiled, copies)
        else:
            stepper = _STEPPERS[task](load_jax_subject(Path(job["folder"])), settings.compiled, copies)
        built = time.perf_counter() - start
        found = measure_task(task, stepper, settings, above)
        return found | {"phases": found["phases"] | {"import": imported, "build": built}}

    return {"tasks": measure_tasks(job["tasks"], measure), "environment": _environment()}


def _count_compilation(event: str, duration_secs: float, **kwargs: str | int) -> None:
    global _compilations
    _compilations += event == _COMPILE_EVENT


class _JaxStepper(Stepper):
    def wait(self, result: Any) -> None:
        jax.block_until_ready(result)

    def compilations(self) -> int:
        return _compilations

    def device_peak(self) -> int | None:
        statistics = jax.devices()[0].memory_stats()
        return None if statistics is None else statistics.get("peak_bytes_in_use")


class _Infer(_JaxStepper):
    """The module in eval mode as a function of its state and the inputs."""

    def __init__(self, subject: JaxSubject, jitted: bool, copies: bool) -> None:
        subject.model.eval()
        graphdef, state = nnx.split(subject.model)
        self._inputs = to_device(subject.inputs)
        self._state = nnx.as_pure(state)
        self._jitted = jitted

        def infer(state: Any, inputs: Any) -> Any:
            return JaxSubject.call(nnx.merge(graphdef, state), inputs)

        self._infer = jax.jit(infer) if jitted else infer

    def step(self) -> Any:
        with jax.disable_jit(not self._jitted):
            return self._infer(self._state, self._inputs)

    def observe(self, result: Any) -> dict[str, Any]:
        _, leaves = flatten_tree(result, lambda leaf: isinstance(leaf, jax.Array), "outputs")
        return {"outputs": {name: _numpy(leaf) for name, leaf in leaves.items()}}

    def is_finite(self, result: Any) -> bool:
        return True  # masks may be infinite by design; the gate compares them place by place


class _Train(_JaxStepper):
    """The emitted training step: ``make_train_step``, which donates, or ``train_step`` operation by operation."""

    def __init__(self, subject: JaxSubject, jitted: bool, copies: bool) -> None:
        train = subject.train
        if train is None or not hasattr(train, "train_step"):
            raise WorkerFailed("the conversion has no train.py with a training step", next="convert the case again")
        subject.model.train()
        self._inputs, self._targets = to_device(subject.inputs), to_device(subject.targets)
        graphdef, params, state, optimizer_state = train.init(subject.model)
        self._state = fresh_copies((params, state, optimizer_state))
        self._before = [np.array(leaf) for leaf in jax.tree.leaves(params)] if copies else None
        self._jitted = jitted
        self._step = train.make_train_step(graphdef) if jitted else partial(train.train_step, graphdef)

    def step(self) -> Any:
        with jax.disable_jit(not self._jitted):
            *state, loss = self._step(*self._state, self._inputs, self._targets)
        self._state = tuple(state)
        return loss

    def wait(self, result: Any) -> None:
        jax.block_until_ready((self._state, result))

    def observe(self, result: Any) -> dict[str, Any]:
        observed = {"loss": float(result)}
        if self._before is not None:
            after = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(self._state[0])]
            pairs = zip(self._before, after, strict=True)
            observed["update"] = math.sqrt(sum(float(np.sum((a - b) ** 2)) for b, a in pairs))
            self._before = None
        return observed

    def is_finite(self, result: Any) -> bool:
        return bool(jnp.isfinite(result).all())


class _CaseInfer(_JaxStepper):
    """A person's own model in evaluation mode."""

    def __init__(self, case: JaxCase, jitted: bool, copies: bool) -> None:
        program = case.side.program
        self._arguments = (program.params, program.state, case.inputs)
        self._jitted = jitted
        self._infer = jax.jit(case.infer()) if jitted else case.infer()

    def step(self) -> Any:
        with jax.disable_jit(not self._jitted):
            return self._infer(*self._arguments)

    def observe(self, result: Any) -> dict[str, Any]:
        return {"outputs": output_arrays(result)}

    def is_finite(self, result: Any) -> bool:
        return True  # masks may be infinite by design; the gate compares them place by place


class _CaseTrain(_JaxStepper):
    """A person's own model, loss and optimizer as one jitted step with donated state, or operation by operation."""

    def __init__(self, case: JaxCase, jitted: bool, copies: bool) -> None:
        self._case = case
        self._before = {n: np.array(a) for n, a in case.side.program.params.items()} if copies else None
        self._carry = case.start()
        self._trainer: Any = case.side.trainer
        self._jitted = jitted

    def step(self) -> Any:
        with jax.disable_jit(not self._jitted):
            self._carry, loss = self._trainer.step(self._carry, self._case.inputs, self._case.targets)
        return loss

    def wait(self, result: Any) -> None:
        jax.block_until_ready((self._carry, result))

    def observe(self, result: Any) -> dict[str, Any]:
        observed = {"loss": float(result)}
        if self._before is not None:
            observed["update"] = update_norm(self._before, self._trainer.arrays(self._carry)[0])
            self._before = None
        return observed

    def is_finite(self, result: Any) -> bool:
        return bool(jnp.isfinite(result).all())


_OF_CASE: dict[str, Callable[[JaxCase, bool, bool], Stepper]] = {"infer": _CaseInfer, "train": _CaseTrain}
_STEPPERS: dict[str, Callable[[JaxSubject, bool, bool], Stepper]] = {"infer": _Infer, "train": _Train}


def to_device(tree: Any) -> Any:
    """numpy leaves as arrays on the default device, and None for texts.

    Arrays are copied, since on the CPU JAX may share numpy's memory. Texts are constants of the conversion, and jax.jit
    takes none.
    """

    def on_device(leaf: Any) -> Any:
        return None if isinstance(leaf, str) else jnp.array(leaf) if isinstance(leaf, np.ndarray) else leaf

    return jax.tree.map(on_device, tree)


def fresh_copies(tree: Any) -> Any:
    """Every array in a buffer of its own: a donated buffer may be given once only, and tied leaves share one."""
    return jax.tree.map(lambda leaf: leaf.copy() if isinstance(leaf, jax.Array) else leaf, tree)


def _numpy(array: jax.Array) -> np.ndarray:
    return np.asarray(array.astype(jnp.float32) if array.dtype == jnp.bfloat16 else array)


def _environment() -> dict[str, Any]:
    device = jax.devices()[0]
    return {
        "device": {"kind": "cpu" if device.platform == "cpu" else "gpu", "name": device.device_kind},
        "precision": {"matmul": jax.config.values["jax_default_matmul_precision"]},
        "random_numbers": jax.config.values["jax_default_prng_impl"],
        "versions": {
            "jax": jax.__version__,
            "jaxlib": jax.lib.__version__,
            "flax": flax.__version__,
            "optax": optax.__version__,
        },
        "compiled_programs": _compilations,
    }
