"""Layers of a model that one `lax.scan` runs, written down one by one, each with weights of its own.

Large models of JAX stack the weights of equal layers along an axis and scan over them. What a person writes with torch
is a list of layers. So a scan over weights is gone through once for each of them: layer 2 of ``layers.Dense_0.kernel``
reads the weight ``layers.2.Dense_0.kernel`` (`jaxpr_layer_names` places the number), and the weight says of which array
of the original it is a slice.

A weight that something reads whole besides stays whole, and so does the scan. That is known only when the trace has
been walked: `Layers.conflicts` names such weights, and the walk is repeated with them left out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax import lax

from regauge.capture import jax_compat
from regauge.capture.jaxpr_draws_anew import draws_anew
from regauge.capture.jaxpr_flow import value_of
from regauge.capture.jaxpr_layer_names import Place, outermost_modules, place_of, steps_inside
from regauge.capture.jaxpr_values import Known
from regauge.ir.graph import Graph, ModuleStep, Node, Operand, Origin, Ref, Slice, TensorSpec

if TYPE_CHECKING:
    from regauge.capture.jaxpr_walk import Walk

Given = Operand | Known
# More layers than any network has: each is traced, written down and planned by itself.
MOST = 1024


@dataclass(frozen=True)
class Weight:
    """A weight of the program, or a slice of one.

    Attributes:
        name: its own.
        whole: the name of the program's array.
        steps: as `Slice.steps`; empty for the array itself.
    """

    name: str
    whole: str
    steps: tuple[tuple[int, int, int], ...] = ()


@dataclass(frozen=True)
class _Stack:
    """What a scan runs over, where that is a weight.

    Attributes:
        value: of the weight.
        axis: of the layers.
        casts: dtypes that the weight is cast to before the scan, one after the other.
    """

    value: str
    axis: int
    casts: tuple[Any, ...] = ()


@dataclass(frozen=True)
class _Layer:
    """One layer of a scan.

    Attributes:
        place: of all of them.
        index: its number.
        key: a text that no layer of another scan has.
        around: where the scan was called.
        step: the first call of the module that is the layer, as all layers have it; None where there is none.
    """

    place: Place
    index: int
    key: str
    around: Origin
    step: ModuleStep | None

    @property
    def made(self) -> tuple[ModuleStep, ...]:
        """The call of the layer, where the original has no module for it."""
        path = f"{self.place.path}.{self.index}"
        return (ModuleStep(path, self.place.type, f"{path}@{self.key}"),) if self.place.type else ()

    @property
    def origin(self) -> Origin:
        """Of what the layer computes before its function runs."""
        own = self.made or tuple(map(self.numbered, [self.step] if self.step is not None else []))
        return replace(self.around, modules=(*self.around.modules, *own))

    def numbered(self, step: ModuleStep) -> ModuleStep:
        """A call that all layers make, of this one."""
        return replace(step, path=self.place.module(step.path, self.index), call=f"{step.call}@{self.key}")


class Layers:
    """The scans over weights in one walk of a trace.

    Args:
        weights: names of the program's parameters and state by value; random streams are none.
        trained: the names among them that are parameters.
        modules: objects by the key of a call; receives those of the layers' calls.
        reads: values by the name of a weight; receives those of the slices.
        kept: names of weights that stay whole.
    """

    def __init__(
        self,
        weights: Mapping[str, str],
        trained: Iterable[str],
        modules: MutableMapping[str, Any],
        reads: MutableMapping[str, str],
        kept: Collection[str] = (),
    ) -> None:
        self._weights = {value: Weight(name, name) for value, name in weights.items()}
        self._trained, self._kept = set(trained), set(kept)
        self._modules, self._reads = modules, reads
        self._slices: dict[str, tuple[str, ...]] = {}  # values of the slices, by the value of what they are of
        self._places: dict[str, tuple[int, Place]] = {}
        self._parts: dict[str, tuple[Ref, ...]] = {}  # what each layer gives, by the value that stacks it
        self._torn: set[str] = set()  # names of states that change otherwise than layer by layer
        self._scans = 0

    # the scan --------------------------------------------------------------------------------------------------------

    def unrolled(
        self, walk: Walk, equation: Any, inputs: Sequence[Given], origin: Origin, around: str
    ) -> list[Given] | None:
        """Write down the steps of a scan one by one; its results, or None where they are no layers.

        Args:
            walk: receives the nodes.
            equation: of the scan.
            inputs: its operands.
            origin: of the equation.
            around: the scopes of the equation, which those of its function follow.
        """
        params, length = equation.params, equation.params["length"]
        fixed, first = params["num_consts"], params["num_consts"] + params["num_carry"]
        inner = outermost_modules(jax_compat.opened(params["jaxpr"])[0], walk.steps, around, origin.modules)
        stacks, place = self._layers(walk, equation, inputs, inner, origin)
        if place is None:
            return None
        for stack in stacks:
            if stack is not None:
                self._slice(walk, stack, length, place)
        self._scans += 1
        jaxpr, held = jax_compat.opened(params["jaxpr"])
        carry: list[Given] = list(inputs[fixed:first])
        rows: list[list[Given]] = [[] for _ in range(length)]
        results: list[list[Given]] = [[] for _ in range(length)]
        steps = walk.steps
        for index in reversed(range(length)) if params["reverse"] else range(length):
            layer = _Layer(place, index, f"{self._scans}.{index}", origin, inner.get(place.path))
            given = zip(stacks, inputs[first:], strict=True)
            rows[index] = [self._row(walk, stack, value, layer) for stack, value in given]
            walk.steps = partial(self._steps, steps, layer)
            try:
                found = walk.run(jaxpr, held, [*inputs[:fixed], *carry, *rows[index]], around, origin.frames)
            finally:
                walk.steps = steps
            carry, results[index] = found[: len(carry)], found[len(carry) :]
        columns = [list(column) for column in zip(*rows, strict=True)]
        made = zip(equation.outvars[len(carry) :], zip(*results, strict=True), strict=True)
        return carry + [
            self._column(walk, list(parts), variable.aval, columns, inputs[first:], origin) for variable, parts in made
        ]

    def _layers(
        self, walk: Walk, equation: Any, inputs: Sequence[Given], inner: Collection[str], origin: Origin
    ) -> tuple[list[_Stack | None], Place | None]:
        """What of a scan's slices are weights, and where its layers stand: nowhere, if it is none over layers."""
        params, length = equation.params, equation.params["length"]
        first = params["num_consts"] + params["num_carry"]
        if not isinstance(length, int) or not 1 <= length <= MOST:
            return [], None
        sliced, made = inputs[first:], {value.name: node for node in walk.nodes for value in node.outputs}
        stacks = [self._stack(walk, value, made) for value in sliced]
        place = self._place([stack for stack in stacks if stack is not None], inner, origin)
        beside = [value for value, stack in zip(sliced, stacks, strict=True) if stack is None]
        if any(_is_computed(walk, value) for value in beside) and not self._has_matrix(walk, stacks):
            return [], None
        shared = [n for n, value in enumerate(sliced) if _is_one_for_all(value, made)]
        jaxpr, _ = jax_compat.opened(params["jaxpr"])
        anew = place is not None and draws_anew(jaxpr, params["num_consts"], params["num_carry"], shared)
        return stacks, place if anew else None

    def _stack(self, walk: Walk, value: Given, made: Mapping[str, Node]) -> _Stack | None:
        """The weight that a value is; what only moves the layers' axis to the front, or casts, may be between."""
        axis, casts = 0, []
        while isinstance(value, Ref) and value.name not in self._weights:
            node = made.get(value.name)
            if node is None or node.op not in ("lax.transpose", "lax.convert_element_type"):
                return None
            if node.op == "lax.transpose":
                permutation: Any = node.argument("permutation")
                others = [n for place, n in enumerate(permutation) if place != axis]
                if others != sorted(others):
                    return None
                axis = permutation[axis]
            else:
                casts.append(walk.avals[value.name].dtype)
            value = node.argument("x")
        return _Stack(value.name, axis, tuple(reversed(casts))) if isinstance(value, Ref) else None

    def _place(self, stacks: Sequence[_Stack], inner: Collection[str], origin: Origin) -> Place | None:
        """Where the layers stand; None where this is no scan over parameters, or one over those that stay whole."""
        weights = [self._weights[stack.value] for stack in stacks]
        if not any(w.whole in self._trained for w in weights) or any(w.whole in self._kept for w in weights):
            return None
        own = {stack.value for stack in stacks}
        derived = {value for values in self._slices.values() for value in values}
        others = [w.name for value, w in self._weights.items() if value not in own | derived | set(self._slices)]
        place = place_of([w.name for w in weights], others, inner, origin.path)
        known = [(self._places[s.value], (s.axis, place)) for s in stacks if s.value in self._places]
        return place if all(before == now for before, now in known) else None

    def _has_matrix(self, walk: Walk, stacks: Sequence[_Stack | None]) -> bool:
        """Whether a step has a parameter of two axes or more: a step in time may have a row of a table at most."""
        own = [s.value for s in stacks if s is not None and self._weights[s.value].whole in self._trained]
        return any(len(walk.avals[value].shape) > 2 for value in own)

    def _slice(self, walk: Walk, stack: _Stack, length: int, place: Place) -> None:
        """Declare the weights that a stacked one consists of."""
        if stack.value in self._slices:
            return
        weight, aval = self._weights[stack.value], walk.avals[stack.value]
        shape = (*aval.shape[: stack.axis], *aval.shape[stack.axis + 1 :])
        values = []
        for index in range(length):
            name = place.weight(weight.name, index)
            base = name.replace(".", "_")
            base = base if base.isidentifier() else f"weight_{len(self._weights)}"
            value = walk.take(base, jax.ShapeDtypeStruct(shape, aval.dtype)).name
            self._weights[value] = Weight(name, weight.whole, (*weight.steps, (stack.axis, index, length)))
            self._reads[name] = value
            values.append(value)
        self._slices[stack.value] = tuple(values)
        self._places[stack.value] = (stack.axis, place)

    def _row(self, walk: Walk, stack: _Stack | None, value: Given, layer: _Layer) -> Given:
        """What one layer is given of something that the scan runs over."""
        index = layer.index
        if isinstance(value, Known):
            return Known(value.value[index])
        if stack is None:
            return _written(walk, lambda x: lax.index_in_dim(x, index, keepdims=False), [value], layer.around)
        row: Given = Ref(self._slices[stack.value][index])
        for dtype in stack.casts:
            row = _written(walk, lambda x, dtype=dtype: lax.convert_element_type(x, dtype), [row], layer.origin)
        return row

    def _steps(
        self, steps: Callable[[str], tuple[ModuleStep, ...]], layer: _Layer, stack: str
    ) -> tuple[ModuleStep, ...]:
        """The module calls of a name stack within a layer; `steps` gives those of all layers."""
        found = steps(stack)
        inside = steps_inside(found, layer.around.modules)
        for step in inside:
            if step.call in self._modules:
                self._modules[layer.numbered(step).call] = self._modules[step.call]
        return (*found[: len(found) - len(inside)], *layer.made, *map(layer.numbered, inside))

    def _column(
        self,
        walk: Walk,
        parts: list[Given],
        aval: Any,
        columns: Sequence[Sequence[Given]],
        given: Sequence[Given],
        origin: Origin,
    ) -> Given:
        """What the layers give, stacked; what they only pass on is what the scan was given."""
        for column, value in zip(columns, given, strict=True):
            if parts == column and all(isinstance(part, Ref) for part in parts):
                return value
        one = jax.ShapeDtypeStruct(aval.shape[1:], aval.dtype)
        refs = [value_of(walk, part, one, origin) for part in parts]
        whole = _written(walk, lambda *rows: jnp.stack(rows), refs, origin)
        if isinstance(whole, Ref):
            self._parts[whole.name] = tuple(refs)
        return whole

    # the weights -----------------------------------------------------------------------------------------------------

    def pieces(self, value: str, read: Collection[str]) -> list[tuple[str, Weight]]:
        """The values that stand for a weight of the program: itself, or its slices where these are read."""
        found = list(self._leaves(value))
        return found if any(leaf in read for leaf, _ in found) else [(value, self._weights[value])]

    def _leaves(self, value: str) -> Iterator[tuple[str, Weight]]:
        if value not in self._slices:
            yield value, self._weights[value]
        for inner in self._slices.get(value, ()):
            yield from self._leaves(inner)

    def conflicts(self, read: Collection[str], changed: Collection[str]) -> frozenset[str]:
        """Names of the program's weights that cannot be taken apart: something reads them whole, or not all of them.

        Args:
            read: all values that nodes read or that leave the graph.
            changed: names of the state that changes, as `changes` has them.
        """
        wrong = {w.whole for v, w in self._weights.items() if w.steps and w.name in changed and v not in read}
        wrong |= self._torn
        for value in self._slices:
            leaves = [leaf in read for leaf, _ in self._leaves(value)]
            if value in read or (any(leaves) and not all(leaves)):
                wrong.add(self._weights[value].whole)
        return frozenset(wrong)

    def changes(self, name: str, value: str, result: str) -> list[tuple[str, str]]:
        """Pairs of the name of a state, or of its slices, and the value that it holds after the call.

        Args:
            name: of the state.
            value: of the state before the call.
            result: value of the state after it.
        """
        slices, parts = self._slices.get(value, ()), self._parts.get(result, ())
        if not slices:
            return [(name, result)]
        if len(slices) != len(parts) or self._places[value][0] or any(s in self._slices for s in slices):
            self._torn.add(name)
            return []
        pairs = zip(slices, parts, strict=True)
        return [(self._weights[before].name, after.name) for before, after in pairs if before != after.name]


