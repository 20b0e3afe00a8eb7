"""From a flat graph to the tree of module calls that the person wrote.

A `Scope` is one call of one module: the operators that ran in it and the calls that it made, in order, with the
values that enter and leave. Everything that emission prints follows this tree.

The functions of control flow are scopes too, *bodies*, which stand before the operator that runs them. They belong to
the module around them: what they read of it, they read as its other code does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeGuard, Union

from regauge.emit.carried_sizes import carry_sizes
from regauge.ir.graph import (
    Graph,
    ModuleStep,
    Node,
    Operand,
    Scalar,
    Setting,
    WeightSpec,
    every_node,
    node_inputs,
    references,
)

Item = Union[Node, "Scope"]

SMALL = 3  # operators of a module without weights that are written into its parent


@dataclass(eq=False)
class Scope:
    """One call of a module.

    Attributes:
        step: the module and the call; the root has path "".
        items: operators and calls, in order.
        inputs: values made outside that are read inside (also weights that the module does not own).
        outputs: values made inside that are read outside, in the order in which the original returns them, where the
            capture saw it; others behind them, in order of their making. `regauge.emit.passed_on` adds inputs that the
            original returns again.
        body: the function of control flow that this is, or None.
        depth: how many lines of the original lead to the call of that function.
        passed: the parameters of the original's forward that got values, as `Call.arguments` has them; None where the
            capture did not see it.
        given: the values that the original's forward returned, as far as the capture saw it.
        settings, values: attributes of the module, as `Call` has them.
        keywords: the inputs that are passed by keyword, with their parameters.
    """

    step: ModuleStep
    items: list[Item] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    body: Graph | None = None
    depth: int = 0
    passed: Mapping[str, str | None] | None = None
    given: tuple[str, ...] = ()
    settings: Mapping[str, Setting] = field(default_factory=dict)
    values: Mapping[str, Scalar] = field(default_factory=dict)
    keywords: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        return self.step.path

    @property
    def parameters(self) -> list[str]:
        """The values that a body gets each time it runs."""
        return [value.name for value in self.body.inputs] if self.body is not None else []

    @property
    def returned(self) -> tuple[Operand, ...]:
        """What a body gives."""
        return self.body.outputs if self.body is not None else ()

    def results(self) -> list[str]:
        """The values that the last statement gives: of a body what it returns, else what others read."""
        if self.body is None:
            return self.outputs
        return [name for operand in self.returned for name in references(operand)]

    def own_items(self) -> Iterator[Item]:
        """The operators and calls of the module's own code, those in its bodies included."""
        for item in self.items:
            if isinstance(item, Scope) and is_body(item):
                yield from item.own_items()
            else:
                yield item

    def own_bodies(self) -> Iterator[Scope]:
        """The bodies in the module's own code, bodies in bodies included."""
        for item in self.items:
            if isinstance(item, Scope) and item.body is not None:
                yield item
                yield from item.own_bodies()

    def calls(self) -> list[Scope]:
        """The calls of other modules in the module's own code."""
        return [item for item in self.own_items() if isinstance(item, Scope)]

    def nodes(self) -> Iterator[Node]:
        """All operators in this call and in the calls that it makes."""
        for item in self.items:
            if isinstance(item, Node):
                yield item
            else:
                yield from item.nodes()

    def scopes(self) -> Iterator[Scope]:
        """All calls inside this one, outermost first, without itself."""
        for item in self.items:
            if isinstance(item, Scope):
                yield item
                yield from item.scopes()


def is_body(item: Item) -> TypeGuard[Scope]:
    """Whether an item is a function that the operator behind it runs."""
    return isinstance(item, Scope) and item.body is not None


def is_recomputed(item: Item) -> bool:
    """Whether what an item saves for the gradient is computed again instead."""
    return item.step.recomputed if isinstance(item, Scope) else item.op == "regauge.checkpoint"


def item_inputs(item: Item) -> list[str]:
    """Values that an item reads."""
    return item.inputs if isinstance(item, Scope) else node_inputs(item)


def item_outputs(item: Item) -> list[str]:
    """Values that an item makes and others may read."""
    if isinstance(item, Scope):
        return [name for name in item.outputs if name not in item.inputs]
    return [value.name for value in item.outputs]


