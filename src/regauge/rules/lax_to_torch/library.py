"""Functions of JAX's libraries that stay whole.

torch's own function stands where it is the same in value and in gradient, kinks and infinite rows included; the formula
where it is not: `F.hardsigmoid` and `F.celu` have derivatives of float32 accuracy only, `F.hardtanh` and `F.leaky_relu`
take the other side of a kink, `F.one_hot` refuses classes that are out of range, where JAX gives zeros.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from regauge.rules.lax_to_torch.operands import Operand, array
from regauge.rules.table import RuleTable

TABLE = RuleTable("lax_to_torch.library")

Axes = int | tuple[int, ...]


@TABLE.rule("jax.nn.relu")
def relu(x: Tensor) -> Tensor:
    """relu(x)"""
    return F.relu(x)


@TABLE.rule("jax.nn.relu6")
def relu6(x: Tensor) -> Tensor:
    """relu6(x)"""
    return F.relu6(x)


@TABLE.rule("jax.nn.gelu")
def gelu(x: Tensor, approximate: bool = True) -> Tensor:
    """gelu(x, approximate=True)"""
    if approximate:
        return F.gelu(x, approximate="tanh")
    return F.gelu(x)


@TABLE.rule("jax.nn.silu")
def silu(x: Tensor) -> Tensor:
    """silu(x)"""
    return F.silu(x)


@TABLE.rule("jax.nn.hard_silu")
def hard_silu(x: Tensor) -> Tensor:
    """hard_silu(x)"""
    return F.hardswish(x)


@TABLE.rule("jax.nn.elu")
def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """elu(x, alpha=1.0)"""
    if alpha == 1:
        return F.elu(x)
    return F.elu(x, alpha)


@TABLE.rule("jax.nn.celu")
def celu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """celu(x, alpha=1.0)"""
    if alpha == 1:
        return F.celu(x)
    return alpha * F.elu(x / alpha)  # the derivative of F.celu divides by alpha in float32


@TABLE.rule("jax.nn.selu")
def selu(x: Tensor) -> Tensor:
    """selu(x)"""
    return F.selu(x)


@TABLE.rule("jax.nn.softplus")
def softplus(x: Tensor) -> Tensor:
    """softplus(x); from 40 on it is x in float64 too, with torch's default of 20 only in float32"""
    return F.softplus(x, threshold=40)


@TABLE.rule("jax.nn.log_sigmoid")
def log_sigmoid(x: Tensor) -> Tensor:
    """log_sigmoid(x)"""
    return F.logsigmoid(x)


@TABLE.rule("jax.logaddexp")
def logaddexp(x: Operand, y: Operand) -> Tensor:
    """logaddexp(x, y)"""
    if not isinstance(y, Tensor) and y == 0:
        return F.softplus(x, threshold=40)
    if not isinstance(x, Tensor) and x == 0:
        return F.softplus(y, threshold=40)
    return torch.logaddexp(array(x, y), array(y, x))


@TABLE.rule("jax.nn.mish")
def mish(x: Tensor) -> Tensor:
    """mish(x)"""
    return F.mish(x)


@TABLE.rule("jax.nn.glu")
def glu(x: Tensor, axis: int = -1) -> Tensor:
    """glu(x, axis=-1)"""
    if axis == -1:
        return F.glu(x)
    return F.glu(x, axis)


@TABLE.rule("jax.nn.softmax")
def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """softmax(x, axis=-1)"""
    return x.softmax(axis)


@TABLE.rule("jax.nn.log_softmax")
def log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    """log_softmax(x, axis=-1)"""
    return F.log_softmax(x, dim=axis)


@TABLE.rule("jax.nn.logsumexp")
def logsumexp(x: Tensor, axis: Axes, keepdims: bool = False) -> Tensor:
    """logsumexp(x, axis, keepdims=False)"""
    if keepdims:
        return x.logsumexp(axis, keepdim=True)
    return x.logsumexp(axis)


@TABLE.rule("jnp.mean")
def mean(x: Tensor, axis: Axes, keepdims: bool = False) -> Tensor:
    """mean(x, axis, keepdims=False)"""
    if keepdims:
        return x.mean(axis, keepdim=True)
    if isinstance(axis, tuple) and len(axis) == x.ndim:
        return x.mean()
    return x.mean(axis)


@TABLE.rule("jnp.sum")
def sum_kept(x: Tensor, axis: Axes, keepdims: bool = True) -> Tensor:
    """sum(x, axis, keepdims=True)"""
    return x.sum(axis, keepdim=True)


