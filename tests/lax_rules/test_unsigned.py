"""Unsigned integers of 16, 32 and 64 bits as torch computes with them, at the ends of their ranges."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from regauge.rules.lax_to_torch.unsigned import (
    SIGNED,
    from_ordered,
    ordered,
    signed,
    signed_number,
    unsigned_div,
    unsigned_rem,
)


def pairs(bits: int) -> tuple[np.ndarray, np.ndarray]:
    largest, half = 2**bits - 1, 2 ** (bits - 1)
    ends = np.array([0, 1, 2, 3, 7, half - 1, half, half + 1, largest - 1, largest], f"uint{bits}")
    generator = np.random.RandomState(bits)
    some = generator.randint(0, largest, 100, dtype=ends.dtype)
    small = generator.randint(0, largest, 100, dtype=ends.dtype) >> generator.randint(0, bits, 100).astype(ends.dtype)
    return np.concatenate([np.repeat(ends, len(ends)), some]), np.concatenate([np.tile(ends, len(ends)), small])


@pytest.mark.parametrize("bits", [16, 32, 64])
def test_quotients_and_remainders_are_those_of_python_and_a_division_by_zero_gives_the_largest(bits: int) -> None:
    a, b = pairs(bits)
    x, y = torch.from_numpy(a), torch.from_numpy(b)
    quotients = [int(i) // int(j) if j else 2**bits - 1 for i, j in zip(a, b, strict=True)]
    remainders = [int(i) % int(j) if j else int(i) for i, j in zip(a, b, strict=True)]
    assert unsigned_div(x, y).numpy().tolist() == quotients
    assert unsigned_rem(x, y).numpy().tolist() == remainders


@pytest.mark.parametrize("bits", [16, 32, 64])
def test_signed_integers_in_the_order_of_unsigned_ones(bits: int) -> None:
    a, b = pairs(bits)
    x, y = torch.from_numpy(a), torch.from_numpy(b)
    np.testing.assert_array_equal((ordered(x) < ordered(y)).numpy(), a < b)
    np.testing.assert_array_equal(from_ordered(ordered(x), x.dtype).numpy(), a)
    assert [signed_number(int(i), x.dtype) for i in a] == signed(x).tolist()
    assert signed(x).dtype is SIGNED[x.dtype]


def test_other_dtypes_stay_as_they_are() -> None:
    x = torch.tensor([1, -1])
    assert signed(x) is x
    assert ordered(x) is x
    assert from_ordered(x, x.dtype) is x
    assert signed_number(-1, torch.int64) == -1
