"""Causes in normalisation: eps and its place, the kind of variance, momentum, stale statistics."""

from __future__ import annotations

from collections.abc import Iterator

from regauge.verify.causes import (
    Call,
    Situation,
    Trial,
    argument,
    cause,
    replaced,
    replacement_trials,
    scopes,
    shown,
    value_trials,
)

_EPS = (1e-5, 1e-6, 1e-3, 1e-8, 1e-12, 1e-7, 1e-4, 0.0, 2.220446049250313e-16, 1.1920928955078125e-07)
_DEFAULT_EPS = {"layer_norm": 1e-5, "group_norm": 1e-5, "batch_norm": 1e-5, "instance_norm": 1e-5, "normalize": 1e-12}
_DIVISIONS = ("div", "__truediv__", "true_divide")
_NORMS = ("layer_norm", "group_norm", "batch_norm", "instance_norm", "rms_norm", "normalize")


def small(constants: tuple[float, ...] | list[float]) -> list[float]:
    return [value for value in constants if 0 < value < 0.02]


@cause("eps", functions=(*_NORMS, "cosine_similarity", "pairwise_distance"), order=0)
def eps(call: Call, situation: Situation) -> Iterator[Trial]:
    values = [*small(list(situation.constants)), *_EPS]
    default = _DEFAULT_EPS.get(call.function, 2.220446049250313e-16)
    return value_trials("eps", "eps", call, situation, "eps", default, values)


@cause("eps-place", functions=("layer_norm", "rms_norm"), order=20)
def eps_outside(call: Call, situation: Situation) -> Iterator[Trial]:
    return replacement_trials("eps-place", "eps outside of the root", call, situation, "normalised", outside=True)


@cause("unbiased-variance", functions=("layer_norm",), order=15)
def unbiased_layer_norm(call: Call, situation: Situation) -> Iterator[Trial]:
    what = "normalised with the unbiased variance, which divides by n - 1"
    return replacement_trials("unbiased-variance", what, call, situation, "normalised", unbiased=True)


@cause("norm-kind", functions=("layer_norm",), order=25)
def without_mean(call: Call, situation: Situation) -> Iterator[Trial]:
    return replacement_trials("norm-kind", "the mean is not taken away", call, situation, "normalised", centred=False)


@cause("momentum", functions=("batch_norm",), order=1)
def momentum(call: Call, situation: Situation) -> Iterator[Trial]:
    if "state" not in situation.kinds:
        return iter(())
    own = call.value("momentum", 0.1)
    found = [value for value in situation.constants if 0 < value < 1]
    values = [1 - own, *(round(1 - value, 12) for value in found), *found, 0.1, 0.01, 0.9, 0.99, 0.001, 0.0]
    return value_trials("momentum", "the momentum of batch norm", call, situation, "momentum", 0.1, values)


@cause("biased-running-variance", functions=("batch_norm",), order=0)
def biased_running_variance(call: Call, situation: Situation) -> Iterator[Trial]:
    if "state" not in situation.kinds:
        return iter(())
    what = "batch norm keeps the biased variance, which divides by n, for the unbiased one"
    return replacement_trials("biased-running-variance", what, call, situation, "batch_norm", biased=True)


@cause("unbiased-variance", functions=("batch_norm",), order=16)
def unbiased_batch_norm(call: Call, situation: Situation) -> Iterator[Trial]:
    what = "normalised with the unbiased variance, which divides by n - 1"
    return replacement_trials("unbiased-variance", what, call, situation, "batch_norm", unbiased_here=True)


@cause("stale-statistics", functions=("batch_norm", "instance_norm"), order=10)
def statistics(call: Call, situation: Situation) -> Iterator[Trial]:
    """Statistics of the batch for the running ones, or the other way round."""
    name = "use_input_stats" if call.function == "instance_norm" else "training"
    own = bool(call.value(name, False))
    what = "the statistics of the batch where the running ones belong, or the other way round"
    for calls in scopes(call, situation):
        edit = argument(calls, **{name: not own})
        yield Trial("stale-statistics", what, (edit,), shown(own), shown(not own), call.number)


@cause("ddof", functions=("var", "std", "var_mean", "std_mean"), order=0)
def ddof(call: Call, situation: Situation) -> Iterator[Trial]:
    """The divisor of a variance: n or n - 1."""
    what = "the variance divides by n in one and by n - 1 in the other"
    own = call.value("unbiased", None)
    correction = call.value("correction", 1)
    biased = own is False or correction == 0
    for calls in scopes(call, situation):
        values = {"unbiased": biased} if "unbiased" in call.arguments else {"correction": 1 if biased else 0}
        yield Trial(
            "ddof", what, (argument(calls, **values),), shown(0 if biased else 1), shown(int(biased)), call.number
        )


