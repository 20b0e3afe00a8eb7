"""`nn.MultiheadAttention` during capture, by the formula that a person would write.

torch computes it time first, with batch and heads in one axis and masks of booleans as numbers, and gives the last
projection to a function instead of calling its module. Traced like that it reads as nothing but changes of layout.
Here every array stays in the order in which the module takes it, and `out_proj` is the module that it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from regauge.capture.source_lines import lines_of_functions, record_lines_of

_TORCH_FUNCTION = F.multi_head_attention_forward
_PROJECTIONS = (nn.Linear, nn.modules.linear.NonDynamicallyQuantizableLinear)

# (queries, keys, values) as they are given -> as attention compares and sums them, all [..., width]
Project = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]


@dataclass(frozen=True)
class _Attention:
    """What does not depend on the inputs of a call.

    Attributes:
        heads: how many.
        project: the first projections.
        finish: the last one.
        bias_k, bias_v: one more key and value of every sequence, [1, 1, width].
        add_zero: whether every sequence has one more key and value of zeros.
        dropout: rate of the weights that are left out.
        batch_first: inputs are [batch, time, width], else [time, batch, width].
    """

    heads: int
    project: Project
    finish: Callable[[Tensor], Tensor]
    bias_k: Tensor | None
    bias_v: Tensor | None
    add_zero: bool
    dropout: float
    batch_first: bool


@dataclass(frozen=True)
class _Masks:
    """Which keys a query does not see (boolean), or what is added to the scores (float); at most one of the two.

    Attributes:
        hidden: broadcastable to [batch, heads, queries, keys].
        added: the same.
    """

    hidden: Tensor | None = None
    added: Tensor | None = None

    def extended(self) -> _Masks:
        """With one more key, which every query sees."""
        one_more = partial(F.pad, pad=(0, 1))
        hidden = None if self.hidden is None else one_more(self.hidden)
        return _Masks(hidden, None if self.added is None else one_more(self.added))

    def numbers(self, like: Tensor) -> Tensor | None:
        """What is added to scores of the dtype of `like`."""
        if self.hidden is not None:
            return torch.where(self.hidden, -math.inf, 0.0).to(like.dtype)
        return None if self.added is None else self.added.to(like.dtype)


@contextmanager
def written_out() -> Iterator[None]:
    """Within the block modules of multi-head attention, and torch's function of it, compute as described above."""
    with (
        lines_of_functions(),
        patch.object(nn.MultiheadAttention, "forward", _forward),
        patch.object(F, "multi_head_attention_forward", _function),
    ):
        for function in (_attend, _packed, _separate, _masks, _with_weights):
            record_lines_of(function)  # the converted model takes its names from them
        yield


