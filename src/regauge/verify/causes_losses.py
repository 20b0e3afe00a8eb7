"""Causes in the loss: what it is averaged over, ignored targets, smoothing."""

from __future__ import annotations

from collections.abc import Iterator

from regauge.verify.causes import Call, Situation, Trial, argument, cause, replaced, scopes, shown, value_trials

_LOSSES = (
    "cross_entropy", "nll_loss", "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy",
    "binary_cross_entropy_with_logits", "kl_div", "nll_loss_nd",
)  # fmt: skip


@cause("reduction", functions=_LOSSES, order=0)
def reduction(call: Call, situation: Situation) -> Iterator[Trial]:
    own = call.value("reduction", "mean")
    others = [value for value in ("sum", "mean") if value != own]
    yield from value_trials("reduction", "the reduction of the loss", call, situation, "reduction", "mean", others)
    counts = {"batch": "the batch", "elements": "all elements"}
    for by, words in counts.items():
        for calls in scopes(call, situation):
            edit = replaced(calls, "loss_over", by=by)
            yield Trial("reduction", "what the loss is averaged over", (edit,), own, words, call.number)


@cause("ignore-index", functions=("cross_entropy", "nll_loss"), order=2)
def ignored(call: Call, situation: Situation) -> Iterator[Trial]:
    own = call.value("ignore_index", -100)
    what = "the loss is averaged over all targets, those that are ignored too"
    for calls in scopes(call, situation):
        yield Trial("ignore-index", what, (replaced(calls, "loss_over", by="all"),), call=call.number)
    what = "targets that are ignored in one are taken as a class in the other"
    last = (call.shape()[1] if len(call.shape()) > 1 else 0) - 1
    for taken in dict.fromkeys((0, max(last, 0), 1)):
        for calls in scopes(call, situation):
            edit = replaced(calls, "ignored_as", taken=taken)
            yield Trial("ignore-index", what, (edit,), "ignored", f"class {taken}", call.number)
    what = "the target that is ignored"
    for value in (-100, 0, -1, 1):
        if value != own:
            for calls in scopes(call, situation):
                edit = argument(calls, ignore_index=value)
                yield Trial("ignore-index", what, (edit,), shown(own), shown(value), call.number)


@cause("label-smoothing", functions=("cross_entropy",), order=1)
def smoothing(call: Call, situation: Situation) -> Iterator[Trial]:
    found = [value for value in situation.constants if 0 < value < 1]
    values = [0.0, *found, *(1 - value for value in found), 0.1, 0.05, 0.2]
    return value_trials("label-smoothing", "label smoothing", call, situation, "label_smoothing", 0.0, values)


@cause("reduction", functions=("div", "__truediv__", "true_divide"), order=-2)
def divisor(call: Call, situation: Situation) -> Iterator[Trial]:
    """What the loss is divided by, written out: the sum for the mean, or the mean over something else."""
    own = call.value("other", None)
    if call.number != situation.loss or "outputs" in situation.kinds or not isinstance(own, float):
        return
    what = "what the loss is divided by"
    counts = [value for value in situation.constants if value >= 1 and value == int(value)]
    yield from value_trials("reduction", what, call, situation, "other", own, [1.0, *counts, own * 2, own / 2])


@cause("loss-scale", functions=(), order=-1)
def factor(call: Call, situation: Situation) -> Iterator[Trial]:
    """The loss times a factor: halved squares, the mean of accumulated losses for their sum."""
    if not situation.kinds & {"loss"} or "outputs" in situation.kinds:
        return
    if call.number != situation.loss and call.function not in (*_LOSSES, "mean", "sum"):
        return
    # the terms of a sum that is the loss are as many as there are calls of the function that makes one of them
    terms = [len(situation.alike(c)) for c in situation.calls if c.function in _LOSSES] or [len(situation.alike(call))]
    factors = [by for count in dict.fromkeys(terms) for by in (1 / count, float(count))]
    for by in dict.fromkeys((0.5, 2.0, *factors)):
        for calls in scopes(call, situation):
            if by != 1:
                edit = replaced(calls, "scaled", by=by)
                yield Trial("loss-scale", "a factor of the loss", (edit,), "1", shown(by), call.number)


@cause("loss-threshold", functions=_LOSSES, order=3)
def beta(call: Call, situation: Situation) -> Iterator[Trial]:
    for name, default in (("beta", 1.0), ("delta", 1.0)):
        if call.function in ("smooth_l1_loss", "huber_loss"):
            values = [*(value for value in situation.constants if value > 0), default, 0.5, 0.1]
            yield from value_trials(
                "loss-threshold", "the threshold of the loss", call, situation, name, default, values
            )
