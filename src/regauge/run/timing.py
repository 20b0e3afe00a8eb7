"""Timing steps inside a worker: what is the same for both frameworks. Imports neither.

A worker gives a `Stepper` for each task; `measure_task` makes the first calls, passes the gate, warms up and samples.
"""

from __future__ import annotations

import gc
import math
import statistics
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regauge.errors import RegaugeError, WorkerFailed
from regauge.run import process_memory
from regauge.run.gate import pass_gate

# A sample shall last this many ticks of the clock, so that reading the clock adds less than 0.1 %; and long enough
# that what the system does now and then is spread over all samples of a very short step.
TICKS_PER_SAMPLE = 1000
SAMPLE_SECONDS = 0.005
FEWEST_SAMPLES = 5
WARM_UP_STEPS = 5
WARM_UP_SECONDS = 0.3
MOST_WARM_UP_STEPS = 100
TIMED_PURPOSES = ("time", "self-test")


class Stepper(ABC):
    """One task of one variant, ready to be called."""

    @abstractmethod
    def step(self) -> Any:
        """Run one training step or one inference; may return before the device is done."""

    @abstractmethod
    def wait(self, result: Any) -> None:
        """Return when everything that the step computes is there."""

    @abstractmethod
    def observe(self, result: Any) -> dict[str, Any]:
        """What the gate compares, of the first step's result."""

    @abstractmethod
    def is_finite(self, result: Any) -> bool:
        """Whether a result holds no NaN and no infinity that it should not hold."""

    @abstractmethod
    def compilations(self) -> int:
        """How many programs this process has compiled so far."""

    def device_peak(self) -> int | None:
        """Peak bytes on the device, None where the framework does not count them."""
        return None


@dataclass(frozen=True)
class Settings:
    """What a timing job asks for."""

    purposes: tuple[str, ...]
    steps: int
    step_seconds: float
    gate: Path
    compiled: bool

    @staticmethod
    def of(job: Mapping[str, Any]) -> Settings:
        return Settings(
            purposes=tuple(job["purposes"]),
            steps=job["steps"],
            step_seconds=job["step_seconds"],
            gate=Path(job["gate"]),
            compiled=job["mode"] in ("compile", "jit"),
        )

    @property
    def timed(self) -> bool:
        return any(purpose in TIMED_PURPOSES for purpose in self.purposes)

    @property
    def weighs_memory(self) -> bool:
        return "memory" in self.purposes


def tick_seconds() -> float:
    """The smallest step between two different readings of the clock."""
    smallest = math.inf
    for _ in range(50):
        before = time.perf_counter_ns()
        while (after := time.perf_counter_ns()) == before:
            pass
        smallest = min(smallest, (after - before) * 1e-9)
    return smallest


def timed_call(stepper: Stepper) -> tuple[Any, float]:
    """One step and the seconds until everything of it is there."""
    start = time.perf_counter_ns()
    result = stepper.step()
    stepper.wait(result)
    return result, (time.perf_counter_ns() - start) * 1e-9


