"""Which numbers are the same for all sizes, against what they are for many."""

from __future__ import annotations

import itertools

import pytest
import sympy
import torch
from comparing import assert_captures
from torch import nn
from torch.utils._sympy.functions import FloorDiv, Mod
from torch.utils._sympy.numbers import int_oo
from torch.utils._sympy.value_ranges import ValueRanges

from regauge.capture.size_proofs import is_constant
from regauge.ir.graph import Sym

N, M = (sympy.Symbol(name, integer=True, positive=True) for name in "nm")
KNOWN = {N: ValueRanges(2, int_oo), M: ValueRanges(2, int_oo)}


def parts(size: sympy.Expr, chunks: int) -> sympy.Expr:
    """How many parts `torch.chunk` gives."""
    width = FloorDiv(size + chunks - 1, chunks)
    return FloorDiv(size + width - 1, width)


@pytest.mark.parametrize(
    ("number", "constant"),
    [
        (parts(N, 2), True),
        (parts(N + M, 2), True),
        (parts(2 * N * M, 2), True),
        (parts(3 * N, 3), True),
        (parts(N, 3), False),  # of 4 rows torch makes 2 parts
        (parts(N, 4), False),
        (FloorDiv(N, 2), False),
        (FloorDiv(N - 1, N), True),
        (FloorDiv(M, N), False),
        (Mod(N, 2), False),
        (N, False),
        (N - M, False),
    ],
)
def test_a_number_is_shown_constant_only_if_it_is(number: sympy.Expr, constant: bool) -> None:
    found = {
        number.xreplace({N: sympy.Integer(n), M: sympy.Integer(m)})
        for n, m in itertools.product(range(2, 15), repeat=2)
    }
    assert (len(found) == 1) is constant
    assert is_constant(number, KNOWN) is constant


def test_what_holds_from_some_size_on() -> None:
    assert is_constant(parts(N, 3), {N: ValueRanges(5, int_oo)})
    assert not is_constant(parts(N, 3), {N: ValueRanges(3, int_oo)})


def test_two_halves_of_a_batch() -> None:
    class Pairs(nn.Module):
        def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
            first, second = torch.cat([left * 2, right]).chunk(2)
            return first[:2] - second[:2]

    class Halves(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return x.chunk(2)

    pair = (torch.randn(4, 3), torch.randn(5, 3))
    captured = assert_captures(Pairs(), pair, train=False, others=((torch.randn(7, 3), torch.randn(2, 3)),))
    assert captured.graph.findings == ()
    x = torch.randn(4, 3)
    captured = assert_captures(Halves(), (x,), train=False, others=((torch.randn(7, 3),), (x[:2],)))
    assert captured.graph.inputs[0].spec.shape == (Sym("batch"), 3)


@pytest.mark.parametrize("split", [lambda x: x.chunk(3), lambda x: x.split(x.shape[0] // 2)])
def test_a_number_of_parts_that_depends_on_the_size_fixes_it(split) -> None:
    class Parts(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return tuple(part * 2 for part in split(x))

    captured = assert_captures(Parts(), (torch.randn(6, 3),), train=False)
    assert captured.graph.inputs[0].spec.shape == (6, 3)
    assert "test_size_proofs.py:" in captured.graph.findings[0].text


def test_a_sum_of_two_batches_that_a_value_needs_fixes_both() -> None:
    class Contrast(nn.Module):
        def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
            x = torch.cat([left, right])
            pairs = torch.eye(x.shape[0], dtype=torch.bool).roll(1, 0)
            return (x @ x.T)[pairs]

    captured = assert_captures(Contrast(), (torch.randn(4, 3), torch.randn(4, 3)), train=False)
    assert [value.spec.shape for value in captured.graph.inputs] == [(4, 3), (4, 3)]
    assert [finding.code for finding in captured.graph.findings] == ["C110", "C110"]
