"""Transformations of functions while a model is captured: `torch.func.vmap`, `grad`, `vjp`, `jvp` and their like.

As regions (`capture.regions`) they become those of JAX, with the function as it was written. Jacobians and Hessians
are made of these by torch itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._functorch.eager_transforms import (
    _jvp_with_argnums,
    _vjp_with_argnums,
    grad_and_value_impl,
    jacfwd,
    jacrev,
)
from torch._functorch.vmap import _process_batched_inputs, vmap_impl
from torch.utils import _pytree as pytree
from torch.utils.checkpoint import checkpoint

from regauge.capture.regions import Region, parameter_names, tensors, tensors_in
from regauge.capture.source_lines import line_of_caller
from regauge.errors import CaptureError
from regauge.findings import Finding
from regauge.run.torch_flow import replaced


def _vmap(func: Callable[..., Any], in_dims: Any, out_dims: Any, args: tuple[Any, ...], kwargs: Any) -> Any:
    size, axes, _, spec = _process_batched_inputs(in_dims, args, func)
    leaves = pytree.tree_leaves(args)
    batched = [place for place, axis in enumerate(axes) if axis is not None]
    places = [int(axes[place] % leaves[place].ndim) for place in batched]  # type: ignore[operator]
    names = _names_of_leaves(func, args)
    region = Region("vmap")
    given = [leaves[place] for place in batched]
    entered = region.enter(func, given, places, [names[place] for place in batched])
    for place, tensor in zip(batched, entered, strict=True):
        leaves[place] = tensor
    out = func(*pytree.tree_unflatten(leaves, spec), **kwargs)
    results, out_spec = tensors(out, "torch.func.vmap")
    wanted = _out_axes(out_dims, out, out_spec, len(results))
    region.bodies[-1].returns(results)
    left = [int(axis % (result.ndim + 1)) for axis, result in zip(wanted, results, strict=True)]
    made = region.leave([("xs", given)], results, left, size, in_axes=places, out_axes=left)
    return pytree.tree_unflatten(made, out_spec)


def _names_of_leaves(function: Callable[..., Any], args: tuple[Any, ...]) -> list[str]:
    """What a function calls each leaf of its arguments: the name of the parameter that it is in."""
    names = parameter_names(function, len(args))
    return [name for name, tree in zip(names, args, strict=True) for _ in pytree.tree_leaves(tree)]


def _out_axes(out_dims: Any, out: Any, spec: Any, count: int) -> list[int]:
    found = [out_dims] if isinstance(out, Tensor) and isinstance(out_dims, int) else None
    if found is None:
        found = pytree._broadcast_to_and_flatten(out_dims, spec)
    if found is None or len(found) != count or not all(isinstance(axis, int) for axis in found):
        raise CaptureError(
            f"torch.func.vmap with out_dims={out_dims!r} has no counterpart",
            code="C147",
            next="give an axis for every result, and take the first element of those that are all equal",
        )
    return found


# derivatives ---------------------------------------------------------------------------------------------------------


class _Differentiated:
    """A function of some of its arguments: those that a derivative is taken by."""

    def __init__(
        self, func: Callable[..., Any], args: tuple[Any, ...], argnums: Any, kwargs: Any, has_aux: bool
    ) -> None:
        wanted = range(len(args)) if argnums is None else (argnums,) if isinstance(argnums, int) else argnums
        self.places = [place % len(args) for place in wanted]
        self.func, self.args, self.kwargs, self.has_aux = func, args, kwargs, has_aux
        self.given = [args[place] for place in self.places]

    def enter(self, region: Region) -> tuple[Any, Any]:
        """Run it in a region; gives its result and what it returns besides."""
        names = parameter_names(self.func, len(self.args))
        inner = list(self.args)
        entered = region.enter(self.func, self.given, names=[names[place] for place in self.places])
        for place, tree in zip(self.places, entered, strict=True):
            inner[place] = tree
        return self.split(self.func(*inner, **self.kwargs))

    def split(self, out: Any) -> tuple[Any, Any]:
        if not self.has_aux:
            return out, None
        result, besides = out
        return result, besides

    def shaped(self, values: Sequence[Tensor]) -> list[Any]:
        """Values in the structure of the arguments."""
        leaves, spec = pytree.tree_flatten(self.given)
        filled = iter(values)
        return list(pytree.tree_unflatten([next(filled) if isinstance(x, Tensor) else x for x in leaves], spec))


def _grad_and_value(func: Callable[..., Any], argnums: Any, has_aux: bool, args: Any, kwargs: Any) -> Any:
    function = _Differentiated(func, args, argnums, kwargs, has_aux)
    region = Region("grad")
    result, besides = function.enter(region)
    extra, spec = tensors([] if besides is None else besides, "torch.func.grad")
    region.bodies[-1].returns([result], extra)
    xs = tensors_in(function.given)
    made = region.leave([("xs", xs)], [*xs, result, *extra])
    gradients = function.shaped(made[: len(xs)])
    value = made[len(xs)]
    found = gradients[0] if isinstance(argnums, int) else tuple(gradients)
    return (found, (value, pytree.tree_unflatten(made[len(xs) + 1 :], spec))) if has_aux else (found, value)


def _jvp(func: Callable[..., Any], primals: Any, tangents: Any, argnums: Any, has_aux: bool) -> Any:
    function = _Differentiated(func, primals, argnums, {}, has_aux)
    region = Region("jvp")
    result, besides = function.enter(region)
    outs, spec = tensors(result, "torch.func.jvp")
    _refuse_besides(besides)
    region.bodies[-1].returns(outs)
    made = region.leave([("xs", tensors_in(function.given)), ("tangents", tensors_in(tangents))], [*outs, *outs])
    return pytree.tree_unflatten(made[: len(outs)], spec), pytree.tree_unflatten(made[len(outs) :], spec)


def _vjp(func: Callable[..., Any], primals: Any, argnums: Any, has_aux: bool) -> Any:
    function = _Differentiated(func, primals, argnums, {}, has_aux)
    result, besides = function.split(func(*primals))
    _refuse_besides(besides)

    def pull(cotangents: Any, retain_graph: bool = True, create_graph: bool | None = None) -> Any:
        region = Region("vjp")
        outs, _ = tensors(function.enter(region)[0], "torch.func.vjp")
        region.bodies[-1].returns(outs)
        xs = tensors_in(function.given)
        found = function.shaped(region.leave([("xs", xs), ("cotangents", tensors_in(cotangents))], xs))
        single = isinstance(argnums, int) or (argnums is None and len(found) == 1)
        if argnums is None:
            return tuple(found)
        return found[0] if single else tuple(found)

    return result, pull


def _jacobian(mode: str, func: Callable[..., Any], argnums: Any, has_aux: bool) -> Callable[..., Any]:
    """The Jacobian of a function with one result, made as JAX makes it: forward or in reverse."""

    def jacobian(*args: Any, **kwargs: Any) -> Any:
        function = _Differentiated(func, args, argnums, kwargs, has_aux)
        region = Region("jacobian")
        result, besides = function.enter(region)
        _refuse_besides(besides)
        outs, spec = tensors(result, "torch.func.jacrev")
        if len(outs) != 1:
            raise CaptureError(
                "torch.func makes a Jacobian of several results",
                code="C147",
                next="take the Jacobian of each result by itself",
            )
        region.bodies[-1].returns(outs)
        xs = tensors_in(function.given)
        made = function.shaped(region.leave([("xs", xs)], xs, mode=mode))
        return pytree.tree_unflatten([made[0] if isinstance(argnums, int) else tuple(made)], spec)

    return jacobian


_findings: list[list[Finding]] = []  # of the captures under way


def _recomputed(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Checkpointing changes no value and no gradient, only when they are computed."""
    text = "torch.utils.checkpoint is left out: the converted model keeps what it computes; nnx.remat recomputes it."
    _findings[-1].append(Finding("C148", "info", line_of_caller(), text))
    return function(*args, **{name: value for name, value in kwargs.items() if name != "preserve_rng_state"})


