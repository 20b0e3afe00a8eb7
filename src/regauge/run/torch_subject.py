"""The original as a worker sees it: the person's torch model with its inputs, loss and optimizer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from regauge.case import Case, load_case
from regauge.errors import BadCase
from regauge.optimizers import Optimizer


@dataclass
class TorchSubject:
    """A torch model with everything that it takes to run and to train it.

    Attributes:
        model: in the mode that the case left it in; a plain function is wrapped in a module.
        inputs: tuple of positional or dict of keyword arguments.
        targets: what the loss needs besides the outputs, or None.
        loss: ``loss(outputs, targets) -> scalar``, or None.
        optimizer: a spec of `regauge.optimizers`, or None.
        name: what reports call the case.
    """

    model: nn.Module
    inputs: tuple[Any, ...] | dict[str, Any]
    targets: Any
    loss: Callable[[Any, Any], torch.Tensor] | None
    optimizer: Optimizer | None
    name: str

    @staticmethod
    def call(model: nn.Module, inputs: tuple[Any, ...] | dict[str, Any]) -> Any:
        """The model's outputs."""
        return model(**inputs) if isinstance(inputs, dict) else model(*inputs)


class FunctionModule(nn.Module):
    """A function of tensors as a module without weights."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)


def load_torch_subject(case: str) -> TorchSubject:
    """The subject of a case reference, ``file.py:name`` and so on.

    Raises:
        BadCase: the case cannot be read, or its model is not torch's.
        UnsupportedOptimizer: its optimizer has no spec.
    """
    return subject_of(load_case(case))


def subject_of(found: Case) -> TorchSubject:
    """The subject of a case that is loaded; errors as of `load_torch_subject`."""
    model = found.model
    if not isinstance(model, nn.Module):
        if not callable(model) or hasattr(model, "parameters"):
            raise BadCase("the case's model is not a torch.nn.Module", received=type(model).__name__)
        model = FunctionModule(model)
    return TorchSubject(
        model=model,
        inputs=found.inputs,
        targets=found.targets,
        loss=found.loss,
        optimizer=_spec(found, model),
        name=found.name or type(model).__name__,
    )


def _spec(case: Case, model: nn.Module) -> Optimizer | None:
    if case.optimizer is None or isinstance(case.optimizer, Optimizer):
        return case.optimizer
    from regauge.capture.torch_optimizer import from_torch

    pair = case.optimizer if isinstance(case.optimizer, tuple) else (case.optimizer, None)
    return from_torch(pair[0], model.named_parameters(), pair[1])
