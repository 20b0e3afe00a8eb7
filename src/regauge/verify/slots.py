"""What optimizers keep (slots), compared step by step: exp_avg is mu, exp_avg_sq is nu, step is count, and so on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from regauge.findings import Finding
from regauge.run.steps import ONCE
from regauge.verify.evaluations import Arrays, Evaluations
from regauge.verify.result import Distance, Tier
from regauge.verify.tolerance import LIMITS, rms

# what libraries and people call one and the same slot
SLOTS: dict[str, tuple[str, ...]] = {
    "first moment": ("exp_avg", "mu", "m", "first_moment", "moment1"),
    "second moment": ("exp_avg_sq", "nu", "v", "second_moment", "moment2", "square_avg"),
    "largest second moment": ("max_exp_avg_sq", "nu_max", "vmax"),
    "momentum": ("momentum_buffer", "trace", "momentum", "velocity", "buf"),
    "sum of squares": ("sum", "sum_of_squares", "accumulator"),
    "mean gradient": ("grad_avg", "mean_grad"),
    "step": ("step", "count", "t", "steps"),
}
_MEANING = {name: meaning for meaning, names in SLOTS.items() for name in names}


@dataclass(frozen=True)
class SlotPairs:
    """Slots of two optimizers.

    Attributes:
        pairs: of one meaning, or of one name: (meaning, name of the original, name of the converted).
        alone: names of slots that only one of the two has, the original's first.
    """

    pairs: tuple[tuple[str, str, str], ...]
    alone: tuple[tuple[str, ...], tuple[str, ...]]

    @property
    def findings(self) -> list[Finding]:
        """What is not compared."""
        found = []
        if self.alone[0]:
            text = f"Slots of the original alone: {', '.join(self.alone[0])}; they were not compared"
            found.append(Finding("V148", "info", "", text))
        if self.alone[1]:
            text = f"Slots of the converted optimizer alone: {', '.join(self.alone[1])}; they were not compared"
            found.append(Finding("V148", "info", "", text))
        return found


def paired(ours: Iterable[str], theirs: Iterable[str]) -> SlotPairs:
    """Which slot of the converted optimizer is which of the original's, by what they are called."""
    meanings = [{_MEANING.get(name, name): name for name in reversed(list(slots))} for slots in (ours, theirs)]
    pairs = [(meaning, name, meanings[1][meaning]) for meaning, name in meanings[0].items() if meaning in meanings[1]]
    alone = [
        tuple(name for meaning, name in mine.items() if meaning not in other)
        for mine, other in (meanings, list(reversed(meanings)))
    ]
    return SlotPairs(tuple(reversed(pairs)), (alone[0], alone[1]))


def slot_label(meaning: str, ours: str, theirs: str) -> str:
    """The name of the question about a slot."""
    return f"optimizer slot {meaning} ({ours}, {theirs})"


def at_step(name: str, step: int) -> str:
    """The name of a row: a tensor after a step."""
    return f"at step {step}" if name == ONCE else f"{name} at step {step}"


def in_another_form(tier: Tier) -> Tier:
    """A slot that differs while the parameters do not: the two only keep it in different forms."""
    why = f"kept in another form, for the parameters stay equal; {tier.why}"
    return replace(tier, verdict="not checked", why=why)


