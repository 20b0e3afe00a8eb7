"""Functions of torch that look at values before they compute: captured without the look, which is said.

`torch.export` refuses Python that decides on the values of a tensor. Where torch itself does so only to raise an error
for bad values, the computation is the same for all values that it accepts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from regauge.findings import Finding

_FINDING = Finding(
    "C140",
    "info",
    "torch.nn.functional.gaussian_nll_loss",
    "The original refuses negative variances; the converted loss takes them for eps, because a compiled function "
    "cannot raise an error for a value.",
)


class _WithoutChecks(TorchFunctionMode):
    def __init__(self, findings: list[Finding]) -> None:
        super().__init__()
        self._findings = findings

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.gaussian_nll_loss:
            self._findings.append(_FINDING)
            return _gaussian_nll_loss(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


@contextmanager
def left_out(findings: list[Finding]) -> Iterator[None]:
    """Within the block such functions compute without looking; `findings` gets one for each call."""
    with _WithoutChecks(findings):
        yield


def _gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """``(log v + (input - target)^2 / v) / 2`` with ``v = max(var, eps)``, whose gradient goes to `var` everywhere.

    Args:
        input: float[*], the expectations.
        target: float[*], as `input`.
        var: float[*], one axis less, or one axis of length 1; or one number.
        full: add the constant ``log(2 pi) / 2``.
        eps: the smallest variance.
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: the shape of `var` or the reduction is not one of these, as in torch.
    """
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not valid")
    variance = var if isinstance(var, Tensor) else torch.full_like(input, var)
    if variance.shape != input.shape:
        if input.shape[:-1] == variance.shape:
            variance = variance.unsqueeze(-1)
        elif variance.ndim != input.ndim or sum(a != b for a, b in zip(input.shape, variance.shape, strict=True)) != 1:
            raise ValueError("var is of incorrect size")
    variance = variance + (variance.clamp(min=eps) - variance).detach()
    loss = 0.5 * (torch.log(variance) + (input - target) ** 2 / variance)
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return loss if reduction == "none" else loss.mean() if reduction == "mean" else loss.sum()