def owns(path: str, weight: str) -> bool:
    """Whether the module at `path` holds the weight, itself or in a child."""
    return path == "" or weight.startswith(path + ".")


def modules_of(name: str) -> list[str]:
    """The modules that a module or weight is in, from the outermost, without the root and itself."""
    parts = name.split(".")
    return [".".join(parts[:depth]) for depth in range(1, len(parts))]


def weights_below(graph: Graph) -> dict[str, list[WeightSpec]]:
    """The weights that each module has, itself or in a child, by its path; the root, which has all, is left out."""
    found: dict[str, list[WeightSpec]] = {}
    for weight in graph.weights:
        for path in modules_of(weight.name):
            found.setdefault(path, []).append(weight)
    return found


def with_places(nodes: Iterable[Node]) -> Iterator[tuple[Node, Hashable]]:
    """Where each node was made, which is the same in another capture of the model.

    It is its operator, the calls and the lines that it stands in, and how many of these there were before.
    """
    seen: Counter[Hashable] = Counter()
    for node in nodes:
        calls = tuple(step.call for step in node.origin.modules)
        place = (node.op, calls, tuple((frame.file, frame.line) for frame in node.origin.frames))
        seen[place] += 1
        yield node, (*place, seen[place])


def build_scopes(graph: Graph) -> Scope:
    """The tree of module calls of a graph; `connect` has been applied to it."""
    root_steps = [n.origin.modules[0] for n in graph.nodes if n.origin.modules]
    root = Scope(root_steps[0] if root_steps else ModuleStep("", "Model", ""))
    _fill(root, graph.nodes, [])
    _join_torn_calls(root)
    connect(root, graph)
    return root


def function_scope(graph: Graph, name: str) -> Scope:
    """A captured function without modules as one scope."""
    root = Scope(ModuleStep("", name, ""))
    _fill(root, graph.nodes, None)
    connect(root, graph)
    return root


def body_scope(graph: Graph, node: Node) -> Scope:
    """A function that an operator runs, as one scope that stands by itself."""
    root = Scope(ModuleStep("", node.op, ""), body=graph, depth=_depth(node, graph))
    _fill(root, graph.nodes, None)
    connect(root, graph)
    return root


def _fill(top: Scope, nodes: Iterable[Node], around: list[ModuleStep] | None) -> None:
    """Put nodes into a scope, and into scopes below it for the modules that they ran in.

    Args:
        top: the scope.
        nodes: in order.
        around: the calls that the scope itself stands in, below the root; None: modules do not count.
    """
    stack: list[Scope] = [top]
    for node in nodes:
        steps = [step for step in node.origin.modules if step.path] if around is not None else []
        steps = steps[_common(steps, around or []) :]
        depth = _common(steps, [scope.step for scope in stack[1:]])
        del stack[depth + 1 :]
        for step in steps[depth:]:
            scope = Scope(step)
            stack[-1].items.append(scope)
            stack.append(scope)
        inside = None if around is None else [*around, *(scope.step for scope in stack[1:])]
        for graph in node.bodies if node.op != "regauge.own_gradient" else ():
            body = Scope(stack[-1].step, body=graph, depth=_depth(node, graph))
            _fill(body, graph.nodes, inside)
            stack[-1].items.append(body)
        apart = not node.bodies or node.op == "regauge.own_gradient"
        stack[-1].items.append(node if apart else node.with_arguments(closure=()))


def _depth(node: Node, body: Graph) -> int:
    """How many lines lead to the call of a body; the lines of a jaxpr begin inside of it."""
    around = node.origin.frames
    first = next((inner.origin.frames for inner in every_node(body) if inner.origin.frames), around)
    return len(around) if first[: len(around)] == around else 0


def _common(steps: list[ModuleStep], others: list[ModuleStep]) -> int:
    """How many calls two ways have in common."""
    depth = 0
    while depth < min(len(steps), len(others)) and steps[depth].call == others[depth].call:
        depth += 1
    return depth


def splice(parent: Scope, child: Scope) -> None:
    """Put the items of a call in its place: the call disappears, its operators stay."""
    at = parent.items.index(child)
    parent.items[at : at + 1] = child.items
    for body in child.own_bodies():
        body.step = parent.step


