"""Measurement types: raw samples per launch, and the effects computed from them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Status = Literal["ok", "failed", "timed out", "skipped"]
EffectVerdict = Literal["faster", "slower", "equivalent", "inconclusive", "not comparable"]


@dataclass(frozen=True)
class Variant:
    """One way to run the model: framework x mode."""

    framework: Literal["torch", "jax"]
    mode: Literal["eager", "compile", "jit", "op-by-op"]

    @property
    def name(self) -> str:
        return f"{self.framework} {self.mode}"


@dataclass(frozen=True)
class MeasurementPlan:
    """Everything that is fixed before the first launch; its hash is the key of a resumable run.

    Attributes:
        blocks: timing launches of each variant and task.
        steps: timed steps of one launch.
        starts: cold and warm starts of each variant and task, and launches that weigh its memory.
        step_seconds: a launch whose steps take longer than this in total stops early, after five at the least.
        timeout: seconds after which one launch is stopped.
    """

    case: str
    tasks: tuple[str, ...]  # "infer", "train"
    variants: tuple[Variant, ...]
    reference: Variant
    blocks: int
    steps: int
    threads: int
    precision: str
    seed: int
    quick: bool = False
    margin: float = 0.03
    timeout: float = 900.0
    starts: int = 1
    step_seconds: float = 10.0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Measurement:
    """One launch: one fresh process that ran one variant of one task.

    Attributes:
        purpose: time, memory, compile-cold, compile-warm or self-test.
        samples: seconds of each timed step, in order, all of them.
        phases: seconds of import, build, compile, first_step, second_step, third_step, warmup.
        memory: bytes by name: host_peak, host_above_import, device_peak.
        environment: what was read back in the worker (threads, precision, versions, device) and before the
            launch (load, steal, free memory).
        seconds: of the whole launch, which may have given several measurements: see `launched_seconds`.
        gate: result of the equality gate before the clock: passed, largest ratio, note.
    """

    run: str
    task: str
    variant: str
    purpose: str
    block: int
    position: int
    status: Status
    samples: tuple[float, ...] = ()
    phases: dict[str, float] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    gate: dict[str, Any] = field(default_factory=dict)
    error: dict[str, Any] | None = None
    seconds: float = 0.0
    started: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> Measurement:
        return Measurement(**{**data, "samples": tuple(data["samples"])})


def launched_seconds(measurements: Iterable[Measurement]) -> float:
    """Seconds spent in launches; one that served several tasks or purposes counts once."""
    return sum({(m.run, m.variant, m.started): m.seconds for m in measurements}.values())


@dataclass(frozen=True)
class Effect:
    """A ratio of step times, variant over reference: above 1 is slower than the reference.

    `low` and `high` bound the 95 % signed-rank interval around the Hodges-Lehmann ratio; `low90`, `high90` serve
    the equivalence verdict; `t_low`, `t_high` are the paired-t cross-check.
    """

    task: str
    metric: str
    variant: str
    reference: str
    ratio: float
    low: float
    high: float
    low90: float
    high90: float
    t_low: float
    t_high: float
    blocks: int
    method: str
    margin: float
    verdict: EffectVerdict
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
