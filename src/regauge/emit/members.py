"""What each emitted class holds: sub-modules, weights, dropouts, with the attribute that each gets.

A module of the original is one of four things here: a recognised layer, a `Sequential` of such, a class of its own,
or *spliced*: its operators are written into its parent (activations, containers, pooling).
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Mapping, Sequence

from regauge.emit.agreement import Agreement
from regauge.emit.argument_order import order_arguments
from regauge.emit.attributes import Path, attribute_paths
from regauge.emit.dropouts import hold_dropouts
from regauge.emit.extended_layers import Extension
from regauge.emit.holders import Holder, Kind, Member
from regauge.emit.idle_calls import gives_what_it_gets
from regauge.emit.layers import Context, Layer, lent_weights
from regauge.emit.passed_on import return_what_was_passed
from regauge.emit.same_code import code_key
from regauge.emit.scopes import SMALL, Item, Scope, connect, item_outputs, modules_of, owns, splice, weights_below
from regauge.emit.sequential import is_chain
from regauge.emit.stacks import Run, Scanning, Stacks, renamed
from regauge.emit.stored import kept_from_start, made_by_none
from regauge.emit.target import target
from regauge.ir.graph import Graph, Node, WeightSpec, node_inputs, references
from regauge.lower.plan import value_specs


class Structure:
    """Decides for every module call what it becomes, and where each weight lives; `hold` then gives the names.

    Args:
        graph: the captured graph.
        root: the tree of its calls.
        literals: tensors that are written into the code, so that no module holds them, with their text.
        reserved: attributes that no module may use.
        scanning: which equal layers become scans; None for none.
        agreed: what another mode of the model asks for.
        mode: as `Context` has it.

    Attributes:
        opened: modules that had to be spliced: called in ways that one class cannot serve, or their parts by others.
        other: the structure of the other mode, whose members hold weights that this one reads and no call of it holds.
    """

    def __init__(
        self,
        graph: Graph,
        root: Scope,
        literals: Mapping[str, ast.expr] | None = None,
        reserved: Iterable[str] = (),
        scanning: Scanning | None = None,
        agreed: Agreement | None = None,
        mode: str = "",
    ) -> None:
        self.graph = graph
        self.root = root
        self.context = Context(
            {w.value: w for w in graph.weights if w.value},
            value_specs(graph),
            frozen=any(finding.code == "C121" for finding in graph.findings),
            lent=lent_weights(graph),
            mode=mode,
        )
        self.literals = literals or {}
        self.reserved = set(reserved)
        self.kinds: dict[Scope, Kind] = {}
        self.layers: dict[Scope, Layer] = {}
        self.extensions: dict[Scope, Extension] = {}
        self.holders: dict[Scope, Holder] = {}
        self.agreed = agreed if agreed is not None else Agreement()
        self.opened: set[str] = set()
        self.other: Structure | None = None
        self.alike: set[Scope] = set()  # calls whose inputs are those of the other mode, in its order
        connect(root, graph, self.literals)
        found = Stacks(graph, root, self.context, self.layers, self.literals, scanning) if scanning else None
        self.stacks = found
        self._classify(root)
        connect(root, graph, self.literals)
        self._splice([call for path in self.agreed.opened for call in self.calls().get(path, ())])
        self._splice_unequal_calls()
        self._splice_half_opened()
        order_arguments(root, self.kinds, {symbol.name for symbol in graph.symbols})
        self.runs: dict[Scope, list[Run]] = {}
        self._find_runs(root)
        scanned = {call for runs in self.runs.values() for run in runs for call in run.calls}
        return_what_was_passed(root, self.kinds, scanned)
        self._pass_by_position({call.step.type for call in scanned})
        self._held: dict[Scope, dict[str, WeightSpec]] = {}
        self._below = weights_below(graph)
        self._unmade = made_by_none(graph)
        self.kept = kept_from_start(graph, target().stores_in_place)

    # classification ------------------------------------------------------------------------------------------

    def _classify(self, scope: Scope) -> None:
        for child in [item for item in scope.items if isinstance(item, Scope)]:
            if child.body is not None:
                self._classify(child)
                continue
            alone = child.path not in self.agreed.classes
            layer = target().recognise(child, self.context) if alone else None
            if layer is not None:
                self.kinds[child], self.layers[child] = "layer", layer
                continue
            self._classify(child)
            if self.stacks and self.stacks.in_sequential(scope, child):
                splice(scope, child)
            elif alone and is_chain(child, self.kinds, self.context):
                self.kinds[child] = "sequential"
            elif self._is_spliced(child):
                splice(scope, child)
            else:
                self.kinds[child] = "class"
                extended = target().extension(child, self.context) if alone else None
                if extended is not None:
                    self.extensions[child], child.items = extended, extended.items

    def _is_spliced(self, scope: Scope) -> bool:
        if not scope.items:
            return True
        if gives_what_it_gets(scope.items):
            return False  # the other mode has more of it
        calls = any(isinstance(item, Scope) for item in scope.items)
        owned = any(
            owns(scope.path, self.context.weights[name].name)
            for node in scope.nodes()
            for name in node_inputs(node)
            if name in self.context.weights and self.context.weights[name].tied_to is None
        )
        is_library = target().is_library_type(scope.step.type)
        if is_library and scope.step.type.endswith((".Sequential", ".ModuleList")):
            return True
        if owned or calls:
            return False
        return is_library or len(scope.items) <= SMALL

    def _splice_unequal_calls(self) -> None:
        """A module that is called more than once must be one thing: calls that differ are spliced."""
        while True:
            several = [calls for calls in self.calls().values() if len(calls) > 1]
            unequal = [calls for calls in several if not self._are_equal(calls)]
            if not unequal:
                return
            outermost = min(unequal, key=lambda calls: len(calls[0].path))
            self._splice(outermost)

    def _are_equal(self, calls: list[Scope]) -> bool:
        if len({(self.kinds[s], len(s.inputs), len(s.outputs)) for s in calls}) > 1:
            return False
        if self.kinds[calls[0]] == "layer":
            return len({self.layers[call].made for call in calls}) == 1
        extended = {self.extensions[call].layer.made if call in self.extensions else () for call in calls}
        if len(extended) > 1 or len({len(s.items) for s in calls}) > 1:
            return False
        return len({code_key(s, self.context.weights, self.layers, self.literals, sizes=False) for s in calls}) == 1

    def _splice_half_opened(self) -> None:
        """A module that is called, and parts of it by others too, is spliced: its parts then stand side by side.

        So is a module that calls what is not its own, as a recurrence of Linen calls the cell that was given to it.
        """
        while True:
            calls = self.calls()
            opened = {
                scope.path
                for scope in self.root.scopes()
                if scope.body is None and self.kinds.get(scope) != "layer"
                if not all(owns(scope.path, call.path) for call in scope.calls())
            }
            opened |= {
                path
                for scope in [self.root, *self.root.scopes()]
                for item in scope.items
                if isinstance(item, Scope)
                for path in modules_of(item.path)
                if path in calls and path != scope.path and not owns(path, scope.path)
            }
            if not opened:
                return
            for path in opened:
                self._splice(calls[path])

    def calls(self) -> dict[str, list[Scope]]:
        """The calls of each module, by its path."""
        by_path: dict[str, list[Scope]] = {}
        for scope in self.root.scopes():
            if scope.body is None:
                by_path.setdefault(scope.path, []).append(scope)
        return by_path

    def _splice(self, calls: Sequence[Scope]) -> None:
        self.opened |= {call.path for call in calls}
        for call in calls:
            if call in self.extensions:
                call.items = self.extensions.pop(call).before
        for call in sorted(
            calls, key=lambda call: len(call.path)
        ):  # the parts of a spliced module are then its parent's
            for parent in [self.root, *self.root.scopes()]:
                if call in parent.items:
                    splice(parent, call)
        connect(self.root, self.graph, self.literals)

    def _find_runs(self, scope: Scope) -> None:
        """The runs of all calls; the layers of a run keep theirs as loops."""
        self.runs[scope] = self.stacks.runs(scope) if self.stacks else []
        inside = {call for run in self.runs[scope] for call in run.calls}
        for child in [item for item in scope.items if isinstance(item, Scope) and item not in inside]:
            self._find_runs(child)

    def _pass_by_position(self, types: Collection[str]) -> None:
        """The function that a scan runs passes what it gets by position."""
        for scope in self.root.scopes():
            if scope.step.type in types:
                scope.keywords = {}

    # contents ------------------------------------------------------------------------------------------------

    def contents(self) -> dict[str, list[str]]:
        """The names, relative to the module, of what each module holds, by its path."""
        found: dict[str, list[str]] = {}
        for scope in [self.root, *self.root.scopes()]:
            self._list_contents(scope, found.setdefault(scope.path, []))
        return found

    def _list_contents(self, scope: Scope, found: list[str]) -> None:
        """Collect the names, relative to the module, of what it holds in any of its calls."""
        if self.kinds.get(scope) in ("layer", "sequential") or scope.body is not None:
            return
        names = [call.path for call in scope.calls()]
        names += self._direct_weights(scope)
        for name in names:
            relative = self._relative(scope, name)
            if relative not in found:
                found.append(relative)

    def _relative(self, scope: Scope, name: str) -> str:
        """The name of a module or a weight inside a module; the layers of a run have one name."""
        relative = name.removeprefix(scope.path + ".") if scope.path else name
        return renamed(relative, self.runs.get(scope, ()))

    def _holds(self, scope: Scope) -> dict[str, WeightSpec]:
        """All weights that a call's module has, its sub-modules' included, by name."""
        if scope not in self._held:
            if self.kinds.get(scope) == "layer" or scope in self.extensions:
                self._held[scope] = {w.name: w for w in self._below.get(scope.path, ())}
            else:
                inner = {name: spec for call in scope.calls() for name, spec in self._holds(call).items()}
                self._held[scope] = {**inner, **self._direct_weights(scope)}
        return self._held[scope]

    def _direct_weights(self, scope: Scope) -> dict[str, WeightSpec]:
        """The weights that a module holds itself: what it reads of its own and none of its sub-modules has."""
        inner = {name for call in scope.calls() for name in self._holds(call)}
        found: dict[str, WeightSpec] = {}
        reads = [name for item in scope.own_items() for name in _item_reads(item)]
        if scope is self.root:  # a weight can be a result as it is, or become state
            reads += [name for operand in self.graph.outputs for name in references(operand)]
            reads += self._unmade
        for name in reads + [name for body in scope.own_bodies() for name in body.results()]:
            spec = self.context.weights.get(name)
            if spec is None or name in self.literals or spec.value in scope.inputs or not owns(scope.path, spec.name):
                continue
            if spec.name not in inner and not self._is_held_in_other(scope, spec.name):
                found[spec.name] = spec
        if self.kinds.get(scope) != "layer":
            left = [w for w in self._written(scope) if w.name not in inner]
            found |= {w.name: w for w in left if not self._is_held_in_other(scope, w.name)}
        return found

    def _is_held_in_other(self, scope: Scope, weight: str) -> bool:
        """Whether a sub-module that only the other mode calls holds the weight: this mode reads it there."""
        other = self.other
        if other is None:
            return False
        return any(weight in other._holds(inner) for call in other.calls_at(scope.path) for inner in call.calls())

    def calls_at(self, path: str) -> list[Scope]:
        return [scope for scope in (self.root, *self.root.scopes()) if scope.path == path and scope.body is None]

    def _written(self, scope: Scope) -> list[WeightSpec]:
        """The buffers of a module that its own code writes, whether or not this mode reads them."""
        named = {weight.name: weight for weight in self.graph.weights}
        return [named[w] for w, _ in self.stored(scope, scope.own_items())]

    def stored(self, scope: Scope, items: Iterable[Item]) -> list[tuple[str, str]]:
        """(weight, value) of the weights that a module owns and its call changes: `items` make their new values.

        What no operator makes is stored by the module that owns the weight, or by the root if that one lacks the value.
        """
        makers = {name: item for item in items for name in item_outputs(item)}
        found = [
            (w, v)
            for w, v in self.graph.mutations
            if v in makers and owns(scope.path, w) and not self._stores_itself(makers[v], w)
        ]
        return found + [(w, v) for w, v in self.graph.mutations if v in self._unmade and self._storing(w, v) is scope]

    def _stores_itself(self, item: Item, weight: str) -> bool:
        """Whether an item is the call of a module that holds the weight, whose code stores it before it gives it."""
        return isinstance(item, Scope) and self.kinds.get(item) == "class" and owns(item.path, weight)

    def _storing(self, weight: str, value: str) -> Scope:
        """The call that stores a value which no operator makes."""
        having = [
            scope
            for scope in self.root.scopes()
            if self.kinds.get(scope) == "class" and owns(scope.path, weight) and self._has(scope, value)
        ]
        return max(having, key=lambda scope: len(scope.path), default=self.root)

    def _has(self, scope: Scope, value: str) -> bool:
        spec = self.context.weights.get(value)
        return value in scope.inputs or value in self.literals or (spec is not None and owns(scope.path, spec.name))

    def hold(self, contents: Mapping[str, Iterable[str]] | None = None) -> None:
        """Name everything that the modules hold.

        Args:
            contents: names relative to the module by the path of the module, where another mode of the model is to
                have the same attributes; this structure's own when None.
        """
        named = {path: attribute_paths(names, self.reserved) for path, names in (contents or self.contents()).items()}
        for scope in [self.root, *self.root.scopes()]:
            kind = self.kinds.get(scope)
            if kind == "sequential":
                self._hold_chain(scope)
            elif kind != "layer" and scope.body is None:
                self._hold(scope, named[scope.path])

    def _hold(self, scope: Scope, names: Mapping[str, Path]) -> None:
        holder = self.holders[scope] = Holder(scope)
        holder.base = self.extensions[scope].layer if scope in self.extensions else None
        self.holders.update(dict.fromkeys(scope.own_bodies(), holder))
        runs = {call: run for run in self.runs.get(scope, ()) for call in run.calls}
        for call in scope.calls():
            run = runs.get(call)
            if call.path not in holder.members and (run is None or call is run.calls[0]):
                path = names[self._relative(scope, call.path)]
                holder.members[call.path] = Member(path, self.kinds[call], call, self.layers.get(call), run)
        for name in self._direct_weights(scope):
            holder.weights[name] = names[self._relative(scope, name)]
        hold_dropouts(holder, {str(path[0]) for path in names.values()} | self.reserved)

    def _hold_chain(self, scope: Scope) -> None:
        """A chain keeps its parts, functions too, in a list (`layers` of nnx.Sequential), or is the list itself."""
        holder = self.holders[scope] = Holder(scope)
        for position, item in enumerate(scope.items):
            if isinstance(item, Scope):
                holder.members[item.path] = Member(
                    (*target().chain, position), self.kinds[item], item, self.layers.get(item)
                )


def _item_reads(item: Node | Scope) -> list[str]:
    if isinstance(item, Node):
        return node_inputs(item)
    return [*item.inputs, *(name for node in item.nodes() for name in node_inputs(node))]
