"""Causes in weights and in what owns them: transposed, exchanged, dropped, rounded; gates; embeddings."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from regauge.verify.causes import (
    Call,
    Situation,
    Trial,
    argument,
    cause,
    replaced,
    replacement_trials,
    same_named,
    scopes,
    value_trials,
    weight,
)

_LINEAR = ("linear", "matmul", "mm", "addmm", "__matmul__", "bmm")
_CONVOLUTIONS = ("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
_RECURRENT = ("gru", "lstm", "rnn_tanh", "rnn_relu")


@cause("weight-transposed", functions=(*_LINEAR, *_CONVOLUTIONS), order=1)
def transposed(call: Call, situation: Situation) -> Iterator[Trial]:
    what = "a square weight is not transposed"
    for argument_name in ("weight", "other", "mat2", "input", "1"):
        name = call.weight(argument_name)
        shape = situation.weights.get(name, ())
        if len(shape) >= 2 and shape[0] == shape[1]:
            for names in same_named(name, situation):
                edits = tuple(weight(member, "transposed") for member in names)
                yield Trial("weight-transposed", what, edits, call=call.number, module=name)


@cause("bias", functions=(*_LINEAR, *_CONVOLUTIONS, "layer_norm", "batch_norm", "group_norm"), order=5)
def bias(call: Call, situation: Situation) -> Iterator[Trial]:
    if call.shape("bias"):
        for calls in scopes(call, situation)[:1]:
            yield Trial("bias", "the bias is left out", (argument(calls, bias=None),), call=call.number)


@cause("affine", functions=("layer_norm", "batch_norm", "group_norm", "rms_norm"), order=14)
def affine(call: Call, situation: Situation) -> Iterator[Trial]:
    if call.shape("weight"):
        for calls in scopes(call, situation)[:1]:
            yield Trial(
                "affine", "the weight of the norm is left out", (argument(calls, weight=None),), call=call.number
            )


@cause("weights-exchanged", functions=(), order=9)
def exchanged(call: Call, situation: Situation) -> Iterator[Trial]:
    """The weights of two modules of one kind stand in each other's place."""
    own = _weights_of(call, situation)
    if not own:
        return
    shapes = {key: situation.weights[name] for key, name in own.items()}
    what = "the weights of two modules are exchanged"
    found = 0
    for other in _near_first(call, situation):
        theirs = _weights_of(other, situation)
        if theirs.keys() != own.keys() or set(theirs.values()) & set(own.values()):
            continue
        if {key: situation.weights[name] for key, name in theirs.items()} != shapes:
            continue
        for keys in ([*own], ["weight"]) if len(own) > 1 else ([*own],):
            pairs = [(own[key], theirs[key]) for key in keys] + [(theirs[key], own[key]) for key in keys]
            edits = tuple(weight(one, "exchanged", other=another) for one, another in pairs)
            yield Trial("weights-exchanged", what, edits, own["weight"], theirs["weight"], call.number)
        found += 1
        if found == 6:
            return


def _weights_of(call: Call, situation: Situation) -> dict[str, str]:
    found = {key: call.weight(key) for key in ("weight", "bias")}
    if not found["weight"]:  # of a sum or a product that is written out
        found = {"weight": call.weight("other") or call.weight("input")}
    found = {key: name for key, name in found.items() if name in situation.weights}
    return found if "weight" in found else {}


def _near_first(call: Call, situation: Situation) -> list[Call]:
    others = [c for c in situation.calls if c.function == call.function and c.number != call.number]
    return sorted(others, key=lambda c: abs(c.number - call.number))


@cause("weight-precision", functions=(*_LINEAR, *_CONVOLUTIONS, "embedding"), order=40)
def rounded(call: Call, situation: Situation) -> Iterator[Trial]:
    name = call.weight()
    if name in situation.weights:
        what = "a weight is rounded to a lower precision"
        for dtype in ("bfloat16", "float16"):
            yield Trial("weight-precision", what, (weight(name, "low", to=dtype),), "", dtype, call.number)


@cause("gate-order", functions=("gru", "lstm"), order=0)
def gates(call: Call, situation: Situation) -> Iterator[Trial]:
    count = 3 if call.function == "gru" else 4
    letters = ("r", "z", "n") if count == 3 else ("i", "f", "g", "o")
    what = "the order of the gates"
    for order in itertools.permutations(range(count)):
        if order != tuple(range(count)):
            shown = " ".join(letters[i] for i in order)
            for trial in replacement_trials("gate-order", what, call, situation, "recurrent", order=list(order)):
                yield Trial(trial.cause, what, trial.edits, " ".join(letters), shown, call.number)


@cause("reset-gate", functions=("gru",), order=-2)
def reset(call: Call, situation: Situation) -> Iterator[Trial]:
    what = "the reset gate multiplies the state before the product for after it"
    return replacement_trials("reset-gate", what, call, situation, "recurrent", reset_first=True)


@cause("update-gate", functions=("gru",), order=-1)
def inverted(call: Call, situation: Situation) -> Iterator[Trial]:
    what = "the update gate is taken as one minus itself"
    return replacement_trials("update-gate", what, call, situation, "recurrent", negated=1)


