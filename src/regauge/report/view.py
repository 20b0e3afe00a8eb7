"""The document as a person reads it, in the current language: the rows and sentences of both renderings.

The terminal and the HTML page show the same content; what differs is only how much of it and how it is drawn.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from regauge.language import _, ngettext, translate_message
from regauge.measure.result import Effect, Measurement, MeasurementPlan
from regauge.report.document import Document
from regauge.report.figures import BreakEven, break_evens, failures, step_times
from regauge.report.wording import (
    PURPOSES,
    TASKS,
    VERDICTS,
    bytes_text,
    check_sentence,
    count_text,
    effect_sentence,
    interval_text,
    is_preliminary,
    join_words,
    percent,
    ratio_text,
    seconds_text,
    tier_label,
    word,
)
from regauge.verify.result import Distance, Tier

Tone = Literal["good", "bad", "even", "open"]

# Names of a record whose values are bytes.
BYTES = ("memory", "memory_available")

TONES: dict[str, Tone] = {
    "equal": "good",
    "faster": "good",
    "ok": "good",
    "equivalent": "even",
    "different": "bad",
    "slower": "bad",
    "not comparable": "bad",
    "failed": "bad",
    "timed out": "bad",
    "error": "bad",
}


@dataclass(frozen=True)
class Fact:
    """A named value: a row of a two-column table."""

    label: str
    value: str


@dataclass(frozen=True)
class TensorRow:
    """One tensor in one tier; `share` is its distance over its limit, above 1 is a difference."""

    tier: Tier
    distance: Distance
    share: float


def tone(verdict: str) -> Tone:
    """How a verdict is coloured: what is neither good nor bad news stays open."""
    return TONES.get(verdict, "open")


def headline(document: Document) -> tuple[str, ...]:
    """The verdict: equal or not, then which is faster, by how much and with which interval."""
    sentences = [check_sentence(document.name, document.check)]
    sentences += [effect_sentence(effect, document.plan) for effect in document.effects]
    return tuple(sentences)


def self_test_sentence(document: Document) -> str:
    """What the interval achieved on this machine where the truth is known, and the smallest effect it can show."""
    found = document.self_test
    if not found:
        return ""
    text = _(
        "Self-test on this machine: the 95 % interval of {variant} against itself held the truth in {coverage} of "
        "{trials} trials; effects of {resolution} and more can be seen."
    )
    if not found["passed"]:
        text = _(
            "The self-test failed on this machine: the 95 % interval of {variant} against itself held the truth in "
            "{coverage} of {trials} trials. Do not rely on the verdicts on speed."
        )
    return text.format(
        variant=found["variant"],
        coverage=percent(found["coverage"]),
        trials=count_text(found["trials"]),
        resolution=percent(found["resolution"]),
    )


def self_test_facts(document: Document) -> tuple[Fact, ...]:
    """The self-test, figure by figure."""
    found = document.self_test
    if not found:
        return ()
    carried = interval_text(found["carry_over_low"], found["carry_over_high"])
    return (
        Fact(_("variant"), found["variant"]),
        Fact(_("task"), word(TASKS, found["task"])),
        Fact(_("launches"), count_text(found["launches"])),
        Fact(_("blocks in a trial"), count_text(found["blocks"])),
        Fact(_("trials"), count_text(found["trials"])),
        Fact(_("intervals that hold the truth"), percent(found["coverage"])),
        Fact(_("wrong verdicts"), percent(found["false_verdicts"])),
        Fact(_("smallest visible effect"), percent(found["resolution"])),
        Fact(_("second launch of a pair over the first"), f"{ratio_text(found['carry_over'])} {carried}"),
        Fact(_("passed"), _value(found["passed"])),
    )


def headline_tone(document: Document) -> Tone:
    return tone(document.check.verdict) if document.check else "open"


def not_covered(document: Document) -> tuple[str, ...]:
    """What the verdict does not say: tiers that did not run, failed launches, few launches, this machine alone."""
    found = []
    if document.check is not None and document.check.not_checked:
        names = join_words(tier_label(name) for name in document.check.not_checked)
        found.append(_("Not checked: {tiers}.").format(tiers=names))
    if document.check is not None and document.check.equal:
        found.append(_("Equality was tested on the inputs listed below, not proved for every input."))
    failed = failures(document.measurements)
    if failed:
        text = ngettext(
            "{n} launch of {all} gave no figure; see the launches below.",
            "{n} launches of {all} gave no figure; see the launches below.",
            len(failed),
        )
        found.append(text.format(n=len(failed), all=len(document.measurements)))
    if any(is_preliminary(effect, document.plan) for effect in document.effects):
        found.append(_("Few launches were made, so the intervals are wide: the figures are preliminary."))
    if document.plan is not None and document.effects:
        threads = ngettext("{n} thread", "{n} threads", document.plan.threads).format(n=document.plan.threads)
        text = _("Figures hold for this machine, {threads}, precision {precision} and the sizes of the case's inputs.")
        found.append(text.format(threads=threads, precision=document.plan.precision))
    if document.self_test:
        found.append(self_test_sentence(document))
    elif document.effects:
        found.append(_("The interval was not calibrated on this machine: run regauge compare --self-test."))
    return tuple(found)


def tensor_rows(tiers: Iterable[Tier]) -> tuple[TensorRow, ...]:
    """Every tensor of every tier, worst first: failed ones, then by distance over limit, then by distance."""
    rows = [TensorRow(tier, distance, _share(distance)) for tier in tiers for distance in tier.distances]
    return tuple(sorted(rows, key=_badness))


def _badness(row: TensorRow) -> tuple[bool, float, float, str]:
    """A sort key; of tensors that must be equal bit by bit every share is infinite."""
    return row.distance.passed, -row.share, -row.distance.norm, row.distance.name


def launch_counts(document: Document) -> tuple[tuple[str, str, dict[str, int]], ...]:
    """For each purpose and variant the number of launches by status, in order of first appearance."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for m in document.measurements:
        counts.setdefault((m.purpose, m.variant), Counter())[m.status] += 1
    return tuple((purpose, variant, dict(found)) for (purpose, variant), found in counts.items())