def _join_torn_calls(scope: Scope) -> None:
    """One call whose operators are not consecutive would be printed twice: its parts go into the parent instead."""
    seen: dict[str, list[Scope]] = {}
    for item in scope.items:
        if isinstance(item, Scope) and item.body is None:
            seen.setdefault(item.step.call, []).append(item)
    for parts in seen.values():
        if len(parts) > 1:
            for part in parts:
                splice(scope, part)
            _join_torn_calls(scope)
            return
    for item in scope.items:
        if isinstance(item, Scope):
            _join_torn_calls(item)


def connect(root: Scope, graph: Graph, literals: Collection[str] = ()) -> None:
    """Fill inputs and outputs of every scope, from the inside out; `literals` are written wherever they are read."""
    foreign = {spec.value: spec.name for spec in graph.weights if spec.value}
    wanted = {name for operand in graph.outputs for name in references(operand)}
    mutated = {value: weight for weight, value in graph.mutations}
    root.inputs = [value.name for value in graph.inputs]
    root.outputs = []
    calls = {call.key: call for call in graph.calls}
    for scope in root.scopes():
        if scope.body is None and (call := calls.get(scope.step.call)) is not None:
            scope.passed, scope.given = dict(call.arguments), call.results
            scope.settings, scope.values = dict(call.settings), dict(call.values)
    _connect(root, foreign, wanted, mutated, literals)
    _return_alike(root)
    carry_sizes(root, graph, foreign)
    root.outputs = list(dict.fromkeys(name for operand in graph.outputs for name in references(operand)))


def _return_alike(root: Scope) -> None:
    """Calls of one module return the same of what the original returned, read or not: they are one function.

    The last of several steps makes a state that nothing reads any more.
    """
    calls: dict[str, list[Scope]] = {}
    for scope in root.scopes():
        if scope.body is None and scope.given:
            calls.setdefault(scope.path, []).append(scope)
    for alike in calls.values():
        if len(alike) < 2 or len({len(call.given) for call in alike}) > 1:
            continue
        places = {n for call in alike for n, value in enumerate(call.given) if value in call.outputs}
        for call in alike:
            made = {value.name for node in call.nodes() for value in node.outputs}
            wanted = {*call.outputs, *(call.given[n] for n in places)}
            found = [value for value in call.given if value in wanted and value in made]
            call.outputs = list(dict.fromkeys((*found, *call.outputs)))


def _connect(
    scope: Scope, weights: dict[str, str], used_outside: set[str], mutated: dict[str, str], literals: Collection[str]
) -> None:
    used_outside = used_outside | {name for operand in scope.returned for name in references(operand)}
    readers: dict[str, int] = {}
    for item in scope.items:
        for name in set(_reads(item)):
            readers[name] = readers.get(name, 0) + 1
    for item in scope.items:
        if not isinstance(item, Scope):
            continue
        made = _made(item)
        reads = _reads(item)
        read_inside = set(reads)
        read_by_others = {n for n in made if readers.get(n, 0) > (1 if n in read_inside else 0)}
        # the new value of a buffer stays inside the module that owns the buffer
        stored_outside = {n for n in made if n in mutated and not owns(item.path, mutated[n])}
        inner_used = used_outside | read_by_others | stored_outside
        _connect(item, weights, inner_used, mutated, literals)
        order = [value.name for node in item.nodes() for value in node.outputs]
        item.outputs = [n for n in dict.fromkeys((*item.given, *order)) if n in inner_used and n in made]
        item.inputs = [
            n
            for n in dict.fromkeys(reads)
            if n not in made and n not in literals and not (n in weights and owns(item.path, weights[n]))
        ]


def _reads(item: Item) -> list[str]:
    """All values that the operators of an item read, and that its bodies return."""
    if isinstance(item, Node):
        return node_inputs(item)
    inner = [name for part in item.items for name in _reads(part)]
    return inner + [name for operand in item.returned for name in references(operand)]


def _made(item: Scope) -> set[str]:
    """All values that there are inside a scope only, or that it makes."""
    made = {value.name for node in item.nodes() for value in node.outputs}
    return made.union(*(body.parameters for body in (item, *item.scopes())))
