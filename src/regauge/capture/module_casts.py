"""`module.to(dtype)` in forward: nothing where its tensors are so already, refused where it would change them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes

from regauge.errors import CaptureError


@contextmanager
def only_needed() -> Iterator[None]:
    """Within the block, casts and moves of modules that change nothing give the module itself.

    While torch.export traces, torch replaces each tensor of the module by the result, even where it is the same.

    Raises:
        CaptureError: a cast or move changes a module, which no graph can say.
    """
    apply = nn.Module._apply

    def applied(self: nn.Module, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        if all(_unchanged(fn, tensor) for tensor in chain(self.parameters(recurse), self.buffers(recurse))):
            return self
        try:
            return apply(self, fn, recurse)
        except RuntimeError as error:
            if "Couldn't swap" not in str(error):
                raise
            raise CaptureError(
                f"the model casts or moves its module {type(self).__name__} in forward",
                code="C175",
                why="weights of a converted model keep the dtype that they come with",
                next="cast the module before converting, or cast the weight where it is used: "
                "F.linear(x, layer.weight.to(x.dtype))",
            ) from error

    with mock.patch.object(nn.Module, "_apply", applied):
        yield


def _unchanged(fn: Callable[[Tensor], Tensor], tensor: Tensor) -> bool:
    """Whether a function gives a tensor of this dtype, device and rank as it is, asked outside of the trace."""
    with _disable_current_modes():
        probe = torch.empty((0,) * tensor.ndim, dtype=tensor.dtype, device=tensor.device)
        return fn(probe) is probe
