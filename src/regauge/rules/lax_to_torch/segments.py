"""Reductions of segments: the rows of an array that bear one number become one row."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from regauge.rules.table import RuleTable, called

TABLE = RuleTable("lax_to_torch.segments")


@TABLE.rule("jax.ops.segment_sum")
@called
def segment_sum(data: Tensor, segment_ids: Tensor, num_segments: int) -> Tensor:
    """segment_sum(data, segment_ids, num_segments), data [rows, ...] -> [num_segments, ...]

    Rows whose number is no segment are left out: they go to one more segment, which is cut off.
    """
    sums = data.new_zeros((num_segments + 1, *data.shape[1:]))
    return sums.index_add(0, known_segments(segment_ids, num_segments), data)[:num_segments]


def known_segments(segment_ids: Tensor, num_segments: int) -> Tensor:
    """The numbers of segments, with one behind the last segment for those that are none."""
    return torch.where((segment_ids >= 0) & (segment_ids < num_segments), segment_ids, num_segments).long()


@TABLE.rule("jax.ops.segment_max")
@called
def segment_max(data: Tensor, segment_ids: Tensor, num_segments: int) -> Tensor:
    """segment_max(data, segment_ids, num_segments): -inf, or the least integer, where a segment has no row"""
    lowest = -math.inf if data.dtype.is_floating_point else torch.iinfo(data.dtype).min
    return segment_extreme(data, segment_ids, num_segments, lowest, "amax")


@TABLE.rule("jax.ops.segment_min")
@called
def segment_min(data: Tensor, segment_ids: Tensor, num_segments: int) -> Tensor:
    """segment_min(data, segment_ids, num_segments): inf, or the largest integer, where a segment has no row"""
    highest = math.inf if data.dtype.is_floating_point else torch.iinfo(data.dtype).max
    return segment_extreme(data, segment_ids, num_segments, highest, "amin")


def segment_extreme(data: Tensor, segment_ids: Tensor, num_segments: int, start: float, reduce: str) -> Tensor:
    """The largest or least elements of the rows of each segment; equal ones share the gradient."""
    rows = known_segments(segment_ids, num_segments).reshape(-1, *(1 for _ in data.shape[1:])).expand(data.shape)
    extremes = data.new_full((num_segments + 1, *data.shape[1:]), start)
    return extremes.scatter_reduce(0, rows, data, reduce)[:num_segments]
