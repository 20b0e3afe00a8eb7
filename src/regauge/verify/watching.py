"""What a person sees while sides are evaluated: how far the tasks are; and what a large model was spared."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from regauge.findings import Finding
from regauge.run.evaluation import TASKS_DONE
from regauge.verify import plan
from regauge.verify.inputs import InputSet
from regauge.weights.pair_map import PairMap

TOTAL = 100  # a check, in shares of about the same time
# where each evaluation begins: original and converted model in float64, both in float32, which costs half; the end
BEGINS = (4, 36, 68, 96)

_EVERY = 0.5  # seconds


@contextmanager
def watching(
    progress: Callable[[str, int, int], None],
    label: str,
    part: int,
    watched: Sequence[tuple[Sequence[plan.Task], Path]],
) -> Iterator[None]:
    """Within the block the watcher is told how many of the tasks are done, weighted by what they cost.

    Args:
        progress: the watcher.
        label: what is evaluated.
        part: number of the evaluation.
        watched: of each side that runs, its tasks in order, and where it counts them.
    """
    costs = [[plan.cost(task) for task in tasks] for tasks, _ in watched]
    begin, end = BEGINS[part], BEGINS[part + 1]
    stopped = threading.Event()

    def tell() -> None:
        counters = [out / TASKS_DONE for _, out in watched]
        done = [counter.stat().st_size if counter.exists() else 0 for counter in counters]
        share = sum(sum(own[:n]) for own, n in zip(costs, done, strict=True)) / max(1, sum(map(sum, costs)))
        progress(label, begin + math.floor((end - begin) * share), TOTAL)

    def watch() -> None:
        while not stopped.wait(_EVERY):
            tell()

    tell()
    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def about_large(weights: PairMap, accepted: Sequence[InputSet], slots: bool) -> list[Finding]:
    """What was left out because the model is large.

    Args:
        weights: of both sides.
        accepted: the input sets.
        slots: whether there are slots of optimizers that a smaller model would be asked for.
    """
    millions = round(sum(math.prod(kind.shape) for kind in weights.sources.values()) / 1e6)
    slopes = sum(item.name in plan.SLOPES_OF_LARGE for item in accepted)
    text = (
        f"The model has {millions} million weights: gradients were compared on {slopes} of {len(accepted)} inputs, "
        "in training mode, finite differences along one direction, and special inputs in training mode alone"
    )
    findings = [Finding("V128", "info", "", text)]
    if slots:
        text = "Slots of the optimizers were not compared: the model is large, and parameters, losses and state tell"
        findings.append(Finding("V128", "info", "", text))
    return findings
