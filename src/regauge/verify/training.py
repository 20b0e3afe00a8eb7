"""Verdicts on training: optimizer steps in float64, and the losses of the first steps in float32."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from regauge.verify.evaluations import Arrays, Evaluations, of_kind
from regauge.verify.onestep import describe
from regauge.verify.result import Distance, Tier, Verdict
from regauge.verify.slots import Walk
from regauge.verify.tolerance import LIMITS, is_null, pieces, rms

_TOGETHER = "all together"


@dataclass(frozen=True)
class Trajectory:
    """Names of the tasks that a verdict on training reads."""

    task: str
    gradients: str  # the step task whose gradients tell which parameters are null
    noisy: Sequence[str] = ()
    rounded: str = ""  # the original with the learning rate that coefficients in float32 amount to


def trajectory_tiers(found: Evaluations, tasks: Trajectory, optimizer: str) -> list[Tier]:
    """Float64: parameters after the first and the last step, the loss at every step, the state at the end."""
    ours = found.outcomes["M64"][tasks.task]
    theirs = found.outcomes["C64"][tasks.task]
    name = f"trajectory {optimizer}"
    if theirs.error:
        return [
            Tier(
                name, "different", "train", 1, math.inf, LIMITS.trajectory, f"the converted step raises: {theirs.error}"
            )
        ]
    original = found.original("M64", tasks.task)
    converted = found.converted("C64", tasks.task, original)
    noise = _noise(found.original("M64", tasks.gradients))
    null = [name for name, places in noise.items() if places.all()]
    seconds = ours.seconds + theirs.seconds
    copy = found.original("M64", tasks.noisy[0]) if tasks.noisy and found.get("M64", tasks.noisy[0]) else None
    moved = _moved(found, tasks, original, copy, noise)
    start = of_kind(original, "start")
    distances = _parameters(start, of_kind(original, "first"), of_kind(converted, "first"), noise, "step 1")
    if moved.last <= LIMITS.unstable:
        limit = max(LIMITS.trajectory, LIMITS.amplified * moved.last)
        last = of_kind(original, "last"), of_kind(converted, "last")
        distances = [*distances, *_parameters(start, *last, noise, "last step", limit)]
    steps = moved.steps(LIMITS.unstable)
    bound = max(d.norm for d in distances)
    left_out = [*null, *(f"parts of {name}" for name, places in noise.items() if places.any() and name not in null)]
    note = f"without {', '.join(left_out)}, whose gradient is zero in theory" if left_out else ""
    if steps < len(moved.losses):
        why = f"after step {steps} the original parts from a copy of itself one unit in the last place away"
        note = "; ".join(filter(None, [note, why]))
    elif moved.last > LIMITS.unstable:
        off = f"{moved.last:.1g}"
        why = f"without the last step, where a copy of the original one unit in the last place away is {off} off"
        note = "; ".join(filter(None, [note, why]))
    losses = _losses(ours.info["losses"], theirs.info["losses"], moved.losses)
    tiers = [_judged(name, distances, bound, LIMITS.trajectory, steps, note, seconds)]
    walk = walk_of(found, tasks, noise, moved.steps(LIMITS.trajectory_loss))
    apart = tiers[0].verdict == "different"
    if apart:
        first = _first_of(walk, of_kind(original, "start")) or _first_step(distances, losses)
        tiers[0] = replace(tiers[0], why=f"{first}; {tiers[0].why}")
    tiers.append(
        _judged(f"{name} loss", losses, max(d.norm for d in losses), LIMITS.trajectory_loss, steps, "", seconds)
    )
    if of_kind(original, "state"):
        copy = copy if null or steps < len(moved.losses) else None
        tiers.append(_state_tier(f"{name} state", original, converted, copy, null, steps, seconds))
    return [*tiers, *walk.tiers(apart, seconds)]


@dataclass(frozen=True)
class _Moved:
    """How far the original parts from a copy of it that starts one unit in the last place away.

    Attributes:
        losses: at each step, relative as `_losses` has them; zeros where no copy has run.
        last: of all parameters after the last step, over the way that they went.
    """

    losses: tuple[float, ...]
    last: float

    def steps(self, limit: float) -> int:
        """The first steps at which it is within a limit, at least one."""
        beyond = (step for step, moved in enumerate(self.losses) if not moved <= limit)
        return max(1, next(beyond, len(self.losses)))


def _moved(
    found: Evaluations, tasks: Trajectory, original: Arrays, copy: Arrays | None, noise: dict[str, np.ndarray]
) -> _Moved:
    exact = found.outcomes["M64"][tasks.task].info["losses"]
    if copy is None:
        return _Moved((0.0,) * len(exact), 0.0)
    losses = _losses(exact, found.outcomes["M64"][tasks.noisy[0]].info["losses"])
    end = of_kind(copy, "last")
    last = _parameters(of_kind(original, "start"), of_kind(original, "last"), end, noise, "")[-1].norm if end else 0.0
    return _Moved(tuple(d.norm for d in losses), last)


def walk_of(
    found: Evaluations, tasks: Trajectory, noise: Mapping[str, np.ndarray] | None = None, until: int | None = None
) -> Walk:
    """The steps of which both sides kept parameters and slots."""
    return Walk(found, tasks.task, noise or {}, until)


def _first_of(walk: Walk, start: Arrays) -> str:
    """The first step after which parameters differ, where every step was kept; an empty string where some were not."""
    if walk.steps != list(range(1, len(walk.steps) + 1)):
        return ""
    for number in walk.steps:
        ours, theirs = (of_kind(arrays, "parameters") for arrays in walk.both(number))
        if not all(d.passed for d in _parameters(start, ours, theirs, dict(walk.noise), "")):
            return f"they part at step {number}"
    return ""


def _first_step(parameters: Sequence[Distance], losses: Sequence[Distance]) -> str:
    """Where the two part: after the first step, or at the first step whose loss tells."""
    if any(d.name.endswith(" at step 1") and not d.passed for d in parameters):
        return "they part at step 1"
    later = next((d.name.rpartition(" ")[2] for d in losses if not d.passed), "")
    return f"they part before the loss of step {later}" if later else "they part after step 1"


def _state_tier(
    name: str,
    original: Arrays,
    converted: Arrays,
    copy: Arrays | None,
    null: Sequence[str],
    steps: int,
    seconds: float,
) -> Tier:
    """The buffers at the end, without those that follow a parameter which the optimizer moves by rounding noise.

    Args:
        name: of the tier.
        original: arrays of M64.
        converted: arrays of C64.
        copy: the original's from weights one unit in the last place away, if that may move them.
        null: parameters that an optimizer moves by rounding noise.
        steps: of the optimizer.
        seconds: that the evaluations took.
    """
    expected = of_kind(original, "state")
    moved = {d.name: d.norm for d in _state(expected, of_kind(copy, "state"))} if copy else {}
    distances = _state(expected, of_kind(converted, "state"))
    following = [d.name for d in distances if not d.passed and moved.get(d.name, 0.0) > LIMITS.trajectory / 10]
    judged = [d for d in distances if d.name not in following]
    note = ""
    if following and null:
        note = (
            f"without {', '.join(following)}, which rounding noise moves in the original itself: an optimizer makes "
            f"steps of the noise in the gradients of {', '.join(null)}"
        )
    elif following:
        note = f"without {', '.join(following)}, which rounding noise moves in the original itself"
    if not judged:
        return Tier(name, "not checked", "train", why=note, seconds=seconds)
    return _judged(name, judged, max(d.norm for d in judged), LIMITS.trajectory, steps, note, seconds)


def _judged(
    name: str, distances: list[Distance], bound: float, limit: float, steps: int, note: str, seconds: float
) -> Tier:
    failed = [d for d in distances if not d.passed]
    verdict: Verdict = "different" if failed else "equal"
    why = describe(failed) if failed else "; ".join(filter(None, [f"{steps} steps", note]))
    return Tier(name, verdict, "train", 1, bound, limit, why, tuple(distances), seconds)


def _noise(step: Arrays) -> dict[str, np.ndarray]:
    """Which elements of each parameter have a gradient that is rounding noise.

    Adam turns such noise into steps of a size of its own, so these elements say nothing: the bias of a convolution
    before batch norm, the key part of a joint query, key and value bias.
    """
    gradients = of_kind(step, "gradients")
    scale = rms(gradients.values())
    return {name: _noise_in(gradient, scale) for name, gradient in gradients.items()}


def _noise_in(gradient: np.ndarray, scale: float) -> np.ndarray:
    places = np.full(gradient.shape, is_null(gradient, scale))
    if not places.all():
        for piece, found in pieces(gradient, places):  # parts of `places`, which is written here
            found[:] = (piece != 0) & (np.abs(piece) <= LIMITS.null * scale)
    return places


def _parameters(
    start: Arrays, end: Arrays, candidate: Arrays, noise: Arrays, label: str, limit: float = LIMITS.trajectory
) -> list[Distance]:
    """Each parameter's distance, over the way that all parameters of the original went."""
    judged = {name: ~noise.get(name, np.zeros(array.shape, bool)) for name, array in end.items()}
    moved = math.sqrt(sum(_apart(end[name], start[name], places)[0] ** 2 for name, places in judged.items()))
    distances = []
    for name, array in end.items():
        if array.size and not judged[name].any():
            continue
        found = candidate.get(name)
        if found is None or found.shape != array.shape:
            note = "missing in the converted model"
            distances.append(Distance(f"{name} at {label}", math.inf, math.inf, limit, False, note=note))
            continue
        away, farthest = _apart(found, array, judged[name])
        norm, largest = _share(away, moved), _share(farthest, moved)
        passed = norm <= limit and found.dtype == np.float64
        note = "" if found.dtype == np.float64 else f"computed in {found.dtype}"
        distances.append(Distance(f"{name} at {label}", norm, largest, limit, passed, note=note))
    total = math.sqrt(sum(d.norm**2 for d in distances))
    extra = [name for name in candidate if name not in end]
    note = f"trained only in the converted model: {', '.join(extra)}" if extra else ""
    passed = total <= limit and not extra
    together = Distance(f"{_TOGETHER} at {label}", total, total, limit, passed, note=note)
    return [*distances, together]


