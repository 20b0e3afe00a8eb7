"""Documents like those of a real run, built from seeded random launches: the input of the report's tests."""

from __future__ import annotations

import dataclasses
import json
import random
import shutil
from pathlib import Path

from regauge.findings import Finding
from regauge.measure.result import Effect, Measurement, MeasurementPlan, Variant
from regauge.measure.self_test import SelfTest
from regauge.report.document import Document, build_document
from regauge.verify.result import Check, Distance, Tier

FIXTURE = Path(__file__).parents[1] / "fixtures" / "handmade"
EAGER, COMPILED, JITTED = Variant("torch", "eager"), Variant("torch", "compile"), Variant("jax", "jit")

# Seconds of a step, of the phases of a start, and peak bytes: what the launches scatter around.
STEP = {
    ("train", "torch eager"): 41e-3,
    ("train", "torch compile"): 33e-3,
    ("train", "jax jit"): 24e-3,
    ("infer", "torch eager"): 9.1e-3,
    ("infer", "torch compile"): 8.0e-3,
    ("infer", "jax jit"): 8.2e-3,
}
START = {
    "torch eager": {"import": 1.7, "build": 0.1, "compile": 0.0, "first_step": 0.2},
    "torch compile": {"import": 1.8, "build": 0.1, "compile": 31.0, "first_step": 0.3},
    "jax jit": {"import": 1.1, "build": 0.4, "compile": 6.2, "first_step": 0.1},
}
PEAK = {"torch eager": (640, 310), "torch compile": (910, 570), "jax jit": (720, 480)}


def plan(blocks: int = 10, quick: bool = False) -> MeasurementPlan:
    variants = (EAGER, COMPILED, JITTED)
    return MeasurementPlan(
        "original.py:case", ("train", "infer"), variants, EAGER, blocks, 30, 2, "strict32", 7, quick=quick
    )


def measurements(blocks: int = 10, seed: int = 1) -> list[Measurement]:
    """All launches of the plan; one of the last block fails, as it happens on real machines."""
    random_ = random.Random(seed)
    found = []
    for task in ("train", "infer"):
        for block in range(blocks):
            drift = random_.gauss(1.0, 0.05)
            for position, variant in enumerate(START):
                typical = STEP[task, variant] * drift * random_.gauss(1.0, 0.02)
                samples = tuple(typical * max(random_.gauss(1.0, 0.04), 0.5) for _ in range(30))
                found.append(_launch(task, variant, "time", block, position, samples=samples))
        for variant, phases in START.items():
            warm = {**phases, "compile": phases["compile"] / 8}
            peak, above = (size * 2**20 for size in PEAK[variant])
            found.append(_launch(task, variant, "compile-cold", 0, 0, phases=phases))
            found.append(_launch(task, variant, "compile-warm", 0, 0, phases=warm))
            memory = {"host_peak": peak, "host_above_import": above}
            found.append(_launch(task, variant, "memory", 0, 0, memory=memory))
    error = {
        "error": "WorkerFailed",
        "what": "the torch worker did not finish within 900 s and was stopped",
        "details": ["last output: step 12"],
        "next": "give more time with --timeout, or smaller inputs",
    }
    found[3] = dataclasses.replace(found[3], status="failed", samples=(), error=error)
    return found


def _launch(task: str, variant: str, purpose: str, block: int, position: int, **more: object) -> Measurement:
    environment = {"threads": 2, "precision": "highest", "device": "cpu", "load": 0.4 + 0.1 * block}
    return Measurement(
        "5f2c", task, variant, purpose, block, position, "ok", environment=environment, gate={"passed": True}, **more
    )


def effects(blocks: int = 10) -> list[Effect]:
    return [
        _effect("train", "torch compile", 0.803, 0.781, 0.824, "faster", blocks),
        _effect("train", "jax jit", 0.584, 0.561, 0.612, "faster", blocks),
        _effect("infer", "torch compile", 0.962, 0.871, 1.064, "inconclusive", blocks),
        _effect("infer", "jax jit", 0.998, 0.984, 1.012, "equivalent", blocks),
    ]


def _effect(task: str, variant: str, ratio: float, low: float, high: float, verdict: str, blocks: int) -> Effect:
    inner = {"low90": low + (ratio - low) / 6, "high90": high - (high - ratio) / 6}
    cross = {"t_low": low * 0.998, "t_high": high * 1.002}
    method = "Hodges-Lehmann, signed-rank"
    return Effect(
        task, "latency", variant, EAGER.name, ratio, low, high, **inner, **cross, blocks=blocks, method=method,
        margin=0.03, verdict=verdict,
    )  # fmt: skip


