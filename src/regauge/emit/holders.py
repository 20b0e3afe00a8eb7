"""What the modules of an emitted file hold: sub-modules, weights, dropouts and random streams by attribute."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from regauge.emit.attributes import Path
from regauge.emit.layers import Layer
from regauge.emit.scopes import Scope
from regauge.emit.stacks import Run

Kind = Literal["layer", "class", "sequential"]


@dataclass(eq=False)
class Member:
    """A sub-module of an emitted class, directly or inside its lists and dicts (`path`: `("h", 0)` is `h[0]`).

    With a `run` it is all layers of that run, their weights stacked.
    """

    path: Path
    kind: Kind
    scope: Scope
    layer: Layer | None = None
    run: Run | None = None

    @property
    def target(self) -> str:
        return dotted(self.path)


class Drop(NamedTuple):
    """A dropout that an operator of a module's own code takes.

    Attributes:
        attribute: of the module.
        rate: how much is dropped.
        shared: whether all examples and heads of an attention have one mask.
        member: whether it is a sub-module that other code calls too.
    """

    attribute: str
    rate: float
    shared: bool = False
    member: bool = False


@dataclass(eq=False)
class Holder:
    """The contents of one module instance.

    Attributes:
        members: sub-modules by their path in the original.
        weights: weights held directly, by name in the original.
        dropouts: by the result of the operator that drops.
        rng: attribute of the random stream that other random operators draw from, or an empty string.
        base: the library's layer that the module extends, which holds all its weights; None for most.
    """

    scope: Scope
    members: dict[str, Member] = field(default_factory=dict)
    weights: dict[str, Path] = field(default_factory=dict)
    dropouts: dict[str, Drop] = field(default_factory=dict)
    rng: str = ""
    base: Layer | None = None

    def taken(self) -> set[str]:
        """All attributes of the module."""
        paths = [*(member.path for member in self.members.values()), *self.weights.values()]
        return {str(path[0]) for path in paths} | {drop.attribute for drop in self.dropouts.values()}


def lists_of(holder: Holder) -> dict[str, int]:
    """The lists in a module, as `self.blocks` is written, with their lengths."""
    found: dict[str, int] = {}
    for path in [*(member.path for member in holder.members.values()), *holder.weights.values()]:
        text = "self"
        for part in path:
            if isinstance(part, int):
                found[text] = max(found.get(text, 0), part + 1)
            text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return found


def dotted(path: Path) -> str:
    """`h.0.attn`, as weights are named."""
    return ".".join(map(str, path))


def joined(training: Holder, evaluation: Holder) -> Holder:
    """The contents of a module that both modes need."""
    members = {**evaluation.members, **training.members}
    order = [*training.members, *(path for path in evaluation.members if path not in training.members)]
    return Holder(
        training.scope,
        {path: members[path] for path in order},
        {**evaluation.weights, **training.weights},
        training.dropouts,
        training.rng or evaluation.rng,
        training.base,
    )


def unused_reason(name: str, is_literal: bool) -> str:
    """Why no module holds a weight of the original."""
    if is_literal:
        return "a literal of the source, written into the code"
    if name.endswith("num_batches_tracked"):
        return "a counter that nothing reads"
    return "the forward pass does not read it"
