"""Gradients that a person wrote by hand, which a captured graph does not show: export follows the forward alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import nn

from regauge.capture.source_lines import line_of_caller
from regauge.errors import CaptureError
from regauge.findings import Finding


@contextmanager
def watched(found: dict[str, str]) -> Iterator[None]:
    """Record what changes gradients while the block runs: what it is, and its line."""
    apply, register = torch.autograd.Function.apply, torch.Tensor.register_hook

    def applied(cls: Any, *args: Any, **kwargs: Any) -> Any:
        if not cls.__module__.startswith("torch."):  # checkpointing, for one, changes no gradient
            found.setdefault(f"the backward of {cls.__name__}", line_of_caller())
        return apply.__func__(cls, *args, **kwargs)  # type: ignore[attr-defined]

    def registered(tensor: torch.Tensor, hook: Callable[..., Any]) -> Any:
        found.setdefault("a hook of a tensor", line_of_caller())
        return register(tensor, hook)

    with (
        mock.patch.object(torch.autograd.Function, "apply", classmethod(applied)),
        mock.patch.object(torch.Tensor, "register_hook", registered),
    ):
        yield


def of_modules(model: nn.Module) -> dict[str, str]:
    """Modules with hooks that run in the backward pass."""
    return {
        f"a backward hook of {path or 'the model'}": ""
        for path, module in model.named_modules()
        if module._backward_hooks or module._backward_pre_hooks
    }


def judged(found: dict[str, str], train: bool) -> list[Finding]:
    """A finding where only the forward counts.

    Raises:
        CaptureError: the model is to be trained, and its gradients would be others.
    """
    if not found:
        return []
    where = next(iter(found.values()))
    if train:
        raise CaptureError(
            f"gradients are changed by hand: {', '.join(found)}",
            code="C135",
            where=where,
            why="a captured graph has the forward alone, and JAX would differentiate that",
            next="write the same function with ordinary operations and detach(): x + (f(x) - x).detach() passes the "
            "gradient straight through; or convert the model for evaluation",
        )
    text = f"Gradients are changed by hand ({', '.join(found)}); JAX differentiates the forward: use outputs only."
    return [Finding("C135", "warning", where, text)]