def taken_apart_otherwise(training: Graph, evaluation: Graph) -> frozenset[str]:
    """Names of weights that the two modes of a model do not take apart alike."""
    ours, theirs = _apart(training), _apart(evaluation)
    whole = {weight.name for weight in evaluation.weights if weight.value and weight.slice_of is None}
    otherwise = {name for name, slices in theirs.items() if ours.get(name) != slices}
    return frozenset(otherwise | (set(ours) & whole))


def _apart(graph: Graph) -> dict[str, list[str]]:
    """The names of the slices by the name of the array that they are of."""
    found: dict[str, list[str]] = {}
    for weight in graph.weights:
        if weight.slice_of is not None:
            found.setdefault(weight.slice_of.name, []).append(weight.name)
    return found


def slice_of(weight: Weight, whole: TensorSpec) -> Slice | None:
    """What a weight is of the program's array, whose shape and dtype are given."""
    shape = tuple(size for size in whole.shape if isinstance(size, int))
    return Slice(weight.whole, shape, weight.steps) if weight.steps else None


def _is_computed(walk: Walk, value: Given) -> bool:
    """Whether a scan runs over floats that are neither a weight nor held by the program, as those of a sequence are."""
    if not isinstance(value, Ref) or value.name in walk.constants:
        return False
    return bool(jnp.issubdtype(walk.avals[value.name].dtype, jnp.inexact))


def _is_one_for_all(value: Given, made: Mapping[str, Node]) -> bool:
    """Whether every step is given the same: one value, repeated."""
    node = made.get(value.name) if isinstance(value, Ref) else None
    return node is not None and node.op == "lax.broadcast_in_dim"


def _written(walk: Walk, function: Callable[..., Any], given: Sequence[Given], origin: Origin) -> Given:
    """The result of a function of JAX on values of the walk, as nodes."""
    avals = [jax_compat.shape_of(walk.avals[value.name]) for value in given if isinstance(value, Ref)]
    closed = jax.make_jaxpr(function)(*avals)
    steps = walk.steps
    walk.steps = lambda stack: origin.modules
    try:
        (result,) = walk.run(closed.jaxpr, closed.consts, list(given), "", origin.frames)
    finally:
        walk.steps = steps
    return result
