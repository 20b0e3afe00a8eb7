"""Equal layers that call each other in a row: which of them can be one scan over stacked weights, and why others not.

A run is a part of a list of modules (`nn.ModuleList`, or the parts of an `nn.Sequential`): neighbours that are the same
code with weights of the same shapes, each of which takes what the one before it gave, beside arguments that are the
same for all.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise, takewhile

from regauge.emit.layers import Context, Layer
from regauge.emit.same_code import code_key
from regauge.emit.scopes import Scope, item_inputs, modules_of, weights_below
from regauge.findings import Finding
from regauge.ir.graph import Graph, Node, node_inputs

_IN_LIST = re.compile(r"(?P<list>.+)\.(?P<index>\d+)")

# Why the layers of a list stay a loop.
_DIFFERENT = Finding(
    "E110",
    "info",
    "",
    "Its layers stay a loop and no scan: neighbours differ in their code, in the shapes of their weights or in an "
    "option such as a rate.",
)
_TRAINING = Finding(
    "E111",
    "info",
    "",
    "Its layers stay a loop and no scan: some of them train differently, because they are frozen or belong to another "
    "group of the optimizer.",
)
_SHARED = Finding(
    "E112", "info", "", "Its layers stay a loop and no scan: other places of the model share their weights."
)
_ELSEWHERE = Finding(
    "E113",
    "info",
    "",
    "Its layers stay a loop and no scan: they are called more than once, or other places of the model use what they "
    "return.",
)
_ARGUMENTS = Finding(
    "E114",
    "info",
    "",
    "Its layers stay a loop and no scan: beside what the layer before them returned they take arguments that differ.",
)
_RANDOM = Finding(
    "E115",
    "info",
    "",
    "Its layers stay a loop and no scan: they draw random numbers other than dropout's, or branch.",
)
_CARRIED = Finding(
    "E116",
    "info",
    "",
    "Its layers stay a loop and no scan: they return an array of another shape or dtype than they take.",
)
MODES = Finding(
    "E117",
    "info",
    "",
    "Layers stay loops and no scans: the model is other code in evaluation than in training, so it was captured twice.",
)
_BETWEEN = Finding("E118", "info", "", "Its layers stay a loop and no scan: other operators stand between them.")
_WHY = (_DIFFERENT, _TRAINING, _SHARED, _ELSEWHERE, _ARGUMENTS, _RANDOM, _CARRIED, MODES, _BETWEEN)
REFUSED = frozenset(reason.code for reason in _WHY)


@dataclass(frozen=True)
class Scanning:
    """Which runs of equal layers become scans.

    Attributes:
        shortest: number of layers from which on.
        convolutions: whether layers with convolutions may be among them.
        alike: by the name of a weight what must agree among layers besides shape and dtype: how it trains.
        draws: whether an operator takes a random key of its own.
    """

    shortest: int
    convolutions: bool = True
    alike: Mapping[str, Hashable] = field(default_factory=dict)
    draws: Callable[[Node], bool] = lambda node: False


@dataclass(frozen=True, eq=False)
class Run:
    """Calls of equal layers, one after the other.

    Attributes:
        calls: the calls in order.
        list: path of the list in the module that calls them.
        first: index of the first layer in the list.
        whole: whether the run is the whole list.
        carry: which of a call's inputs is what the call before it returned.
    """

    calls: tuple[Scope, ...]
    list: str
    first: int
    whole: bool
    carry: int

    @property
    def depth(self) -> int:
        return len(self.calls)

    @property
    def key(self) -> tuple[str, int, int]:
        """What is written differently because of it."""
        return self.list, self.first, self.depth


class Stacks:
    """Finds the runs of a model's calls.

    Args:
        graph: the captured graph.
        root: the tree of its calls.
        context: specs and weights.
        layers: calls that are layers of NNX, filled as they are recognised.
        literals: tensors that are written into the code.
        scanning: what is asked for.

    Attributes:
        refused: path of a list -> why its layers are no scan, as far as they look like one.
    """

    def __init__(
        self,
        graph: Graph,
        root: Scope,
        context: Context,
        layers: Mapping[Scope, Layer],
        literals: Mapping[str, ast.expr],
        scanning: Scanning,
    ) -> None:
        self.refused: dict[str, Finding] = {}
        self._context, self._layers, self._literals, self._scanning = context, layers, literals, scanning
        self._called = Counter(scope.path for scope in root.scopes())
        self._below = weights_below(graph)
        self._shared: set[str] = set()
        for weight in graph.weights:
            if weight.tied_to is not None:
                self._shared.update(modules_of(weight.name), modules_of(weight.tied_to))
        for node in graph.nodes:
            inside = {step.path for step in node.origin.modules}
            for name in node_inputs(node):
                if name in context.weights:
                    self._shared.update(path for path in modules_of(context.weights[name].name) if path not in inside)

    def runs(self, scope: Scope) -> list[Run]:
        """The runs among the calls that a call makes itself."""
        found: list[Run] = []
        refused: dict[str, Finding] = {}
        readers = Counter(name for item in scope.items for name in set(item_inputs(item)))
        readers.update(scope.outputs)
        position = 0
        while position < len(scope.items):
            calls = self._neighbours(scope, position)
            alike = self._alike(calls)
            if len(calls) >= self._scanning.shortest and len(calls) > 1:
                run = self._run(scope, alike, readers) if len(alike) >= self._scanning.shortest else self._why(calls)
                name = _place(scope, calls[0])[0]  # type: ignore[index]
                if isinstance(run, Run):
                    found.append(run)
                else:
                    refused.setdefault(name, run)
            position += max(len(alike), 1)
        self._refuse(scope, {**self._apart(scope), **refused}, {run.list for run in found})
        return found

    def _alike(self, calls: list[Scope]) -> list[Scope]:
        """The calls from the first one on that are the same code."""
        if len(calls) < 2:
            return calls
        first = self._key(calls[0])
        return list(takewhile(lambda call: self._key(call) == first, calls))

    def _refuse(self, scope: Scope, reasons: Mapping[str, Finding], scanned: Collection[str]) -> None:
        for name, reason in reasons.items():
            if name not in scanned:
                self.refused.setdefault(f"{scope.path}.{name}" if scope.path else name, reason)

    def _why(self, calls: list[Scope]) -> Finding:
        """Why calls of one class are not the same code."""
        return _SHARED if any(call.path in self._shared for call in calls) else _DIFFERENT

    def _apart(self, scope: Scope) -> dict[str, Finding]:
        """Lists with enough layers of one class, whether or not they call each other in a row."""
        found = Counter(
            (place[0], item.step.type)
            for item in scope.items
            if isinstance(item, Scope) and item not in self._layers and (place := _place(scope, item))
        )
        return {name: _BETWEEN for (name, _), count in found.items() if count >= max(self._scanning.shortest, 2)}

    @property
    def findings(self) -> list[Finding]:
        """Why lists of layers that look like a scan are none."""
        return [replace(reason, where=path) for path, reason in self.refused.items()]

    def in_sequential(self, scope: Scope, chain: Scope) -> bool:
        """Whether an `nn.Sequential` that a call makes has runs among its parts, seen as a list of its parent's."""
        if chain.step.type != "torch.nn.modules.container.Sequential":
            return False
        return bool(self.runs(Scope(scope.step, chain.items, chain.inputs, chain.outputs)))

    def _key(self, call: Scope) -> Hashable:
        return code_key(call, self._context.weights, self._layers, self._literals)

    def _neighbours(self, scope: Scope, position: int) -> list[Scope]:
        """Calls of one class from here on, of following members of one list."""
        first = scope.items[position]
        place = _place(scope, first)
        if not isinstance(first, Scope) or place is None or first in self._layers:
            return []
        calls = [first]
        for item in scope.items[position + 1 :]:
            following = (place[0], place[1] + len(calls))
            if not isinstance(item, Scope) or _place(scope, item) != following or item.step.type != first.step.type:
                break
            calls.append(item)
        return calls

    def _run(self, scope: Scope, calls: list[Scope], readers: Mapping[str, int]) -> Run | Finding:
        """The run of these calls, which are the same code; the reason if they are none."""
        place = _place(scope, calls[0])
        if len({self._weights(call) for call in calls}) > 1:
            return _TRAINING
        if any(call.path in self._shared for call in calls):
            return _SHARED
        if any(self._scanning.draws(node) or node.bodies for node in calls[0].nodes()):
            return _RANDOM
        results = [call.outputs[0] for call in calls if len(call.outputs) == 1]
        alone = all(readers[name] == 1 for name in results[:-1])
        if place is None or len(results) < len(calls) or not alone or any(self._called[c.path] > 1 for c in calls):
            return _ELSEWHERE
        carry = _carry(calls)
        if carry is None:
            return _ARGUMENTS
        if len({str(self._context.specs[name]) for name in (calls[0].inputs[carry], *results)}) > 1:
            return _CARRIED
        members = {found for item in scope.items if (found := _place(scope, item)) and found[0] == place[0]}
        return Run(tuple(calls), place[0], place[1], len(members) == len(calls), carry)

    def _weights(self, call: Scope) -> tuple[Hashable, ...]:
        """What must agree in the weights of all layers of a run."""
        return tuple(
            (w.name.removeprefix(call.path), str(w.spec), w.role, w.trainable, self._scanning.alike.get(w.name))
            for w in self._below.get(call.path, ())
            if w.value in self._context.weights
        )


