"""Reductions over axes."""

from __future__ import annotations

from torch import Tensor

from regauge.rules.table import RuleTable

TABLE = RuleTable("lax_to_torch.reductions")


@TABLE.rule("lax.reduce_sum")
def reduce_sum(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """reduce_sum(x, *, axes)"""
    return x.sum(axes, dtype=x.dtype) if axes else x


@TABLE.rule("lax.reduce_max")
def reduce_max(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """reduce_max(x, *, axes)"""
    return x.amax(axes) if axes else x
