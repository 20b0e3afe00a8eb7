"""The plan of a measurement: what is launched, how often, in which order, and the key that a run is resumed by."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regauge.cases import case_files
from regauge.conversion import read_conversion
from regauge.errors import RegaugeError
from regauge.language import _
from regauge.measure.environment import available_cpus
from regauge.measure.order import balanced_orders
from regauge.measure.result import MeasurementPlan, Variant

VARIANTS = {
    v.name: v
    for v in (Variant("torch", "eager"), Variant("torch", "compile"), Variant("jax", "jit"), Variant("jax", "op-by-op"))
}
DEFAULT_VARIANTS = ("torch eager", "torch compile", "jax jit")
# As a command line writes them: in one word.
VARIANT_WORDS = tuple(name.replace(" ", "-") for name in VARIANTS)
TASKS = ("train", "infer")
PRECISIONS = ("strict32", "tf32")

# Files of a saved conversion that do not change what is measured.
_UNMEASURED = ("README.md", "test_equivalence.py")


class BadPlan(RegaugeError):
    """A task, variant, precision or number that no measurement can be made with."""

    default_code = "M100"


@dataclass(frozen=True)
class Launch:
    """One process of the plan: a variant, the tasks that it runs one after the other, and what it is made for."""

    variant: Variant
    tasks: tuple[str, ...]
    purposes: tuple[str, ...]
    block: int
    position: int

    def purposes_of(self, task: str) -> tuple[str, ...]:
        """What the launch is made for in `task`; only its first task weighs memory, later ones find leftovers."""
        return tuple(p for p in self.purposes if p != "memory" or task == self.tasks[0])

    @property
    def label(self) -> str:
        """What a progress bar shows, in the current language."""
        names = {"train": _("training step"), "infer": _("inference")}
        return f"{self.variant.name}: {', '.join(names[task] for task in self.tasks)}"


def make_plan(
    case: str,
    folder: Path,
    *,
    tasks: Iterable[str] | None = None,
    variants: Iterable[str | Variant] | None = None,
    quick: bool = False,
    blocks: int | None = None,
    steps: int | None = None,
    threads: int | None = None,
    precision: str = "strict32",
    seed: int = 0,
    margin: float = 0.03,
    timeout: float = 900.0,
) -> MeasurementPlan:
    """A plan for a case and its saved conversion.

    Args:
        case: what the plan calls the case.
        folder: the saved conversion; says whether there is a training step to measure.
        tasks: of `TASKS`; all that the case has when None.
        variants: names such as ``torch eager`` or ``jax-jit``; `DEFAULT_VARIANTS` when None.
        quick: few blocks, both tasks in one process: one to two minutes, wide intervals.
        threads: the same on both sides; every CPU that this process may use when None.
        margin: a smaller relative difference is of no practical interest.

    Raises:
        BadPlan: an unknown task, variant or precision, a number out of range, or training without a training step.
        BadResult: the folder is not a saved conversion.
    """
    chosen = tuple(dict.fromkeys(parse_variant(v) for v in (variants or DEFAULT_VARIANTS)))
    reference = VARIANTS["jax jit" if read_conversion(folder).original == "jax" else "torch eager"]
    threads = len(available_cpus()) if threads is None else threads
    blocks = blocks if blocks is not None else (3 if quick else 10)
    steps = steps if steps is not None else (20 if quick else 50)
    refuse_bad_numbers(threads=threads, blocks=blocks, steps=steps, margin=margin, precision=precision)
    return MeasurementPlan(
        case=case,
        tasks=_tasks(tasks, folder),
        variants=chosen,
        reference=reference if reference in chosen else chosen[0],
        blocks=blocks,
        steps=steps,
        threads=threads,
        precision=precision,
        seed=seed,
        quick=quick,
        margin=margin,
        timeout=timeout,
        starts=1 if quick else 3,
        step_seconds=2.0 if quick else 10.0,
    )


def refuse_bad_numbers(
    *,
    threads: int | None = None,
    blocks: int | None = None,
    steps: int | None = None,
    margin: float | None = None,
    precision: str | None = None,
) -> None:
    """Raise `BadPlan` for what is out of its range, and for an unknown precision; None is not looked at."""
    ranges = {"threads": (threads, 1, len(available_cpus())), "blocks": (blocks, 1, 10_000)}
    ranges["steps"] = (steps, 5, 1_000_000)
    for name, (value, low, high) in ranges.items():
        if value is not None and not low <= value <= high:
            raise BadPlan(
                f"{name} must lie between {low} and {high}", received=str(value), next=f"choose another --{name}"
            )
    if margin is not None and not 0 < margin < 1:
        raise BadPlan("the margin must lie between 0 and 1", received=str(margin), next="0.03 stands for 3 %")
    if precision is not None and precision not in PRECISIONS:
        raise BadPlan("unknown precision", received=precision, next=f"choose one of {', '.join(PRECISIONS)}")


def parse_variant(name: str | Variant) -> Variant:
    """The variant of a name; a space, hyphen, colon or slash stands between framework and mode.

    Raises:
        BadPlan: there is no such variant.
    """
    if isinstance(name, Variant):
        return name
    parts = re.split(r"[\s:/-]+", name.strip().lower(), maxsplit=1)
    found = VARIANTS.get(" ".join(parts))
    if found is None:
        raise BadPlan("unknown variant", received=name, next=f"choose from: {', '.join(VARIANT_WORDS)}")
    return found


def schedule(plan: MeasurementPlan) -> tuple[Launch, ...]:
    """All launches in the order in which they are made.

    A full plan starts every variant cold and warm, each in processes of their own (the warm one also weighs memory),
    then times blocks task by task. A quick plan saves processes: its tasks share one, the first two blocks serve as
    the cold and the warm start, and the warm blocks weigh the memory of the task that each begins with.
    """
    if plan.quick:
        unweighed = plan.tasks[max(0, plan.blocks - 1) :]
        return (*_quick_blocks(plan), *_starts(plan, unweighed, (("memory",),)))
    starts = _starts(plan, plan.tasks, (("compile-cold",), ("compile-warm", "memory")))
    return (*starts, *_blocks(plan))


def _starts(plan: MeasurementPlan, tasks: Sequence[str], purposes: Sequence[tuple[str, ...]]) -> list[Launch]:
    source = random.Random(plan.seed + 1)
    launches = []
    for repeat in range(plan.starts):
        pairs = [(task, variant) for task in tasks for variant in plan.variants]
        source.shuffle(pairs)
        for position, (task, variant) in enumerate(pairs):
            launches += [Launch(variant, (task,), purpose, repeat, position) for purpose in purposes]
    return launches


def _blocks(plan: MeasurementPlan) -> list[Launch]:
    orders = {task: balanced_orders(plan.variants, plan.blocks, plan.seed + 2 + i) for i, task in enumerate(plan.tasks)}
    source = random.Random(plan.seed)
    return [
        Launch(variant, (task,), ("time",), block, position)
        for block in range(plan.blocks)
        for task in source.sample(plan.tasks, len(plan.tasks))
        for position, variant in enumerate(orders[task][block])
    ]


def _quick_blocks(plan: MeasurementPlan) -> list[Launch]:
    launches = []
    for block, order in enumerate(balanced_orders(plan.variants, plan.blocks, plan.seed + 2)):
        warm = max(0, block - 1)  # the second block is the first of warm starts
        first = warm % len(plan.tasks)
        purposes = ["compile-cold"] if block == 0 else ["compile-warm"] if block == 1 else []
        if block and warm < len(plan.tasks):
            purposes.append("memory")
        tasks = plan.tasks[first:] + plan.tasks[:first]
        launches += [
            Launch(variant, tasks, (*purposes, "time"), block, position) for position, variant in enumerate(order)
        ]
    return launches


def run_key(plan: MeasurementPlan, folder: Path, case: str, machine: dict[str, Any]) -> str:
    """Sixteen hex digits that are equal only for the same plan, conversion, case, files beside it and machine.

    Args:
        machine: `environment.fingerprint()`; a run is never resumed on another machine or with other versions.
    """
    digest = hashlib.sha256(json.dumps([plan.to_json(), case, machine], sort_keys=True).encode())
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name not in _UNMEASURED:
            digest.update(path.name.encode() + b"\0")
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    for path in sorted(case_files(case)):  # by their contents alone, so that a folder may move
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _tasks(wanted: Iterable[str] | None, folder: Path) -> tuple[str, ...]:
    trains = read_conversion(folder).trains
    tasks = tuple(dict.fromkeys(wanted)) if wanted is not None else (TASKS if trains else ("infer",))
    unknown = [task for task in tasks if task not in TASKS]
    if unknown or not tasks:
        raise BadPlan("unknown task", received=", ".join(unknown) or "none", next=f"choose from: {', '.join(TASKS)}")
    if "train" in tasks and not trains:
        raise BadPlan(
            "the case has no training step: it needs a loss and an optimizer",
            received="train",
            next="give the case loss= and optimizer=, or measure infer alone",
        )
    return tasks