def _refuse_besides(besides: Any) -> None:
    if besides is not None:
        raise CaptureError(
            "torch.func with has_aux=True has no counterpart here", code="C147", next="return one result, or use grad"
        )


# in place of torch's functions ---------------------------------------------------------------------------------------


def _vmap_in_place(func, in_dims, out_dims, randomness, chunk_size, *args, **kwargs):  # type: ignore[no-untyped-def]
    from regauge.capture import transformations

    return transformations._vmap(func, in_dims, out_dims, args, kwargs)


def _grad_in_place(func, argnums, has_aux, args, kwargs):  # type: ignore[no-untyped-def]
    from regauge.capture import transformations

    return transformations._grad_and_value(func, argnums, has_aux, args, kwargs)


def _jvp_in_place(func, primals, tangents, argnums, *, strict=False, has_aux):  # type: ignore[no-untyped-def]
    from regauge.capture import transformations

    return transformations._jvp(func, primals, tangents, argnums, has_aux)


def _vjp_in_place(func, *primals, argnums=None, has_aux=False):  # type: ignore[no-untyped-def]
    from regauge.capture import transformations

    return transformations._vjp(func, primals, argnums, has_aux)


def _jacrev_in_place(func, argnums=0, *, has_aux=False, chunk_size=None, _preallocate_and_copy=False):  # type: ignore[no-untyped-def]
    from regauge.capture import transformations

    return transformations._jacobian("jacrev", func, argnums, has_aux)


def _jacfwd_in_place(func, argnums=0, has_aux=False, *, randomness="error"):  # type: ignore[no-untyped-def]
    from regauge.capture import transformations

    return transformations._jacobian("jacfwd", func, argnums, has_aux)


def _checkpoint_in_place(
    function, *args, use_reentrant=None, context_fn=None, determinism_check="", debug=False, early_stop=True, **kwargs
):  # type: ignore[no-untyped-def]
    from regauge.capture import transformations

    return transformations._recomputed(function, args, kwargs)


def _autograd_in_place(
    outputs,
    inputs,
    grad_outputs=None,
    retain_graph=None,
    create_graph=False,
    only_inputs=True,
    allow_unused=None,
    is_grads_batched=False,
    materialize_grads=False,
):  # type: ignore[no-untyped-def]
    from regauge.capture import autograd_grad

    return autograd_grad.marked(outputs, inputs, grad_outputs, create_graph, is_grads_batched)


_REPLACED: tuple[tuple[Any, Any], ...] = (
    (vmap_impl, _vmap_in_place),
    (grad_and_value_impl, _grad_in_place),
    (_jvp_with_argnums, _jvp_in_place),
    (_vjp_with_argnums, _vjp_in_place),
    (jacrev, _jacrev_in_place),
    (jacfwd, _jacfwd_in_place),
    (checkpoint, _checkpoint_in_place),
    (torch.autograd.grad, _autograd_in_place),
)


@contextmanager
def as_regions(findings: list[Finding]) -> Iterator[None]:
    """Within the block transformations are traced as regions; `findings` gets what a person should know."""
    _findings.append(findings)
    try:
        with replaced(_REPLACED):
            yield
    finally:
        _findings.pop()
