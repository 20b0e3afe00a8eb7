"""Which array a symbolic size is read from: data rather than masks, the leading axes of one array together."""

from __future__ import annotations

import ast

from regauge.emit.lines import Line
from regauge.emit.syntax import with_sizes
from regauge.ir.graph import Sym, TensorSpec

B, T, S = Sym("batch"), Sym("time"), Sym("source")
ARRAYS = {
    "mask": TensorSpec((B, 1, T, S), "bool"),
    "bias": TensorSpec((1, 8, T, S), "float32"),
    "x": TensorSpec((B, T, 32), "float32"),
    "memory": TensorSpec((B, S, 32), "float32"),
}


def first_lines(*names: str) -> list[str]:
    arrays = [(ast.Name(name, ast.Load()), ARRAYS[name]) for name in names]
    lines = with_sizes(["batch", "source", "time"], [Line("return x.reshape(batch, time, source)")], arrays, "")
    return [line.text for line in lines[:-1]]


def test_sizes_of_data() -> None:
    assert first_lines("mask", "bias", "x", "memory") == ["batch, time = x.shape[:2]", "source = memory.shape[1]"]
    assert first_lines("x", "memory", "mask") == ["batch, time = x.shape[:2]", "source = memory.shape[1]"]


def test_sizes_that_only_a_mask_or_a_later_axis_has() -> None:
    assert first_lines("x", "bias", "mask") == ["batch, time = x.shape[:2]", "source = bias.shape[3]"]
    assert first_lines("x", "mask") == ["batch, time = x.shape[:2]", "source = mask.shape[3]"]
