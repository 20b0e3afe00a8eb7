"""Gradients that a person wrote by hand: `torch.autograd.Function` with its backward, and hooks.

Export follows the forward alone. While a model is captured, the forward of such a function and then its backward are
run as a region (`capture.regions`), the backward on gradients that stand for any; what the forward saved is what the
backward reads of it. Where the backward runs the forward again, the forward is captured like other code
(`capture.recomputing`). Where it cannot be traced, and for hooks, training is refused (C135).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.autograd.function import _is_setup_context_defined

from regauge.capture import recomputing
from regauge.capture.regions import Region
from regauge.capture.source_lines import line_of_caller
from regauge.errors import CaptureError
from regauge.findings import Finding


@dataclass
class OwnGradients:
    """What a capture found.

    Attributes:
        lost: gradients that the captured graph does not have: what changes them, and its line.
        untraced: functions whose backward cannot be traced, with the reason.
        recomputing: functions whose backward runs their forward again, with the line of a call.
    """

    lost: dict[str, str] = field(default_factory=dict)
    untraced: dict[Any, str] = field(default_factory=dict)
    recomputing: dict[Any, str] = field(default_factory=dict)

    @property
    def learned(self) -> int:
        """How many functions are captured by their forward; with one more, another trace goes further."""
        return len(self.untraced) + len(self.recomputing)


@contextmanager
def traced(found: OwnGradients) -> Iterator[None]:
    """Within the block functions with their own backward are traced with it; `found` gets what cannot be."""
    apply, register = torch.autograd.Function.apply, torch.Tensor.register_hook

    def applied(cls: Any, *args: Any, **kwargs: Any) -> Any:
        if cls.__module__.startswith("torch."):  # checkpointing, for one, changes no gradient
            return apply.__func__(cls, *args, **kwargs)  # type: ignore[attr-defined]
        if cls in found.recomputing:
            return _forward_alone(cls, args, kwargs)
        if cls in found.untraced:
            found.lost.setdefault(f"the backward of {cls.__name__} ({found.untraced[cls]})", line_of_caller())
            return apply.__func__(cls, *args, **kwargs)  # type: ignore[attr-defined]
        try:
            return _as_region(cls, args, kwargs)
        except recomputing.Recomputes:
            found.recomputing[cls] = line_of_caller()
            raise
        except Exception as error:
            first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
            found.untraced[cls] = f"{type(error).__name__}: {first[:200]}"
            raise

    def registered(tensor: torch.Tensor, hook: Callable[..., Any]) -> Any:
        found.lost.setdefault("a hook of a tensor", line_of_caller())
        return register(tensor, hook)

    with (
        mock.patch.object(torch.autograd.Function, "apply", classmethod(applied)),
        mock.patch.object(torch.Tensor, "register_hook", registered),
    ):
        yield


def of_modules(model: nn.Module) -> dict[str, str]:
    """Modules, and parameters, with hooks that run in the backward pass."""
    hooked = {
        f"a backward hook of {path or 'the model'}": ""
        for path, module in model.named_modules()
        if module._backward_hooks or module._backward_pre_hooks
    }
    return hooked | {
        f"a hook of the parameter {name}": ""
        for name, parameter in model.named_parameters()
        if parameter._backward_hooks or parameter._post_accumulate_grad_hooks
    }


def judged(found: OwnGradients, train: bool, model: nn.Module, inputs: Any) -> list[Finding]:
    """Findings where the forward alone was captured.

    Args:
        found: by the capture.
        train: whether the model is to be trained.
        model: in the mode in which it was captured.
        inputs: of the case.

    Raises:
        CaptureError: the model is to be trained, and its gradients would be others.
    """
    findings = _compared(found, model, inputs)
    if not found.lost:
        return findings
    where = next(iter(found.lost.values()))
    if train:
        raise CaptureError(
            f"gradients are changed by hand: {', '.join(found.lost)}",
            code="C135",
            where=where,
            why="a captured graph has the forward alone here, and JAX would differentiate that",
            next="write the backward with operators of torch, or the same function with ordinary operations and "
            "detach(): x + (f(x) - x).detach() passes the gradient straight through; or convert for evaluation",
        )
    text = f"Gradients are changed by hand ({', '.join(found.lost)}); JAX differentiates the forward: use outputs only."
    return [*findings, Finding("C135", "warning", where, text)]


def _compared(found: OwnGradients, model: nn.Module, inputs: Any) -> list[Finding]:
    """A finding for each function that runs its forward again; one whose gradient is another's is lost."""
    if not found.recomputing:
        return []
    apply = torch.autograd.Function.apply

    def plainly(cls: Any, *args: Any, **kwargs: Any) -> Any:
        if cls in found.recomputing:
            return _forward_alone(cls, args, kwargs)
        return apply.__func__(cls, *args, **kwargs)  # type: ignore[attr-defined]

    if reason := recomputing.difference(model, inputs, plainly):
        found.lost |= {f"the backward of {cls.__name__} ({reason})": line for cls, line in found.recomputing.items()}
        return []
    return [recomputing.finding(cls.__name__, line) for cls, line in found.recomputing.items()]


# one function --------------------------------------------------------------------------------------------------------


class _Context:
    """What `forward` and `backward` get as `ctx`."""

    def __init__(self, needs_input_grad: tuple[bool, ...]) -> None:
        self.needs_input_grad = needs_input_grad
        self.saved_tensors: tuple[Any, ...] = ()
        self.materialize_grads = True
        self.non_differentiable: tuple[Any, ...] = ()

    def save_for_backward(self, *tensors: Any) -> None:
        self.saved_tensors = tensors

    def save_for_forward(self, *tensors: Any) -> None:
        """For forward-mode derivatives, which are not used here."""

    def set_materialize_grads(self, value: bool) -> None:
        self.materialize_grads = value

    def mark_non_differentiable(self, *tensors: Any) -> None:
        self.non_differentiable = tensors

    def mark_dirty(self, *tensors: Any) -> None:
        raise NotImplementedError("it changes its inputs in place")