def failure_text(measurement: Measurement) -> str:
    """What a failed launch said: its error with the end of its output, else why its gate refused it."""
    error = measurement.error
    if not error:
        return translate_message(str(measurement.gate.get("note", "")))
    details = [str(line) for line in error.get("details", ())][-3:]
    lines = [translate_message(str(error.get("what", ""))), *details, translate_message(str(error.get("next", "")))]
    return "\n".join(line for line in lines if line)


def break_even_sentences(document: Document) -> tuple[str, ...]:
    """When a slower start has paid off, told for each task and variant; no surer than the interval of the ratio is."""
    effects = {(effect.task, effect.variant): effect for effect in document.effects}
    return tuple(
        _break_even_sentence(point, effects.get((point.task, point.variant)), document.plan)
        for point in break_evens(document.measurements, document.plan)
    )


def _break_even_sentence(point: BreakEven, effect: Effect | None, plan: MeasurementPlan | None) -> str:
    certain = effect is not None and _excludes_one(effect, is_slower=point.never)
    if point.never and certain:
        text = _("{task}: {variant} starts later than {reference} and never makes up for it.")
    elif point.never:
        text = _("{task}: {variant} starts later than {reference}; it is not certain that it ever makes up for it.")
    elif point.steps is None and certain:
        text = _("{task}: {variant} is ahead of {reference} from the first step on.")
    elif point.steps is None:
        text = _("{task}: {variant} starts sooner than {reference}; it is not certain which is ahead later.")
    else:
        text = _("{task}: after {steps} steps the slower start of {variant} has paid off against {reference}.")
    sentence = text.format(
        task=word(TASKS, point.task),
        variant=point.variant,
        reference=point.reference,
        steps=count_text(point.steps or 0),
    )
    if point.steps is None:
        return sentence
    if not certain:
        rough = _("{sentence} This is a rough figure: the difference in speed is not certain.")
        return rough.format(sentence=sentence)
    if effect is not None and is_preliminary(effect, plan):
        return _("{sentence} This is a rough figure: few launches were made.").format(sentence=sentence)
    return sentence


def _excludes_one(effect: Effect, *, is_slower: bool) -> bool:
    """Whether the whole 95 % interval lies on the side of 1 that the medians of the step times speak for."""
    return effect.low > 1 if is_slower else effect.high < 1


def plan_facts(document: Document) -> tuple[Fact, ...]:
    """What was fixed before the first launch."""
    plan = document.plan
    if plan is None:
        return ()
    return (
        Fact(_("tasks"), join_words(word(TASKS, task) for task in plan.tasks)),
        Fact(_("variants"), join_words(variant.name for variant in plan.variants)),
        Fact(_("reference"), plan.reference.name),
        Fact(_("blocks"), str(plan.blocks)),
        Fact(_("steps in each launch"), str(plan.steps)),
        Fact(_("threads"), str(plan.threads)),
        Fact(_("precision"), plan.precision),
        Fact(_("practical margin"), f"±{percent(plan.margin)}"),
        Fact(_("seed of the order"), str(plan.seed)),
        Fact(_("size"), _("quick: wide intervals") if plan.quick else _("normal")),
    )


