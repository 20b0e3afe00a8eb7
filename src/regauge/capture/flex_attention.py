"""`flex_attention` during capture: as operators, where torch has one that takes functions.

The functions of a person are vectorised as torch does it without a compiler. Without a function of the scores it is
`F.scaled_dot_product_attention` with a mask.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._dynamo._trace_wrapped_higher_order_op import TransformGetItemToIndex
from torch.nn.attention import flex_attention as flex


@contextmanager
def written_out() -> Iterator[None]:
    """Within the block `flex_attention` computes with operators that have rules.

    torch itself has no gradient of it on a CPU and says so before it computes; what is captured there has one.
    """
    with (
        patch.object(flex, "flex_attention_hop", _attention),
        patch.object(flex, "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG", True),  # which would compile the operator
        patch.object(flex, "_validate_device", lambda *_: None),
    ):
        yield


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    score_mod: Callable[..., Tensor],
    block_mask: tuple[Any, ...],
    scale: float,
    kernel_options: dict[str, Any],
) -> tuple[Tensor, Tensor, Tensor]:
    """What torch's operator gives: the output, and the logarithm of the sums and the largest scores over ln 2."""
    precision = torch.float64 if query.dtype == torch.float64 else torch.float32
    groups = query.shape[1] // key.shape[1]
    keys, values = (x.repeat_interleave(groups, dim=1) if groups > 1 else x for x in (key, value))
    scores = (query.to(precision) @ keys.to(precision).transpose(-2, -1)) * scale
    mask = _mask(block_mask[-1], scores)
    changed = scores if score_mod is flex._identity else _vectorised(score_mod, (0,), scores)(scores)
    if mask is not None:
        changed = torch.where(mask, changed, -math.inf)
    if score_mod is flex._identity:
        output = F.scaled_dot_product_attention(query, key, value, mask, scale=scale, enable_gqa=groups > 1)
    else:
        output = torch._safe_softmax(changed, -1).to(query.dtype) @ values
    return output, changed.logsumexp(-1) / math.log(2), changed.amax(-1) / math.log(2)


def _mask(mask_mod: Callable[..., Tensor], scores: Tensor) -> Tensor | None:
    """[batch, heads, queries, keys]; None for the function that torch takes where a person gives none."""
    return None if mask_mod is flex.noop_mask else _vectorised(mask_mod, (), scores)()


def _vectorised(function: Callable[..., Tensor], prefix: tuple[int, ...], scores: Tensor) -> Callable[..., Tensor]:
    """The function of one score and its four indices, or of these alone, for all scores."""
    indices = [torch.arange(size, device=scores.device) for size in scores.shape]
    over_all = flex._vmap_for_bhqkv(function, prefix=prefix)

    def run(*first: Tensor) -> Tensor:
        with TransformGetItemToIndex():
            return over_all(*first, *indices)

    return run
