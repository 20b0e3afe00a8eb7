"""Batch norms whose statistics are plain averages of all batches: ``momentum=None``.

Their share of the newest batch is 1 over the number of batches. torch reads that number from its tensor, which an
export refuses. During capture the same average is computed without looking.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_LAYERS = (nn.modules.batchnorm._BatchNorm, nn.SyncBatchNorm)


@contextmanager
def averaged() -> Iterator[None]:
    """Within the block, batch norms of torch with ``momentum=None`` can be exported in training."""
    forwards = [(layer, layer.forward) for layer in _LAYERS]
    for layer, forward in forwards:
        layer.forward = _without_looking(forward)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for layer, forward in forwards:
            layer.forward = forward  # type: ignore[method-assign]


def _without_looking(forward: Any) -> Any:
    def averages(self: nn.modules.batchnorm._BatchNorm, input: Tensor) -> Tensor:
        counter = self.num_batches_tracked
        if self.momentum is not None or counter is None or not self.__dict__["training"]:
            found: Tensor = forward(self, input)
            return found
        self._check_input_dim(input)
        if isinstance(self, nn.SyncBatchNorm):
            self._check_non_zero_input_channels(input)
        with torch.no_grad():
            counter.add_(1)
            _move(self.running_mean, self.running_var, input, counter)
        return F.batch_norm(input, None, None, self.weight, self.bias, training=True, eps=self.eps)

    return averages


def _move(mean: Tensor | None, var: Tensor | None, input: Tensor, batches: Tensor) -> None:
    """The averages after one more batch, of which `batches` counts all: ``mean += (batch - mean) / batches``."""
    axes = (0, *range(2, input.ndim))
    x = input.float() if input.dtype in (torch.float16, torch.bfloat16) else input
    if mean is not None and var is not None:
        mean.add_((x.mean(axes) - mean) / batches)
        var.add_((x.var(axes, correction=1) - var) / batches)