@TABLE.rule("jnp.max")
def max_kept(x: Tensor, axis: Axes, keepdims: bool = True) -> Tensor:
    """max(x, axis, keepdims=True); the gradient is shared by equals"""
    return x.amax(axis, keepdim=True)


@TABLE.rule("jnp.min")
def min_kept(x: Tensor, axis: Axes, keepdims: bool = True) -> Tensor:
    """min(x, axis, keepdims=True); the gradient is shared by equals"""
    return x.amin(axis, keepdim=True)


@TABLE.rule("jnp.prod")
def prod_kept(x: Tensor, axis: int, keepdims: bool = True) -> Tensor:
    """prod(x, axis, keepdims=True)"""
    return x.prod(axis, keepdim=True)


@TABLE.rule("jnp.var")
def var(x: Tensor, axis: Axes, ddof: int = 0, keepdims: bool = False) -> Tensor:
    """var(x, axis, ddof=0, keepdims=False)"""
    if keepdims:
        return x.var(axis, correction=ddof, keepdim=True)
    return x.var(axis, correction=ddof)


@TABLE.rule("jax.nn.one_hot")
def one_hot(x: Tensor, num_classes: int, dtype: torch.dtype) -> Tensor:
    """one_hot(x, num_classes, dtype)"""
    return (x.unsqueeze(-1) == torch.arange(num_classes, device=x.device)).to(dtype)


@TABLE.rule("jax.nn.dot_product_attention", "flax.dot_product_attention")
def dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None = None,
    mask: Tensor | None = None,
    is_causal: bool = False,
    rate: float = 0.0,
    shared: bool = False,
    attribute: str = "",
    follows: bool = False,
    dropout: torch.nn.Dropout | None = None,
) -> Tensor:
    """dot_product_attention(query, key, value, bias=None, mask=None, is_causal=False), all [batch, time, head, size]

    Flax's may drop weights, at a rate and with one mask for all if it is shared: with the module dropout, an attribute
    of its class, where that follows the mode. It knows no is_causal, and as many heads of keys as of queries. A mask
    of floats is one of truth values, 0 for false.
    """
    if rate and not follows and mask is None and bias is None:
        return always_dropping_attention(query, key, value, rate, shared)
    if rate and not follows:
        return always_dropping_attention(query, key, value, rate, shared, mask, bias)
    if dropout is not None and bias is not None:
        return dropping_attention(query, key, value, dropout, mask, bias)
    if dropout is not None and mask is not None:
        return dropping_attention(query, key, value, dropout, mask)
    if dropout is not None and shared:
        return dropping_attention(query, key, value, dropout)
    if dropout is not None:
        return F.scaled_dot_product_attention(
            query.transpose(1, 2),
            key.transpose(1, 2),
            value.transpose(1, 2),
            dropout_p=dropout.p if dropout.training else 0.0,
        ).transpose(1, 2)
    if mask is not None and mask.dtype != torch.bool and bias is None:
        return masked_attention(query, key, value, mask != 0)
    if mask is not None and mask.dtype != torch.bool:
        return masked_attention(query, key, value, mask != 0, bias)
    if mask is not None and bias is None and not is_causal:
        return masked_attention(query, key, value, mask)
    if mask is not None:
        return masked_attention(query, key, value, mask, bias, is_causal)
    if bias is not None:
        return biased_attention(query, key, value, bias, is_causal)
    if query.shape[2] != key.shape[2]:
        return grouped_attention(query, key, value, is_causal)
    if is_causal:
        return F.scaled_dot_product_attention(
            query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), is_causal=True
        ).transpose(1, 2)
    return F.scaled_dot_product_attention(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)).transpose(
        1, 2
    )


def grouped_attention(query: Tensor, key: Tensor, value: Tensor, is_causal: bool = False) -> Tensor:
    """Attention on [batch, time, head, size] in which several heads of the query share one head of key and value."""
    q, k, v = query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)
    return F.scaled_dot_product_attention(q, k, v, is_causal=is_causal, enable_gqa=True).transpose(1, 2)


def biased_attention(query: Tensor, key: Tensor, value: Tensor, bias: Tensor, is_causal: bool = False) -> Tensor:
    """Attention on [batch, time, head, size] with a bias of the scores [batch, head, query, key]."""
    if is_causal:
        past = torch.ones(query.shape[1], key.shape[1], dtype=torch.bool, device=query.device).tril()
        bias = torch.where(past, bias, -math.inf)
    q, k, v = query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)
    grouped = query.shape[2] != key.shape[2]
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, enable_gqa=grouped).transpose(1, 2)


