"""Functions whose backward runs their forward again: checkpointing of a person's own, reversible layers.

Their backward asks autograd for the derivative of what it computes again, most often of weights too, which are no
arguments of theirs. That is the derivative of the forward, only later and with less memory. So the forward is captured
as any other code, gradients included, once it was seen on the inputs of the case that both derivatives are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from regauge.capture import autograd_grad
from regauge.capture.training_mode import unchanged
from regauge.findings import Finding
from regauge.run.torch_flow import as_loops
from regauge.run.torch_subject import TorchSubject

# Reversible layers compute their inputs back from their outputs, which costs digits of float32; another derivative is
# further away by far.
_ALIKE = 1e-2
_SMALL = 1e-5  # of all gradients together: a tensor below has no digits to compare


class Recomputes(Exception):
    """A backward asks autograd for a derivative."""


@contextmanager
def without_autograd() -> Iterator[None]:
    """Within the block whoever asks autograd for a derivative gets `Recomputes`."""

    def asked(*args: Any, **kwargs: Any) -> Any:
        raise Recomputes

    with (
        mock.patch.object(torch.autograd, "_engine_run_backward", asked),
        mock.patch.object(autograd_grad, "marked", asked),  # what torch.autograd.grad is in a trace
    ):
        yield


@contextmanager
def differentiable() -> Iterator[None]:
    """Within the block ``torch.no_grad`` stops no gradient: such a forward computes without one, to do so later."""
    with mock.patch.multiple(torch.no_grad, __enter__=lambda self: None, __exit__=lambda self, *error: None):
        yield


def finding(name: str, where: str) -> Finding:
    """What a person should know about a function of `name`."""
    text = (
        f"{name} runs its forward again for its gradient: the converted model keeps what it computes; nnx.remat "
        "recomputes it."
    )
    return Finding("C173", "info", where, text)


def difference(model: nn.Module, inputs: Any, plainly: Callable[..., Any]) -> str:
    """How the gradients of a model differ when such functions are differentiated by their forward; "" if they do not.

    Args:
        model: in the mode that counts; it stays as it is.
        inputs: tuple of positional or dict of keyword arguments.
        plainly: takes the place of `torch.autograd.Function.apply`, and runs the forward of such functions alone.
    """
    try:
        own = _gradients(model, inputs)
        with mock.patch.object(torch.autograd.Function, "apply", classmethod(plainly)):
            found = _gradients(model, inputs)
    except Exception as error:
        first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
        return f"{type(error).__name__}: {first[:200]}"
    size = torch.stack([gradient.norm() for gradient in own.values()]).norm() if own else torch.zeros(())
    for name, gradient in own.items():
        distance = (found[name] - gradient).norm()
        if not distance <= _ALIKE * gradient.norm() + _SMALL * size:
            return f"the gradient of {name} is not that of its forward"
    return ""


def _gradients(model: nn.Module, inputs: Any) -> dict[str, Tensor]:
    """Derivatives by weights and inputs of a sum that weighs all outputs, with the same random numbers each time."""
    given = pytree.tree_map_only(Tensor, _followed, inputs)
    wanted = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    kept = {name: parameter.grad for name, parameter in wanted.items()}
    wanted |= {f"input {at}": leaf for at, leaf in enumerate(pytree.tree_leaves(given)) if _is_followed(leaf)}
    with ExitStack() as stack:
        for name, gradient in kept.items():
            stack.callback(setattr, wanted[name], "grad", gradient)
            wanted[name].grad = None
        for context in (unchanged(model), torch.enable_grad(), as_loops()):
            stack.enter_context(context)
        stack.enter_context(mock.patch.object(torch, "seed", torch.initial_seed))
        torch.manual_seed(0)
        total = torch.zeros(())
        for leaf in pytree.tree_leaves(TorchSubject.call(model, given)):
            if isinstance(leaf, Tensor) and leaf.is_floating_point() and leaf.requires_grad:
                flat = leaf.float().reshape(-1)
                total = total + (flat * torch.cos(torch.arange(flat.numel(), device=flat.device))).sum()
        total.backward()
        zeros = {name: torch.zeros_like(tensor) for name, tensor in wanted.items() if tensor.grad is None}
        return zeros | {name: tensor.grad for name, tensor in wanted.items() if tensor.grad is not None}


def _followed(tensor: Tensor) -> Tensor:
    copied = tensor.detach().clone()
    return copied.requires_grad_() if copied.is_floating_point() else copied


def _is_followed(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and leaf.requires_grad
