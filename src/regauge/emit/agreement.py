"""One module in two modes: where training and evaluation are captured apart, both must make the same thing of it.

A module may be a layer in one mode and code of the person's own in the other, or be called in one and only have its
weights read in the other. `disagreement` finds what both structures then have to give up.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from regauge.emit.scopes import Scope, modules_of, owns
from regauge.emit.target import target
from regauge.ir.graph import Node, Ref, node_inputs

if TYPE_CHECKING:
    from regauge.emit.holders import Kind
    from regauge.emit.members import Structure


@dataclass(frozen=True)
class Agreement:
    """What two structures of one model do alike.

    Attributes:
        classes: modules that are classes of their own, whatever layer or chain one mode alone would have.
        opened: modules whose code stands in the module around them.
    """

    classes: frozenset[str] = frozenset()
    opened: frozenset[str] = frozenset()

    def __or__(self, other: Agreement) -> Agreement:
        return Agreement(self.classes | other.classes, self.opened | other.opened)


def disagreement(training: Structure, evaluation: Structure) -> tuple[Agreement, Agreement]:
    """What each of the two modes gives up where they make different things of a module; empty where they agree."""
    ours, theirs = _Modules(training), _Modules(evaluation)
    shared = ours.kinds.keys() & theirs.kinds.keys()
    unlike = {path for path in shared if ours.description(path) != theirs.description(path)}
    opened = {path for path in unlike if not ours.is_layer(path) and not theirs.is_layer(path)}
    opened = {path for path in opened if ours.arguments(path) != theirs.arguments(path)} | _half_opened(ours, theirs)
    beside_theirs = {path for path in unlike if ours.is_beside(path, theirs)}
    beside_ours = {path for path in unlike if theirs.is_beside(path, ours)}
    classes = frozenset(unlike - opened - beside_ours - beside_theirs)
    return (
        Agreement(classes, frozenset(opened | beside_theirs | ours.opened_by(theirs))),
        Agreement(classes, frozenset(opened | beside_ours | theirs.opened_by(ours))),
    )


def _half_opened(ours: _Modules, theirs: _Modules) -> set[str]:
    """Modules that one mode calls, while the other calls parts of them from outside."""
    calls = ours.kinds.keys() | theirs.kinds.keys()
    return {
        around
        for path, places in [*ours.called_in.items(), *theirs.called_in.items()]
        for around in modules_of(path)
        if around in calls and any(place != around and not owns(around, place) for place in places)
    }


@dataclass
class _Modules:
    """The modules of one mode by their path."""

    structure: Structure
    kinds: dict[str, Kind] = field(default_factory=dict)
    scopes: dict[str, Scope] = field(default_factory=dict)
    called_in: dict[str, set[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for scope in [self.structure.root, *self.structure.root.scopes()]:
            if scope in self.structure.kinds:
                self.kinds[scope.path] = self.structure.kinds[scope]
                self.scopes.setdefault(scope.path, scope)
            for call in scope.calls():
                self.called_in.setdefault(call.path, set()).add(scope.path)

    def is_layer(self, path: str) -> bool:
        return self.kinds[path] == "layer"

    def is_beside(self, path: str, other: _Modules) -> bool:
        """Whether a module of the library is code without calls whose weights are all in a layer of the other mode."""
        scope = self.scopes[path]
        if not other.is_layer(path) or self.kinds[path] != "class" or scope.calls():
            return False
        if scope in self.structure.extensions or not target().is_library_type(scope.step.type):
            return False
        weights, layer = self.structure.context.weights, other.structure.layers[other.scopes[path]]
        read = {weights[name].name for node in scope.nodes() for name in node_inputs(node) if name in weights}
        return all(name.removeprefix(f"{path}.") in layer.weights for name in read if owns(path, name))

    def arguments(self, path: str) -> tuple[int, int]:
        scope = self.scopes[path]
        return len(scope.inputs), len(scope.outputs)

    def opened_by(self, other: _Modules) -> set[str]:
        """Modules that the other mode had to splice; a layer stays, its weights are read where they are."""
        return {path for path in other.structure.opened & self.kinds.keys() if not self.is_layer(path)}

    def description(self, path: str) -> Any:
        """What is written once for both modes: the constructor of a layer, the functions of a chain, the signature."""
        scope, kind = self.scopes[path], self.kinds[path]
        if kind == "layer":
            return kind, self.structure.layers[scope].made
        if kind == "sequential":
            return kind, [item.path if isinstance(item, Scope) else _function(item) for item in scope.items]
        extended = self.structure.extensions.get(scope)
        return kind, self.arguments(path), extended and extended.layer.made


def _function(node: Node) -> Any:
    return node.op, [(name, repr(operand)) for name, operand in node.arguments if not isinstance(operand, Ref)]
