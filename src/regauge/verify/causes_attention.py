"""Causes in attention: scale, mask and its offset, empty rows, order of query, key and value, rotary pairs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from regauge.verify.causes import (
    Call,
    Edit,
    Situation,
    Trial,
    cause,
    replaced,
    replacement_trials,
    same_named,
    scopes,
    shown,
    value_trials,
    weight,
)

_REACH = 120  # calls before, among which the products that make query and key are looked for
_SDPA = ("scaled_dot_product_attention",)


@cause("attention-scale", functions=_SDPA, order=0)
def scale(call: Call, situation: Situation) -> Iterator[Trial]:
    size = (call.shape("query") or [1])[-1]
    heads = (call.shape("query") or [1, 1, 1])[-3:][0]
    own = call.value("scale", None) or size**-0.5
    values = [1.0, own * own, (size * heads) ** -0.5, 1 / own, *situation.constants, 2 * own, own / 2]
    for value in dict.fromkeys(v for v in values if v > 0 and v != own):
        for calls in scopes(call, situation):
            edit = replaced(calls, "attention", scale=value)
            yield Trial(
                "attention-scale",
                "the scale of attention",
                (edit,),
                shown(float(own)),
                shown(float(value)),
                call.number,
            )


@cause("causal-offset", functions=_SDPA, order=1)
def offset(call: Call, situation: Situation) -> Iterator[Trial]:
    if not call.value("is_causal", False):
        return
    for shift in (1, -1):
        what = "the causal mask is off by one"
        for calls in scopes(call, situation):
            edit = replaced(calls, "attention", offset=shift)
            yield Trial("causal-offset", what, (edit,), "0", shown(shift), call.number)


@cause("causal-mask", functions=_SDPA, order=2)
def causal(call: Call, situation: Situation) -> Iterator[Trial]:
    own = bool(call.value("is_causal", False))
    what = "attention is causal in one and sees every position in the other"
    return replacement_trials("causal-mask", what, call, situation, "attention", causal=not own)


@cause("axis", functions=_SDPA, order=6)
def queries(call: Call, situation: Situation) -> Iterator[Trial]:
    what = "the softmax of attention runs over the queries for the keys"
    return replacement_trials("axis", what, call, situation, "attention", axis=-2)


@cause("empty-rows", functions=_SDPA, order=3)
def empty(call: Call, situation: Situation) -> Iterator[Trial]:
    what = "rows whose keys are all masked: zero in one, the mean of the values or NaN in the other"
    for other in ("mean", "nan"):
        yield from replacement_trials("empty-rows", what, call, situation, "attention", empty=other)


@cause("empty-rows", functions=("softmax",), order=3)
def written_empty(call: Call, situation: Situation) -> Iterator[Trial]:
    what = "rows whose keys are all masked: zero in one, the mean of the values or NaN in the other"
    return replacement_trials("empty-rows", what, call, situation, "zero_where_all_is_low")


@cause("mask-value", functions=_SDPA, order=4)
def fill(call: Call, situation: Situation) -> Iterator[Trial]:
    for value in _low_values(situation):
        for calls in scopes(call, situation):
            edit = replaced(calls, "attention", fill=value)
            yield Trial("mask-value", "the value of masked scores", (edit,), "-inf", shown(float(value)), call.number)


def _low_values(situation: Situation) -> list[float]:
    """What stands for minus infinity: numbers of the other side first."""
    usual = [-1e4, -1e9, -1e30, -3.4028234663852886e38, -1e5, -1e6]
    return list(dict.fromkeys([*(v for v in situation.constants if v < -100), *usual]))


_FILLS = ("masked_fill", "masked_fill_")


@cause("mask-value", functions=_FILLS, order=1)
def written_fill(call: Call, situation: Situation) -> Iterator[Trial]:
    own = call.value("value", None)
    if isinstance(own, int | float) and own < -100:
        values = [*_low_values(situation), float("-inf")]
        yield from value_trials("mask-value", "the value of masked scores", call, situation, "value", own, values)


@cause("mask-left-out", functions=_FILLS, order=2)
def written_mask(call: Call, situation: Situation) -> Iterator[Trial]:
    mask = call.arguments.get("mask")
    if isinstance(mask, dict) and mask.get("fixed") and call.shape()[-1:] == call.shape()[-2:-1]:
        what = "attention is causal in one and sees every position in the other"
        yield from replacement_trials("causal-mask", what, call, situation, "left_out")
    else:
        yield from replacement_trials("mask-left-out", "the mask is left out", call, situation, "left_out")


@cause("causal-offset", functions=_FILLS, order=0)
def written_offset(call: Call, situation: Situation) -> Iterator[Trial]:
    for shift in (1, -1):
        for calls in scopes(call, situation):
            edit = replaced(calls, "shifted_mask", by=shift)
            yield Trial("causal-offset", "the causal mask is off by one", (edit,), "0", shown(shift), call.number)


@cause("attention-scale", functions=("mul", "__mul__", "div", "__truediv__", "true_divide"), order=2)
def written_scale(call: Call, situation: Situation) -> Iterator[Trial]:
    """A number by which a product is divided or multiplied, of which a softmax is taken afterwards."""
    own = call.value("other", None)
    around = situation.calls[max(0, call.number - 3) : call.number + 7]
    following = situation.calls[call.number + 1 : call.number + 13]
    if isinstance(own, bool) or not isinstance(own, int | float) or own <= 0:
        return
    if any(c.function in _PRODUCTS for c in around) and any(c.function in _SOFTMAX for c in following):
        values = [1.0, own * own, own**0.5, 1 / own, *(v for v in situation.constants if v > 0), 2 * own, own / 2]
        what = "the scale of attention"
        yield from value_trials("attention-scale", what, call, situation, "other", own, map(float, values))


_SOFTMAX = ("softmax", "amax", "exp")  # that of the library, or how one is written out
_PRODUCTS = ("matmul", "__matmul__", "bmm", "baddbmm", "einsum")


@cause("mask-left-out", functions=_SDPA, order=5)
def no_mask(call: Call, situation: Situation) -> Iterator[Trial]:
    if call.shape("attn_mask"):
        what = "the mask is left out"
        for calls in scopes(call, situation):
            yield Trial(
                "mask-left-out",
                what,
                ({"kind": "argument", "calls": calls, "values": {"attn_mask": None}},),
                call=call.number,
            )


@cause("qkv-order", functions=_SDPA, order=3)
def roles(call: Call, situation: Situation) -> Iterator[Trial]:
    what = "query, key and value stand in each other's place"
    for order in ((1, 0, 2), (0, 2, 1), (2, 1, 0)):
        yield from replacement_trials("qkv-order", what, call, situation, "exchanged_roles", order=order)


@cause("qkv-order", functions=("matmul", "__matmul__", "bmm"), order=4)
def exchanged_factors(call: Call, situation: Situation) -> Iterator[Trial]:
    if call.shape() and call.shape() == call.shape("other"):
        what = "query and key stand in each other's place"
        yield from replacement_trials("qkv-order", what, call, situation, "swapped")


@cause(
    "qkv-order",
    functions=("linear", "multi_head_attention_forward", "scaled_dot_product_attention", "chunk", "split", "unbind"),
    order=7,
)
def fused_order(call: Call, situation: Situation) -> Iterator[Trial]:
    """Query, key and value taken from a joint weight in another order."""
    what = "query, key and value are taken from their joint weight in another order"
    names = [n for n in (call.weight("weight"), call.weight("in_proj_weight")) if n] or _recent_weights(call, situation)
    for name in names:
        rows = situation.weights.get(name, (0,))[0]
        if rows % 3:
            continue
        for names in same_named(name, situation):
            members = [m for n in names for m in (n, _bias_of(n, situation)) if m]
            for order in itertools.permutations(range(3)):
                if order != (0, 1, 2):
                    edits = tuple(weight(member, "reordered", order=list(order)) for member in members)
                    yield Trial("qkv-order", what, edits, "0 1 2", " ".join(map(str, order)), call.number)
        members = [m for m in (name, _bias_of(name, situation)) if m]
        for parts in _head_counts(call, situation, rows // 3):
            for sizes in ((1, 3, parts), (1, parts, 3)):
                width = rows // 3 // parts
                edits = tuple(weight(m, "interleaved", sizes=[1, sizes[1], sizes[2]]) for m in members)
                yield Trial("qkv-order", what, edits, "", f"heads of {width}", call.number)


def _recent_weights(call: Call, situation: Situation) -> list[str]:
    earlier = situation.calls[max(0, call.number - 8) : call.number]
    return [name for c in reversed(earlier) if c.function == "linear" and (name := c.weight())]


def _bias_of(name: str, situation: Situation) -> str:
    for candidate in (name.replace("weight", "bias"), name.replace("kernel", "bias")):
        if candidate != name and candidate in situation.weights:
            return candidate
    return ""


def _head_counts(call: Call, situation: Situation, width: int) -> list[int]:
    """Numbers of heads that shapes near the call speak of."""
    sizes: list[int] = []
    for other in situation.calls[max(0, call.number - 12) : call.number + 16]:
        for name in ("query", "input"):
            sizes += other.shape(name)
    return [size for size in dict.fromkeys(sizes) if 1 < size < width and width % size == 0][:4]


@cause(
    "rotary-pairs",
    functions=(
        "scaled_dot_product_attention",
        "matmul",
        "cat",
        "stack",
        "mul",
        "__mul__",
        "__matmul__",
        "softmax",
        "bmm",
        "chunk",
        "einsum",
    ),
    order=9,
)
def rotary(call: Call, situation: Situation) -> Iterator[Trial]:
    """Rotary pairs taken as neighbours for halves, which is the same as query and key with their rows in that order."""
    what = "rotary embedding turns neighbours in one and halves in the other"
    size = (call.shape("query") or call.shape() or [0])[-1]
    apart, joint = _query_key(call, situation), _joint(call, situation)
    for width in dict.fromkeys((size, 2 * size)):
        if width < 4 or width % 2:
            continue
        for (a, b), every in itertools.product(((width // 2, 2), (2, width // 2)), (False, True)):
            chosen = [_in_all_layers(names, situation) if every else names for names in (apart, joint)]
            edits = [_pairs(name, situation, width, a, b) for name in chosen[0]]
            if edits and all(edits):
                yield Trial("rotary-pairs", what, tuple(e for e in edits if e), call=call.number)
            both = [_pairs(name, situation, width, a, b, parts=3, members=[0, 1]) for name in chosen[1]]
            if both and all(both):
                yield Trial("rotary-pairs", what, tuple(e for e in both if e), call=call.number)


def _in_all_layers(names: list[str], situation: Situation) -> list[str]:
    return list(dict.fromkeys(other for name in names for other in same_named(name, situation)[-1]))


def _pairs(name: str, situation: Situation, width: int, a: int, b: int, **parts: Any) -> Edit | None:
    """Rows of each head in the other order; None where the rows are no heads of that width."""
    rows = situation.weights[name][0] // parts.get("parts", 1)
    return None if rows % width else weight(name, "interleaved", sizes=[rows // width, a, b], **parts)


def _joint(call: Call, situation: Situation) -> list[str]:
    """The joint weight of query, key and value, and its bias: of the last linear before a call that has three parts."""
    earlier = [c for c in situation.calls[max(0, call.number - _REACH) : call.number + 1] if c.function == "linear"]
    names = [name for c in reversed(earlier) if (name := c.weight()) in situation.weights]
    joint = next((name for name in names if situation.weights[name][0] % 3 == 0), "")
    return [name for name in (joint, _bias_of(joint, situation)) if name] if joint else []


def _query_key(call: Call, situation: Situation) -> list[str]:
    """The weights and biases of the query and the key before a call: of the two linears that are named so, or first."""
    linears = [c for c in situation.calls[max(0, call.number - _REACH) : call.number + 1] if c.function == "linear"]
    owners = list(dict.fromkeys(c.weight() for c in linears if c.weight()))
    known = [n for n in owners if n.rpartition(".")[0].rpartition(".")[2].lower() in _QUERY_KEY]
    chosen = known[-2:] if len(known) >= 2 else owners[-3:-1]
    return [m for n in chosen for m in (n, _bias_of(n, situation)) if m] if len(chosen) == 2 else []


_QUERY_KEY = {"q", "k", "query", "key", "q_proj", "k_proj", "wq", "wk", "to_q", "to_k", "query_proj", "key_proj"}
