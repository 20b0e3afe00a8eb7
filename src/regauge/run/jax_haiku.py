"""Haiku's transforms, without Haiku: what one is, and which function of a person it was made of."""

from __future__ import annotations

import inspect
from typing import Any


def is_haiku(model: Any) -> bool:
    """Whether an object is a transform."""
    return hasattr(model, "init") and hasattr(model, "apply") and type(model).__name__.startswith("Transformed")


def haiku_function(apply: Any) -> Any:
    """The function that was transformed: Haiku keeps it in the closures of its own; None if it is not there."""
    seen: list[Any] = [apply]
    for function in seen:
        for cell in getattr(function, "__closure__", None) or ():
            content = cell.cell_contents
            if is_haiku(content):
                seen.append(content.apply)
            elif inspect.isfunction(content) and content not in seen:
                if not content.__module__.startswith("haiku."):
                    return content
                seen.append(content)
    return None
