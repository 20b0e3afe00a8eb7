"""The smallest input found on which two models differ, and a file that shows the difference by itself."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from safetensors.numpy import load_file

from regauge.errors import BadCase, RegaugeError, WorkerFailed
from regauge.findings import Finding
from regauge.language import N_
from regauge.run.protocol import read_json, write_json
from regauge.verify.asking import Asking, Question, is_typical
from regauge.verify.evaluations import Arrays
from regauge.verify.inputs import SILENT
from regauge.verify.plan import CheckOptions
from regauge.verify.reproduce_file import MAP, Reproduction, remove_stale, write_reproduction
from regauge.verify.result import Check, Tier
from regauge.verify.shrinking import plainer, size_of, smaller
from regauge.verify.subjects import Subject

# seconds of shrinking, at the least and as a share of the check: a smaller input is a convenience
_LEAST_SECONDS, _SHARE = 120.0, 1.0
Progress = Callable[[str, int, int], None]

_SHRINKING = N_("finding a small input that shows the difference")
_CHUNK = 4  # sizes that the converted model is compiled for at a time
_ORDER = ("", "outputs", "loss", "gradients", "input gradients", "state")


@dataclass(frozen=True)
class Sources:
    """What names the two models of a check to somebody who starts anew.

    Attributes:
        original: case reference of the original.
        converted: case reference of the converted model, or the folder of a conversion.
        pythons: executables by role, where a side has one of its own.
        models: the two models themselves, where no reference names them.
    """

    original: str = ""
    converted: str = ""
    pythons: Mapping[str, str] | None = None
    models: tuple[object, object] | None = None


def with_reproduction(
    check: Check, subject: Subject, work: Path, options: CheckOptions, sources: Sources, progress: Progress
) -> Check:
    """The check, with the path of a file in `options.reproduce` that fails alone; unchanged without a difference.

    Args:
        check: what was found.
        subject: the two sides.
        work: directory of the check: its input sets are in ``inputs``.
        options: where the file goes, and the seconds for each worker.
        sources: what the file calls the two models.
        progress: told that the input is being shrunk.
    """
    out = options.reproduce
    if out is None:
        return check
    remove_stale(out)
    if check.verdict != "different":
        return check
    progress(_SHRINKING, 4, 5)
    question, failed = _question(check.tiers)
    started = time.monotonic()
    try:
        if question is None:
            found = Reproduction(Question(failed.name, failed.mode or "train"), failed, {})
        else:
            allowed = max(_LEAST_SECONDS, _SHARE * check.seconds)
            asking = Asking(subject, question, work / "reproduce", options.timeout)
            sets = _given(work, failed, check.inputs_tried)
            found = shrink(asking, failed, sets, lambda: time.monotonic() - started < allowed)
        if check.sides:
            write_json(out / MAP, subject.map.to_json())
        path = write_reproduction(out, found, sources)
    except RegaugeError as error:
        text = f"No file that reproduces the difference was written: {error.what}"
        result = replace(check, findings=(*check.findings, Finding("V170", "warning", "", text)))
    else:
        result = replace(check, reproduce=str(path), seconds=check.seconds + time.monotonic() - started)
    write_json(work / "check.json", result.to_json())
    return result


def _question(tiers: Sequence[Tier]) -> tuple[Question | None, Tier]:
    """What to ask again, the plainest question first: outputs before gradients, evaluation before training.

    None where what differs can only be asked by a whole check.
    """
    failed = [tier for tier in tiers if tier.verdict == "different"]
    for tier in sorted(failed, key=_plainness):
        question = Question(tier.name, tier.mode or "train")
        try:
            if question.asked and not _shows_with_silent_units_alone(tier):
                return question, tier
        except BadCase:
            continue
    return None, failed[0]


def _shows_with_silent_units_alone(tier: Tier) -> bool:
    """No input shows what differs with other weights alone."""
    wrong = [distance.note for distance in tier.distances if not distance.passed]
    return bool(wrong) and all(note.endswith(f"on {SILENT}") for note in wrong)


def _plainness(tier: Tier) -> tuple[int, int, bool]:
    groups = ("tier 1", "trajectory", "tier 2", "weights")
    group = next((i for i, group in enumerate(groups) if tier.name.startswith(group)), len(groups))
    kind = tier.name.partition(" ")[2].partition(" ")[2]
    return group, _ORDER.index(kind) if kind in _ORDER else len(_ORDER), tier.mode != "eval"


def _given(work: Path, failed: Tier, tried: Sequence[str]) -> dict[str, Arrays]:
    """The case's own input, and the one on which the tier differs most."""
    files = read_json(work / "inputs" / "names.json")
    if failed.name == "weights":
        return {"reference": {}}
    notes = [d.note.rpartition("on ")[2] for d in failed.distances if not d.passed and "on " in d.note]
    raised = re.match(r"the converted model raises on (.+?): ", failed.why)
    names = ["reference", *([raised[1]] if raised else []), *notes[:1]]
    return {name: load_file(files[name]) for name in dict.fromkeys(names) if name in files and name in tried}


