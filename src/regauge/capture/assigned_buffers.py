"""Buffers of inner modules that forward gives a new tensor: ``self.last = x.max()``.

`torch.export` keeps what the root assigns to its own buffers and loses what the modules in it assign to theirs. Here
the new tensor is copied into the buffer at the end of the trace, as the root's is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from regauge.capture.source_lines import line_of_caller
from regauge.findings import Finding


@contextmanager
def kept(model: nn.Module, findings: list[Finding]) -> Iterator[None]:
    """Within the block a call of the model ends with a write to the buffers that its modules assigned.

    Args:
        model: that is traced.
        findings: gets one for each buffer that has another shape or dtype afterwards.
    """
    held: list[tuple[str, nn.Module, dict[str, Tensor | None]]] = []

    def begin(*_: Any) -> None:
        held[:] = [(path, part, dict(part._buffers)) for path, part in model.named_modules() if path]

    def end(*_: Any) -> None:
        for path, part, buffers in held:
            for name, before in buffers.items():
                now = part._buffers.get(name)
                if before is not None and now is not before and isinstance(now, Tensor):
                    if _are_alike(before, now):
                        before.copy_(now)
                    else:
                        findings.append(_left(f"{path}.{name}"))

    with ExitStack() as stack:
        for handle in (model.register_forward_pre_hook(begin), model.register_forward_hook(end)):
            stack.callback(handle.remove)
        yield


def _are_alike(before: Tensor, now: Tensor) -> bool:
    return before.dtype == now.dtype and before.ndim == now.ndim and before.shape == now.shape


def _left(name: str) -> Finding:
    text = (
        f"The model gives its buffer {name} another shape or dtype; the converted model leaves the buffer as it is, so "
        "that a later call which reads it gives something else."
    )
    return Finding("C216", "warning", line_of_caller(), text)
