"""Noisy copies of a torch original: another order of what is equal where torch defines none."""

from __future__ import annotations

import pytest
import torch

from regauge.run.torch_rounding import rounded


@pytest.mark.parametrize("largest", [True, False])
def test_of_equal_elements_a_copy_takes_the_last(largest: bool) -> None:
    x = torch.tensor([[1.0, 3.0, 3.0, 0.0, 3.0, 0.0, 0.0]], dtype=torch.float64)
    usual = x.topk(2, largest=largest)
    with rounded(1, True):
        values, order = x.topk(2, largest=largest)
        ordered = x.sort(descending=largest)
    torch.testing.assert_close(values, usual.values)
    assert order.tolist() == ([[4, 2]] if largest else [[6, 5]])
    torch.testing.assert_close(ordered.values, x.sort(descending=largest).values)
    torch.testing.assert_close(x.gather(1, ordered.indices), ordered.values)
    assert ordered.indices.tolist() != x.sort(descending=largest, stable=True).indices.tolist()


def test_the_gradient_at_a_tie_moves_and_without_one_it_does_not() -> None:
    for x, moves in ((torch.tensor([2.0, 2.0, 1.0]), True), (torch.tensor([3.0, 2.0, 1.0]), False)):
        leaf = x.double().requires_grad_()
        usual = torch.autograd.grad(leaf.topk(1).values.sum(), leaf)[0]
        with rounded(1, True):
            moved = torch.autograd.grad(leaf.topk(1).values.sum(), leaf)[0]
        assert torch.equal(usual, torch.eye(3, dtype=torch.float64)[0])
        assert bool((usual != moved).any()) is moves


def test_a_single_number_is_sorted() -> None:
    x = torch.tensor(2.0, dtype=torch.float64)
    with rounded(1, True):
        assert x.sort().values == 2
        assert x.topk(1).indices == 0