@dataclass
class Walk:
    """What both sides kept of the steps of a trajectory.

    Attributes:
        found: the evaluations.
        task: the trajectory.
        noise: elements of each parameter whose gradient is rounding noise, where Adam's slots hold noise as well.
        until: the last step that is looked at, where rounding moves the original itself later; None for all.
    """

    found: Evaluations
    task: str
    noise: Mapping[str, np.ndarray] = field(default_factory=dict)
    until: int | None = None

    @property
    def steps(self) -> list[int]:
        ours, theirs = (self.found.outcomes[side][self.task].info.get("walk", ()) for side in ("M64", "C64"))
        return [number for number in ours if number in theirs and (self.until is None or number <= self.until)]

    def both(self, number: int) -> tuple[Arrays, Arrays]:
        """``parameters.*`` and ``slot ...`` of both sides after a step."""
        original = self.found.original_step(self.task, number)
        return original, self.found.outcomes["C64"][self.task].step(number)

    @property
    def pairs(self) -> SlotPairs:
        """Slots of both sides after the last step that was kept."""
        return paired(*self._last()) if self.steps else SlotPairs((), ((), ()))

    @property
    def findings(self) -> list[Finding]:
        """What is not compared: slots of one side alone, and those that are not laid out as their parameters."""
        if not self.steps:
            return []
        one, other = self._last()
        pairs = paired(one, other)
        unlike = [mine for _, mine, theirs in pairs.pairs if not self._rows(one[mine], other[theirs], self.steps[-1])]
        if not unlike:
            return pairs.findings
        text = f"Slots that have not the shape of their parameters: {', '.join(unlike)}; they were not compared"
        return [*pairs.findings, Finding("V148", "info", "", text)]

    def _last(self) -> tuple[dict[str, Arrays], dict[str, Arrays]]:
        one, other = self.both(self.steps[-1])
        return _by_slot(one), _by_slot(other)

    def tiers(self, parameters_differ: bool, seconds: float) -> list[Tier]:
        """One question for each slot that both optimizers have.

        Args:
            parameters_differ: whether the parameters part; if they do not, neither do the optimizers.
            seconds: that the evaluations took.
        """
        pairs = self.pairs.pairs
        rows: dict[tuple[str, str, str], list[list[Distance]]] = {pair: [] for pair in pairs}
        for number in self.steps:
            one, other = (_by_slot(arrays) for arrays in self.both(number))
            for pair in pairs:
                rows[pair].append(self._rows(one.get(pair[1], {}), other.get(pair[2], {}), number))
        tiers = [slot_tier(slot_label(*pair), found, seconds) for pair, found in rows.items() if any(found)]
        return [t if parameters_differ or t.verdict == "equal" else in_another_form(t) for t in tiers]

    def _rows(self, ours: Arrays, theirs: Arrays, number: int) -> list[Distance]:
        """The tensors that both have; one without a gradient has slots in some libraries and none in others."""
        scale = rms(ours.values())
        names = [name for name, array in ours.items() if name in theirs and array.size]
        return [
            _distance(at_step(name, number), theirs[name], ours[name], scale, self.noise.get(name)) for name in names
        ]


def slot_tier(name: str, by_step: Sequence[Sequence[Distance]], seconds: float = 0.0) -> Tier:
    """The answer for a slot, or for parameters: the first step at which something is beyond its limit, with its name.

    Args:
        name: of the question.
        by_step: distances, step after step.
        seconds: that the evaluations took.
    """
    bound = max((distance.norm for row in by_step for distance in row), default=0.0)
    steps = len(by_step)
    failed = next((wrong for row in by_step if (wrong := [d for d in row if not d.passed])), [])
    if not failed:
        return Tier(
            name, "equal", "train", steps, bound, LIMITS.trajectory, f"{steps} steps", tuple(by_step[-1]), seconds
        )
    first = failed[0]
    why = f"they part with {first.name}: {first.norm:.2g}" + (f" ({first.note})" if first.note else "")
    every = tuple(distance for row in by_step for distance in row if not distance.passed)
    return Tier(name, "different", "train", steps, bound, LIMITS.trajectory, why, every, seconds)


def _by_slot(arrays: Arrays) -> dict[str, Arrays]:
    """Arrays ``slot exp_avg.w`` by slot and parameter."""
    slots: dict[str, Arrays] = {}
    for name, array in arrays.items():
        kind, _, owner = name.partition(".")
        if kind.startswith("slot "):
            slots.setdefault(kind.removeprefix("slot "), {})[owner] = array
    return slots


def _distance(
    name: str, candidate: np.ndarray, reference: np.ndarray, kind_rms: float, noise: np.ndarray | None
) -> Distance:
    """One tensor of a slot, over its own size or a thousandth of its kind's: smaller ones hold rounding alone."""
    limit = LIMITS.trajectory
    if candidate.shape != reference.shape:
        note = f"shape {candidate.shape}, the original's is {reference.shape}"
        return Distance(name, math.inf, math.inf, limit, False, note=note)
    if not np.array_equal(np.isnan(candidate), np.isnan(reference)):
        return Distance(name, math.inf, math.inf, limit, False, note="NaN at other places")
    difference = np.nan_to_num(candidate - reference)
    if noise is not None and noise.shape == difference.shape:
        difference = np.where(noise, 0.0, difference)
    away = float(np.linalg.norm(difference.ravel()))
    own = float(np.linalg.norm(np.nan_to_num(reference).ravel()))
    scale = max(own, LIMITS.smallest_share * kind_rms * math.sqrt(max(1, reference.size)))
    norm = 0.0 if away == 0 else away / scale if scale > 0 else math.inf
    return Distance(name, norm, float(np.abs(difference).max(initial=0.0)), limit, norm <= limit)