def check(different: bool = False) -> Check:
    """A check of the hand-made network; `different` puts a wrong running variance into its state tiers."""
    names = ("conv.weight", "conv.bias", "norm.weight", "norm.bias", "head.weight", "head.bias")
    gradients = tuple(
        Distance(n, 3e-15 + i * 1e-16, 4e-15, 1e-12, True, null=n == "conv.bias") for i, n in enumerate(names)
    )
    rounded = tuple(Distance(n, 2.1e-7, 4.4e-7, 6e-7, True, original_norm=1.9e-7) for n in names)
    variance = Distance("norm.running_var", 4.2e-2 if different else 1e-16, 6e-2, 1e-12, not different)
    outputs = (Distance("outputs", 5.1e-16, 8e-16, 1e-12, True),)
    state = "different" if different else "equal"
    tiers = (
        Tier("tier 1 outputs", "equal", "eval", 5, 5.1e-16, 1e-12, distances=outputs),
        Tier("tier 1 loss", "equal", "train", 5, 2.2e-16, 1e-12),
        Tier("tier 1 gradients", "equal", "train", 5, 3.5e-15, 1e-12, distances=gradients),
        Tier("tier 1 state", state, "train", 5, variance.norm, 1e-12, distances=(variance,)),
        Tier("tier 2 gradients", "equal", "train", 5, 2.1e-7, 6e-7, distances=rounded),
        Tier("trajectory adamw", "equal", "train", 1, 8.8e-14, 1e-10),
        Tier("finite difference", "equal", "train", 1, 3.2e-9, 1e-6),
        Tier(
            "randomness",
            "not checked",
            "train",
            why="two runs of the original differ: it draws random numbers that the check does not control; "
            "give it an argument named key, or set their seed in the call",
        ),
    )
    findings = (
        Finding("V310", "info", "conv.bias", "The original rejects the generated input 'zeros' in train mode: NaN"),
    )
    return Check(
        "SmallNet",
        "different" if different else "equal",
        tiers,
        first_difference="norm" if different else "",
        findings=findings,
        inputs_tried=("reference", "batch of 1", "zeros", "large", "small"),
        seconds=21.4,
        versions={"torch": "2.13.0", "jax": "0.10.2"},
    )


def folder(directory: Path) -> Path:
    """A saved conversion with the files that a report reads: the hand-made one and a line map."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in ("model.py", "train.py", "weights.json"):
        shutil.copy(FIXTURE / name, directory / name)
    conversion = json.loads((FIXTURE / "conversion.json").read_text(encoding="utf-8"))
    conversion["lines"] = _lines()
    conversion["versions"] = {"torch": "2.13.0", "jax": "0.10.2"}
    conversion["findings"] = [
        Finding(
            "C120",
            "warning",
            "original.py:23",
            "2 modules stay in evaluation while the model trains, as the case left them: norm, drop.",
        ).to_json()
    ]
    (directory / "conversion.json").write_text(json.dumps(conversion), encoding="utf-8")
    return directory


def _lines() -> dict[str, list[str]]:
    """Each emitted statement of the call, linked with the original line that names the same layer."""
    original = (FIXTURE / "original.py").read_text(encoding="utf-8").splitlines()
    emitted = (FIXTURE / "model.py").read_text(encoding="utf-8").splitlines()
    links = {}
    for layer in ("conv", "norm", "drop", "head"):
        place = next(number for number, line in enumerate(original, 1) if f"self.{layer} = " in line)
        for number, line in enumerate(emitted, 1):
            if f"self.{layer} = " in line:
                links[str(number)] = [layer, f"original.py:{place}"]
    return links


def self_test(passed: bool = True) -> dict[str, object]:
    note = "windows of 20 neighbouring launches out of 60, labels by coin"
    return SelfTest(
        "train", "torch eager", 60, 10, 2000, 0.9495 if passed else 0.61, 0.004, 0.021, 1.004, 0.99, 1.017, passed, note
    ).to_json()


def document(directory: Path, *, different: bool = False, blocks: int = 10, quick: bool = False) -> Document:
    """Everything that a report can show."""
    machine = {
        "machine": {"cpu": "Example CPU 2.1 GHz", "cores": 2, "memory": "8 GiB", "kernel": "6.18"},
        "versions": {"python": "3.11.9", "torch": "2.13.0", "jax": "0.10.2"},
    }
    return build_document(
        case=f"{FIXTURE / 'original.py'}:case",
        folder=folder(directory),
        check=check(different),
        plan=plan(blocks, quick),
        measurements=() if different else measurements(blocks),
        effects=() if different else effects(blocks),
        self_test=None,
        environment=machine,
        created="2026-01-02T03:04:05+00:00",
    )
