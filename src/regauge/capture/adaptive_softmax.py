"""`nn.AdaptiveLogSoftmaxWithLoss` without selections: every cluster is computed for every row.

torch computes a cluster for the rows whose target it has, and asks for their number in Python, which no capture can
follow. Computed for all rows, and chosen from, the values are the same, and so are the gradients.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules import adaptive

from regauge.findings import Finding

_ALL_ROWS = Finding(
    "C220",
    "info",
    "torch.nn.AdaptiveLogSoftmaxWithLoss",
    "The original computes a cluster of rare classes for the rows that need it, and refuses targets that are no class; "
    "the converted model computes all clusters for all rows and takes the nearest class, because shapes of a compiled "
    "function cannot depend on values.",
)


@contextmanager
def all_clusters(findings: list[Finding]) -> Iterator[None]:
    """Within the block the layer computes all its clusters; `findings` gets one for each call."""
    layer: Any = nn.AdaptiveLogSoftmaxWithLoss
    forward, predict = layer.forward, layer.predict

    def forward_of_all(self: Any, input_: Tensor, target_: Tensor) -> Any:
        findings.append(_ALL_ROWS)
        return _forward(self, input_, target_)

    def predict_of_all(self: Any, input: Tensor) -> Tensor:
        findings.append(_ALL_ROWS)
        return _predict(self, input)

    layer.forward, layer.predict = forward_of_all, predict_of_all
    try:
        yield
    finally:
        layer.forward, layer.predict = forward, predict


def _forward(layer: Any, input_: Tensor, target_: Tensor) -> Any:
    """The log-probability of each target, and the mean of its negative.

    Args:
        layer: the module.
        input_: float[batch, features] or float[features].
        target_: int64[batch] or int64[].

    Raises:
        RuntimeError: the shapes are none of these, as in torch.
    """
    if target_.ndim > 1 or input_.ndim != target_.ndim + 1 or input_.shape[:-1] != target_.shape:
        raise RuntimeError(f"targets of shape {tuple(target_.shape)} do not fit inputs of {tuple(input_.shape)}")
    rows = input_ if target_.ndim else input_.unsqueeze(0)
    target = (target_ if target_.ndim else target_.unsqueeze(0)).clamp(0, layer.n_classes - 1)
    place, output = target, rows.new_zeros(target.shape[0])
    for number, (low, high) in enumerate(pairwise(layer.cutoffs)):
        inside = (target >= low) & (target < high)
        found = F.log_softmax(layer.tail[number](rows), dim=1)
        found = found.gather(1, (target - low).clamp(0, high - low - 1).unsqueeze(1)).squeeze(1)
        output = torch.where(inside, found, output)
        place = torch.where(inside, layer.shortlist_size + number, place)
    output = output + F.log_softmax(layer.head(rows), dim=1).gather(1, place.unsqueeze(1)).squeeze(1)
    loss = (-output).mean()
    return adaptive._ASMoutput(output if target_.ndim else output.squeeze(0), loss)


def _predict(layer: Any, input: Tensor) -> Tensor:
    """The most probable class of each row: that of the head, where it is not a cluster.

    Args:
        layer: the module.
        input: float[batch, features].
    """
    scores = layer.head(input)
    first = torch.argmax(scores, dim=1)
    return torch.where(first >= layer.shortlist_size, layer._get_full_log_prob(input, scores).argmax(dim=1), first)