def shrink(
    asking: Asking, failed: Tier, sets: Mapping[str, Arrays], may_go_on: Callable[[], bool] = lambda: True
) -> Reproduction:
    """The smallest and plainest input found on which the two still differ in the same way.

    Args:
        asking: puts the question.
        failed: how the check answered it.
        sets: inputs that differ, or may.
        may_go_on: whether there is time for another round.

    Raises:
        BadCase: none of the inputs differs by itself.
        WorkerFailed: a worker crashed, was killed or ran out of time on these very inputs.
    """
    question = asking.question
    if question.asked == "weights":
        return Reproduction(question, failed, {})
    sets = {name: asking.needed(arrays) for name, arrays in sets.items()}
    # few elements round by chance, so a smaller input says nothing about arithmetic
    known = asking.subject.known
    sized = {
        f"{name}, {label}": _keeping(known, arrays, made)
        for name, arrays in sets.items()
        for label, made in smaller(arrays)
    }
    wanted = {**sets} if question.asked == "step float32" else {**sets, **sized}
    wanted = dict(sorted(wanted.items(), key=lambda item: size_of(item[1])))
    still = _still(asking, wanted, failed, _CHUNK) or _still(asking, sets, failed)
    if not still:
        raise BadCase("the difference shows on no input by itself", received=", ".join(sets))
    chosen = min(still, key=lambda name: size_of(wanted[name]))
    arrays, tier = wanted[chosen], still[chosen]
    question = replace(question, typical=is_typical(chosen))
    if question.asked == "trajectory" and may_go_on():
        shorter = replace(asking, question=replace(question, steps=1))
        still = _still(shorter, {"one step": arrays}, failed)
        if still:
            asking, question, tier = shorter, shorter.question, still["one step"]
    if question.asked != "step float32" and may_go_on():
        plain = {name: _keeping(known, arrays, made) for name, made in plainer(arrays)}
        still = _still(asking, plain, failed)
        if still:
            name = next(name for name in plain if name in still)
            arrays, tier = plain[name], still[name]
    return Reproduction(question, tier, arrays)


def _keeping(known: frozenset[str], arrays: Arrays, made: Arrays) -> Arrays:
    """What was made of inputs, with those that are known as they were."""
    return {**made, **{name: arrays[name] for name in known & arrays.keys()}}


def _still(asking: Asking, sets: Mapping[str, Arrays], failed: Tier, chunk: int = 0) -> dict[str, Tier]:
    """The sets that still differ as the check found it: by distance, or by raising."""

    def alike(tier: Tier) -> bool:
        return tier.verdict == "different" and _measured(tier) == _measured(failed)

    try:
        answers = asking.ask(sets, chunk, alike) if sets else {}
    except WorkerFailed:
        return {}
    return {name: tier for name, tier in answers.items() if alike(tier)}


def _measured(tier: Tier) -> bool:
    """Whether tensors were compared and found apart, rather than missing, of another shape or not computed at all."""
    return any(math.isfinite(d.norm) for d in tier.distances if not d.passed)
