"""Windows."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from regauge.rules.table import RuleTable

TABLE = RuleTable("lax_to_torch.pooling")

Sizes = tuple[int, ...]


@TABLE.rule("lax.reduce_window_max")
def reduce_window_max(
    x: Tensor,
    window_dimensions: Sizes,
    window_strides: Sizes,
    padding: tuple[tuple[int, int], ...],
    base_dilation: Sizes,
    window_dilation: Sizes,
) -> Tensor:
    """reduce_window_max(x, *, window_dimensions, window_strides, padding, base_dilation, window_dilation)"""
    if window_dimensions[:2] == (1, 1):
        return F.max_pool2d(x, window_dimensions[2:], window_strides[2:])
    y = F.max_pool2d(x.permute(0, 3, 1, 2), window_dimensions[1:3], window_strides[1:3])
    return y.permute(0, 2, 3, 1)
