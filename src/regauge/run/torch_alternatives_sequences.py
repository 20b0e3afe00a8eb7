"""Alternatives of attention and of recurrent layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from regauge.run.torch_alternative_registry import Named, alternative
from regauge.run.torch_calls import name_of, with_arguments


@alternative
def split_the_other_way(func: Any, args: Any, kwargs: Any, named: Named, *, axis: int) -> Any:
    """The last axis split into (d, h) and exchanged, where it is split into (h, d)."""
    usual = func(*args, **kwargs)
    shape = list(usual.shape)
    shape[axis], shape[axis + 1] = shape[axis + 1], shape[axis]
    return usual.contiguous().reshape(shape).transpose(axis, axis + 1)


@alternative
def transposed_merge(func: Any, args: Any, kwargs: Any, named: Named, *, axis: int) -> Any:
    """Two axes exchanged before they are merged."""
    x = args[0] if args else named["input"]
    return func(x.transpose(axis, axis + 1).contiguous(), *args[1:], **kwargs)


@alternative
def attention(
    func: Any,
    args: Any,
    kwargs: Any,
    named: Named,
    *,
    offset: int = 0,
    fill: float | None = None,
    scale: float | None = None,
    causal: bool | None = None,
    empty: str = "zero",
) -> Any:
    """Attention by its formula, with another mask or scale.

    Args:
        func: scaled_dot_product_attention.
        args: of the call.
        kwargs: of the call.
        named: of the call.
        offset: of the causal mask's diagonal.
        fill: what stands for minus infinity.
        scale: in place of 1 / sqrt(d).
        causal: in place of the call's own.
        empty: what a row without any key gives: "zero", or "mean" of the values, or "nan".
    """
    query, key, value = (named[name] for name in ("query", "key", "value"))
    mask, is_causal = named.get("attn_mask"), named.get("is_causal", False) if causal is None else causal
    factor = scale if scale is not None else named.get("scale") or query.shape[-1] ** -0.5
    scores = query @ key.transpose(-1, -2) * factor
    low = -math.inf if fill is None else fill
    if is_causal:
        kept = torch.ones(scores.shape[-2:], dtype=torch.bool).tril(offset)
        scores = scores.masked_fill(~kept, low)
    if mask is not None:
        scores = scores.masked_fill(~mask, low) if mask.dtype is torch.bool else scores + mask
    weights = torch.softmax(scores, -1)
    gone = torch.isneginf(scores).all(-1, keepdim=True)
    if empty != "nan":
        other = 0.0 if empty == "zero" else 1.0 / scores.shape[-1]
        weights = torch.where(gone, torch.full_like(weights, other), weights)
    return weights @ value


@alternative
def exchanged_roles(func: Any, args: Any, kwargs: Any, named: Named, *, order: Sequence[int]) -> Any:
    """Attention with query, key and value in each other's place."""
    given = [named[name] for name in ("query", "key", "value")]
    changes = dict(zip(("query", "key", "value"), (given[i] for i in order), strict=True))
    rest = with_arguments(func, args, kwargs, changes)
    return func(*rest[0], **rest[1])


@alternative
def recurrent(
    func: Any,
    args: Any,
    kwargs: Any,
    named: Named,
    *,
    order: Sequence[int] = (),
    negated: int | None = None,
    reset_first: bool = False,
    forget: float = 0.0,
    without: str = "",
    activation: str = "tanh",
) -> Any:
    """A recurrent layer with its gates in another order, or combined in another way.

    Args:
        func: torch's gru, lstm or rnn_tanh.
        args: of the call.
        kwargs: of the call.
        named: of the call.
        order: which block of the weights each gate takes.
        negated: a gate that is taken as one minus itself.
        reset_first: GRU: the reset gate multiplies the state before the product, as in the first paper on it
            (Cho et al. 2014, arXiv:1406.1078).
        forget: added to the bias of the forget gate.
        without: "hidden" leaves the second bias out.
        activation: of the candidate.
    """
    weights = list(args[2])
    gates = {"gru": 3, "lstm": 4}.get(name_of(func), 1)
    if reset_first or activation != "tanh" or negated is not None:
        return _gru(args, weights, reset_first=reset_first, negated=negated, activation=activation)
    changed = []
    for index, weight in enumerate(weights):
        blocks = list(weight.chunk(gates, 0))
        if order:
            blocks = [blocks[i] for i in order]
        if forget and weight.dim() == 1 and gates == 4 and index % 4 == 2:
            blocks[1] = blocks[1] + forget
        tensor = torch.cat(blocks)
        changed.append(
            torch.zeros_like(tensor) if without == "hidden" and weight.dim() == 1 and index % 4 == 3 else tensor
        )
    return func(args[0], args[1], changed, *args[3:], **kwargs)


def _gru(args: Any, weights: list[Tensor], *, reset_first: bool, negated: int | None, activation: str) -> Any:
    x, state, batch_first = args[0], args[1], args[8]
    if len(weights) != 4 or not args[3]:
        raise NotImplementedError("one layer of one direction with biases")
    w, u, b, c = weights
    h, states = state[0], []
    for step in x.unbind(1 if batch_first else 0):
        given, kept = (step @ w.T + b).chunk(3, -1), (h @ u.T + c).chunk(3, -1)
        r, z = torch.sigmoid(given[0] + kept[0]), torch.sigmoid(given[1] + kept[1])
        r, z = (1 - r if negated == 0 else r), (1 - z if negated == 1 else z)
        if reset_first:
            inner = given[2] + (r * h) @ u.chunk(3)[2].T + c.chunk(3)[2]
        else:
            inner = given[2] + r * kept[2]
        n = getattr(torch, activation)(inner)
        h = (1 - z) * n + z * h
        states.append(h)
    return torch.stack(states, 1 if batch_first else 0), h[None]
