"""Code of torch that looks at values before it computes: captured without the look, which is said if it matters.

`torch.export` refuses Python that decides on the values of a tensor. Where torch itself does so only to raise an error
for bad values, the computation is the same for all values that it accepts.
"""

from __future__ import annotations

import builtins
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx
from torch.distributions import Distribution
from torch.nn.modules import transformer
from torch.overrides import TorchFunctionMode

from regauge.capture.adaptive_softmax import all_clusters
from regauge.capture.arguments import op_name
from regauge.capture.cumulative_norms import averaged
from regauge.capture.source_lines import is_own, line_of_caller
from regauge.capture.spelling import IGNORED
from regauge.capture.whole_ops import WHOLE
from regauge.errors import CaptureError
from regauge.findings import Finding

_FINDING = Finding(
    "C140",
    "info",
    "torch.nn.functional.gaussian_nll_loss",
    "The original refuses negative variances; the converted loss takes them for eps, because a compiled function "
    "cannot raise an error for a value.",
)

_NO_SHAPE = torch.Size()
_DISTRIBUTIONS = Finding(
    "C142",
    "info",
    "torch.distributions",
    "The original refuses invalid parameters and samples of distributions; the converted model computes with them, "
    "because a compiled function cannot raise an error for a value.",
)
_RESIDUALS = Finding(
    "C144",
    "info",
    "torch.linalg.lstsq",
    "The original gives no residuals where a matrix is not of full rank; the converted model gives them always, "
    "because the shape of a result cannot depend on values.",
)
_COUNTS = Finding(
    "C194",
    "warning",
    "torch.bincount",
    "The original gives more counts than minlength where a value is as large; the converted model gives minlength of "
    "them and counts no such value, because the shape of a result cannot depend on values.",
)


class _WithoutChecks(TorchFunctionMode):
    def __init__(self, findings: list[Finding]) -> None:
        super().__init__()
        self._findings = findings

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.gaussian_nll_loss:
            self._findings.append(_FINDING)
            return _gaussian_nll_loss(*args, **(kwargs or {}))
        if func is torch.linalg.lstsq and (kwargs or {}).get("driver") in ("gelsd", "gelss"):
            self._findings.append(_RESIDUALS)
        if func in (torch.bincount, torch.Tensor.bincount) and (len(args) > 2 or (kwargs or {}).get("minlength")):
            self._findings.append(_COUNTS)
        return WHOLE.get(func, func)(*args, **(kwargs or {}))


class CountsOfExamples(TorchFunctionMode):
    """Refuses a run on the inputs of the case in which values are beyond what the converted model counts."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        counts = func(*args, **(kwargs or {}))
        if func in (torch.bincount, torch.Tensor.bincount):
            least = args[2] if len(args) > 2 else (kwargs or {}).get("minlength", 0)
            if 0 < least < len(counts):
                raise CaptureError(
                    f"torch.bincount gives {len(counts)} counts for the inputs of the case, and minlength is {least}",
                    code="C243",
                    where=line_of_caller(),
                    why="the shape of a result cannot depend on values in JAX: the converted model would give minlength"
                    " counts, and leave out the larger values",
                    next=f"write minlength={len(counts)}, or what no value reaches, or clamp the values: "
                    "x.clamp(max=n - 1)",
                )
        return counts


@contextmanager
def left_out(findings: list[Finding]) -> Iterator[None]:
    """Within the block such code computes without looking; `findings` gets one for each call."""
    with (
        _WithoutChecks(findings),
        _distributions_unchecked(findings),
        _causal_masks_as_given(),
        _without_prints(findings),
        averaged(),
        all_clusters(findings),
    ):
        yield


@contextmanager
def _without_prints(findings: list[Finding]) -> Iterator[None]:
    """A trace has no values to print: what a person's code prints is left out, and said."""
    real = builtins.print

    def noted(*values: Any, **options: Any) -> None:
        frame = sys._getframe(1)
        if not is_own(frame.f_code.co_filename):
            real(*values, **options)
            return
        text = "print is left out: print a returned array where the model is called, or write jax.debug.print there."
        findings.append(Finding("C167", "warning", f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}", text))

    builtins.print = noted
    try:
        yield
    finally:
        builtins.print = real


@contextmanager
def _distributions_unchecked(findings: list[Finding]) -> Iterator[None]:
    """torch.distributions asks whether parameters and samples are valid, which only an error depends on."""
    construct, validate = Distribution.__init__, Distribution._validate_sample

    def without_validation(
        self: Distribution,
        batch_shape: torch.Size = _NO_SHAPE,
        event_shape: torch.Size = _NO_SHAPE,
        validate_args: bool | None = None,
    ) -> None:
        if validate_args or (validate_args is None and Distribution._validate_args):
            findings.append(_DISTRIBUTIONS)
        construct(self, batch_shape, event_shape, validate_args=False)

    def accepted(self: Distribution, value: Tensor) -> None:
        findings.append(_DISTRIBUTIONS)

    Distribution.__init__, Distribution._validate_sample = without_validation, accepted  # type: ignore[method-assign]
    try:
        yield
    finally:
        Distribution.__init__, Distribution._validate_sample = construct, validate  # type: ignore[method-assign]


@contextmanager
def _causal_masks_as_given() -> Iterator[None]:
    """nn.Transformer compares a mask with the causal one, to choose a faster kernel; the mask itself says the same."""
    detect = transformer._detect_is_causal_mask

    def only_what_is_said(mask: Tensor | None, is_causal: bool | None = None, size: int | None = None) -> bool:
        return is_causal is True

    transformer._detect_is_causal_mask = only_what_is_said
    try:
        yield
    finally:
        transformer._detect_is_causal_mask = detect


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


def is_only_checked(node: fx.Node) -> bool:
    """Whether a number that an exported graph makes of values goes into assertions alone, which are left out."""
    return all(
        user.op == "call_function"
        and (op_name(user.target).startswith(IGNORED) or (_is_number(user) and is_only_checked(user)))
        for user in node.users
    )


def _is_number(node: fx.Node) -> bool:
    return isinstance(node.meta.get("val"), torch.SymInt | torch.SymFloat | torch.SymBool)