@cause("forget-bias", functions=("lstm",), order=2)
def forget(call: Call, situation: Situation) -> Iterator[Trial]:
    what = "one is added to the bias of the forget gate"
    return replacement_trials("forget-bias", what, call, situation, "recurrent", forget=1.0)


@cause("recurrent-bias", functions=_RECURRENT, order=1)
def second_bias(call: Call, situation: Situation) -> Iterator[Trial]:
    what = "the second bias of the recurrent layer is left out"
    return replacement_trials("recurrent-bias", what, call, situation, "recurrent", without="hidden")


@cause("recurrent-activation", functions=("lstm",), order=-1)
def cell(call: Call, situation: Situation) -> Iterator[Trial]:
    what = "the activation of the cell before the output gate"
    return _activations("cell", what, call, situation, "tanh", ("none", "relu", "sigmoid"))


@cause("recurrent-activation", functions=("gru", "lstm"), order=3)
def candidate(call: Call, situation: Situation) -> Iterator[Trial]:
    what = "the activation of the candidate"
    return _activations("activation", what, call, situation, "tanh", ("relu", "none", "sigmoid"))


@cause("recurrent-activation", functions=("gru", "lstm"), order=4)
def gate(call: Call, situation: Situation) -> Iterator[Trial]:
    what = "the activation of the gates"
    return _activations("gate", what, call, situation, "sigmoid", ("hardsigmoid", "tanh"))


def _activations(
    place: str, what: str, call: Call, situation: Situation, own: str, others: Iterable[str]
) -> Iterator[Trial]:
    """What a place in a cell goes through: other libraries let each be chosen."""
    for other in others:
        for calls in scopes(call, situation):
            edit = replaced(calls, "recurrent", **{place: other})
            yield Trial("recurrent-activation", what, (edit,), own, other, call.number)


@cause("gate-order", functions=("split", "chunk", "unbind"), order=2)
def written_gates(call: Call, situation: Situation) -> Iterator[Trial]:
    """The gates of a cell that is written out: parts of one product, of which some go through a sigmoid."""
    following = situation.calls[call.number + 1 : call.number + 14]
    count = _parts(call)
    if count not in (3, 4) or not any(c.function in ("sigmoid", "hardsigmoid") for c in following):
        return
    for order in itertools.permutations(range(count)):
        if order != tuple(range(count)):
            ours, theirs = " ".join(map(str, range(count))), " ".join(map(str, order))
            for calls in scopes(call, situation):
                edit = replaced(calls, "parts_in_order", order=list(order))
                yield Trial("gate-order", "the order of the gates", (edit,), ours, theirs, call.number)


def _parts(call: Call) -> int:
    """How many equal parts a call makes; 0 where it cannot be told."""
    sizes = call.arguments.get("sizes")
    if isinstance(sizes, list):
        return len(sizes) if len(set(sizes)) == 1 else 0
    count = call.arguments.get("chunks", 0)
    return count if isinstance(count, int) else 0


@cause("update-gate", functions=("sigmoid",), order=4)
def written_inversion(call: Call, situation: Situation) -> Iterator[Trial]:
    what = "a gate is taken as one minus itself"
    return replacement_trials("update-gate", what, call, situation, "complement")


@cause("forget-bias", functions=("sigmoid",), order=5)
def written_forget(call: Call, situation: Situation) -> Iterator[Trial]:
    what = "one is added to a gate before its sigmoid"
    for by in (1.0, -1.0):
        yield from replacement_trials("forget-bias", what, call, situation, "shifted_input", by=by)


@cause("padding-index", functions=("embedding",), order=0, backward=True)
def padding_index(call: Call, situation: Situation) -> Iterator[Trial]:
    if not situation.kinds & {"gradients", "parameters"}:
        return iter(())
    own = call.value("padding_idx", None)
    what = "the row of padding_idx gets a gradient in one and none in the other"
    others = [None] if own is not None else [0, 1]
    return value_trials("padding-index", what, call, situation, "padding_idx", None, others)


@cause(
    "scatter",
    functions=("scatter", "scatter_", "scatter_add", "scatter_add_", "index_add", "index_add_", "index_copy"),
    order=0,
)
def scatter(call: Call, situation: Situation) -> Iterator[Trial]:
    what = "values that go to one place are set in one and added in the other"
    return replacement_trials("scatter", what, call, situation, "scattered")


@cause("scatter", functions=("scatter_reduce", "scatter_reduce_", "index_reduce", "index_reduce_"), order=0)
def scatter_reduce(call: Call, situation: Situation) -> Iterator[Trial]:
    what = "how values that go to one place are joined"
    own = call.value("reduce", "sum")
    return value_trials("scatter", what, call, situation, "reduce", own, ("sum", "amax", "amin", "mean", "prod"))


@cause("scatter", functions=("index_put", "index_put_"), order=0)
def put(call: Call, situation: Situation) -> Iterator[Trial]:
    own = bool(call.value("accumulate", False))
    what = "values that go to one place are set in one and added in the other"
    return value_trials("scatter", what, call, situation, "accumulate", False, [not own])