def weight_facts(document: Document) -> tuple[Fact, ...]:
    """Counts of the weight map."""
    weights = document.weights
    if weights is None:
        return ()
    return (
        Fact(_("arrays"), count_text(weights.arrays)),
        Fact(_("elements of parameters"), count_text(weights.parameters)),
        Fact(_("of these trained"), count_text(weights.trainable)),
        Fact(_("elements of buffers"), count_text(weights.buffers)),
        Fact(_("tied"), count_text(len(weights.tied))),
        Fact(_("unused"), count_text(len(weights.unused))),
    )


def nested_facts(data: Mapping[str, Any], prefix: str = "") -> tuple[Fact, ...]:
    """A nested mapping as dotted names and values; names are keys of the record and stay as they are."""
    return tuple(Fact(name, _recorded(name, value)) for name, value in _leaves(data, prefix))


def _leaves(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and what the record holds under them; what is empty is left out."""
    for key, value in data.items():
        name = f"{prefix}.{key}" if prefix else str(key)
        if isinstance(value, Mapping):
            yield from _leaves(value, name)
        elif value is not None and value != "" and value != []:
            yield name, value


def readback_facts(document: Document) -> tuple[tuple[str, tuple[Fact, ...]], ...]:
    """For each variant what its workers read back, where all of its launches agree, or the range of it."""
    found = []
    for variant in dict.fromkeys(m.variant for m in document.measurements):
        seen: dict[str, list[Any]] = {}
        for m in document.measurements:
            if m.variant == variant and m.purpose == "time":
                for name, value in _leaves(m.environment):
                    seen.setdefault(name, []).append(value)
        rows = tuple(Fact(name, _range(name, values)) for name, values in seen.items())
        if rows:
            found.append((variant, rows))
    return tuple(found)


def effect_facts(document: Document) -> tuple[tuple[str, ...], ...]:
    """Rows of the table of ratios: task, variant, reference, ratio, interval, verdict, blocks, cross-check, note."""
    rows = []
    for e in document.effects:
        verdict = word(VERDICTS, e.verdict)
        if is_preliminary(e, document.plan):
            verdict = _("{verdict} (preliminary)").format(verdict=verdict)
        rows.append(
            (
                word(TASKS, e.task),
                e.variant,
                e.reference,
                ratio_text(e.ratio),
                interval_text(e.low, e.high),
                verdict,
                str(e.blocks),
                interval_text(e.t_low, e.t_high),
                translate_message(e.note),
            )
        )
    return tuple(rows)


def step_facts(document: Document) -> tuple[tuple[str, ...], ...]:
    """Rows of the table of step times: task, variant, median, range of launch medians, launches, failed."""
    return tuple(
        (
            word(TASKS, row.task),
            row.variant,
            seconds_text(row.median),
            f"{seconds_text(row.lowest)} – {seconds_text(row.highest)}",
            str(row.launches),
            str(row.failed),
        )
        for row in step_times(document.measurements, document.plan)
    )


def purpose_label(purpose: str) -> str:
    """Why a launch was made, in words."""
    return word(PURPOSES, purpose)


def _share(distance: Distance) -> float:
    if not math.isfinite(distance.norm):
        return math.inf
    if distance.limit > 0:
        return distance.norm / distance.limit
    return 0.0 if distance.norm == 0 else math.inf


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _recorded(name: str, value: Any) -> str:
    """A value of a record under its name: memory is recorded in bytes."""
    is_memory = name.rpartition(".")[2] in BYTES and isinstance(value, int)
    return bytes_text(value) if is_memory else _value(value)


def _range(name: str, values: list[Any]) -> str:
    """All values where they are few, else the lowest and the highest."""
    shown = list(dict.fromkeys(_recorded(name, value) for value in values))
    if len(shown) <= 3:
        return ", ".join(shown)
    if all(isinstance(value, int | float) for value in values):
        return f"{_recorded(name, min(values))} – {_recorded(name, max(values))}"
    ordered = sorted(shown)
    return f"{ordered[0]} – {ordered[-1]}"