def renamed(name: str, runs: Sequence[Run]) -> str:
    """The name of a part of a list in which every run is one part; a list that is one run has no parts."""
    for path in dict.fromkeys(run.list for run in runs):
        found = re.fullmatch(rf"{re.escape(path)}\.(?P<index>\d+)(?P<rest>\..*)?", name)
        if found is None:
            continue
        rest = found["rest"] or ""
        own = [run for run in runs if run.list == path]
        if own[0].whole:
            return path + rest
        index = int(found["index"])
        saved = sum(min(index - run.first, run.depth - 1) for run in own if index > run.first)
        return f"{path}.{index - saved}{rest}"
    return name


def _carry(calls: list[Scope]) -> int | None:
    """Which input of each call is the result of the one before; all others must be the same for every call."""
    if calls[1].inputs.count(calls[0].outputs[0]) != 1:
        return None
    carry = calls[1].inputs.index(calls[0].outputs[0])
    for call, following in pairwise(calls):
        expected = list(call.inputs)
        if carry >= len(expected):
            return None
        expected[carry] = call.outputs[0]
        if following.inputs != expected:
            return None
    return carry if calls[0].inputs.count(calls[0].inputs[carry]) == 1 else None


def _place(scope: Scope, item: Node | Scope) -> tuple[str, int] | None:
    """The list and the index of the module that a call calls, as seen from the module that makes it."""
    if not isinstance(item, Scope):
        return None
    found = _IN_LIST.fullmatch(item.path.removeprefix(f"{scope.path}.") if scope.path else item.path)
    return (found["list"], int(found["index"])) if found else None