@cause("ddof", functions=_DIVISIONS, order=3)
def divided(call: Call, situation: Situation) -> Iterator[Trial]:
    """A sum of squares that is divided by n, written out."""
    own = call.value("other", None)
    if isinstance(own, float) and own == int(own) and 2 <= own < 1e9:
        what = "the variance divides by n in one and by n - 1 in the other"
        yield from value_trials("ddof", what, call, situation, "other", own, (own - 1, own + 1))


@cause("momentum", functions=("mul", "__mul__"), order=1)
def average(call: Call, situation: Situation) -> Iterator[Trial]:
    """A moving average written out: what is kept and what is added change together."""
    own = call.value("other", None)
    if "state" not in situation.kinds or not isinstance(own, float) or not 0 < own < 1:
        return
    partners = [c.number for c in situation.calls if c.function == call.function and _is_rest(c, own)]
    found = [value for value in situation.constants if 0 < value < 1]
    alike = situation.alike(call)
    for value in dict.fromkeys([*found, 1 - own, 0.1, 0.9, 0.01, 0.99, 0.0, 1.0]):
        if value != own and partners:
            edits = (argument(alike, other=value), argument(partners, other=round(1 - value, 12)))
            what = "the momentum of the moving average"
            yield Trial("momentum", what, edits, shown(own), shown(value), call.number)


def _is_rest(call: Call, own: float) -> bool:
    other = call.value("other", None)
    return isinstance(other, float) and abs(other - (1 - own)) <= 1e-12


@cause("biased-running-variance", functions=(*_DIVISIONS, "mul", "__mul__"), order=1)
def corrected(call: Call, situation: Situation) -> Iterator[Trial]:
    """The running variance times n / (n - 1), written out: left out, or put in."""
    own = call.value("other", None)
    if "state" not in situation.kinds or not isinstance(own, float):
        return
    what = "the running variance is kept with n in one and with n - 1 in the other"
    near = situation.calls[max(0, call.number - 3) : call.number]
    factors = [c for c in near if c.function in ("mul", "__mul__") and c.value("other", None) == own + 1]
    if call.function in _DIVISIONS and factors:
        for numbers, others in zip(scopes(factors[-1], situation), scopes(call, situation), strict=False):
            edits = (replaced(numbers, "left_out"), replaced(others, "left_out"))
            yield Trial("biased-running-variance", what, edits, call=call.number)
    if own > 1 and call.function in ("mul", "__mul__") and abs(1 / (own - 1) - round(1 / (own - 1))) < 1e-6:
        yield from replacement_trials("biased-running-variance", what, call, situation, "left_out")


def _following(call: Call, situation: Situation, functions: tuple[str, ...], reach: int = 3) -> Call | None:
    later = situation.calls[call.number + 1 : call.number + 1 + reach]
    return next((other for other in later if other.function in functions and other.module == call.module), None)


def _added(call: Call) -> float | None:
    value = call.value("other", None)
    return value if isinstance(value, float) and 0 < value < 0.02 else None


@cause("eps-place", functions=("add", "__add__", "sqrt", "rsqrt"), order=5)
def eps_beside_root(call: Call, situation: Situation) -> Iterator[Trial]:
    """``sqrt(v + eps)`` and ``sqrt(v) + eps``, written out."""
    if call.function in ("sqrt", "rsqrt"):
        before = [c for c in situation.calls[max(0, call.number - 3) : call.number] if c.function in ("add", "__add__")]
        if before and before[-1].module == call.module:
            yield from eps_beside_root(before[-1], situation)
    eps_value = _added(call)
    if eps_value is None:
        return
    after = _following(call, situation, ("sqrt", "rsqrt"))
    earlier = situation.calls[max(0, call.number - 2) : call.number]
    before_it = next((c for c in reversed(earlier) if c.function == "sqrt" and c.module == call.module), None)
    root, inside = (after, False) if after is not None else (before_it, True)
    if root is None:
        return
    what = "eps stands outside of the root in one and inside in the other"
    sums, roots = scopes(call, situation), scopes(root, situation)
    for calls, places in zip(sums, roots, strict=False):
        edits = (replaced(calls, "left_out"), replaced(places, "root_with_eps", eps=eps_value, inside=inside))
        yield Trial("eps-place", what, edits, call=root.number)