def _apart(one: np.ndarray, other: np.ndarray, places: np.ndarray) -> tuple[float, float]:
    """2-norm and largest element of the difference, at these places."""
    squares, largest = 0.0, 0.0
    for a, b, wanted in pieces(one, other, places):
        difference = (a - b)[wanted] if not wanted.all() else a - b
        squares += float(np.vdot(difference, difference).real)
        largest = max(largest, float(difference.max(initial=0.0)), -float(difference.min(initial=0.0)))
    return math.sqrt(squares), largest


def _state(original: Arrays, candidate: Arrays) -> list[Distance]:
    scale = rms(array for array in original.values() if array.dtype.kind == "f")
    distances = []
    for name, array in original.items():
        found = candidate.get(name)
        if found is None or found.shape != array.shape:
            distances.append(Distance(name, math.inf, math.inf, LIMITS.trajectory, False, note="missing"))
            continue
        size = max(float(np.linalg.norm(array)), LIMITS.smallest_share * scale * math.sqrt(max(1, array.size)))
        norm = _share(float(np.linalg.norm(found.astype(np.float64) - array)), size)
        distances.append(Distance(name, norm, norm, LIMITS.trajectory, norm <= LIMITS.trajectory))
    return distances


def _losses(
    original: Sequence[float], candidate: Sequence[float], moved: Sequence[float] | None = None
) -> list[Distance]:
    """The distance of each loss; with what rounding moves the original by, up to the step where that is much."""
    distances = []
    for step, (ours, theirs) in enumerate(zip(original, candidate, strict=True), start=1):
        own = moved[step - 1] if moved is not None else 0.0
        if step > 1 and not own <= LIMITS.unstable:
            break
        if math.isfinite(ours) and math.isfinite(theirs):
            norm = abs(theirs - ours) / max(1.0, abs(ours))
        else:
            norm = 0.0 if str(ours) == str(theirs) else math.inf
        limit = max(LIMITS.trajectory_loss, LIMITS.amplified * min(own, LIMITS.unstable))
        distances.append(Distance(f"loss at step {step}", norm, norm, limit, norm <= limit))
    return distances


