"""A torch model whose values keep float32 where its code makes them shorter: whether that rounding is what differs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from regauge.run.torch_calls import person_frame

_LOW = (torch.bfloat16, torch.float16)


class OwnPrecision(TorchDispatchMode):
    """Leaves values in float32 that the code narrows, by casts or under autocast.

    Attributes:
        lines: at which they are left, ``file.py:12``; None for all.
        found: the lines that narrow, with the dtype, in order of the program.
    """

    def __init__(self, lines: Collection[str] | None = None) -> None:
        super().__init__()
        self.lines = lines
        self.found: dict[str, str] = {}

    @classmethod
    def asked(cls, task: Mapping[str, Any]) -> OwnPrecision | None:
        """As a task asks for it under ``keep``: at the lines of a list, or everywhere."""
        if "keep" not in task:
            return None
        return cls(task["keep"] if isinstance(task["keep"], list) else None)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = [leaf for leaf in tree_leaves((args, kwargs or {})) if isinstance(leaf, torch.dtype) and leaf in _LOW]
        file, line = person_frame() if named else ("", 0)
        where = f"{file}:{line}" if file else ""
        if named:
            self.found.setdefault(where, str(named[0]).removeprefix("torch."))
        if named and self.lines is not None and where not in self.lines:
            return func(*args, **(kwargs or {}))
        tensors = not func._schema.is_mutable and self.lines is None

        def own(value: Any) -> Any:
            if isinstance(value, torch.dtype):
                return torch.float32 if value in _LOW else value
            if tensors and isinstance(value, torch.Tensor) and value.dtype in _LOW:
                return value.to(torch.float32)
            return value

        return func(*tree_map(own, args), **tree_map(own, kwargs or {}))
