"""Parameters that forward exchanges for new ones: ``self.weight = nn.Parameter(...)``.

`torch.export` keeps the one that was there before, so that the new one would be lost for the next call. In torch it is
another tensor than the optimizer holds, which steps the old one from then on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn

from regauge.capture.python_state import line_of_change
from regauge.errors import CaptureError


@contextmanager
def refused(model: nn.Module) -> Iterator[None]:
    """Within the block a call of the model raises if a parameter is another object afterwards; it is put back.

    Raises:
        CaptureError: C217, with the parameters and the line of the first one.
    """
    held: list[tuple[str, nn.Module, dict[str, nn.Parameter | None]]] = []

    def begin(*_: Any) -> None:
        held[:] = [(path, part, dict(part._parameters)) for path, part in model.named_modules()]

    def end(*_: Any) -> None:
        exchanged: list[str] = []
        for path, part, before in held:
            names = [name for name, value in before.items() if part._parameters.get(name) is not value]
            exchanged += [f"{path}.{name}" if path else name for name in names]
            part._parameters.update(before)
        if exchanged:
            raise _refusal(model, exchanged)

    with ExitStack() as stack:
        for handle in (model.register_forward_pre_hook(begin), model.register_forward_hook(end)):
            stack.callback(handle.remove)
        yield


def _refusal(model: nn.Module, names: list[str]) -> CaptureError:
    return CaptureError(
        f"{type(model).__name__} exchanges parameters for new ones in its forward: {', '.join(names[:6])}",
        code="C217",
        where=next((line for name in names if (line := _line(model, name))), ""),
        why="the optimizer holds the old ones and steps those; a captured graph has no place for the new ones either",
        next="register what forward computes itself with register_buffer, and write it in place with copy_",
    )


def _line(model: nn.Module, name: str) -> str:
    """The line that exchanges a parameter, in the module that holds it or in one around that."""
    parts = name.split(".")
    found = (
        line_of_change(model.get_submodule(".".join(parts[:depth])), ".".join(parts[depth:]))
        for depth in reversed(range(len(parts)))
    )
    return next((line for line in found if line), "")
