"""Words and numbers of a report, in the current language: one place for terminal, HTML and JSON summary."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping

from regauge.language import N_, _, ngettext, translate_message
from regauge.measure.result import Effect, MeasurementPlan
from regauge.verify.result import Check

# Fewer blocks than this have no signed-rank interval of 95 %: the result is called preliminary.
ENOUGH_BLOCKS = 6

TASKS = {"train": N_("training step"), "infer": N_("inference")}
VERDICTS = {
    "equal": N_("equal"),
    "different": N_("different"),
    "not checked": N_("not checked"),
    "faster": N_("faster"),
    "slower": N_("slower"),
    "equivalent": N_("equivalent"),
    "inconclusive": N_("inconclusive"),
    "not comparable": N_("not comparable"),
    "preliminary": N_("preliminary"),
    "info": N_("note"),
    "warning": N_("warning"),
    "error": N_("error"),
    "ok": N_("ok"),
    "failed": N_("failed"),
    "timed out": N_("timed out"),
    "skipped": N_("skipped"),
}
MODES = {"train": N_("training mode"), "eval": N_("evaluation mode"), "": ""}
PURPOSES = {
    "time": N_("step time"),
    "memory": N_("memory"),
    "compile-cold": N_("first start, empty caches"),
    "compile-warm": N_("later start, filled caches"),
    "self-test": N_("self-test"),
}
PHASES = {
    "import": N_("import"),
    "build": N_("build the model"),
    "compile": N_("compile"),
    "first_step": N_("first step"),
}
MEMORY = {
    "host_peak": N_("peak of the process"),
    "host_at_import": N_("after the import of the framework"),
    "host_above_import": N_("above that: model, compilation and steps"),
    "host": N_("process"),
    "device": N_("device"),
    "device_peak": N_("peak on the device"),
}
TIERS = {
    "tier 1": N_("same function (float64)"),
    "tier 2": N_("no worse arithmetic"),
    "outputs": N_("outputs"),
    "loss": N_("loss"),
    "gradients": N_("gradients"),
    "input gradients": N_("input gradients"),
    "state": N_("state"),
    "outputs with the updated state": N_("outputs with the updated state"),
    "weights": N_("weights"),
    "parameters": N_("parameters"),
    "finite difference": N_("gradients against finite differences"),
    "randomness": N_("randomness"),
    "trajectory": N_("training trajectory"),
    "other sizes": N_("inputs of other sizes"),
    "distribution": N_("distribution of the outputs"),
    "optimizer parameters": N_("parameters after every step"),
}
INPUTS = {
    "reference": N_("the case's own input"),
    "random": N_("random"),
    "kinks and ties": N_("kinks and ties"),
    "zeros": N_("zeros"),
    "large": N_("large"),
    "small": N_("small"),
    "padding": N_("padding"),
    "offset": N_("offset"),
    "fully masked row": N_("fully masked row"),
    "repeated index": N_("repeated index"),
    "smallest index": N_("smallest index"),
    "all targets ignored": N_("all targets ignored"),
    "batch of 1": N_("batch of 1"),
    "another batch size": N_("another batch size"),
    "odd length": N_("odd length"),
    "odd image": N_("image of odd size"),
}
SLOTS = {
    "first moment": N_("first moment"),
    "second moment": N_("second moment"),
    "largest second moment": N_("largest second moment"),
    "momentum": N_("momentum"),
    "sum of squares": N_("sum of squares"),
    "mean gradient": N_("mean gradient"),
    "step": N_("step count"),
}
ROLES = {
    "original": N_("original"),
    "model": N_("converted model"),
    "train": N_("converted training step"),
    "ops": N_("helper functions"),
}


def word(table: Mapping[str, str], key: str) -> str:
    """The translated label of a key; the key itself where the table has none."""
    label = table.get(key, key)
    return _(label) if label else ""


def tier_label(name: str) -> str:
    """``tier 1 outputs with dropout masks`` in words; an unknown name stays as it is."""
    if name in TIERS:
        return word(TIERS, name)
    slot = re.fullmatch(r"optimizer slot (.+) (\(.+\))", name)
    if slot:
        return _("optimizer's {slot} {names}").format(slot=word(SLOTS, slot[1]), names=slot[2])
    tier = re.fullmatch(r"(tier [12]) (.+?)( with dropout masks)?", name)
    if tier:
        label = _("{kind}: {tier}").format(kind=word(TIERS, tier[2]), tier=word(TIERS, tier[1]))
        return _("{question}, with the same dropout masks").format(question=label) if tier[3] else label
    head, _space, rest = name.partition(" ")
    optimizer, _space, kind = rest.rpartition(" ")
    if optimizer and kind in TIERS:  # "trajectory SGD loss"
        rest = f"{optimizer}, {word(TIERS, kind)}"
    return _("{kind}: {tier}").format(kind=word(TIERS, head), tier=rest) if head in TIERS and rest else name


def input_label(name: str) -> str:
    """What an input of the check is called; ``random 2`` is counted, an unknown name stays as it is."""
    head, _space, number = name.rpartition(" ")
    return f"{word(INPUTS, head)} {number}" if head in INPUTS and number.isdecimal() else word(INPUTS, name)


def note_text(note: str) -> str:
    """The note of a tensor: what was found, and on which input."""
    found = re.fullmatch(r"(?:(.+), )?on (.+)", note, re.DOTALL)
    if not found:
        return translate_message(note)
    place = _("on {input}").format(input=input_label(found[2]))
    return join_words([translate_message(found[1]), place]) if found[1] else place


def join_words(words: Iterable[str]) -> str:
    """An enumeration with the comma of the language."""
    return _(", ").join(words)


def percent(share: float) -> str:
    return f"{share * 100:.3g} %"


def ratio_text(value: float) -> str:
    """A ratio with three significant digits: 0.985, 1.42, 12.3, 4.2e10."""
    if not math.isfinite(value):
        return "∞" if value > 0 else "–"
    if value >= 1e5 or 0 < value < 1e-4:
        return distance_text(value)
    return f"{value:.0f}" if value >= 1000 else f"{value:#.3g}".rstrip(".")


def interval_text(low: float, high: float) -> str:
    return f"[{ratio_text(low)}, {ratio_text(high)}]"


def seconds_text(value: float | None) -> str:
    """A duration with the unit that fits: 812 ns, 3.41 ms, 12.7 s, 4 min 05 s."""
    if value is None or not math.isfinite(value):
        return "–"
    if value >= 99.95:
        whole = round(value)
        return f"{whole // 60} min {whole % 60:02d} s"
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if value >= 0.9995 * scale:
            return f"{value / scale:#.3g}".rstrip(".") + f" {unit}"
    return f"{value / 1e-9:.0f} ns" if value else "0 s"


def seconds_tick(value: float) -> str:
    """A duration on an axis, where only round ones stand: 10 s, 7.5 ms, 5 min."""
    if value >= 99.95:
        return seconds_text(value).removesuffix(" 00 s")
    number, _space, unit = seconds_text(value).partition(" ")
    return f"{float(number):g} {unit}"


def ratio_tick(value: float) -> str:
    """A ratio on an axis: 0.6, 1, 1.05."""
    return f"{value:.3g}".replace("e-0", "e-").replace("e+0", "e")


def bytes_tick(value: float) -> str:
    """A size on an axis: 512 MiB."""
    number, _space, unit = bytes_text(value).partition(" ")
    return f"{float(number):g} {unit}"


def bytes_text(value: float | None) -> str:
    """A size in binary units: 312 MiB, 1.42 GiB."""
    if value is None:
        return "–"
    for scale, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if value >= scale:
            return (
                f"{value / scale:#.3g}".rstrip(".") + f" {unit}"
                if value < 1000 * scale
                else f"{value / scale:.0f} {unit}"
            )
    return f"{value:.0f} B"


def distance_text(value: float | None) -> str:
    """A relative distance: 0, 3.2e-15, 0.083, nan."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    if 0.01 <= value < 1000:
        return f"{value:.2g}" if value < 100 else f"{value:.0f}"
    return (
        f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")
        if math.isfinite(value)
        else str(value)
    )


