"""Other ways to compute what a call of torch computes: the mistakes of ports, for substitution.

An alternative takes the function, its arguments and the arguments by name; it returns what the call would return, had
the model been written in the other way. A change of a weight takes the tensor and gives the other one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from regauge.run.torch_calls import name_of, with_arguments

Named = Mapping[str, Any]
Alternative = Callable[..., Any]

ALTERNATIVES: dict[str, Alternative] = {}
WEIGHTS: dict[str, Callable[..., Tensor]] = {}


def alternative(function: Alternative) -> Alternative:
    ALTERNATIVES[function.__name__] = function
    return function


def of_weight(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    WEIGHTS[function.__name__] = function
    return function


@alternative
def function(func: Any, args: Any, kwargs: Any, named: Named, *, name: str, options: Named | None = None) -> Any:
    """Another function of the first argument: SiLU for GELU."""
    other = getattr(F, name, None) or getattr(torch, name)
    return other(args[0] if args else named["input"], **(options or {}))


@alternative
def left_out(func: Any, args: Any, kwargs: Any, named: Named, *, operand: int = 0) -> Any:
    """The call does nothing: one of its arguments is its result."""
    return args[operand] if operand < len(args) else list(named.values())[operand]


@alternative
def scaled(func: Any, args: Any, kwargs: Any, named: Named, *, by: float) -> Any:
    return func(*args, **kwargs) * by


@alternative
def rounded(func: Any, args: Any, kwargs: Any, named: Named, *, to: str) -> Any:
    """The result went through a dtype of lower precision."""
    found = func(*args, **kwargs)
    return _rounded(found, to)


def _rounded(tensor: Tensor, to: str) -> Tensor:
    """Values as a lower precision holds them; made in numpy, where nothing widens them again."""
    if to == "float32":
        low = torch.from_numpy(tensor.detach().numpy().astype("float32").astype("float64"))
    else:
        # bfloat16 keeps 8 significant bits, float16 has 11
        bits = {"bfloat16": 8, "float16": 11}[to]
        mantissa, exponent = torch.frexp(tensor.detach())
        low = torch.ldexp(torch.round(mantissa * 2**bits), exponent - bits)
    return tensor + (low.to(tensor) - tensor).detach()


@alternative
def with_extremes(func: Any, args: Any, kwargs: Any, named: Named) -> Any:
    """ReLU and clamp by maximum and minimum, whose derivative is shared at the bounds."""
    x = args[0] if args else named["input"]
    low = 0.0 if name_of(func) in ("relu", "relu_", "relu6") else named.get("min", named.get("1"))
    high = 6.0 if name_of(func) == "relu6" else named.get("max", named.get("2"))
    if low is not None:
        x = torch.maximum(x, torch.as_tensor(low, dtype=x.dtype))
    return x if high is None else torch.minimum(x, torch.as_tensor(high, dtype=x.dtype))


@alternative
def same_padding(func: Any, args: Any, kwargs: Any, named: Named) -> Any:
    """Padding as TensorFlow's SAME: as much as the output's size needs, the larger part behind."""
    x, weight = args[0], named.get("weight")
    rank = int(name_of(func)[-2]) if name_of(func)[-1:] == "d" else x.dim() - 2
    kernel = list(weight.shape[2:]) if weight is not None else _each(named["kernel_size"], rank)
    stride = _each(named.get("stride") or (1 if weight is not None else kernel), rank)
    dilation = _each(named.get("dilation") or 1, rank)
    pads: list[int] = []
    for axis in reversed(range(rank)):
        size = x.shape[2 + axis]
        reach = (kernel[axis] - 1) * dilation[axis] + 1
        total = max(0, (math.ceil(size / stride[axis]) - 1) * stride[axis] + reach - size)
        pads += [total // 2, total - total // 2]
    fill = -math.inf if "max_pool" in name_of(func) else 0.0
    rest = with_arguments(func, (F.pad(x, pads, value=fill), *args[1:]), kwargs, {"padding": 0})
    return func(*rest[0], **rest[1])


@alternative
def zero_padding(func: Any, args: Any, kwargs: Any, named: Named) -> Any:
    """A max pool whose padding is zero for minus infinity."""
    x = args[0]
    rank = x.dim() - 2
    pads = [side for pad in reversed(_each(named.get("padding") or 0, rank)) for side in (pad, pad)]
    rest = with_arguments(func, (F.pad(x, pads), *args[1:]), kwargs, {"padding": 0})
    return func(*rest[0], **rest[1])


@alternative
def padded(func: Any, args: Any, kwargs: Any, named: Named, *, mode: str) -> Any:
    """Padding with other values than zeros."""
    x = args[0]
    rank = x.dim() - 2
    pads = [side for pad in reversed(_each(named.get("padding") or 0, rank)) for side in (pad, pad)]
    rest = with_arguments(func, (F.pad(x, pads, mode=mode), *args[1:]), kwargs, {"padding": 0})
    return func(*rest[0], **rest[1])


def _each(value: Any, rank: int) -> list[int]:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [int(value)] * rank


@alternative
def without_partial_windows(func: Any, args: Any, kwargs: Any, named: Named) -> Any:
    rest = with_arguments(func, args, kwargs, {"ceil_mode": not named.get("ceil_mode", False)})
    return func(*rest[0], **rest[1])


@alternative
def flipped_kernel(func: Any, args: Any, kwargs: Any, named: Named) -> Any:
    """Convolution with the kernel turned around in space."""
    weight = named["weight"]
    rest = with_arguments(func, args, kwargs, {"weight": weight.flip(tuple(range(2, weight.dim())))})
    return func(*rest[0], **rest[1])


@alternative
def padded_before(func: Any, args: Any, kwargs: Any, named: Named) -> Any:
    """A transposed convolution whose output padding lies before instead of behind."""
    rank = args[0].dim() - 2
    pads, outer = _each(named.get("padding") or 0, rank), _each(named.get("output_padding") or 0, rank)
    whole = with_arguments(func, args, kwargs, {"padding": 0, "output_padding": 0})
    found = func(*whole[0], **whole[1])
    for axis, (pad, more) in enumerate(zip(pads, outer, strict=True), start=2):
        found = found.narrow(axis, pad - more, found.shape[axis] - 2 * pad + more)
    return found


@alternative
def channels_last(func: Any, args: Any, kwargs: Any, named: Named) -> Any:
    """Flattened with the channels last instead of first."""
    x = args[0] if args else named["input"]
    return func(x.permute(0, *range(2, x.dim()), 1).contiguous(), *args[1:], **kwargs)


@alternative
def channels_first(func: Any, args: Any, kwargs: Any, named: Named) -> Any:
    """Flattened with the channels first instead of last."""
    x = args[0] if args else named["input"]
    return func(x.permute(0, x.dim() - 1, *range(1, x.dim() - 1)).contiguous(), *args[1:], **kwargs)


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


@alternative
def normalised(
    func: Any,
    args: Any,
    kwargs: Any,
    named: Named,
    *,
    outside: bool = False,
    unbiased: bool = False,
    centred: bool = True,
) -> Any:
    """Layer or RMS norm with eps outside of the root, with the unbiased variance, or without the mean taken away."""
    x, shape = named["input"], named["normalized_shape"]
    axes = tuple(range(-len(shape), 0))
    eps = named.get("eps")
    eps = torch.finfo(x.dtype).eps if eps is None else eps
    mean = x.mean(axes, keepdim=True) if centred and name_of(func) == "layer_norm" else 0.0
    squares = ((x - mean) ** 2).sum(axes, keepdim=True) / (math.prod(shape) - (1 if unbiased else 0))
    root = squares.sqrt() + eps if outside else (squares + eps).sqrt()
    found = (x - mean) / root
    found = found if named.get("weight") is None else found * named["weight"]
    return found if named.get("bias") is None else found + named["bias"]


@alternative
def root_with_eps(func: Any, args: Any, kwargs: Any, named: Named, *, eps: float, inside: bool) -> Any:
    """sqrt or rsqrt of a value with eps inside or outside of the root."""
    x = args[0] if args else named["input"]
    root = (x + eps).sqrt() if inside else x.sqrt() + eps
    return 1 / root if name_of(func) == "rsqrt" else root


@alternative
def batch_norm(
    func: Any, args: Any, kwargs: Any, named: Named, *, biased: bool = False, unbiased_here: bool = False
) -> Any:
    """Batch norm that keeps the biased variance, or normalises with the unbiased one."""
    x, training = named["input"], named.get("training", False)
    axes = [0, *range(2, x.dim())]
    n = x.numel() // x.shape[1]
    variance, momentum = named.get("running_var"), named.get("momentum", 0.1)
    kept = None if variance is None else variance.clone()
    found = func(*args, **kwargs)
    if not training:
        return found
    own = x.detach().var(axes, unbiased=False)
    if biased and variance is not None:
        variance.data.copy_((1 - momentum) * kept + momentum * own)
    if unbiased_here:
        shape = [1, -1, *[1] * (x.dim() - 2)]
        live = x.var(axes, unbiased=False)
        rest = ((live + named["eps"]) / (live * n / (n - 1) + named["eps"])).sqrt().reshape(shape)
        bias = named.get("bias")
        shift = 0.0 if bias is None else bias.reshape(shape)
        return (found - shift) * rest + shift
    return found


@alternative
def loss_over(func: Any, args: Any, kwargs: Any, named: Named, *, by: str) -> Any:
    """A loss averaged over another number: over all targets, those that are ignored too, or over the batch."""
    rest = with_arguments(func, args, kwargs, {"reduction": "sum"})
    total = func(*rest[0], **rest[1])
    target, x = named["target"], named["input"]
    count = {"all": target.numel(), "batch": x.shape[0], "elements": x.numel(), "half": 2 * x.numel(), "one": 1}[by]
    return total / count


@alternative
def scattered(func: Any, args: Any, kwargs: Any, named: Named) -> Any:
    """Where several values go to one place: added instead of set, or set instead of added."""
    name = name_of(func).rstrip("_")
    other = {"scatter": "scatter_add", "scatter_add": "scatter", "index_add": "index_copy", "index_copy": "index_add"}
    result = getattr(torch, other[name])(*args, **kwargs)
    return args[0].copy_(result) if name_of(func).endswith("_") else result


@of_weight
def transposed(tensor: Tensor, others: Named, saved: Named) -> Tensor:
    return tensor.transpose(0, 1).contiguous()


@of_weight
def turned(tensor: Tensor, others: Named, saved: Named) -> Tensor:
    """A kernel turned around in space."""
    return tensor.flip(tuple(range(2, tensor.dim())))


@of_weight
def zero(tensor: Tensor, others: Named, saved: Named) -> Tensor:
    return torch.zeros_like(tensor)


@of_weight
def low(tensor: Tensor, others: Named, saved: Named, *, to: str) -> Tensor:
    return _rounded(tensor, to)


@of_weight
def exchanged(tensor: Tensor, others: Named, saved: Named, *, other: str) -> Tensor:
    """The values of another weight of the same shape."""
    return saved.get(other, others[other])


@of_weight
def reordered(tensor: Tensor, others: Named, saved: Named, *, order: Sequence[int]) -> Tensor:
    """Blocks of rows in another order."""
    blocks = tensor.chunk(len(order), 0)
    return torch.cat([blocks[i] for i in order])


@of_weight
def interleaved(tensor: Tensor, others: Named, saved: Named, *, sizes: Sequence[int], back: bool = False) -> Tensor:
    """Rows seen as (a, b), ordered as (b, a) within each outer block: ``sizes`` is (outer, a, b)."""
    outer, a, b = sizes
    rest = tensor.shape[1:]
    found = tensor.reshape(outer, a, b, *rest).transpose(1, 2)
    return found.reshape(tensor.shape)
