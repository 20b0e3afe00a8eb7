"""Control flow of JAX in torch: Python's own while a model runs, torch's operators while one is compiled or exported.

These functions travel to `ops.py`. What torch's operators return must be no part of what they were given, so results
are copied there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree


def cond(pred: Tensor, when_true: Callable[[], Any], when_false: Callable[[], Any]) -> Any:
    """The result of one of two functions."""
    if torch.compiler.is_compiling():
        return torch.cond(pred, lambda: copied(when_true()), lambda: copied(when_false()))
    return when_true() if pred else when_false()


def switch(index: Tensor, *branches: Callable[[], Any]) -> Any:
    """The result of one of several functions; an index out of range takes the nearest."""
    if not torch.compiler.is_compiling():
        return branches[min(max(int(index), 0), len(branches) - 1)]()
    if len(branches) == 1:
        return branches[0]()
    return torch.cond(index <= 0, lambda: copied(branches[0]()), lambda: copied(switch(index - 1, *branches[1:])))


def while_loop(condition: Callable[[Any], Tensor], step: Callable[[Any], Any], carry: Any) -> Any:
    """`carry` after as many steps as the condition holds."""
    if not torch.compiler.is_compiling():
        while condition(carry):
            carry = step(carry)
        return carry
    from torch._higher_order_ops.while_loop import while_loop as loop

    leaves, spec = pytree.tree_flatten(carry)

    def whole(*values: Tensor) -> Any:
        return pytree.tree_unflatten(list(values), spec)

    def stepped(*values: Tensor) -> tuple[Tensor, ...]:
        return tuple(copied(pytree.tree_leaves(step(whole(*values)))))

    start = tuple(leaf.contiguous() for leaf in leaves)  # every step must leave the strides as they are
    found = loop(lambda *values: condition(whole(*values)), stepped, start)
    return whole(*found)


def scan(step: Callable[..., Any], carry: Any, xs: Any = None, length: int | None = None, reverse: bool = False) -> Any:
    """`step(carry, x) -> (carry, y)` along the first axis of `xs`: the last carry, and all y stacked.

    Without `xs` there are `length` steps `step(carry) -> (carry, y)`.
    """
    leaves, spec = pytree.tree_flatten(() if xs is None else xs)
    rows = list(zip(*(leaf.unbind() for leaf in leaves), strict=True)) if leaves else [()] * (length or 0)
    collected = []
    for row in reversed(rows) if reverse else rows:
        carry, y = step(carry, pytree.tree_unflatten(list(row), spec)) if leaves else step(carry)
        collected.append(pytree.tree_leaves(y))
    if y is None:
        return carry, None
    structure = pytree.tree_structure(y)
    if reverse:
        collected.reverse()
    stacked = [torch.stack(parts) for parts in zip(*collected, strict=True)]
    return carry, pytree.tree_unflatten(stacked, structure)


def map_rows(function: Callable[[Any], Any], xs: Any) -> Any:
    """The results of a function of each row of `xs`, stacked."""
    leaves, spec = pytree.tree_flatten(xs)
    results = [
        function(pytree.tree_unflatten(list(row), spec))
        for row in zip(*(leaf.unbind() for leaf in leaves), strict=True)
    ]
    collected = zip(*(pytree.tree_leaves(result) for result in results), strict=True)
    stacked = [torch.stack(parts) for parts in collected]
    return pytree.tree_unflatten(stacked, pytree.tree_structure(results[0]))


def copied(tree: Any) -> Any:
    """Tensors of their own, with the strides of a new one."""
    return pytree.tree_map(lambda leaf: leaf.clone(memory_format=torch.contiguous_format), tree)
