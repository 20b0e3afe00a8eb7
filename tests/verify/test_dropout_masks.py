"""One mask for both frameworks, in whatever layout the converted model sees it."""

from __future__ import annotations

import numpy as np
import pytest

from regauge.run.dropout_masks import DropoutCall, align, keep_mask


def test_a_mask_depends_on_the_call_alone() -> None:
    call = DropoutCall((40, 50), 0.7)
    assert np.array_equal(keep_mask(3, call), keep_mask(3, call))
    assert not np.array_equal(keep_mask(3, call), keep_mask(4, call))
    # 2000 draws at 0.7: five standard deviations are 0.051
    assert keep_mask(3, call).mean() == pytest.approx(0.7, abs=0.051)


@pytest.mark.parametrize(
    ("wanted", "axes"),
    [
        ((2, 3, 4, 5), (0, 1, 2, 3)),
        ((2, 4, 5, 3), (0, 2, 3, 1)),
        ((2, 5, 3, 4), (0, 3, 1, 2)),
        ((3, 2, 4, 5), (1, 0, 2, 3)),
    ],
)
def test_layouts_are_found_by_shape(wanted: tuple[int, ...], axes: tuple[int, ...]) -> None:
    mask = keep_mask(0, DropoutCall((2, 3, 4, 5), 0.5))
    assert np.array_equal(align(mask, wanted), mask.transpose(axes))


def test_heads_may_be_split_into_groups() -> None:
    mask = keep_mask(0, DropoutCall((2, 6, 4, 5), 0.5))
    assert np.array_equal(align(mask, (2, 2, 3, 4, 5)), mask.reshape(2, 2, 3, 4, 5))
    assert np.array_equal(align(mask, (12, 4, 5)), mask.reshape(12, 4, 5))


def test_broadcast_masks_move_too() -> None:
    mask = keep_mask(0, DropoutCall((2, 3, 1, 1), 0.5))
    assert align(mask, (2, 1, 1, 3)).shape == (2, 1, 1, 3)


def test_another_quantity_fits_no_layout() -> None:
    mask = keep_mask(0, DropoutCall((2, 3, 4), 0.5))
    assert align(mask, (2, 3, 5)) is None
    assert align(mask, (4, 6)) is None


@pytest.mark.parametrize("shape", [(2, 4, 4, 4), (3, 5, 5), (4, 4, 3), (3, 3, 3, 3)])
def test_where_the_layout_cannot_be_told_the_mask_is_right_in_either(shape: tuple[int, ...]) -> None:
    mask = keep_mask(0, DropoutCall(shape, 0.5))
    rank = len(shape)
    for axes in ((0, *range(2, rank), 1), (0, rank - 1, *range(1, rank - 1)), (1, 0, *range(2, rank))):
        if tuple(shape[axis] for axis in axes) == shape:
            assert np.array_equal(mask, mask.transpose(axes))
    assert 0 < mask.mean() < 1