def masked_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor, bias: Tensor | None = None, is_causal: bool = False
) -> Tensor:
    """Attention on [batch, time, head, size]; a query that may see nothing sees everything alike, as in JAX.

    mask: [batch, head, query, key], true where a query may look. `F.scaled_dot_product_attention` has another result,
    and another gradient, where a query may see nothing.
    """
    if is_causal:
        mask = mask & torch.ones(query.shape[1], key.shape[1], dtype=torch.bool, device=query.device).tril()
    groups = query.shape[2] // key.shape[2]
    keys, values = key.repeat_interleave(groups, 2), value.repeat_interleave(groups, 2)
    scores = query.transpose(1, 2) @ keys.permute(0, 2, 3, 1) / math.sqrt(query.shape[-1])
    scores = scores if bias is None else scores + bias
    weights = torch.where(mask, scores, torch.finfo(scores.dtype).min).softmax(-1)
    return (weights @ values.transpose(1, 2)).transpose(1, 2)


def attention_weights(query: Tensor, key: Tensor, mask: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    """Weights of attention [batch, head, query, key] of queries and keys [batch, time, head, size].

    mask: [batch, head, query, key], not 0 where a query may look; one that may see nothing sees everything alike.
    """
    scores = query.transpose(1, 2) @ key.permute(0, 2, 3, 1) / math.sqrt(query.shape[-1])
    scores = scores if bias is None else scores + bias
    scores = scores if mask is None else torch.where(mask != 0, scores, torch.finfo(scores.dtype).min)
    return scores.softmax(-1)


def dropping_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    dropout: torch.nn.Module,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """Attention on [batch, time, head, size] whose weights go through a dropout in training."""
    if mask is None and not dropout.training:
        q, k, v = query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias).transpose(1, 2)
    weights = dropout(attention_weights(query, key, mask, bias))
    return (weights @ value.transpose(1, 2)).transpose(1, 2)


def always_dropping_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    rate: float,
    shared: bool,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """Attention on [batch, time, head, size] that drops weights in evaluation too; a shared mask is one for all."""
    weights = attention_weights(query, key, mask, bias)
    if shared:
        weights = weights * F.dropout(weights.new_ones(weights.shape[-2:]), rate)
    else:
        weights = F.dropout(weights, rate)
    return (weights @ value.transpose(1, 2)).transpose(1, 2)


@TABLE.rule("jnp.tri")
def tri(N: int, M: int, k: int, dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
    """tri(N, M, k, dtype)"""
    if k == 0:
        return torch.ones(N, M, dtype=dtype, device=device).tril()
    return torch.ones(N, M, dtype=dtype, device=device).tril(k)


@TABLE.rule("jnp.eye")
def eye(N: int, M: int, dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
    """eye(N, M, dtype=dtype)"""
    if N == M:
        return torch.eye(N, dtype=dtype, device=device)
    return torch.eye(N, M, dtype=dtype, device=device)


@TABLE.rule("jnp.tril")
def tril(m: Tensor, k: int = 0) -> Tensor:
    """tril(m, k=0)"""
    if k == 0:
        return m.tril()
    return m.tril(k)


@TABLE.rule("jnp.triu")
def triu(m: Tensor, k: int = 0) -> Tensor:
    """triu(m, k=0)"""
    if k == 0:
        return m.triu()
    return m.triu(k)


@TABLE.rule("jnp.diag")
def diag(v: Tensor, k: int = 0) -> Tensor:
    """diag(v, k=0) of a vector"""
    if k == 0:
        return torch.diag(v)
    return torch.diag(v, k)


@TABLE.rule("jnp.diagonal")
def diagonal(a: Tensor, offset: int = 0) -> Tensor:
    """diagonal(a, offset=0) of the last two axes"""
    if a.ndim == 2 and offset == 0:
        return a.diagonal()
    if a.ndim == 2:
        return a.diagonal(offset)
    if offset == 0:
        return a.diagonal(dim1=-2, dim2=-1)
    return a.diagonal(offset, dim1=-2, dim2=-1)


@TABLE.rule("jnp.trace")
def trace(a: Tensor, offset: int = 0) -> Tensor:
    """trace(a, offset=0) of the last two axes; torch.trace knows no float16"""
    if a.ndim == 2 and offset == 0 and a.dtype not in (torch.float16, torch.bfloat16):
        return a.trace()
    if a.ndim == 2:
        return a.diagonal(offset).sum()
    if offset == 0:
        return a.diagonal(dim1=-2, dim2=-1).sum(-1)
    return a.diagonal(offset, dim1=-2, dim2=-1).sum(-1)