def count_text(value: int) -> str:
    return f"{value:,}".replace(",", "\u202f")


def is_preliminary(effect: Effect, plan: MeasurementPlan | None) -> bool:
    """Whether the interval rests on too few launches to be relied on."""
    return (
        effect.blocks < ENOUGH_BLOCKS or bool(plan and plan.quick) or "preliminary" in f"{effect.method} {effect.note}"
    )


def largest_distance(check: Check) -> float | None:
    """The largest float64 distance that the check saw, over tier 1; None if that tier did not run."""
    bounds = [tier.bound for tier in check.tiers if tier.name.startswith("tier 1") and tier.bound is not None]
    return max(bounds, default=None)


def check_sentence(name: str, check: Check | None) -> str:
    """The verdict on equality, never stronger than what ran."""
    if check is None:
        return _("{name}: whether the conversion is the same function was not checked in this run").format(name=name)
    if check.sides:
        return _pair_sentence(check)
    if check.verdict == "equal":
        tried = len(check.inputs_tried) or max((tier.inputs for tier in check.tiers), default=0)
        sentence = ngettext(
            "{name}: the conversion is the same function (checked on {n} input, largest float64 distance {bound})",
            "{name}: the conversion is the same function (checked on {n} inputs, largest float64 distance {bound})",
            tried,
        )
        return sentence.format(name=name, n=tried, bound=distance_text(largest_distance(check)))
    if check.verdict == "different":
        if check.first_difference:
            sentence = _("{name}: the conversion is not the same function; the first difference is in {place}")
            return sentence.format(name=name, place=check.first_difference)
        return _("{name}: the conversion is not the same function").format(name=name)
    return _("{name}: equality could not be checked").format(name=name)