def float32_tier(found: Evaluations, tasks: Trajectory, optimizer: str) -> Tier:
    """Float32 losses of the first steps: within ten times the band of the original and its noisy copies.

    Coefficients of the optimizer in float32 are no defect either: what they move the original by is allowed once.
    """
    name = f"trajectory {optimizer} float32"
    theirs = found.outcomes["C32"][tasks.task]
    if theirs.error:
        return Tier(name, "different", "train", 1, math.inf, why=f"the converted step raises: {theirs.error}")
    exact = found.outcomes["M64"][tasks.task].info["losses"]
    runs = [found.get("M32", task) for task in (tasks.task, *tasks.noisy)]  # most copies are made if something differs
    copies = [run.info["losses"] for run in runs if run is not None]
    candidate = theirs.info["losses"]
    steps = _steps_that_agree(exact, copies)
    seconds = theirs.seconds + found.outcomes["M32"][tasks.task].seconds
    if steps == 0:
        why = "copies of the original with one unit in the last place changed already part at the first step"
        return Tier(name, "not checked", "train", 1, why=why, seconds=seconds)
    band = max(_farthest(exact, copy, steps) for copy in copies)
    own = max(band, LIMITS.floor * max(1.0, *map(abs, exact[:steps])))
    norm = _farthest(exact, candidate, steps)
    rounded = found.outcomes["M32"][tasks.rounded].info["losses"]
    limit = max(LIMITS.band * own, _farthest(exact, rounded, steps))
    distance = Distance("loss", norm, norm, limit, norm <= limit, band)
    verdict: Verdict = "equal" if distance.passed else "different"
    why = f"{steps} steps" if distance.passed else describe([distance])
    return Tier(name, verdict, "train", 1, norm, limit, why, (distance,), seconds)


def _steps_that_agree(exact: Sequence[float], copies: Sequence[Sequence[float]]) -> int:
    """The most steps for which no copy of the original is ten times further away than another."""
    floor = LIMITS.floor * max(1.0, *map(abs, exact)) if all(map(math.isfinite, exact)) else math.inf
    for steps in range(len(copies[0]), 0, -1):
        distances = [max(_farthest(exact, copy, steps), floor) for copy in copies]
        if all(map(math.isfinite, distances)) and max(distances) <= LIMITS.band * min(distances):
            return steps
    return 0


def _farthest(exact: Sequence[float], losses: Sequence[float], steps: int) -> float:
    return max(abs(a - b) for a, b in zip(exact[:steps], losses[:steps], strict=True))


def _share(distance: float, scale: float) -> float:
    if distance == 0:
        return 0.0
    return distance / scale if scale > 0 else math.inf
