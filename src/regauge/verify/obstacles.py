"""What keeps a side from being judged: what it changes with every call, float64 that it refuses, shared memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from regauge.errors import BadCase
from regauge.findings import Finding
from regauge.verify.evaluations import WIDE, Evaluations, Mode, Outcome, Side
from regauge.verify.result import Tier

# how a sentence begins, by side
_SUBJECTS: dict[str, str] = {"M": "the original", "C": "the converted model"}


def effects(found: Evaluations, side: Side) -> list[str]:
    """What a side changes besides its results with every call."""
    outcome = found.get(side, "effects")
    return list(outcome.info.get("changes", ())) if outcome else []


def effect_findings(found: Evaluations) -> list[Finding]:
    """One finding for each side that changes what is not its result."""
    findings = []
    for side in WIDE:
        changed = effects(found, side)
        if changed:
            shown = ", ".join(changed[:5]) + (f" and {len(changed) - 5} more" if len(changed) > 5 else "")
            if side == "M64":
                text = f"Every call of the original changes {shown}: pass it in and return it, or keep it in a buffer"
            else:
                text = f"Every call of the converted model changes {shown}: pass it in and return it as state"
            findings.append(Finding("V145", "warning", "", text))
    return findings


def other_weights(tier: Tier) -> Finding:
    """The finding that a conversion was made of other weights: it was equal to those that it was made of."""
    text = (
        f"The original's weights are not those that were converted: {tier.why}. If its file draws them at random in a "
        "way that no seed governs, every process has others: load them from a file. If they were trained or changed "
        "since, convert again"
    )
    return Finding("V149", "error", "", text)


def unrepeatable_why(found: Evaluations, side: Side) -> str:
    """Why two runs of a side on the same inputs differ."""
    changed = effects(found, side)
    if changed:
        shown = ", ".join(changed[:3])
        if side == "M64":
            return f"two runs of the original differ: every call changes {shown}"
        return f"two runs of the converted model differ: every call changes {shown}"
    if side == "M64":
        return (
            "two runs of the original differ: it draws random numbers that the check does not control; "
            "give it an argument named key, or set their seed in the call"
        )
    return (
        "two runs of the converted model differ: it draws random numbers that the check does not control; "
        "give it an argument named key, or set their seed in the call"
    )


@dataclass(frozen=True)
class Refusal:
    """A side that computes in its own precision and raises in float64.

    Attributes:
        side: which.
        why: the error and the line.
    """

    side: Side
    why: str


def refusal(side: Side, wide: Outcome, own: Outcome | None) -> Refusal | None:
    """The refusal, if a pass raises in float64 and not in float32.

    Args:
        side: in float64.
        wide: its pass on the reference inputs in float64.
        own: the same in float32, None if that could not be run.
    """
    if not wide.error or own is None or own.error:
        return None
    where = wide.info.get("where", "")
    at = f" at {where}" if where else ""
    why = f"the converted model refuses float64{at}: {wide.error}; in float32 it runs"
    if side == "M64":
        why = f"the original refuses float64{at}: {wide.error}; in float32 it runs"
    return Refusal(side, why)


def rejected_reference(errors: Mapping[Mode, str]) -> BadCase:
    """The original does not take its own inputs, in any precision."""
    return BadCase(
        "the model rejects its own reference inputs in float64",
        received=next(error for error in errors.values() if error),
        next="call the model with the case's inputs, in training and in eval mode",
    )


def memory_findings(shared: Mapping[str, list[list[str]]]) -> list[Finding]:
    """Weights of one side that lie in the same memory: a step on one moves the other, which the check does not do.

    Args:
        shared: by role, groups of names.
    """
    findings = []
    for role, groups in shared.items():
        for group in groups:
            names = ", ".join(group)
            if role == "original":
                text = (
                    f"Weights of the original share memory: {names}; they were judged as separate weights, so a step "
                    "on one does not move the other"
                )
            else:
                text = (
                    f"Weights of the converted model share memory: {names}; they were judged as separate weights, so "
                    "a step on one does not move the other"
                )
            findings.append(Finding("V147", "warning", "", text))
    return findings
