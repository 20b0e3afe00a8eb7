"""Trials on one side of a check, judged by how near they bring it to the other side, and put into words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from regauge.run.launch import Framework
from regauge.verify.causes import Trial
from regauge.verify.evaluations import WIDE, Evaluations, Outcome, Side
from regauge.verify.result import Cause
from regauge.verify.subjects import Role

SECONDS = 30.0
MOST_CAUSES = 5
_HELPS = 0.5  # a trial that takes less than this share of the distance away is not worth naming
_FAR = 1e299  # beyond it two tensors cannot be compared


class Laboratory(Protocol):
    """Runs more tasks on the sides of a check."""

    @property
    def found(self) -> Evaluations: ...

    @property
    def frameworks(self) -> Mapping[Role, Framework]: ...

    def again(self, side: Side, tasks: Sequence[Mapping[str, Any]]) -> dict[str, Outcome]:
        """Evaluate tasks on a side, beside what it computed before."""


@dataclass(frozen=True)
class Tried:
    """A trial that helped.

    Attributes:
        trial: that was run.
        before: distance without it.
        after: distance with it.
        proven: whether the difference vanished.
    """

    trial: Trial
    before: float
    after: float
    proven: bool


def roles_to_try(laboratory: Laboratory) -> tuple[int, ...]:
    """The sides that trials are run on, in order: 0 for the original, 1 for the converted model.

    A torch side comes first, for its calls say more than the operations of a jaxpr. Of two JAX models the converted one
    does, whose line is to be changed; but what it leaves out can only be left out of the original.
    """
    original, converted = (laboratory.frameworks[role] for role in ("original", "converted"))
    if original == "torch":
        return (0,)
    return (1,) if converted == "torch" else (1, 0)


def try_all(
    laboratory: Laboratory,
    role: int,
    trials: Sequence[Trial],
    *,
    of: Mapping[str, Any],
    target: Outcome,
    names: Sequence[str],
    limit: float,
) -> list[Tried]:
    """Run trials until the time is up; what helped, of each cause the best, proven ones first.

    Args:
        laboratory: that runs them.
        role: of the side that they are run on.
        trials: most likely first.
        of: the task that they are run with.
        target: the other side's.
        names: of the arrays that are compared.
        limit: below which a difference has vanished.
    """
    if not trials or not names:
        return []
    task = {
        "id": "causes",
        "kind": "substitute",
        "of": {**of, "id": "substituted"},
        "trials": [{"edits": list(trial.edits)} for trial in trials],
        "target": str(target.file.with_suffix("").resolve()),
        "parts": list(target.info.get("parts", ())),
        "names": list(names),
        "seconds": SECONDS,
        "limit": limit,
    }
    outcome = laboratory.again(WIDE[role], [task])["causes"]
    if outcome.error:
        return []
    before = max(outcome.info["before"].values(), default=0.0)
    tried = []
    for item in outcome.info["trials"]:
        if "after" in item:
            after = max(item["after"].values(), default=0.0)
            if after <= limit or after < _HELPS * before:
                tried.append(Tried(trials[item["index"]], before, after, after <= limit))
    tried.sort(key=lambda t: (not t.proven, 0.0 if t.proven else t.after))  # stable: likely ones stay first
    best: dict[str, Tried] = {}
    for one in tried:
        if one.proven or not (tried[0].proven):
            best.setdefault(one.trial.cause, one)
    return list(best.values())[:MOST_CAUSES]


def worded(tried: Tried, role: int, change: str) -> Cause:
    """A cause as a sentence with its numbers.

    Args:
        tried: what helped.
        role: of the side that it was run on.
        change: the line to change.
    """
    trial, before, after = tried.trial, tried.before, tried.after
    ours, theirs = originals_value(trial, role), converteds_value(trial, role)
    far = "another shape" if before > _FAR else f"{before:.2g}"
    if ours and theirs:
        text = (
            f"{trial.what}: {theirs} in the converted model, {ours} in the original, and with the same in both the "
            f"distance falls from {far} to {after:.2g}"
        )
    else:
        text = f"{trial.what}: with the same in both the distance falls from {far} to {after:.2g}"
    return Cause(name=trial.cause, text=text, before=before, after=after, change=change, proven=tried.proven)


def originals_value(trial: Trial, role: int) -> str:
    """What the original has, as text; empty where it is no value."""
    return trial.own_value if role == 0 else trial.other_value


def converteds_value(trial: Trial, role: int) -> str:
    return trial.other_value if role == 0 else trial.own_value
