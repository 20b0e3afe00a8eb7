"""Steps of a torch optimizer alone, on given parameters and gradients in float64."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from regauge.errors import BadCase
from regauge.optimizers import Optimizer
from regauge.run import torch_optimizers
from regauge.run.steps import Arrays, Step, as_float64, is_update, slots_of, step_arrays, walk_function
from regauge.run.torch_subject import renewed
from regauge.run.torch_tensors import numpy_of, seen


def walk(optimizer: Any, params: Mapping[str, np.ndarray], gradients: Sequence[Mapping[str, np.ndarray]]) -> list[Step]:
    """What each step leaves.

    Args:
        optimizer: a torch.optim.Optimizer, whose settings are taken and not its parameters; a function of a list of
            parameters that makes one; a spec of `regauge.optimizers`; or ``update(params, grads, state)``.
        params: float64 by name.
        gradients: of each step.

    Raises:
        BadCase: the groups of the optimizer do not fit the parameters.
    """
    if is_update(optimizer):
        tensors = [{name: _tensor(array) for name, array in part.items()} for part in (params, *gradients)]
        return walk_function(optimizer, tensors[0], tensors[1:], numpy_of)
    named = {name: nn.Parameter(_tensor(array)) for name, array in params.items()}
    made = _made(optimizer, named)
    steps = []
    for gradient in gradients:
        for name, parameter in named.items():
            parameter.grad = _tensor(gradient[name])
        made.step()
        found = {name: as_float64(numpy_of(parameter)) for name, parameter in named.items()}
        steps.append(Step(found, slots_of_optimizer(made, named)))
    return steps


def slots_of_optimizer(made: Any, named: Mapping[str, nn.Parameter]) -> dict[str, dict[str, np.ndarray]]:
    """What an optimizer keeps, by slot and parameter, in float64.

    Args:
        made: a torch.optim.Optimizer, or one of a spec.
        named: its parameters.
    """
    inner = made.optimizer if isinstance(made, torch_optimizers.TorchOptimizer) else made
    state = {name: dict(inner.state.get(parameter, {})) for name, parameter in named.items()}
    return slots_of(state, _numpy, named)


def arrays_after(
    made: Any, trained: Mapping[str, nn.Parameter], named: Callable[[str, Arrays], Arrays]
) -> dict[str, np.ndarray]:
    """Parameters and slots after a step of a trajectory, as `step_arrays` has them.

    Args:
        made: the optimizer.
        trained: its parameters by name.
        named: gives arrays the original's names, with a prefix.
    """
    return step_arrays({name: seen(p) for name, p in trained.items()}, slots_of_optimizer(made, trained), named)


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.array(array, np.float64))


def _numpy(leaf: Any) -> np.ndarray:
    return numpy_of(leaf) if isinstance(leaf, torch.Tensor) else np.asarray(leaf)


def _made(optimizer: Any, named: Mapping[str, nn.Parameter]) -> Any:
    if isinstance(optimizer, Optimizer):
        return torch_optimizers.build(optimizer, named.items())
    if not isinstance(optimizer, torch.optim.Optimizer):
        return optimizer(list(named.values()))
    return renewed(optimizer, _groups(optimizer, list(named.values())))


def _groups(optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter]) -> list[list[nn.Parameter]]:
    """One group takes all parameters; several take them in order, as many as each has."""
    counts = [len(group["params"]) for group in optimizer.param_groups]
    if len(counts) == 1:
        return [parameters]
    if sum(counts) != len(parameters):
        raise BadCase(
            f"the optimizer's groups hold {sum(counts)} parameters, {len(parameters)} were given",
            next="give the parameters of all groups, in their order",
        )
    rest = iter(parameters)
    return [[next(rest) for _ in range(count)] for count in counts]
