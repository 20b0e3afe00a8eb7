"""Causes in the optimizer: values of its options, kind of decay, place of eps, clipping, schedule."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from regauge.verify.causes import Trial, shown

Spec = Mapping[str, Any]

_DECAYS = (0.0, 1e-4, 1e-2, 1e-3, 0.1, 0.05, 0.01)
_EPS = (1e-8, 1e-7, 1e-6, 1e-10, 1e-5, 1e-16, 1e-3)


def optimizer_trials(spec: Spec, constants: Sequence[float]) -> list[Trial]:
    """What the other side's optimizer may be.

    Args:
        spec: of the torch side, as `regauge.optimizers.to_json` gives it.
        constants: numbers in the other side's update.
    """
    found = [abs(value) for value in constants if value]
    trials: list[Trial] = []
    for family in (_decay, _eps, _betas, _momentum, _clipping, _schedule, _rates):
        trials += family(spec, list(dict.fromkeys(found)))
    return trials


def _trial(cause: str, what: str, ours: str, theirs: str, **edit: Any) -> Trial:
    return Trial(cause, what, ({"kind": "optimizer", **edit},), ours, theirs)


def _decay(spec: Spec, constants: list[float]) -> Iterator[Trial]:
    own, kind = spec.get("weight_decay", 0.0), spec["type"]
    values = [v for v in dict.fromkeys([*(c for c in constants if c < 0.5), *_DECAYS]) if v != own]
    other = {"Adam": "AdamW", "AdamW": "Adam"}.get(kind)
    what = "the kind of weight decay (L2 in the gradient, or decoupled from it)"
    if own and other:
        yield _trial("decay", what, kind, other, type=other, changes={"weight_decay": own})
    if own and other is None:
        yield _trial("decay", what, "L2", "decoupled", how="decoupled")
    for value in values:
        what_value = "the weight decay of the optimizer"
        yield _trial("decay", what_value, shown(own), shown(value), changes={"weight_decay": value})
    if other:
        for value in values[:6]:
            if value:
                yield _trial(
                    "decay", what, f"{kind} {own:g}", f"{other} {value:g}", type=other, changes={"weight_decay": value}
                )


def _eps(spec: Spec, constants: list[float]) -> Iterator[Trial]:
    own = spec.get("eps")
    if own is None:
        return
    what = "eps of the optimizer"
    values = list(dict.fromkeys([*(c for c in constants if c <= 1e-3), *_EPS]))
    for value in values:
        if value != own:
            yield _trial("optimizer-eps", what, shown(own), shown(value), changes={"eps": value})
    inside = "eps of the optimizer stands inside of the root"
    starts = [0.1, *(c for c in constants if c < 1)] if spec["type"] == "Adagrad" else [None]
    alphas = [c for c in constants if 0.5 < c < 1][:4] if spec["type"] == "RMSprop" else []
    for value, start in itertools.product(dict.fromkeys([own, *values]), starts[:4]):
        changes = {"eps": value} if start is None else {"eps": value, "initial_accumulator_value": start}
        for alpha in (None, *alphas):
            more = changes if alpha is None else {**changes, "alpha": alpha}
            yield _trial("optimizer-eps", inside, "", "", how="eps-inside", changes=more)
    for start in starts:
        if start is not None:
            for value in (own, *values[:3]):
                changes = {"initial_accumulator_value": start, "eps": value}
                yield _trial("optimizer-eps", "the first value of the accumulator", "", "", changes=changes)


def _betas(spec: Spec, constants: list[float]) -> Iterator[Trial]:
    shares = [c for c in [*constants, *(round(1 - c, 12) for c in constants)] if 0.3 < c < 1]
    values = list(dict.fromkeys([*shares, 0.9, 0.99, 0.999, 0.95, 0.98]))[:12]
    if "betas" in spec:
        own = list(spec["betas"])
        yield _trial("bias-correction", "the moments are not corrected for their bias", "", "", how="uncorrected")
        for index in (1, 0):
            for value in values:
                changed = [value if i == index else beta for i, beta in enumerate(own)]
                if changed != own:
                    yield _trial(
                        "betas", "the betas of the optimizer", str(own), str(changed), changes={"betas": changed}
                    )
    if "alpha" in spec:
        for value in values:
            yield _trial(
                "betas", "alpha of the optimizer", shown(spec["alpha"]), shown(value), changes={"alpha": value}
            )


def _momentum(spec: Spec, constants: list[float]) -> Iterator[Trial]:
    if "momentum" not in spec:
        return
    own = spec["momentum"]
    if "nesterov" in spec:
        nesterov = spec["nesterov"]
        if own:
            yield _trial(
                "nesterov",
                "Nesterov's momentum",
                str(nesterov),
                str(not nesterov),
                changes={"nesterov": not nesterov, "dampening": 0.0},
            )
            yield _trial(
                "dampening",
                "the dampening of momentum",
                shown(spec["dampening"]),
                shown(own),
                changes={"dampening": own, "nesterov": False},
            )
    for value in dict.fromkeys(
        [*(c for c in constants if 0 < c < 1), *(round(1 - c, 12) for c in constants if c < 1), 0.0, 0.9, 0.95, 0.99]
    ):
        if value != own:
            changes = (
                {"momentum": value}
                if value
                else {"momentum": 0.0, **({"nesterov": False} if "nesterov" in spec else {})}
            )
            yield _trial("momentum", "the momentum of the optimizer", shown(own), shown(value), changes=changes)


def _clipping(spec: Spec, constants: list[float]) -> Iterator[Trial]:
    own = spec.get("clip_norm")
    if own is not None:
        what = "clipping divides by the norm itself: torch adds 1e-6 to it"
        yield _trial("clipping", what, "", "", how="exact-clip")
        yield _trial("clipping", "clipping of the gradients", shown(own), "none", changes={"clip_norm": None})
    for value in [c for c in constants if c != own][:8]:
        ours = "none" if own is None else shown(own)
        yield _trial("clipping", "clipping of the gradients", ours, shown(value), changes={"clip_norm": value})
        yield _trial(
            "clipping", "clipping of the gradients", ours, shown(value), changes={"clip_norm": value}, how="exact-clip"
        )


def _schedule(spec: Spec, constants: list[float]) -> Iterator[Trial]:
    own = spec.get("schedule")
    if own is None:
        return
    what = "the schedule is off by one step"
    yield _trial("schedule", what, "0", "1", shift=1)
    yield _trial("schedule", what, "0", "-1", shift=-1, how="held")
    yield _trial("schedule", what, "0", "-1", shift=-1)
    yield _trial("schedule", "the schedule of the learning rate", own["type"], "none", schedule=None)
    if own["type"] == "StepLR":
        gamma = own["gamma"] ** (1 / own["step_size"])
        yield _trial(
            "schedule",
            "the schedule of the learning rate",
            "StepLR",
            "Exponential",
            schedule={"type": "Exponential", "gamma": gamma},
        )
    for total in [own.get("T_max"), own.get("total_steps"), *(int(c) for c in constants if c >= 2 and c == int(c))][:6]:
        if total:
            linear = {"type": "LinearWarmup", "total_iters": total, "start_factor": 1.0, "end_factor": 0.0}
            yield _trial("schedule", "the schedule of the learning rate", own["type"], "linear", schedule=linear)
            cosine = {"type": "Cosine", "T_max": total}
            yield _trial("schedule", "the schedule of the learning rate", own["type"], "cosine", schedule=cosine)


def _rates(spec: Spec, constants: list[float]) -> Iterator[Trial]:
    own = spec["lr"]
    for value in [*(c for c in constants if c != own), 2 * own, own / 2]:
        yield _trial("learning-rate", "the learning rate", shown(own), shown(value), changes={"lr": value})


def number_trials(own: Sequence[float], constants: Sequence[float]) -> list[Trial]:
    """What the other side's optimizer may be, where this side's is known by the numbers of its update alone.

    Args:
        own: numbers in the update of the side that trials are run on.
        constants: numbers in the other side's update.
    """
    lacking = [value for value in dict.fromkeys(constants) if not _among(value, own)]
    odd = [value for value in dict.fromkeys(own) if not _among(value, constants)]
    trials: list[Trial] = []
    for old in odd:
        rest = round(1 - old, 12)
        for new in lacking:
            is_average = 0 < old < 1 and 0 < new < 1 and _among(rest, own)
            what, cause = _role_of(old, new, is_average)
            pairs = [[old, new]]
            # a share of an average and what is left of it change together
            if is_average:
                pairs.append([rest, round(1 - new, 12)])
            trials.append(_trial(cause, what, shown(abs(old)), shown(abs(new)), numbers=pairs))
    return sorted(trials, key=lambda trial: trial.cause == "optimizer-number")


def _among(value: float, others: Sequence[float]) -> bool:
    return any(abs(value - other) <= 1e-12 * abs(value) for other in others)


def _role_of(old: float, new: float, is_average: bool) -> tuple[str, str]:
    """What a number in an update is: a message and the key of a cause."""
    what = "a number of the optimizer"
    cause = "optimizer-number"
    if old < 0 and new < 0:
        what = "the learning rate"
        cause = "learning-rate"
    elif 0.3 < old < 1 and 0.3 < new < 1:
        what = "the betas of the optimizer" if is_average else "the momentum of the optimizer"
        cause = "betas" if is_average else "momentum"
    elif 0 < old <= 1e-5 and 0 < new <= 1e-3:
        what = "eps of the optimizer"
        cause = "optimizer-eps"
    return what, cause
