"""Control flow of torch while a model is captured: `torch.cond`, `while_loop`, `scan`, `map`, `associative_scan`.

torch's own capture of them compiles the functions apart from the model, without its modules and with less of Python.
Here they run in the course of the model instead, as regions (`capture.regions`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._higher_order_ops.associative_scan import associative_scan
from torch._higher_order_ops.cond import cond
from torch._higher_order_ops.map import map as map_of_torch
from torch._higher_order_ops.scan import scan
from torch._higher_order_ops.while_loop import while_loop
from torch.utils import _pytree as pytree

from regauge.capture.regions import Region, require_alike, tensors, tensors_in
from regauge.capture.source_lines import line_of_caller
from regauge.findings import Finding
from regauge.run.torch_flow import replaced


class _Flow:
    """The functions of control flow while a model is captured; `findings` gets what a person should know."""

    def __init__(self, findings: list[Finding]) -> None:
        self.findings = findings

    def cond(self, pred: Any, true_fn: Callable[..., Any], false_fn: Callable[..., Any], operands: Any) -> Any:
        if not isinstance(pred, Tensor):
            return self._chosen(pred, true_fn, false_fn)(*operands)
        region = Region("cond")
        spec: Any = None
        for function in (true_fn, false_fn):
            arguments = region.enter(function, operands)
            leaves, spec = tensors(function(*arguments), "torch.cond")
            region.bodies[-1].returns(leaves)
        first, second = (body.left for body in region.bodies)
        require_alike(first, second, "torch.cond")
        groups = [("pred", [pred]), ("operands", tensors_in(operands))]
        return pytree.tree_unflatten(region.leave(groups, first), spec)

    def _chosen(self, pred: Any, true_fn: Callable[..., Any], false_fn: Callable[..., Any]) -> Callable[..., Any]:
        if isinstance(pred, torch.SymBool):
            text = "torch.cond decides on a size here: the branch of the example's size is converted, and only that."
            self.findings.append(Finding("C146", "warning", line_of_caller(), text))
        return true_fn if bool(pred) else false_fn

    def while_loop(self, cond_fn: Callable[..., Any], body_fn: Callable[..., Any], carried_inputs: Any) -> Any:
        carried = pytree.tree_map_only(int, lambda number: torch.tensor(number), tuple(carried_inputs))
        region = Region("while_loop")
        arguments = region.enter(cond_fn, carried)
        pred = cond_fn(*arguments)
        region.bodies[-1].returns([pred if isinstance(pred, Tensor) else torch.tensor(bool(pred))])
        arguments = region.enter(body_fn, carried)
        new, spec = tensors(body_fn(*arguments), "while_loop")
        region.bodies[-1].returns(new)
        before = tensors_in(carried)
        require_alike(new, before, "while_loop")
        return pytree.tree_unflatten(region.leave([("carried", before)], before), spec)

    def scan(self, combine_fn: Callable[..., Any], init: Any, xs: Any, dim: int, reverse: bool) -> Any:
        leaves = tensors_in(xs)
        if not leaves:
            return init, []
        axis = dim % leaves[0].ndim
        first_axis = pytree.tree_map_only(Tensor, lambda x: x.movedim(axis, 0) if axis else x, xs)
        carried, moved = tensors_in(init), tensors_in(first_axis)
        region = Region("scan")
        axes = [*[-1] * len(carried), *[0] * len(moved)]
        carry, element = region.enter(combine_fn, (init, first_axis), axes)
        new_carry, collected = combine_fn(carry, element)
        new, carry_spec = tensors(new_carry, "scan")
        ys, spec = tensors(collected, "scan")
        require_alike(new, carried, "scan")
        region.bodies[-1].returns(new, ys)
        groups = [("init", carried), ("xs", moved)]
        placed = [*[-1] * len(new), *[0] * len(ys)]
        made = region.leave(groups, [*carried, *ys], placed, moved[0].shape[0], reverse=reverse)
        rows = [y.movedim(0, axis) if axis and axis < y.ndim else y for y in made[len(new) :]]
        return pytree.tree_unflatten(made[: len(new)], carry_spec), pytree.tree_unflatten(rows, spec)

    def map(self, f: Callable[..., Any], xs: Any, args: tuple[Any, ...]) -> Any:
        leaves = tensors_in(xs)
        region = Region("map")
        (element,) = region.enter(f, (xs,), [0] * len(leaves))
        ys, spec = tensors(f(element, *args), "map")
        region.bodies[-1].returns(ys)
        return pytree.tree_unflatten(region.leave([("xs", leaves)], ys, [0] * len(ys), leaves[0].shape[0]), spec)

    def associative_scan(self, combine_fn: Callable[..., Any], xs: Any, dim: int, reverse: bool) -> Any:
        leaves = tensors_in(xs)
        axis = dim % leaves[0].ndim
        region = Region("associative_scan")
        first, second = region.enter(combine_fn, (xs, xs), [axis] * (2 * len(leaves)))
        combined, spec = tensors(combine_fn(first, second), "associative_scan")
        require_alike(combined, tensors_in(first), "associative_scan")
        region.bodies[-1].returns(combined)
        made = region.leave([("xs", leaves)], leaves, axis=axis, reverse=reverse)
        return pytree.tree_unflatten(made, spec)


# in place of torch's functions ---------------------------------------------------------------------------------------

_active: list[_Flow] = []  # whose functions run now


def _cond_in_place(pred, true_fn, false_fn, operands=()):  # type: ignore[no-untyped-def]
    from regauge.capture import control_flow

    return control_flow._active[-1].cond(pred, true_fn, false_fn, operands)


def _while_loop_in_place(cond_fn, body_fn, carried_inputs):  # type: ignore[no-untyped-def]
    from regauge.capture import control_flow

    return control_flow._active[-1].while_loop(cond_fn, body_fn, carried_inputs)


def _scan_in_place(combine_fn, init, xs, *, dim=0, reverse=False):  # type: ignore[no-untyped-def]
    from regauge.capture import control_flow

    return control_flow._active[-1].scan(combine_fn, init, xs, dim, reverse)


def _map_in_place(f, xs, *args):  # type: ignore[no-untyped-def]
    from regauge.capture import control_flow

    return control_flow._active[-1].map(f, xs, args)


def _associative_scan_in_place(combine_fn, xs, dim, reverse=False, combine_mode="pointwise"):  # type: ignore[no-untyped-def]
    from regauge.capture import control_flow

    return control_flow._active[-1].associative_scan(combine_fn, xs, dim, reverse)


_REPLACED: tuple[tuple[Any, Any], ...] = (
    (cond, _cond_in_place),
    (while_loop, _while_loop_in_place),
    (scan, _scan_in_place),
    (map_of_torch, _map_in_place),
    (associative_scan, _associative_scan_in_place),
)


@contextmanager
def as_regions(findings: list[Finding]) -> Iterator[None]:
    """Within the block control flow is traced as regions; afterwards torch is as before."""
    _active.append(_Flow(findings))
    try:
        with replaced(_REPLACED):
            yield
    finally:
        _active.pop()
