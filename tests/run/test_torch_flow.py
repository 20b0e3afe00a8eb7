"""Control flow as loops of Python gives what torch's own gives, values and gradients."""

from __future__ import annotations

import inspect
from contextlib import nullcontext

import pytest
import torch
from torch._higher_order_ops import associative_scan, map, scan, while_loop
from torch.utils import _pytree as pytree
from torch.utils.checkpoint import checkpoint

from regauge.run.torch_flow import as_loops

X = torch.linspace(-1, 1, 12).reshape(3, 4)
CASES = {
    "cond": lambda x: torch.cond(x.sum() > 0, lambda x: x.sin(), lambda x: x.cos(), (x,)),
    "cond on a number": lambda x: torch.cond(x.shape[0] > 2, lambda x: x.sin(), lambda x: x.cos(), (x,)),
    "while_loop": lambda x: while_loop(
        lambda i, x: i < 3, lambda i, x: (i + 1, x * 1.5), (torch.zeros((), dtype=torch.int64), x)
    ),
    "scan": lambda x: scan(lambda h, row: (h + row, h * row), x.new_zeros(4), x),
    "scan backwards": lambda x: scan(lambda h, row: (h + row, h * row), x.new_zeros(3), x, dim=1, reverse=True),
    "map": lambda x: map(lambda row, s: (row * s, row.sum()), x, x.mean()),
    "associative_scan": lambda x: associative_scan(torch.mul, x, dim=1, combine_mode="generic"),
    "associative_scan backwards": lambda x: associative_scan(torch.mul, x, 0, reverse=True, combine_mode="generic"),
}


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients(name):
    found = []
    for loops in (True, False):
        x = X.clone().requires_grad_()
        if loops:
            with as_loops():
                results = pytree.tree_leaves(CASES[name](x))
        else:
            results = pytree.tree_leaves(CASES[name](x))
        sum(result.double().sum() for result in results).backward()
        found.append([*results, x.grad])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("learns", [False, True])
def test_nothing_is_computed_again(reentrant, learns):
    """Values and gradients of torch, the gradients that it does not give included; the function runs once."""
    weight = torch.ones(4, requires_grad=True)
    runs = []

    def function(x):
        runs.append(None)
        return (x * weight).tanh()

    def once(x):
        return checkpoint(function, x, use_reentrant=reentrant)

    found = []
    for context in (nullcontext(), as_loops()):
        x = X.clone().requires_grad_(learns)
        weight.grad = None
        runs.clear()
        with context:
            result = once(x)
            if result.requires_grad:
                result.sum().backward()
        found.append((result.detach(), x.grad, weight.grad, len(runs)))
    (*expected, times), (*results, once_only) = found
    assert once_only == 1 <= times
    for a, b in zip(expected, results, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b)
    assert (results[2] is None) == (reentrant and not learns)


def test_torch_is_as_before_afterwards():
    functions = (torch.cond, scan, while_loop, map, associative_scan, inspect.unwrap(checkpoint))
    before = [function.__code__ for function in functions]

    def fails():
        with as_loops():
            assert all(function.__code__ is not code for function, code in zip(functions, before, strict=True))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert [function.__code__ for function in functions] == before
