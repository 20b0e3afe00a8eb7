"""Dtypes by framework-neutral name, and torch's type promotion as data.

Between arrays of one or more dimensions torch and JAX promote alike (checked for all pairs by the tests); they
differ for 0-d arrays and Python scalars, which is what `torch_result_type` is for. Source of the rules:
https://docs.pytorch.org/docs/stable/tensor_attributes.html#type-promotion-doc
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Participation = Literal["array", "zero-dim", "scalar"]

_KINDS = ("bool", "integer", "float", "complex")

# width in bits; the kind follows from the name
_WIDTH = {
    "bool": 8,
    "uint8": 8,
    "int8": 8,
    "int16": 16,
    "int32": 32,
    "int64": 64,
    "float16": 16,
    "bfloat16": 16,
    "float32": 32,
    "float64": 64,
    "complex64": 64,
    "complex128": 128,
}

DTYPES = tuple(_WIDTH)

# Of programs of JAX: torch holds these, but computes with hardly any of them.
UNSIGNED = ("uint16", "uint32", "uint64")

# Torch holds and casts these, and computes with none of them.
FLOAT8 = ("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz")


def is_known(dtype: str) -> bool:
    """Whether a graph may hold this dtype; ``key<fry>`` is a key of a random stream of JAX."""
    return dtype in DTYPES or dtype in UNSIGNED or dtype in FLOAT8 or dtype.startswith("key<")


# A default float of torch; regauge does not support a changed torch.get_default_dtype().
DEFAULT_FLOAT = "float32"


@dataclass(frozen=True)
class Participant:
    """An operand as promotion sees it: its dtype, and whether it is an array, a 0-d array or a Python scalar."""

    dtype: str
    participation: Participation


def kind(dtype: str) -> str:
    """bool, integer, float or complex."""
    if dtype == "bool":
        return "bool"
    if dtype.startswith(("int", "uint")):
        return "integer"
    return "complex" if dtype.startswith("complex") else "float"


def width(dtype: str) -> int:
    """Bits of one element."""
    return _WIDTH[dtype]


def is_float(dtype: str) -> bool:
    return kind(dtype) == "float"


def join(a: str, b: str) -> str:
    """The dtype of two arrays of one or more dimensions together, the same in torch and JAX."""
    if a == b:
        return a
    kind_a, kind_b = kind(a), kind(b)
    if kind_a == kind_b:
        return _join_same_kind(a, b)
    low, high = (a, b) if _KINDS.index(kind_a) < _KINDS.index(kind_b) else (b, a)
    if kind(high) == "complex" and low == "float64":
        return "complex128"
    return high


def _join_same_kind(a: str, b: str) -> str:
    if {a, b} == {"float16", "bfloat16"}:
        return "float32"
    if "uint8" in (a, b):
        other = b if a == "uint8" else a
        return "int16" if other == "int8" else other
    return a if width(a) >= width(b) else b


def scalar_dtype(value: bool | int | float | complex) -> str:
    """The dtype that torch gives a Python scalar."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int64"
    return "complex64" if isinstance(value, complex) else DEFAULT_FLOAT


def torch_result_type(participants: Iterable[Participant]) -> str:
    """torch.result_type: arrays decide; 0-d arrays and then scalars only where they are of a higher kind.

    Where torch gives complex32, which JAX lacks, the result is complex64.
    """
    result: str | None = None
    found = list(participants)
    for participation in ("array", "zero-dim", "scalar"):
        group: str | None = None
        for participant in found:
            if participant.participation == participation:
                group = participant.dtype if group is None else join(group, participant.dtype)
        if group is None:
            continue
        if result is None:
            result = group
        elif _KINDS.index(kind(group)) > _KINDS.index(kind(result)):
            # a complex one takes over the width of the floats before it
            widened = kind(group) == "complex" and kind(result) == "float"
            result = _complex_of(result) if widened else group
    return result or DEFAULT_FLOAT


def _complex_of(dtype: str) -> str:
    return "complex128" if dtype == "float64" else "complex64"
