"""Modules that do nothing in evaluation, as stochastic depth does, and give back what they got.

Exported in evaluation, such a call leaves no operator behind, so that everything after it differs between the modes and
would be written twice. Put back, it is what a person writes: a module that asks for the mode itself.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace

from regauge.emit.names import unique
from regauge.emit.scopes import SMALL, with_places
from regauge.ir.graph import Call, Graph, Node, Operand, Origin, Ref, Value, node_inputs, references

_UNCHANGED = "aten.alias.default"

Place = tuple[int, tuple[int, ...]]  # which argument of a node, and which element of it


def with_idle_calls(training: Graph, evaluation: Graph) -> Graph:
    """The graph of evaluation with the calls that only training leaves operators of, where they give what they got.

    A call comes back only if all that reads its result in training is found in evaluation, and reads what the capture
    saw the call give there.
    """
    known = {step.call for node in evaluation.nodes for step in node.origin.modules}
    notes = {call.key: call for call in evaluation.calls if call.key not in known}
    idle = [call for call in _calls(training, notes) if call.around <= known]
    if not idle:
        return evaluation
    found = _Counterparts(training, evaluation)
    for call in idle:
        found.put_back(call, notes[call.key])
    return found.graph()


def gives_what_it_gets(items: Sequence[object]) -> bool:
    """Whether a call is one that was put back."""
    return len(items) == 1 and isinstance(items[0], Node) and items[0].op == _UNCHANGED


@dataclass(frozen=True)
class _TrainingCall:
    """A call in training with one argument that is no weight, and one result.

    Attributes:
        first: position of its first operator.
        around: keys of the calls that it stands in.
        origin: of the node that makes its result.
    """

    key: str
    first: int
    around: frozenset[str]
    origin: Origin
    result: str
    argument: str


def _calls(graph: Graph, wanted: Collection[str]) -> Iterator[_TrainingCall]:
    """Those of the calls wanted whose operators are enough for a class."""
    held = {weight.value for weight in graph.weights}
    leaving = {name for operand in graph.outputs for name in references(operand)} | {v for _, v in graph.mutations}
    passed = {call.key: dict(call.arguments) for call in graph.calls}
    inside: dict[str, list[Node]] = {}
    first: dict[str, int] = {}
    for position, node in enumerate(graph.nodes):
        for key in [step.call for step in node.origin.modules if step.call in wanted]:
            inside.setdefault(key, []).append(node)
            first.setdefault(key, position)
    for key, nodes in inside.items():
        steps = nodes[-1].origin.modules
        depth = next(n for n, step in enumerate(steps) if step.call == key)
        made = {value.name for node in nodes for value in node.outputs}
        read = {name for node in nodes for name in node_inputs(node)} - made - held
        own = {id(node) for node in nodes}
        outside = {name for node in graph.nodes if id(node) not in own for name in node_inputs(node)}
        results = made & (outside | leaving)
        is_class = len(nodes) > SMALL or any(len(node.origin.modules) > depth + 1 for node in nodes)
        if depth and is_class and len(results) == len(read) == 1 and not results & leaving:
            (result,), (value,) = results, read
            argument = next((name for name, given in passed.get(key, {}).items() if given == value), "")
            origin = replace(nodes[-1].origin, modules=steps[: depth + 1])
            if argument:
                yield _TrainingCall(key, first[key], frozenset(s.call for s in steps[:depth]), origin, result, argument)


class _Counterparts:
    """Which node in evaluation is which in training, and what is put back."""

    def __init__(self, training: Graph, evaluation: Graph) -> None:
        self._evaluation = evaluation
        self._nodes = list(evaluation.nodes)
        self._readers: dict[str, list[tuple[Hashable, Place]]] = {}
        for node, key in with_places(training.nodes):
            for place, name in _places(node):
                self._readers.setdefault(name, []).append((key, place))
        self._at = {key: position for position, (_, key) in enumerate(with_places(evaluation.nodes))}
        self._order = [key for _, key in with_places(training.nodes)]
        self._made = {value.name: at for at, node in enumerate(evaluation.nodes) for value in node.outputs}
        self._specs = {value.name: value.spec for node in evaluation.nodes for value in node.outputs}
        self._specs |= {value.name: value.spec for value in evaluation.inputs}
        self._taken = {*self._specs, *(weight.value for weight in evaluation.weights)}
        self._before: dict[int, list[Node]] = {}
        self._calls: dict[str, Call] = {}

    def put_back(self, call: _TrainingCall, note: Call) -> None:
        """Let all that reads the result of a call read it in evaluation too, if it reads what the call gave there."""
        places = [(self._at.get(key), place) for key, place in self._readers.get(call.result, ())]
        read = {_operand(self._nodes[at], place) if at is not None else None for at, place in places}
        (value,) = read if len(read) == 1 else (None,)
        if not isinstance(value, Ref) or value.name not in note.results or value.name not in self._specs:
            return
        if any(at is not None and self._nodes[at].bodies for at, _ in places):
            return  # a function that reads it has it under its own name
        name = unique(f"{value.name}_unchanged", self._taken)
        self._taken.add(name)
        for at, place in places:
            if at is not None:
                self._nodes[at] = _with_operand(self._nodes[at], place, Ref(name))
        behind = next((self._at[key] for key in reversed(self._order[: call.first]) if key in self._at), -1)
        position = max(behind, self._made.get(value.name, -1)) + 1
        position = min(position, *(at for at, _ in places if at is not None))
        result = Value(name, self._specs[value.name])
        node = Node(_UNCHANGED, (("self", value),), (result,), origin=call.origin)
        self._before.setdefault(position, []).append(node)
        self._specs[name] = result.spec
        arguments = tuple((n, value.name if n == call.argument else given) for n, given in note.arguments)
        self._calls[call.key] = replace(note, arguments=arguments, results=(name,))

    def graph(self) -> Graph:
        nodes = [node for at, own in enumerate(self._nodes) for node in (*self._before.get(at, ()), own)]
        calls = tuple(self._calls.get(call.key, call) for call in self._evaluation.calls)
        return replace(self._evaluation, nodes=tuple(nodes), calls=calls)


def _places(node: Node) -> Iterator[tuple[Place, str]]:
    def inside(operand: Operand, path: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], str]]:
        if isinstance(operand, Ref):
            yield path, operand.name
        elif isinstance(operand, tuple):
            for number, item in enumerate(operand):
                yield from inside(item, (*path, number))

    for position, (_, operand) in enumerate(node.arguments):
        for path, name in inside(operand, ()):
            yield (position, path), name


def _operand(node: Node, place: Place) -> Operand:
    position, path = place
    operand: Operand = node.arguments[position][1] if position < len(node.arguments) else None
    for number in path:
        operand = operand[number] if isinstance(operand, tuple) and number < len(operand) else None
    return operand


def _with_operand(node: Node, place: Place, value: Ref) -> Node:
    position, path = place

    def changed(operand: Operand, path: tuple[int, ...]) -> Operand:
        if not path or not isinstance(operand, tuple):
            return value
        return tuple(changed(item, path[1:]) if n == path[0] else item for n, item in enumerate(operand))

    name, operand = node.arguments[position]
    return node.with_arguments(**{name: changed(operand, path)})
