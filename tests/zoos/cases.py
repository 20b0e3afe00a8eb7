"""What the cases of every zoo share: weights, the loss, and the word for a model that cannot be built here."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

LARGEST = 55_000_000  # parameters: float64 copies and gradients of both sides stay under 6 GiB


class NotBuilt(Exception):
    """The model cannot be made small without knowing it better, or it asks for inputs that nobody can guess."""


def short(error: BaseException) -> str:
    """The class of an error and the first 200 letters of its message on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the process had no memory left, of which the model need not be the cause."""
    return isinstance(error, MemoryError) or "can't allocate memory" in str(error)


def not_built(error: BaseException, about: str = "") -> BaseException:
    """That the model is not built, with the message of an error; the error itself where memory ran out."""
    return error if out_of_memory(error) else NotBuilt(about + short(error))


def small_enough(model: nn.Module) -> nn.Module:
    """The model itself.

    Raises:
        NotBuilt: with more than `LARGEST` parameters.
    """
    count = sum(parameter.numel() for parameter in model.parameters())
    if count > LARGEST:
        raise NotBuilt(f"{count / 1e6:.0f} million parameters with small settings")
    return model


def seeded(model: nn.Module) -> nn.Module:
    """Weights away from the neutral values that hide errors: biases, weights of norms and statistics too."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1 and parameter.is_floating_point():
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(0, 0.1, generator=generator)
            if name.endswith("running_var"):
                buffer.uniform_(0.5, 1.5, generator=generator)
    return model.train()


def weighted(outputs: Any, targets: Any) -> Tensor:
    """Every finite element of every floating output times a number of its own."""
    leaves = [x for x in pytree.tree_leaves(outputs) if isinstance(x, Tensor) and x.is_floating_point()]
    total = torch.zeros(())
    for leaf in leaves:
        flat = torch.where(leaf.isinf(), 0, leaf).reshape(-1)
        total = total + (flat * torch.cos(torch.arange(flat.shape[0]))).sum()
    return total