def _pair_sentence(check: Check) -> str:
    """The verdict on two models that somebody else wrote."""
    original, converted = check.sides
    tried = len(check.inputs_tried)
    if check.verdict == "equal":
        sentence = ngettext(
            "{original} and {converted} are the same function (on {n} input, largest float64 distance {bound})",
            "{original} and {converted} are the same function (on {n} inputs, largest float64 distance {bound})",
            tried,
        )
    elif check.verdict == "not checked":
        sentence = _("{original} and {converted}: equality could not be checked")
    elif [tier.name for tier in check.tiers if tier.verdict == "different"] == ["weights"]:
        sentence = ngettext(
            "{original} and {converted} have different weights; with the same weights they are the same function "
            "(on {n} input, largest float64 distance {bound})",
            "{original} and {converted} have different weights; with the same weights they are the same function "
            "(on {n} inputs, largest float64 distance {bound})",
            tried,
        )
    elif check.first_difference:
        sentence = _("{original} and {converted} are not the same function; the first difference is in {place}")
    else:
        sentence = _("{original} and {converted} are not the same function")
    bound = distance_text(largest_distance(check))
    return sentence.format(original=original, converted=converted, n=tried, bound=bound, place=check.first_difference)


def effect_sentence(effect: Effect, plan: MeasurementPlan | None) -> str:
    """The verdict on one ratio, with its interval; a win is told as speed, a loss as time."""
    values = {
        "task": word(TASKS, effect.task),
        "variant": effect.variant,
        "reference": effect.reference,
        "ratio": ratio_text(effect.ratio),
        "interval": interval_text(effect.low, effect.high),
        "margin": percent(effect.margin),
    }
    if effect.verdict == "faster":
        sentence = _("{task}: {variant} is {ratio}× as fast as {reference}, 95 % interval {interval}")
        values["ratio"] = ratio_text(1 / effect.ratio)
        values["interval"] = interval_text(1 / effect.high, 1 / effect.low)
    elif effect.verdict == "slower":
        sentence = _("{task}: {variant} takes {ratio}× as long as {reference}, 95 % interval {interval}")
    elif effect.verdict == "equivalent":
        sentence = _(
            "{task}: {variant} and {reference} are equally fast within {margin}; time ratio {ratio}, "
            "95 % interval {interval}"
        )
    elif effect.verdict == "not comparable":
        return _("{task}: {variant} cannot be compared with {reference}").format(**values)
    else:
        sentence = _(
            "{task}: no verdict on {variant} against {reference}; time ratio {ratio}, 95 % interval {interval}"
        )
    text = sentence.format(**values)
    if is_preliminary(effect, plan):
        text = _("{sentence} (preliminary: few launches)").format(sentence=text)
    return text
