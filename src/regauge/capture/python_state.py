"""Attributes of Python that a forward changes: numbers that it counts up, lists that it fills, tensors that it keeps.

A captured graph has none of them. Where nothing reads them again, nothing is lost; where a second call gives something
else because of them, the model is refused.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from regauge.errors import CaptureError

_OF_TORCH = frozenset(nn.Module().__dict__) | {"training"}
_CHANGES = r"self\.{name}\s*([-+*/]?=[^=]|\[|\.(append|extend|insert|pop|clear|update|add|remove|setdefault)\()"


@dataclass(frozen=True)
class _Attribute:
    """What a module held before; `items` are those of a list, set or dict."""

    module: nn.Module
    name: str
    value: Any
    items: tuple[Any, ...] | None

    def has_changed(self) -> bool:
        now = self.module.__dict__.get(self.name)
        if now is not self.value:
            plain = isinstance(now, bool | int | float | str) and type(now) is type(self.value)
            return not (plain and now == self.value)
        items = _items(now)
        return items is not None and [id(item) for item in items] != [id(item) for item in self.items or ()]

    def restore(self) -> None:
        self.module.__dict__[self.name] = self.value
        if not self.has_changed():
            return
        self.value.clear()
        if isinstance(self.value, dict):
            items = self.items or ()
            self.value.update(zip(items[::2], items[1::2], strict=True))
        else:
            (self.value.extend if isinstance(self.value, list) else self.value.update)(self.items or ())


def _items(value: Any) -> tuple[Any, ...] | None:
    """What a list, set or dict holds, keys and values of a dict in turn; None of anything else."""
    if type(value) is dict:
        return tuple(part for pair in value.items() for part in pair)
    return tuple(value) if type(value) in (list, set) else None


class PythonState:
    """The attributes of a model and its parts, as they are when it is made."""

    def __init__(self, model: nn.Module) -> None:
        self._names = {module: set(module.__dict__) for module in model.modules()}
        self._held = [
            _Attribute(module, name, value, _items(value))
            for module in self._names
            for name, value in module.__dict__.items()
            if name not in _OF_TORCH
        ]

    def changed(self) -> list[tuple[nn.Module, str]]:
        """(module, attribute) of what is new or not what it was."""
        new = [(m, n) for m, names in self._names.items() for n in m.__dict__ if n not in names | _OF_TORCH]
        return [(held.module, held.name) for held in self._held if held.has_changed()] + new

    def restore(self) -> None:
        for module, names in self._names.items():
            for name in set(module.__dict__) - names - _OF_TORCH:
                del module.__dict__[name]
        for held in self._held:
            held.restore()

    def require_no_memory(self, outputs: Any, again: Callable[[], Any], name: str) -> None:
        """A model whose second call gives the same, although its first one changed attributes.

        Args:
            outputs: of the first call.
            again: makes the second one.
            name: what errors call the model.

        Raises:
            CaptureError: it gives something else.
        """
        changed = self.changed()
        if not changed or _same(outputs, again()):
            return
        places = [f"self.{attribute} of {type(module).__name__}" for module, attribute in changed]
        raise CaptureError(
            f"{name} remembers in attributes of Python what earlier calls did: {', '.join(places[:6])}",
            code="C149",
            where=next((line for module, attribute in changed if (line := line_of_change(module, attribute))), ""),
            why="a captured graph is one function for all calls; only buffers are carried along as state",
            next="make it a tensor that is registered with register_buffer and written in place, or take it as an "
            "input and return the new one",
        )


@contextmanager
def kept(model: nn.Module) -> Iterator[PythonState]:
    """Whatever happens inside, the model has its attributes afterwards."""
    state = PythonState(model)
    try:
        yield state
    finally:
        state.restore()


def _same(first: Any, second: Any) -> bool:
    ours, theirs = pytree.tree_leaves(first), pytree.tree_leaves(second)
    return len(ours) == len(theirs) and all(
        a.shape == b.shape and torch.equal(torch.nan_to_num(a), torch.nan_to_num(b))
        for a, b in zip(ours, theirs, strict=True)
        if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor)
    )


def line_of_change(module: nn.Module, attribute: str) -> str:
    """``file.py:12`` of the first line of a module's forward that changes an attribute, or an empty string."""
    try:
        file = inspect.getsourcefile(type(module)) or ""
        lines, first = inspect.getsourcelines(type(module).forward)
    except (OSError, TypeError):
        return ""
    pattern = re.compile(_CHANGES.format(name=re.escape(attribute)))
    number = next((i for i, text in enumerate(lines) if pattern.search(text)), None)
    return "" if number is None else f"{file.rsplit('/', 1)[-1]}:{first + number}"