def measure_tasks(tasks: Iterable[str], measure: Callable[[str], dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What `measure` finds for each task; where it raises, ``{"error": ...}``, and the other tasks go on."""
    found: dict[str, dict[str, Any]] = {}
    for task in tasks:
        try:
            found[task] = measure(task)
        except RegaugeError as error:
            found[task] = {"error": error.to_json()}
        except Exception as error:
            lines = traceback.format_exc().strip().splitlines()
            failed = WorkerFailed(f"{type(error).__name__}: {error}", details=lines[-12:])
            found[task] = {"error": failed.to_json()}
    return found


def measure_task(task: str, stepper: Stepper, settings: Settings, above: int | None) -> dict[str, Any]:
    """Run one task as its purposes ask.

    Args:
        above: resident bytes after the import of the framework, from which "above import" counts.

    Returns:
        JSON-able: samples (seconds of a step), repeats (steps in one sample), phases, memory, gate, environment.

    Raises:
        WorkerFailed: M120 if the gate is not passed; M121 if a result is not finite at the end.
    """
    if settings.weighs_memory:
        gc.collect()
        process_memory.reset_peak()
    result, first = timed_call(stepper)
    gate = pass_gate(settings.gate, task, stepper.observe(result))
    result, second = timed_call(stepper)
    result, third = timed_call(stepper)
    found: dict[str, Any] = {
        "phases": _phases(first, second, third, settings.compiled),
        "gate": gate,
        "samples": [],
        "memory": _memory(stepper, above) if settings.weighs_memory else {},
        "environment": {},
    }
    if settings.timed:
        found["phases"]["warmup"] = _warm_up(stepper, settings.step_seconds)
        found |= _sample(stepper, settings)
        result, _ = timed_call(stepper)
        _require_finite(stepper, result)
        if task == "infer":
            found["gate"]["after"] = pass_gate(settings.gate, task, stepper.observe(result))["ratio"]
    return found


def _phases(first: float, second: float, third: float, compiled: bool) -> dict[str, float]:
    """The first three calls; of a compiled variant, what the first two take beyond the third is compilation.

    The second call counts too: where the first creates the optimizer's state, the second compiles again.
    """
    phases = {"first_call": first, "second_step": second, "third_step": third}
    if not compiled:
        return phases | {"first_step": first}
    return phases | {"compile": max(0.0, first - third) + max(0.0, second - third), "first_step": min(first, third)}


def _memory(stepper: Stepper, above: int | None) -> dict[str, int]:
    host, device = process_memory.peak_bytes(), stepper.device_peak()
    memory: dict[str, int] = {}
    if host is not None:
        memory["host_peak"] = host
        if above is not None:
            memory["host_above_import"] = max(0, host - above)
    if device is not None:
        memory["device_peak"] = device
    return memory


def _warm_up(stepper: Stepper, most_seconds: float) -> float:
    """Step until nothing was compiled for a few steps; the seconds that it took.

    What compiles at every step (some of JAX's control flow, op by op) is stopped by number of steps and time; the
    programs compiled while timed then say so.
    """
    start = time.perf_counter()
    quiet, compiled = 0, stepper.compilations()
    for count in range(MOST_WARM_UP_STEPS):
        timed_call(stepper)
        if count >= WARM_UP_STEPS and time.perf_counter() - start > most_seconds:
            break
        now = stepper.compilations()
        quiet, compiled = (quiet + 1 if now == compiled else 0), now
        if quiet >= WARM_UP_STEPS and time.perf_counter() - start >= WARM_UP_SECONDS:
            break
    return time.perf_counter() - start


def _sample(stepper: Stepper, settings: Settings) -> dict[str, Any]:
    once = statistics.median(timed_call(stepper)[1] for _ in range(3))
    tick = tick_seconds()
    repeats = max(1, math.ceil(max(TICKS_PER_SAMPLE * tick, SAMPLE_SECONDS) / once))
    compiled = stepper.compilations()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        cpu, start = time.process_time(), time.perf_counter()
        samples: list[float] = []
        while len(samples) < settings.steps:
            samples.append(_one_sample(stepper, repeats))
            if len(samples) >= FEWEST_SAMPLES and time.perf_counter() - start > settings.step_seconds:
                break
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    finally:
        gc.enable()
        gc.unfreeze()
    environment = {
        "clock_tick": tick,
        "steps_per_sample": repeats,
        "busy_cpus": cpu / wall,
        "compiled_while_timed": stepper.compilations() - compiled,
        "steady": steadiness(samples),
    }
    return {"samples": samples, "environment": environment}


def _one_sample(stepper: Stepper, repeats: int) -> float:
    start = time.perf_counter_ns()
    for _ in range(repeats):
        stepper.wait(stepper.step())
    return (time.perf_counter_ns() - start) * 1e-9 / repeats


def steadiness(samples: list[float]) -> str:
    """``flat``, ``warm-up`` (the second half is faster) or ``slowdown``: a label for readers, nothing is dropped.

    The medians of the two halves differ if they are further apart than 2 % and than two standard errors, which the
    median absolute deviation estimates (1.4826 MAD for the normal distribution).
    """
    logs = [math.log(sample) for sample in samples]
    half = len(logs) // 2
    if half < 2:
        return "flat"
    early, late = statistics.median(logs[:half]), statistics.median(logs[half:])
    spread = statistics.median(abs(x - late) for x in logs[half:]) * 1.4826
    if abs(late - early) <= max(0.02, 2 * spread / math.sqrt(half)):
        return "flat"
    return "warm-up" if late < early else "slowdown"


def _require_finite(stepper: Stepper, result: Any) -> None:
    if not stepper.is_finite(result):
        raise WorkerFailed(
            "a result of the timed steps is NaN or infinite",
            code="M121",
            why="arithmetic on such values can take another time than on real ones",
            next="lower the learning rate, or check the inputs",
        )
