"""Convolutions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from regauge.rules.table import RuleTable

TABLE = RuleTable("lax_to_torch.convolution")

Sizes = tuple[int, ...]


@TABLE.rule("lax.conv_general_dilated")
def conv_general_dilated(
    lhs: Tensor,
    rhs: Tensor,
    window_strides: Sizes,
    padding: tuple[tuple[int, int], ...],
    lhs_dilation: Sizes,
    rhs_dilation: Sizes,
    lhs_spec: Sizes,
    rhs_spec: Sizes,
    out_spec: Sizes,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision: object = None,
    preferred_element_type: torch.dtype | None = None,
) -> Tensor:
    """conv_general_dilated(lhs, rhs, *, ...)"""
    pad = tuple(low for low, _ in padding)
    y = F.conv2d(
        lhs.permute(lhs_spec), rhs.permute(rhs_spec), None, window_strides, pad, rhs_dilation, feature_group_count
    )
    return y.permute(tuple(out_spec.index(axis) for axis in range(len(out_spec))))