def _forward(
    self: nn.MultiheadAttention,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """As torch's `forward`, whose parameters these are."""
    attention = _Attention(
        self.num_heads,
        partial(_packed, self.in_proj_weight, self.in_proj_bias)
        if self._qkv_same_embed_dim
        else partial(_separate, (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight), self.in_proj_bias),
        _last_projection(self.out_proj),
        self.bias_k,
        self.bias_v,
        self.add_zero_attn,
        self.dropout if self.training else 0.0,
        self.batch_first,
    )
    return _attend(
        attention, query, key, value, key_padding_mask, need_weights, attn_mask, average_attn_weights, is_causal
    )


def _last_projection(module: nn.Module) -> Callable[[Tensor], Tensor]:
    """The module itself; what has another forward, or hooks, torch does not call but reads the weights of."""
    hooked = module._forward_hooks or module._forward_pre_hooks
    if type(module) in _PROJECTIONS and not hooked:
        return module
    return partial(F.linear, weight=module.weight, bias=module.bias)  # type: ignore[arg-type]


def _function(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """As torch's function, whose parameters these are."""
    if static_k is not None or static_v is not None:
        given = {name: value for name, value in locals().items() if name != "given"}
        return _TORCH_FUNCTION(**given)
    weights: Any = (q_proj_weight, k_proj_weight, v_proj_weight)
    attention = _Attention(
        num_heads,
        partial(_separate, weights, in_proj_bias)
        if use_separate_proj_weight
        else partial(_packed, in_proj_weight, in_proj_bias),  # type: ignore[arg-type]
        partial(F.linear, weight=out_proj_weight, bias=out_proj_bias),
        bias_k,
        bias_v,
        add_zero_attn,
        dropout_p if training else 0.0,
        False,
    )
    return _attend(
        attention, query, key, value, key_padding_mask, need_weights, attn_mask, average_attn_weights, is_causal
    )


# projections ---------------------------------------------------------------------------------------------------------


def _packed(
    weight: Tensor, bias: Tensor | None, query: Tensor, key: Tensor, value: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Projections whose weights lie in one array, queries first; as few products as there are different inputs."""

    def rows(first: int, last: int | None = None) -> tuple[Tensor, Tensor | None]:
        part = slice(first * weight.shape[1], None if last is None else last * weight.shape[1])
        return weight[part], None if bias is None else bias[part]

    if query is key and key is value:
        q, k, v = F.linear(query, weight, bias).chunk(3, dim=-1)
        return q, k, v
    q = F.linear(query, *rows(0, 1))
    if key is value:
        k, v = F.linear(key, *rows(1)).chunk(2, dim=-1)
        return q, k, v
    k = F.linear(key, *rows(1, 2))
    v = F.linear(value, *rows(2))
    return q, k, v


def _separate(
    weights: tuple[Tensor, Tensor, Tensor], bias: Tensor | None, query: Tensor, key: Tensor, value: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Projections with a weight each, and biases in one array."""
    bias_q, bias_k, bias_v = (None, None, None) if bias is None else bias.chunk(3)
    q = F.linear(query, weights[0], bias_q)
    k = F.linear(key, weights[1], bias_k)
    v = F.linear(value, weights[2], bias_v)
    return q, k, v


# attention -----------------------------------------------------------------------------------------------------------


def _attend(
    attention: _Attention,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_padding_mask: Tensor | None,
    need_weights: bool,
    attn_mask: Tensor | None,
    average: bool,
    is_causal: bool,
) -> tuple[Tensor, Tensor | None]:
    is_batched = query.dim() == 3
    q, k, v = attention.project(query, key, value)
    if not is_batched:
        axis = 0 if attention.batch_first else 1
        q = q.unsqueeze(axis)
        k = k.unsqueeze(axis)
        v = v.unsqueeze(axis)
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    if attention.bias_k is not None and attention.bias_v is not None:
        k = _with_bias(k, attention.bias_k, attention.batch_first)
        v = _with_bias(v, attention.bias_v, attention.batch_first)
    q = _by_heads(q, attention)
    k = _by_heads(k, attention)
    v = _by_heads(v, attention)
    causal_alone = is_causal and key_padding_mask is None and not need_weights
    masks = _Masks() if causal_alone else _masks(key_padding_mask, attn_mask, attention.heads)
    if attention.bias_k is not None:
        masks = masks.extended()
    if attention.add_zero:
        k = F.pad(k, (0, 0, 0, 1))
        v = F.pad(v, (0, 0, 0, 1))
        masks = masks.extended()
    weights = None
    if need_weights:
        attended, weights = _with_weights(q, k, v, masks, attention.dropout)
    else:
        seen = masks.added if masks.hidden is None else ~masks.hidden
        attended = F.scaled_dot_product_attention(q, k, v, seen, attention.dropout, causal_alone)
    attended = attended.transpose(1, 2)
    if not attention.batch_first:
        attended = attended.transpose(0, 1)
    output = attention.finish(attended.flatten(2))
    if weights is not None and average:
        weights = weights.mean(dim=1)
    if not is_batched:
        output = output.squeeze(0 if attention.batch_first else 1)
        weights = None if weights is None else weights.squeeze(0)
    return output, weights


def _with_bias(x: Tensor, bias: Tensor, batch_first: bool) -> Tensor:
    """Behind the keys or values of every sequence one more, which is learned."""
    repeated = bias.expand(x.shape[0], 1, -1) if batch_first else bias.expand(1, x.shape[1], -1)
    return torch.cat([x, repeated.to(x.dtype)], dim=1 if batch_first else 0)


def _by_heads(x: Tensor, attention: _Attention) -> Tensor:
    """[batch, heads, time, width of a head]."""
    parts = x.view(*x.shape[:2], attention.heads, x.shape[2] // attention.heads)
    return (parts if attention.batch_first else parts.transpose(0, 1)).transpose(1, 2)


def _masks(key_padding_mask: Tensor | None, attn_mask: Tensor | None, heads: int) -> _Masks:
    """Both masks as one: boolean where both are."""
    padding = None if key_padding_mask is None else key_padding_mask[:, None, None]
    pairs = attn_mask
    if attn_mask is not None and attn_mask.dim() == 3:  # [batch * heads, queries, keys]
        pairs = attn_mask.unflatten(0, (-1, heads))
    given = [mask for mask in (pairs, padding) if mask is not None]
    if not given:
        return _Masks()
    if all(mask.dtype == torch.bool for mask in given):
        hidden = given[0] if len(given) == 1 else given[0] | given[1]
        return _Masks(hidden=hidden)
    added = [torch.where(mask, -math.inf, 0.0) if mask.dtype == torch.bool else mask for mask in given]
    mask = added[0] if len(added) == 1 else added[0] + added[1]
    return _Masks(added=mask)


def _with_weights(q: Tensor, k: Tensor, v: Tensor, masks: _Masks, dropout: float) -> tuple[Tensor, Tensor]:
    """Attention by its formula, and its weights [batch, heads, queries, keys]; a query that sees nothing gives NaN."""
    scores = (q * math.sqrt(1.0 / q.shape[-1])) @ k.transpose(-2, -1)
    mask = masks.numbers(scores)
    if mask is not None:
        scores = scores + mask
    weights = scores.softmax(dim=-1)
    if dropout > 0.0:
        weights = F.dropout(weights, dropout)
    attended = weights @ v
    return attended, weights
