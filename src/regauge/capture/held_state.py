"""What a person's code holds beside its names, while the two ways of a condition on values are traced.

Both ways are traced, so neither may change a list or an attribute. A buffer that a way gives a new value by assignment
is a result of the condition, as a name is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from regauge.capture.source_lines import line_of_caller
from regauge.errors import CaptureError

_CONTAINERS = (list, dict, set)
Assigned = dict[tuple[nn.Module, str], Tensor | None]  # buffers by their module and name


@dataclass(frozen=True)
class Held:
    """The lists, dicts, sets and modules that a person's function knows, and what was in them.

    Attributes:
        owners: containers, and the attributes of modules, by what the person calls them.
        before: what they hold, by identity.
        buffers: of the modules, and of those in them.
    """

    owners: dict[str, Any]
    before: dict[str, list[int]]
    buffers: dict[nn.Module, dict[str, Tensor | None]]

    @classmethod
    def of(cls, scope: Mapping[str, Any]) -> Held:
        """What the values of some names hold now."""
        owners = {name: value for name, value in scope.items() if isinstance(value, _CONTAINERS)}
        buffers: dict[nn.Module, dict[str, Tensor | None]] = {}
        for name, module in scope.items():
            if isinstance(module, nn.Module):
                owners |= {f"{name}.{key}": v for key, v in vars(module).items() if isinstance(v, _CONTAINERS)}
                owners[name] = vars(module)
                del owners[f"{name}._buffers"]
                buffers |= {part: dict(part._buffers) for part in module.modules()}
        return cls(owners, {name: _contents(owner) for name, owner in owners.items()}, buffers)

    def run(self, function: Callable[..., Any], values: Sequence[Any]) -> tuple[Any, Assigned]:
        """What a function gives, and the buffers that it assigned, which have their old values again.

        Raises:
            CaptureError: it changed something else that is held.
        """
        try:
            return function(*values), self._assigned()
        finally:
            for module, buffers in self.buffers.items():
                module._buffers.update(buffers)
            self._require_unchanged()

    def unchanged_by(self, function: Callable[..., Any], values: Sequence[Any]) -> Any:
        """What a function gives that assigns no buffer either.

        Raises:
            CaptureError: it changed what is held.
        """
        result, assigned = self.run(function, values)
        if assigned:
            raise _changes(next(name for _, name in assigned))
        return result

    def _assigned(self) -> Assigned:
        found: Assigned = {}
        for module, before in self.buffers.items():
            if module._buffers.keys() != before.keys():
                raise _changes(next(iter(module._buffers.keys() ^ before.keys())))
            found |= {(module, name): v for name, v in module._buffers.items() if v is not before[name]}
        return found

    def _require_unchanged(self) -> None:
        for name, owner in self.owners.items():
            if _contents(owner) != self.before[name]:
                raise _changes(name)


def _changes(name: str) -> CaptureError:
    return CaptureError(
        f"one way of a condition on values changes {name}, which is there in both",
        code="C145",
        where=line_of_caller(),
        why="both ways are traced, and the model chooses between their results when it runs",
        next="let both ways give their result a name, and store that after them",
    )


def _contents(owner: Any) -> list[int]:
    return [id(item) for item in (owner.items() if isinstance(owner, dict) else owner) for item in _flat(item)]


def _flat(item: Any) -> tuple[Any, ...]:
    return item if isinstance(item, tuple) else (item,)
