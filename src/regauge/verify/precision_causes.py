"""Why a model's own arithmetic is worse although it is the same function: values that its code narrows inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from regauge.verify.evaluations import Outcome, of_kind
from regauge.verify.onestep import KINDS, MASKED, TOGETHER
from regauge.verify.places import shown_path, text_of_line
from regauge.verify.plan import step_id
from regauge.verify.result import Cause, Distance, Place, Tier
from regauge.verify.tolerance import rounding_error
from regauge.verify.trying import Laboratory

_MOST_LINES = 6  # that are tried alone


def precision_causes(laboratory: Laboratory, tier: Tier, sets: Sequence[str]) -> tuple[list[Cause], tuple[Place, ...]]:
    """The lines that narrow, if the difference vanishes where they do not, and the place of the first.

    Args:
        laboratory: runs the converted model in its own precision once more.
        tier: a tier of float32 that differs.
        sets: names of the input sets, in order.
    """
    failed = [d for d in tier.distances if not d.passed]
    on = failed[0].note.rpartition("on ")[2] if failed else ""
    kind = next((k for k, name in KINDS.items() if tier.name.removesuffix(MASKED) == f"tier 2 {name}"), "")
    if on not in sets or not kind:
        return [], ()
    question = _Question(laboratory, tier, kind, sets.index(on), [d for d in failed if d.note.endswith(f"on {on}")])
    outcome = question.ask(None)
    lines: Mapping[str, str] = {} if outcome.error else outcome.info.get("narrowed", {})
    if not lines:
        return [], ()
    before, after = question.before, question.distance(outcome)
    passed = question.passes(outcome)
    chosen, proven = list(lines), passed
    for line in list(lines)[:_MOST_LINES] if passed and len(lines) > 1 else ():
        alone = question.ask([line])
        if question.passes(alone):
            chosen, after = [line], question.distance(alone)
            break
    if not proven and after > 0.5 * before:
        return [], ()
    place = _place(chosen[0])
    where = f"{place.file}:{place.line}" if place.file else ""
    dtype, count, at = lines[chosen[0]], len(chosen), where or "?"
    if count == 1:
        text = (
            f"a value is rounded to {dtype} at {at}: where it stays in float32 the distance falls from "
            f"{before:.2g} to {after:.2g}"
        )
    else:
        text = (
            f"values are rounded to {dtype} at {count} lines, first at {at}: where they stay in float32 the distance "
            f"falls from {before:.2g} to {after:.2g}"
        )
    cause = Cause("precision", text, before, after, f"{where}: {place.code}".strip(": "), proven)
    return [cause], (Place("", "", "", 0, "", None), place)


class _Question:
    """How far the converted model is from the original in float64 on one input set."""

    def __init__(self, laboratory: Laboratory, tier: Tier, kind: str, index: int, failed: Sequence[Distance]) -> None:
        self._laboratory, self._tier, self._kind, self._failed = laboratory, tier, kind, failed
        dropout = "masks" if tier.name.endswith(MASKED) else "off"
        self._id = step_id(index, tier.mode or "train", dropout)
        self._task: dict[str, Any] = {
            "id": "own precision",
            "kind": "step",
            "mode": tier.mode or "train",
            "input": failed[0].note.rpartition("on ")[2],
            "dropout": dropout,
            "gradients": kind not in ("outputs", "loss"),
            "after": kind == "after",
        }
        if dropout == "masks":
            original = laboratory.found.outcomes["M64"][self._id]
            self._task["calls"] = original.info.get("calls", [])

    @property
    def before(self) -> float:
        return max(d.norm for d in self._failed)

    def ask(self, lines: Sequence[str] | None) -> Outcome:
        task = {**self._task, "keep": True if lines is None else list(lines)}
        return self._laboratory.again("C32", [task])[task["id"]]

    def _norms(self, outcome: Outcome) -> dict[str, float]:
        expected = of_kind(self._laboratory.found.original("M64", self._id), self._kind)
        found = rounding_error(of_kind(outcome.arrays(), self._kind), expected)
        return {**found.norms, TOGETHER: found.together}

    def distance(self, outcome: Outcome) -> float:
        norms = self._norms(outcome)
        return max(norms.get(d.name, float("inf")) for d in self._failed)

    def passes(self, outcome: Outcome) -> bool:
        norms = {} if outcome.error else self._norms(outcome)
        return bool(norms) and all(norms.get(d.name, float("inf")) <= d.limit for d in self._failed)


def _place(where: str) -> Place:
    file, _, line = where.rpartition(":")
    if not file:
        return Place("", "", "", 0, "", None)
    return Place("", "", shown_path(file), int(line), text_of_line(file, int(line)), None)
