"""dtypes against torch itself: torch.result_type for every pair and participation."""

from __future__ import annotations

import itertools

import pytest
import torch

from regauge import dtypes
from regauge.dtypes import DTYPES, Participant

SCALARS = {"bool": True, "int64": 3, "float32": 2.5, "complex64": 1j}


def operand(dtype, participation):
    if participation == "scalar":
        return SCALARS[dtype]
    return torch.zeros((2,) if participation == "array" else (), dtype=getattr(torch, dtype))


def name(dtype):
    """The neutral name; JAX has no complex32, so complex64 stands for it."""
    return str(dtype).removeprefix("torch.").replace("complex32", "complex64")


@pytest.mark.parametrize("first", ["array", "zero-dim"])
@pytest.mark.parametrize("second", ["array", "zero-dim", "scalar"])
def test_pairs_promote_as_in_torch(first, second):
    wrong = []
    for a, b in itertools.product(DTYPES, SCALARS if second == "scalar" else DTYPES):
        expected = name(torch.result_type(operand(a, first), operand(b, second)))
        found = dtypes.torch_result_type([Participant(a, first), Participant(b, second)])
        reversed_ = dtypes.torch_result_type([Participant(b, second), Participant(a, first)])
        if not found == reversed_ == expected:
            wrong.append(f"{first} {a}, {second} {b}: {found} / {reversed_}, torch says {expected}")
    assert wrong == []


def test_two_scalars_promote_as_in_torch():
    for a, b in itertools.product(SCALARS, SCALARS):
        found = dtypes.torch_result_type([Participant(a, "scalar"), Participant(b, "scalar")])
        assert found == name(torch.result_type(SCALARS[a], SCALARS[b]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_kind_and_width(dtype):
    found = getattr(torch, dtype)
    assert dtypes.width(dtype) == 8 * found.itemsize
    assert dtypes.is_float(dtype) == found.is_floating_point
    assert (dtypes.kind(dtype) == "complex") == found.is_complex
    assert (dtypes.kind(dtype) == "bool") == (dtype == "bool")


@pytest.mark.parametrize("value", [True, 3, 2.5, 1j])
def test_scalars_have_torchs_dtype(value):
    assert dtypes.scalar_dtype(value) == name(torch.tensor(value).dtype)


def test_nothing_gives_the_default_float():
    assert dtypes.torch_result_type([]) == name(torch.get_default_dtype())
