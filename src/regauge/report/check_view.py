"""A check as rows and sentences, in the current language: what its page and the terminal share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from regauge.language import N_, _, ngettext, translate_message
from regauge.report.view import Fact, TensorRow, tensor_rows
from regauge.report.wording import count_text, distance_text
from regauge.verify.result import Cause, Check, ModuleDistance, Place, Tier
from regauge.weights.pair_map import PairMap

WORST = 5  # tensors of a tier that the page shows beside it
MOST_ROWS = 400  # of a table; the JSON holds all
EVIDENCE = {
    "given": N_("given"),
    "value": N_("by value"),
    "name": N_("by name"),
    "only shape that fits": N_("only shape that fits"),
}


@dataclass(frozen=True)
class WorstTensors:
    """The tensors of a tier that come nearest to their limits, or lie beyond them."""

    tier: Tier
    rows: tuple[TensorRow, ...]
    more: int


def place_text(place: Place) -> str:
    """``layer_norm in blocks.0.norm (port.py:41)``: what is known of a place."""
    file = f"{place.file}:{place.line}" if place.line else place.file
    what = place.operation or place.module
    if place.operation and place.module:
        what = _("{operation} in {module}").format(operation=place.operation, module=place.module)
    if what and file:
        return _("{what} ({file})").format(what=what, file=file)
    return what or file or "–"


def where_sentences(check: Check) -> list[str]:
    """Where the difference begins, on each side."""
    labels = (_("original model"), _("converted model"))
    found = []
    for label, place in zip(labels, check.places, strict=False):
        text = _("{side}: {place}").format(side=label, place=place_text(place))
        if place.distance:
            text = _("{text}, {distance} from the nearest value of the original in float64").format(
                text=text, distance=distance_text(place.distance)
            )
        found.append(text)
    return found


def cause_rows(causes: Sequence[Cause]) -> list[tuple[str, ...]]:
    """What differs, the distance before and after, the line to change, and how sure that is."""
    return [
        (
            translate_message(cause.text),
            distance_text(cause.before),
            distance_text(cause.after),
            cause.change or "–",
            _("shown: the difference vanishes") if cause.proven else _("helps, but a difference is left"),
        )
        for cause in causes
    ]


def module_rows(modules: Sequence[ModuleDistance]) -> list[tuple[str, ...]]:
    """Number, module, both distances, and where each side computes it."""
    return [
        (
            str(number),
            row.module or "()",
            distance_text(row.distance) + ("" if row.passed else " ✗"),
            distance_text(row.distance32),
            place_text(row.original) if row.original else "–",
            place_text(row.converted) if row.converted else "–",
        )
        for number, row in enumerate(modules, start=1)
    ]


def worst_tensors(check: Check) -> list[WorstTensors]:
    """For each tier that compared tensors the worst few; tiers that differ come first."""
    found = []
    for tier in sorted(check.tiers, key=lambda tier: tier.verdict != "different"):
        rows = tensor_rows([tier])
        if rows:
            found.append(WorstTensors(tier, rows[:WORST], max(0, len(rows) - WORST)))
    return found


def bound_sentence(check: Check) -> str:
    """On how many inputs the judgement rests, and how close the two came."""
    bounds = [t.bound for t in check.tiers if t.name.startswith("tier 1") and t.bound is not None]
    if not check.inputs_tried:
        return ""
    text = ngettext(
        "On {n} input; largest distance in float64 {bound}.",
        "On {n} inputs; largest distance in float64 {bound}.",
        len(check.inputs_tried),
    )
    return text.format(n=len(check.inputs_tried), bound=distance_text(max(bounds, default=None)))


def map_facts(pair_map: PairMap) -> tuple[Fact, ...]:
    """The weight map in figures."""
    whole = [part for part in pair_map.parts if part.whole]
    pieces = {part.target for part in pair_map.parts if not part.whole and not part.merged}
    added = {part.target for part in pair_map.parts if part.merged}
    evidence = Counter(pair_map.evidence.values())
    facts = [
        Fact(_("tensors of the original"), count_text(len(pair_map.sources))),
        Fact(_("tensors of the converted model"), count_text(len(pair_map.targets))),
        Fact(_("one to one"), count_text(len(whole))),
        Fact(_("of these in another layout"), count_text(sum(bool(part.layout) for part in whole))),
        Fact(_("fused or split"), count_text(len(pieces))),
        Fact(_("sums of weights"), count_text(len(added))),
        Fact(_("tied"), count_text(len(pair_map.tied_sources) + len(pair_map.tied_targets))),
        Fact(_("on one side alone"), count_text(len(pair_map.absent_sources) + len(pair_map.absent_targets))),
    ]
    facts += [Fact(_(EVIDENCE[key]), count_text(evidence[key])) for key in EVIDENCE if evidence[key]]
    return tuple(facts)


def map_rows(pair_map: PairMap) -> list[tuple[str, ...]]:
    """Every part of the map: from, to, steps between the layouts, what it rests on."""
    rows: list[tuple[str, ...]] = []
    for part in pair_map.parts:
        steps = ", ".join(f"{kind} {list(sizes)}" for kind, sizes in part.layout)
        known = pair_map.evidence.get(part.target, "")
        rows.append((part.source, part.target, steps or "–", _(EVIDENCE[known]) if known in EVIDENCE else known))
    rows += [(name, "–", "–", translate_message(why)) for name, why in pair_map.absent_sources.items()]
    rows += [("–", name, "–", translate_message(why)) for name, why in pair_map.absent_targets.items()]
    return rows


def next_steps(check: Check) -> list[str]:
    """What to do about a difference, the most telling first."""
    steps = []
    proven = next((cause for cause in check.causes if cause.proven and cause.change), None)
    if proven:
        steps.append(_("change {place}, then check again").format(place=proven.change))
    if check.reproduce:
        steps.append(f"python {check.reproduce}")
    return steps
