"""The original as a worker sees it: the person's torch model with its inputs, loss and optimizer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn
from torch.utils import _pytree as pytree

from regauge.capture.containers import plain
from regauge.case import Case, load_case
from regauge.errors import BadCase
from regauge.optimizers import Optimizer
from regauge.run.torch_flow import gradients_on_request


class Optimizing(Protocol):
    """What makes an optimizer that has no spec."""

    @property
    def name(self) -> str:
        """What to call it."""

    def of(self, named: Mapping[str, nn.Parameter]) -> torch.optim.Optimizer:
        """A new one for the parameters of these names."""


@dataclass(frozen=True)
class OwnOptimizer:
    """An optimizer by hand: everything but its parameters and state is the person's.

    Attributes:
        optimizer: as it was given.
        names: of the parameters of each group.
    """

    optimizer: torch.optim.Optimizer
    names: tuple[tuple[str, ...], ...]

    @property
    def name(self) -> str:
        return type(self.optimizer).__name__

    def of(self, named: Mapping[str, nn.Parameter]) -> torch.optim.Optimizer:
        """A new one for the parameters of these names."""
        return renewed(self.optimizer, [[named[name] for name in group] for group in self.names])


def renewed(optimizer: torch.optim.Optimizer, groups: Sequence[list[nn.Parameter]]) -> torch.optim.Optimizer:
    """The same optimizer before its first step, with other parameters: a class may keep its settings anywhere."""
    copied: torch.optim.Optimizer = object.__new__(type(optimizer))
    copied.__dict__.update(optimizer.__dict__)
    copied.state = defaultdict(dict)
    copied.param_groups = [
        {**group, "params": parameters} for group, parameters in zip(optimizer.param_groups, groups, strict=True)
    ]
    return copied


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
        own: the person's optimizer where it has no spec and is to be run as it is.
        rules: the file with the person's rules for operators of their own, or None.
        layers: how the case wants equal layers converted, or None.
        known: names of inputs whose values become part of the code.
        writes: whether the model is known to write to its inputs.
    """

    model: nn.Module
    inputs: tuple[Any, ...] | dict[str, Any]
    targets: Any
    loss: Callable[[Any, Any], torch.Tensor] | None
    optimizer: Optimizer | None
    name: str
    own: Optimizing | None = None
    rules: Path | None = None
    layers: str | None = None
    known: tuple[str, ...] = ()
    writes: bool = False

    @staticmethod
    def call(model: nn.Module, inputs: tuple[Any, ...] | dict[str, Any]) -> Any:
        """The model's outputs, in plain containers, for copies of the inputs, to which it may write.

        Without gradients where they are switched off, whatever the model asks for inside.
        """
        return plain(TorchSubject.call_on(model, _copies(inputs)))

    @staticmethod
    def call_on(model: nn.Module, inputs: tuple[Any, ...] | dict[str, Any]) -> Any:
        """The outputs as they are, for the tensors themselves."""
        if torch.is_grad_enabled() or torch.is_inference_mode_enabled():
            return _called(model, inputs)
        asking = [tensor for tensor in pytree.tree_leaves(inputs) if isinstance(tensor, torch.Tensor)]
        before = [tensor.requires_grad for tensor in asking]
        try:
            with gradients_on_request(asking):
                outputs = _called(model, inputs)
        finally:
            for tensor, required in zip(asking, before, strict=True):
                if tensor.requires_grad != required:
                    tensor.requires_grad_(required)
        return pytree.tree_map_only(torch.Tensor, lambda out: out.detach() if out.requires_grad else out, outputs)


def _called(model: nn.Module, inputs: tuple[Any, ...] | dict[str, Any]) -> Any:
    return model(**inputs) if isinstance(inputs, dict) else model(*inputs)


def _copies(inputs: Any) -> Any:
    """A tree with tensors of its own, in the memory layout of those that are given; one that occurs twice is one again.

    A tensor that is expanded is no copy: torch refuses to write to it.
    """
    copies: dict[int, torch.Tensor] = {}

    def own(tensor: torch.Tensor) -> torch.Tensor:
        expanded = tensor.layout is torch.strided and any(
            stride == 0 and size > 1 for size, stride in zip(tensor.shape, tensor.stride(), strict=True)
        )
        if tensor.layout is not torch.strided or tensor.is_nested or expanded:
            return tensor
        if id(tensor) not in copies:
            made = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=tensor.device)
            made.copy_(tensor)
            if tensor.requires_grad and not made.requires_grad:
                made.requires_grad_()
            copies[id(tensor)] = made
        return copies[id(tensor)]

    with torch._C.DisableTorchFunction():  # a trace that counts the calls of torch's functions counts the model's
        return pytree.tree_map_only(torch.Tensor, own, inputs)


class FunctionModule(nn.Module):
    """A function of tensors as a module without weights."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)


def load_torch_subject(case: str, as_it_is: bool = False) -> TorchSubject:
    """The subject of a case reference, ``file.py:name`` and so on.

    Args:
        case: the reference.
        as_it_is: an optimizer without a spec is taken as it is.

    Raises:
        BadCase: the case cannot be read, or its model is not torch's.
        UnsupportedOptimizer: its optimizer has no spec.
    """
    return subject_of(load_case(case), as_it_is)


def subject_of(found: Case, as_it_is: bool = False) -> TorchSubject:
    """The subject of a case that is loaded; errors as of `load_torch_subject`."""
    model = found.model
    if not isinstance(model, nn.Module):
        if not callable(model) or hasattr(model, "parameters"):
            raise BadCase(
                "the case's model is not a torch.nn.Module",
                received=type(model).__name__,
                next="write regauge.Case(model, inputs=(x,)) with a torch.nn.Module or a function of tensors as model",
            )
        model = FunctionModule(model)
    own = _own(found, model) if as_it_is else None
    return TorchSubject(
        own=own,
        model=model,
        inputs=found.inputs,
        targets=found.targets,
        loss=found.loss,
        optimizer=None if own else _spec(found, model),
        name=found.name or type(model).__name__,
        rules=None if found.rules is None else Path(found.rules),
        layers=found.layers,
        known=tuple(found.known),
    )


def _own(case: Case, model: nn.Module) -> OwnOptimizer | None:
    """The case's optimizer if it is one by hand, all of whose parameters are the model's."""
    optimizer = case.optimizer
    if not isinstance(optimizer, torch.optim.Optimizer) or type(optimizer).__module__.startswith("torch.optim"):
        return None
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = [[names.get(id(p), "") for p in group["params"]] for group in optimizer.param_groups]
    foreign = sum(name == "" for group in groups for name in group)
    if foreign:
        raise BadCase(
            f"{foreign} parameters of the optimizer are not the model's",
            received=type(optimizer).__name__,
            next="make the optimizer of model.parameters()",
        )
    return OwnOptimizer(optimizer, tuple(map(tuple, groups)))


def _spec(case: Case, model: nn.Module) -> Optimizer | None:
    if case.optimizer is None or isinstance(case.optimizer, Optimizer):
        return case.optimizer
    from regauge.capture.torch_optimizer import from_torch

    pair = case.optimizer if isinstance(case.optimizer, tuple) else (case.optimizer, None)
    return from_torch(pair[0], model.named_parameters(), pair[1])
