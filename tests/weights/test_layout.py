"""Layouts: what a step does to shapes and bits, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regauge.errors import WeightMismatch
from regauge.weights import layout as layouts

SPLIT_HEADS = layouts.layout([["permute", [1, 0]], ["reshape", [8, 2, 3]], ["permute", [2, 0, 1]]])


@st.composite
def shapes_and_layouts(draw):
    """A shape and up to four steps that fit it."""
    shape = tuple(draw(st.lists(st.integers(0, 4), min_size=0, max_size=4)))
    steps, now = [], shape
    for _ in range(draw(st.integers(0, 4))):
        if draw(st.booleans()):
            sizes = tuple(draw(st.permutations(range(len(now)))))
            steps.append(("permute", sizes))
        else:
            sizes = draw(st.sampled_from([(int(np.prod(now)),), (1, *now), (*now, 1), now]))
            steps.append(("reshape", sizes))
        now = layouts.result_shape((steps[-1],), now)
    return shape, tuple(steps), now


@given(shapes_and_layouts())
def test_inverse_gives_back_every_element(found):
    shape, steps, target = found
    array = np.arange(int(np.prod(shape))).reshape(shape)
    moved = layouts.apply(array, steps)
    assert moved.shape == target == layouts.result_shape(steps, shape)
    np.testing.assert_array_equal(layouts.invert(moved, steps, shape), array)
    assert layouts.layout(layouts.to_json(steps)) == steps


def test_split_heads():
    array = np.arange(48).reshape(6, 8)
    np.testing.assert_array_equal(layouts.apply(array, SPLIT_HEADS), array.T.reshape(8, 2, 3).transpose(2, 0, 1))


def test_permute_copies_nothing():
    array = np.zeros((3, 4))
    assert np.shares_memory(layouts.apply(array, layouts.layout([["permute", [1, 0]]])), array)


@pytest.mark.parametrize("step", [["transpose", [1, 0]], ["permute"], ["permute", [0], 1], []])
def test_unknown_steps(step):
    with pytest.raises(WeightMismatch, match="W110 a layout step must be") as caught:
        layouts.layout([step])
    assert repr(step) in str(caught.value)


@pytest.mark.parametrize(
    "step", [["permute", [0, 0]], ["permute", [0]], ["permute", [0, 2]], ["reshape", [5]], ["reshape", [-1, 2]]]
)
def test_steps_that_do_not_fit(step):
    with pytest.raises(WeightMismatch, match=r"does not fit the shape \[2, 3\]"):
        layouts.apply(np.zeros((2, 3)), layouts.layout([step]))
