"""What is left when all pairs are settled: tied names, tensors that one side does not need, open and missing ones."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from regauge.findings import Finding
from regauge.weights import candidates, casting, synonyms
from regauge.weights.affinity import Affinity
from regauge.weights.pairing_result import Ambiguity, Missing
from regauge.weights.settling import State
from regauge.weights.units import TensorInfo, Unit, same_elements, whole

NEAR = 3  # candidates shown for a missing tensor


@dataclass
class Loose:
    """Names that need no part of the map, by side."""

    tied_sources: dict[str, str] = field(default_factory=dict)
    tied_targets: dict[str, str] = field(default_factory=dict)
    absent_sources: dict[str, str] = field(default_factory=dict)
    absent_targets: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def settle_tied_groups(state: State) -> None:
    """Several tensors with the same values for one place: any of them will do, the first is taken."""
    for target in list(state.targets):
        alike = [unit for unit in state.sources if state.by_value(unit, target)]
        rivals = [unit for unit in state.targets if alike and state.by_value(alike[0], unit)]
        if len(alike) > 1 and len(rivals) == 1:
            state.settle(alike[0], target, "value")
    for source in list(state.sources):
        alike = [unit for unit in state.targets if state.by_value(source, unit)]
        if len(alike) > 1 and sum(state.by_value(unit, alike[0]) for unit in state.sources) == 1:
            state.settle(source, alike[0], "value")


def set_aside(state: State, loose: Loose) -> None:
    """Take out of `state` what is tied to something settled, and what the other side does not need."""
    for side in ("source", "target"):
        units = state.sources if side == "source" else state.targets
        settled = [source if side == "source" else target for source, target in state.together]
        tied = loose.tied_sources if side == "source" else loose.tied_targets
        absent = loose.absent_sources if side == "source" else loose.absent_targets
        for unit in [unit for unit in units if unit.layer < 0 and unit.piece < 0 and len(unit.tensors) == 1]:
            kept = _tied_to(unit, settled)
            reason = None if kept else _reason(unit, settled)
            if kept:
                tied[unit.info.name] = kept.info.name
                loose.findings += _copies(unit, kept)
            elif reason:
                absent[unit.info.name] = reason
            else:
                continue
            units.remove(unit)


def _tied_to(unit: Unit, settled: Sequence[Unit]) -> Unit | None:
    for other in settled:
        whole_one = other.layer < 0 and other.piece < 0 and len(other.tensors) == 1
        if not whole_one or other.info.shape != unit.info.shape or other.info.dtype != unit.info.dtype:
            continue
        if unit.distinct and other.distinct and same_elements(unit, other) and _equal(unit.info, other.info):
            return other
    return None


def _equal(a: TensorInfo, b: TensorInfo) -> bool:
    if a.values is None or b.values is None:
        return False
    return candidates.equal_bits(casting.bits(a.values, a.dtype, a.dtype), casting.bits(b.values, b.dtype, b.dtype))


def _copies(unit: Unit, kept: Unit) -> list[Finding]:
    if unit.info.values is None or kept.info.values is None or np.shares_memory(unit.info.values, kept.info.values):
        return []
    text = f"{unit.info.name} is taken as tied to {kept.info.name}: the values are equal, the memory is not shared"
    return [Finding("W152", "warning", unit.info.name, text)]


def _reason(unit: Unit, settled: Sequence[Unit]) -> str | None:
    name = unit.info.name.lower()
    if unit.info.role == "buffer" or unit.name.kind == "count":
        path = "." + ".".join(re.findall(r"[^./\[\]'\"]+", name))
        found = next((reason for part, reason in synonyms.OPTIONAL.items() if part in path), None)
        if found:
            return found
    partner = name.replace("bias_hh", "bias_ih") if "bias_hh" in name else name.replace("bias_ih", "bias_hh")
    other = next((u.info.name for u in settled if partner != name and u.info.name.lower() == partner), None)
    if other and unit.values is not None and not unit.values.any():
        return f"zero, and only added to {other}"
    return None


def ambiguities(state: State) -> list[Ambiguity]:
    """Tensors of the original that several of the converted model may be, or that compete for one; likeliest first."""
    if not (state.sources and state.targets):
        return []
    found = []
    affinity = Affinity(state.sources, state.targets, state.together)
    for row, source in enumerate(state.sources):
        columns = [n for n, target in enumerate(state.targets) if state.possible(source, target)]
        if not columns:
            continue
        score = (affinity.names([row], columns) + affinity.modules([row], columns))[0]
        possible = [state.targets[columns[n]] for n in np.argsort(-score, kind="stable")]
        alike = tuple(u.label for u in state.sources if u is not source and state.possible(u, possible[0]))
        found.append(Ambiguity(source.label, tuple(t.label for t in possible), _decision_note(source), alike=alike))
    return found


def _decision_note(source: Unit) -> str:
    if source.values is None:
        return "values of both sides, an activation, or the name given by a person would decide"
    if source.distinct:
        return "their values are equal: an activation of changed values, or the name given by a person would decide"
    return "all their elements are equal: trained values, an activation, or the name given by a person would decide"


def missing(state: State, sources: Sequence[TensorInfo], targets: Sequence[TensorInfo]) -> list[Missing]:
    """Tensors that nothing of the other side may be, with what comes near."""
    lost_sources = [s for s in state.sources if not any(state.possible(s, t) for t in state.targets)]
    lost_targets = [t for t in state.targets if not any(state.possible(s, t) for s in state.sources)]
    if not lost_sources and not lost_targets:
        return []
    mine, theirs = [whole(info) for info in sources], [whole(info) for info in targets]
    partners = {(source.info.name, "original"): target.label for source, target in state.together}
    partners |= {(target.info.name, "converted"): source.label for source, target in state.together}
    affinity = Affinity(mine, theirs)
    near = affinity.words(range(len(mine)), range(len(theirs))) + affinity.numbers(range(len(mine)), range(len(theirs)))
    rows = {unit.info.name: n for n, unit in enumerate(mine)}
    columns = {unit.info.name: n for n, unit in enumerate(theirs)}
    sides: tuple[tuple[Literal["original", "converted"], list[Unit], list[Unit]], ...] = (
        ("original", lost_sources, theirs),
        ("converted", lost_targets, mine),
    )
    found = []
    for side, lost, others in sides:
        for unit in lost:
            name = unit.info.name
            scores = near[rows[name]] if side == "original" else near[:, columns[name]]
            other_side = "converted" if side == "original" else "original"
            found.append(Missing(side, unit.label, unit.shape, _near(unit, others, scores, partners, other_side)))
    return found


def _near(
    unit: Unit, others: Sequence[Unit], scores: np.ndarray, partners: dict[tuple[str, str], str], other_side: str
) -> tuple[tuple[str, str], ...]:
    bonus = np.array([
        (other.size == unit.size) - 0.5 * ((other.info.name, other_side) in partners) for other in others
    ])  # fmt: skip
    ranked = sorted(range(len(others)), key=lambda n: (-(scores[n] + bonus[n]), others[n].info.name))
    chosen = [n for n in ranked if scores[n] + bonus[n] > 1][:NEAR]
    return tuple((others[n].info.name, _why_not(unit, others[n], partners, other_side)) for n in chosen)


def _why_not(unit: Unit, other: Unit, partners: dict[tuple[str, str], str], other_side: str) -> str:
    if other.size != unit.size:
        return f"has shape {list(other.shape)}, {other.size} elements and not {unit.size}"
    if same_elements(unit, other) is False:
        steps = next(iter(candidates.usual(unit.shape, other.shape)), None)
        far = math.nan if steps is None else candidates.distance(unit, other, steps)
        return "holds other values" + ("" if math.isnan(far) else f", at a distance of {far:.1e}")
    partner = partners.get((other.info.name, other_side))
    if partner:
        return f"belongs to {partner}"
    return f"has shape {list(other.shape)}, which no layout of {list(unit.shape)} gives"
