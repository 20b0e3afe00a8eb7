"""Models that compute something else while they are exported, because they ask whether they are.

`torch.compiler.is_exporting()` and `is_compiling()` let code take a path that can be traced. Where that path is another
function on the inputs of the case, the captured graph is not the model that a person runs.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from regauge.capture.source_lines import is_own
from regauge.errors import CaptureError
from regauge.findings import Finding
from regauge.run.torch_flow import fast_path

_ASKED = ("is_exporting", "is_compiling")
_FLAGS = ("_is_exporting_flag", "_is_compiling_flag")
# Another order of the same sums stays far below this share of the norm, in float32 and in float64;
APART = 1e-3
ROUNDINGS = 16  # in lower precision so many units in the last place are allowed.
_SHOWN = 6
_FAST = (nn.TransformerEncoder, nn.TransformerEncoderLayer, nn.MultiheadAttention)


def require_one_function(outputs: Any, again: Callable[[], Any], name: str) -> None:
    """A model that gives the same outputs when it is told that it is being exported.

    Args:
        outputs: of the model as it is called, a pytree of tensors.
        again: calls it once more, with the same random numbers.
        name: what errors call the model.

    Raises:
        CaptureError: the outputs differ by more than rounding, or have other shapes.
    """
    with _told_so() as places:
        try:
            told = again()
        except Exception:  # that path may need what only a trace has: the export itself will say so
            return
    if _distance(outputs, told) <= 1:
        return
    repeated = again()
    with _told_so():
        told_again = again()
    # random numbers that nothing controls, and memory that nobody set, differ between equal calls too
    if _distance(outputs, repeated) > 1 or _distance(told, told_again) > 1:
        return
    raise CaptureError(
        f"{name} computes something else while it is exported: its outputs are not those of a call",
        code="C168",
        where=next(iter(places), "").partition(" <- ")[0],
        details=[*places][:_SHOWN],
        why="its code asks whether it is being compiled or exported, and then takes a path that is another function "
        "for these inputs, so that the captured graph would not be the model that you run",
        next="give inputs or settings for which both paths are the same (masks and token types that the model would "
        "otherwise make itself, a mask that hides something), or take that question out of the model",
    )


def left_out(model: nn.Module, outputs: Any, call: Callable[[], Any]) -> list[Finding]:
    """A finding where PyTorch leaves out what a padding mask hides, as its transformers do without gradients.

    Args:
        model: whose outputs they are.
        outputs: of the model without that fast path, a pytree of tensors.
        call: calls it once more in evaluation, without gradients.
    """
    names = [name or "the model" for name, module in model.named_modules() if isinstance(module, _FAST)]
    if not names:
        return []
    with fast_path(True), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of nested tensors, which are a prototype
        fast = call()
    if _distance(outputs, fast) <= 1:
        return []
    text = (
        f"Without gradients PyTorch leaves out positions that a padding mask hides ({names[0]}, its fast path): it "
        "gives zeros for them, or cuts them off. The converted model gives what the same module gives otherwise, as "
        "after torch.backends.mha.set_fastpath_enabled(False)."
    )
    return [Finding("C180", "warning", names[0], text)]


@contextmanager
def _told_so() -> Iterator[dict[str, None]]:
    """Within the block torch says that an export is running; collects the own lines that asked, innermost first."""
    places: dict[str, None] = {}

    def answer() -> bool:
        frame = sys._getframe(1)
        if is_own(frame.f_code.co_filename):
            lines: list[str] = []
            while frame is not None and len(lines) < 2:
                if is_own(frame.f_code.co_filename):
                    lines.append(f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}")
                frame = frame.f_back  # type: ignore[assignment]
            places[" <- ".join(lines)] = None
        return True

    with ExitStack() as stack:
        for flag in _FLAGS:  # for code that imported the function by its name
            stack.enter_context(patch.object(torch.compiler, flag, True, create=True))
        for question in _ASKED:
            stack.enter_context(patch.object(torch.compiler, question, answer))
        yield places


def _distance(outputs: Any, told: Any) -> float:
    """The largest distance of two outputs in units of what is allowed; infinite for other shapes."""
    ours, theirs = (pytree.tree_leaves(tree) for tree in (outputs, told))
    if len(ours) != len(theirs):
        return math.inf
    pairs = zip(ours, theirs, strict=True)
    return max((_apart(a, b) for a, b in pairs if isinstance(a, Tensor) and isinstance(b, Tensor)), default=0.0)


def _apart(one: Tensor, other: Tensor) -> float:
    if one.shape != other.shape:
        return math.inf
    if not one.dtype.is_floating_point or one.is_nested or one.layout != torch.strided:
        return 0.0
    reference, found = (torch.nan_to_num(t.detach().double(), 0.0, 0.0, 0.0) for t in (one, other))
    allowed = max(APART, ROUNDINGS * torch.finfo(one.dtype).eps) * float(reference.norm())
    difference = float((found - reference).norm())
    if difference == 0:
        return 0.0
    return difference / allowed if allowed > 0 else math.inf