def _is_float(value: Any) -> bool:
    return isinstance(value, Tensor) and (value.is_floating_point() or value.is_complex())


def _in_order(cls: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """The arguments of `apply` as positional ones, defaults filled."""
    with_setup = _is_setup_context_defined(cls.setup_context)
    if not kwargs and not with_setup:
        return args
    bound = inspect.signature(cls.forward).bind(*(() if with_setup else (None,)), *args, **kwargs)
    bound.apply_defaults()
    return tuple(bound.args[0 if with_setup else 1 :])


def _run_forward(cls: Any, context: _Context, args: tuple[Any, ...]) -> Any:
    if not _is_setup_context_defined(cls.setup_context):
        return cls.forward(context, *args)
    output = cls.forward(*args)
    cls.setup_context(context, args, output)
    return output


def _forward_alone(cls: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run forward as ordinary code, which autograd differentiates; gives what `apply` gives."""
    given = _in_order(cls, args, kwargs)
    context = _Context(tuple(_is_float(argument) for argument in given))
    with recomputing.differentiable():
        output = _run_forward(cls, context, given)
    stopped = {id(tensor) for tensor in context.non_differentiable}
    outputs = list(output) if isinstance(output, tuple | list) else [output]
    outputs = [out.detach() if id(out) in stopped and _is_float(out) else out for out in outputs]
    return type(output)(outputs) if isinstance(output, tuple | list) else outputs[0]


def _as_region(cls: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run forward and backward between marks; gives what `apply` gives."""
    args = _in_order(cls, args, kwargs)
    with_setup = _is_setup_context_defined(cls.setup_context)
    names = list(inspect.signature(cls.forward).parameters)[0 if with_setup else 1 :]
    names = [*names, *(f"argument_{place}" for place in range(len(names), len(args)))][: len(args)]
    context = _Context(tuple(_is_float(argument) for argument in args))
    region = Region("own_gradient")
    inner = region.enter(cls.forward, args, names=names)
    output = _run_forward(cls, context, inner)
    outputs = list(output) if isinstance(output, tuple | list) else [output]
    made = [out for out in outputs if isinstance(out, Tensor)]
    region.bodies[-1].returns(made)
    given = [argument for argument in args if isinstance(argument, Tensor)]
    gradients = _backward(cls, context, region, outputs, args)
    region.bodies[-1].returns([gradient for gradient in gradients if gradient is not None])
    flows = [gradient is not None for gradient in gradients]
    results = iter(region.leave([("inputs", given)], made, name=cls.__name__, flows=flows))
    stopped = {id(tensor) for tensor in context.non_differentiable}
    returned = []
    for out in outputs:
        result = next(results) if isinstance(out, Tensor) else out
        returned.append(result.detach() if id(out) in stopped and _is_float(out) else result)
    return type(output)(returned) if isinstance(output, tuple | list) else returned[0]


def _backward(
    cls: Any, context: _Context, region: Region, outputs: Sequence[Any], args: tuple[Any, ...]
) -> list[Tensor | None]:
    """Gradients of the tensors among the arguments, None where there is none."""
    backward = getattr(cls.backward, "__wrapped__", cls.backward)  # once_differentiable, which wraps it, adds no value
    declared = list(inspect.signature(backward).parameters)[1:]
    floats = {place: out for place, out in enumerate(outputs) if _is_float(out)}
    names = [declared[place] if place < len(declared) else "gradient" for place in floats]
    entered = iter(region.enter(backward, list(floats.values()), names=names))
    cotangents = []
    for out in outputs:
        if _is_float(out):
            # torch's gradient of a complex number is the conjugate of JAX's.
            gradient = next(entered)
            cotangents.append(torch.conj_physical(gradient) if gradient.is_complex() else gradient)
        else:
            cotangents.append(torch.zeros_like(out) if isinstance(out, Tensor) else None)
    with recomputing.without_autograd():
        found = backward(context, *cotangents)
    found = tuple(found) if isinstance(found, tuple | list) else (found,)
    if len(found) < len(args) or any(item is not None for item in found[len(args) :]):
        raise ValueError(f"backward gives {len(found)} gradients for {len(args)} inputs")
    pairs = zip(args, found[: len(args)], strict=True)
    return [_fitted(gradient, argument) for argument, gradient in pairs if isinstance(argument, Tensor)]


def _fitted(gradient: Tensor | None, argument: Tensor) -> Tensor | None:
    """A gradient in the shape and dtype of its argument, as autograd makes it."""
    if gradient is None or not _is_float(argument):
        return None
    if gradient.is_complex() and not argument.is_complex():
        gradient = gradient.real
    extra = gradient.ndim - argument.ndim
    wide = [axis for axis in range(argument.ndim) if argument.shape[axis] == 1 and gradient.shape[axis + extra] != 1]
    summed = [*range(extra), *(axis + extra for axis in wide)]
    if summed:
        gradient = gradient.sum(summed, keepdim=True).reshape(argument.shape)
    if gradient.shape != argument.shape:
        raise ValueError(f"a gradient has shape {tuple(gradient.shape)} instead of {tuple(argument.shape)}")
    gradient = gradient.to(argument.dtype)
    return torch.conj_physical(gradient) if gradient.is_complex() else gradient
