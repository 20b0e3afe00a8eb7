"""Alternatives of single elements, norms, losses and scatters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F

from regauge.run.torch_alternative_registry import Named, alternative
from regauge.run.torch_alternatives_weights import rounded_to
from regauge.run.torch_calls import name_of, with_arguments

_NO_CLASS = -(2**31)  # a target that nothing is


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
def complement(func: Any, args: Any, kwargs: Any, named: Named) -> Any:
    """One minus the result."""
    return 1 - func(*args, **kwargs)


@alternative
def shifted_input(func: Any, args: Any, kwargs: Any, named: Named, *, by: float) -> Any:
    rest = with_arguments(func, args, kwargs, {"input": named["input"] + by})
    return func(*rest[0], **rest[1])


@alternative
def zero_where_all_is_low(func: Any, args: Any, kwargs: Any, named: Named) -> Any:
    """A softmax that gives zero in rows of which everything is masked."""
    gone = (named["input"] < -100).all(named["dim"], keepdim=True)
    return func(*args, **kwargs).masked_fill(gone, 0.0)


@alternative
def parts_in_order(func: Any, args: Any, kwargs: Any, named: Named, *, order: Sequence[int]) -> Any:
    """The parts of a split in each other's place."""
    found = func(*args, **kwargs)
    return tuple(found[index] for index in order)


@alternative
def swapped(func: Any, args: Any, kwargs: Any, named: Named) -> Any:
    """A product with its factors in each other's place."""
    return func(args[1], args[0], *args[2:], **kwargs)


@alternative
def shifted_mask(func: Any, args: Any, kwargs: Any, named: Named, *, by: int) -> Any:
    """A triangular mask with its diagonal elsewhere.

    Raises:
        NotImplementedError: the mask is not the same triangle for all rows of the batch.
    """
    mask = named["mask"]
    if mask.ndim < 2:
        raise NotImplementedError("a mask that is no triangle")
    rows, columns = mask.shape[-2:]
    every = torch.arange(columns) - torch.arange(rows)[:, None]
    for below in (True, False):
        for offset in range(-1, 2):
            triangle = every <= offset if below else every > offset
            if bool((mask == triangle).all()):
                other = every <= offset + by if below else every > offset + by
                rest = with_arguments(func, args, kwargs, {"mask": other.expand(mask.shape)})
                return func(*rest[0], **rest[1])
    raise NotImplementedError("a mask that is no triangle")


@alternative
def rounded(func: Any, args: Any, kwargs: Any, named: Named, *, to: str) -> Any:
    """The result went through a dtype of lower precision."""
    found = func(*args, **kwargs)
    return rounded_to(found, to)


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
def ignored_as(func: Any, args: Any, kwargs: Any, named: Named, *, taken: int) -> Any:
    """A loss in which the targets that are ignored count as those of a class."""
    ignored, target = named.get("ignore_index", -100), named["target"]
    changes = {"target": torch.where(target == ignored, taken, target), "ignore_index": _NO_CLASS}
    rest = with_arguments(func, args, kwargs, changes)
    return func(*rest[0], **rest[1])


@alternative
def scattered(func: Any, args: Any, kwargs: Any, named: Named) -> Any:
    """Where several values go to one place: added instead of set, or set instead of added."""
    name = name_of(func).rstrip("_")
    other = {"scatter": "scatter_add", "scatter_add": "scatter", "index_add": "index_copy", "index_copy": "index_add"}
    result = getattr(torch, other[name])(*args, **kwargs)
    return args[0].copy_(result) if name_of(func).endswith("_") else result
