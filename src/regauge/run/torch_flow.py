"""Control flow of torch as the loops of Python that it stands for, and functions that run once instead of twice.

`torch.cond`, `while_loop`, `scan`, `map` and `associative_scan` compile their functions, and refuse the modes that an
evaluation runs in. Their documentation says which Python they are equal to; an evaluation runs that.
`torch.utils.checkpoint` runs its function again in the backward pass, where dropout would be counted twice.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from torch._higher_order_ops.associative_scan import associative_scan
from torch._higher_order_ops.cond import cond
from torch._higher_order_ops.map import map as map_of_torch
from torch._higher_order_ops.scan import scan
from torch._higher_order_ops.while_loop import while_loop
from torch.utils.checkpoint import checkpoint


@contextmanager
def replaced(functions: Iterable[tuple[Any, Any]]) -> Iterator[None]:
    """Within the block each first function does what the second does; afterwards torch is as before.

    A function gets another body: names that a person's file imported are bound to the function object itself.
    """
    with ExitStack() as stack:
        for wrapped, other in functions:
            function = inspect.unwrap(wrapped)
            stack.callback(setattr, function, "__code__", function.__code__)
            function.__code__ = other.__code__
        yield


# The bodies stand in torch's own modules while they are replaced, so they import what they need themselves.


def _cond(pred, true_fn, false_fn, operands=()):  # type: ignore[no-untyped-def]
    return true_fn(*operands) if pred else false_fn(*operands)


def _while_loop(cond_fn, body_fn, carried_inputs):  # type: ignore[no-untyped-def]
    carried = tuple(carried_inputs)
    while cond_fn(*carried):
        carried = tuple(body_fn(*carried))
    return carried


def _scan(combine_fn, init, xs, *, dim=0, reverse=False):  # type: ignore[no-untyped-def]
    import torch
    from torch.utils import _pytree as pytree

    leaves, spec = pytree.tree_flatten(xs)
    if not leaves:
        return init, []
    axis, steps = dim % leaves[0].ndim, leaves[0].shape[dim]
    carry, rows = init, []
    for step in range(steps)[:: -1 if reverse else 1]:
        carry, row = combine_fn(carry, pytree.tree_unflatten([leaf.select(axis, step) for leaf in leaves], spec))
        rows.append(row)
    if reverse:
        rows.reverse()
    collected = [torch.stack(parts) for parts in zip(*(pytree.tree_leaves(row) for row in rows), strict=True)]
    placed = [part.movedim(0, axis) if axis < part.ndim else part for part in collected]
    return carry, pytree.tree_unflatten(placed, pytree.tree_structure(rows[0]))


def _map(f, xs, *args):  # type: ignore[no-untyped-def]
    import torch
    from torch.utils import _pytree as pytree

    leaves, spec = pytree.tree_flatten(xs)
    rows = [f(pytree.tree_unflatten(list(parts), spec), *args) for parts in zip(*leaves, strict=True)]
    collected = [torch.stack(parts) for parts in zip(*(pytree.tree_leaves(row) for row in rows), strict=True)]
    return pytree.tree_unflatten(collected, pytree.tree_structure(rows[0]))


def _associative_scan(combine_fn, xs, dim, reverse=False, combine_mode="pointwise"):  # type: ignore[no-untyped-def]
    import torch
    from torch.utils import _pytree as pytree

    leaves, spec = pytree.tree_flatten(xs)
    axis, steps = dim % leaves[0].ndim, leaves[0].shape[dim]
    rows: list[object] = []
    for step in range(steps)[:: -1 if reverse else 1]:
        element = pytree.tree_unflatten([leaf.select(axis, step) for leaf in leaves], spec)
        rows.append(combine_fn(rows[-1], element) if rows else element)
    if reverse:
        rows.reverse()
    collected = [torch.stack(parts, axis) for parts in zip(*(pytree.tree_leaves(row) for row in rows), strict=True)]
    return pytree.tree_unflatten(collected, spec)


def _checkpoint(
    function, *args, use_reentrant=None, context_fn=None, determinism_check="", debug=False, early_stop=True, **kwargs
):  # type: ignore[no-untyped-def]
    import torch

    kwargs.pop("preserve_rng_state", None)
    learns = any(isinstance(x, torch.Tensor) and x.requires_grad for x in args)
    # The reentrant form, torch's default, gives no gradient at all where none of its arguments asks for one.
    with torch.set_grad_enabled(torch.is_grad_enabled() and (learns or use_reentrant is False)):
        return function(*args, **kwargs)


_LOOPS: tuple[tuple[Any, Any], ...] = (
    (cond, _cond),
    (while_loop, _while_loop),
    (scan, _scan),
    (map_of_torch, _map),
    (associative_scan, _associative_scan),
    (checkpoint, _checkpoint),
)


@contextmanager
def as_loops() -> Iterator[None]:
    """Within the block control flow runs as loops and branches of Python, and nothing is computed again or left out."""
    with replaced(_LOOPS), fast_path(False):
        yield


@contextmanager
def fast_path(enabled: bool) -> Iterator[None]:
    """Within the block transformers of torch.nn may leave positions out that a padding mask hides, or may not.

    Without gradients an `nn.TransformerEncoder` in evaluation packs its input, and gives zeros for these positions,
    which every other call of it computes.
    """
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(enabled)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@contextmanager
def gradients_on_request(given: Iterable[torch.Tensor] = ()) -> Iterator[None]:
    """Within the block, which is one without gradients, a model that asks for them has them from there on.

    It takes a derivative in its forward (`torch.autograd.grad`), in evaluation too. It asks with
    ``x.requires_grad_()``, or ``x.requires_grad = True``; else nothing is kept for gradients.

    Args:
        given: what the model is called with; a tensor that requires a gradient already has been asked for.
    """
    asked, before, plain = torch.Tensor.requires_grad_, torch.is_grad_enabled(), torch._C.TensorBase.requires_grad

    def requires_grad_(tensor: torch.Tensor, requires_grad: bool = True) -> torch.Tensor:
        torch.set_grad_enabled(requires_grad or torch.is_grad_enabled())
        return asked(tensor, requires_grad)

    def set_requires_grad(tensor: torch.Tensor, requires_grad: bool) -> None:
        requires_grad_(tensor, requires_grad)

    setting = property(plain.__get__, set_requires_grad)  # type: ignore[attr-defined]
    try:
        if any(tensor.requires_grad for tensor in given):
            torch.set_grad_enabled(True)
        with (
            mock.patch.object(torch.Tensor, "requires_grad_", requires_grad_),
            mock.patch.object(torch.Tensor, "requires_grad", setting, create=True),
        ):
            yield
    finally:
        torch.set_grad_enabled(before)
