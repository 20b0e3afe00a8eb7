"""Calls of library functions stay whole: JAX inlines `jax.nn.softmax`, and its nodes become one node again.

Candidates are functions with static arguments; what each leaves in a graph is traced on the shapes of the place in
question (`capture/jaxpr_templates.py`). A place is taken only if every node, attribute, number and wire is the
function's and no inner value is used elsewhere. What contains another function is looked for before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen, nnx

from regauge.capture import jax_compat
from regauge.capture.jaxpr_dropping import with_dropouts
from regauge.capture.jaxpr_functions import Candidate, Candidates, Function, Place, inputs_at, probe
from regauge.capture.jaxpr_images import RESIZES
from regauge.capture.jaxpr_losses import LOSSES
from regauge.capture.jaxpr_segments import SEGMENTS
from regauge.capture.jaxpr_templates import Match, Template, match, trace
from regauge.capture.jaxpr_walk import Walk
from regauge.ir.graph import DType, Node, Operand, Ref, Value, node_inputs, references

Static = Mapping[str, Any]
_COUNTING = frozenset({"jnp.mean", "jnp.var"})  # they divide by a number of elements, which may be symbolic


def fold(walk: Walk, nodes: Sequence[Node], needed: set[str]) -> tuple[Node, ...]:
    """The nodes with every call of a library function as one node.

    Args:
        walk: that made the nodes.
        nodes: without dead ones.
        needed: values that leave the graph.
    """
    templates: dict[Any, Template | None] = {}

    def folded(nodes: tuple[Node, ...], functions: Sequence[Function]) -> tuple[Node, ...]:
        for function in functions:
            first = _first_ops(function)
            if any(node.op in first for node in nodes):
                nodes = _folded(walk, nodes, needed, function, first, templates)
        return nodes

    found = folded(tuple(nodes), _BEFORE_ATTENTION)
    found = with_dropouts(found, lambda bare: folded(bare, _ATTENTION), needed)
    return folded(found, _BEHIND_ATTENTION)


@lru_cache(maxsize=256)
def _first_ops(function: Function) -> frozenset[str]:
    """The operators that a call of the function may begin with; none if this release cannot trace it."""
    template = _template(function, function.probe)
    if template is None or not template.nodes:
        return frozenset()
    counts = {"lax.dim_as_value"} if function.op in _COUNTING else set()
    return frozenset({template.nodes[0].op} | counts)


def _template(function: Function, candidate: Candidate) -> Template | None:
    names = [name for name, _ in candidate.arrays]
    call = partial(function.call, **dict(candidate.static))
    return trace(lambda *arrays: call(**dict(zip(names, arrays, strict=True))), [aval for _, aval in candidate.arrays])


def _folded(
    walk: Walk,
    nodes: tuple[Node, ...],
    needed: set[str],
    function: Function,
    first: frozenset[str],
    templates: dict[Any, Any],
) -> tuple[Node, ...]:
    readers: dict[str, set[int]] = {}
    for position, node in enumerate(nodes):
        for name in node_inputs(node):
            readers.setdefault(name, set()).add(position)
    taken: set[int] = set()
    whole: dict[int, Node] = {}
    for position, node in enumerate(nodes):
        if node.op not in first or position in taken:
            continue
        for candidate in function.candidates(Place(walk, nodes, position)):
            key = (function, _key(candidate))
            if key not in templates:
                templates[key] = _template(function, candidate)
            template = templates[key]
            found = None if template is None else match(template, nodes, position, walk.specs, walk.constants)
            if found is None or taken & set(found.positions) or not _closed(template, found, nodes, readers, needed):
                continue
            taken |= set(found.positions)
            whole[found.positions[-1]] = _node(function, candidate, template, found, nodes)
            break
    return tuple(whole.get(p, node) for p, node in enumerate(nodes) if p in whole or p not in taken)


def _key(candidate: Candidate) -> Any:
    arrays = tuple((name, aval.shape, str(aval.dtype), bool(aval.weak_type)) for name, aval in candidate.arrays)
    return arrays, tuple((name, type(value).__name__, str(value)) for name, value in candidate.static)


def _closed(
    template: Template, found: Match, nodes: Sequence[Node], readers: Mapping[str, set[int]], needed: set[str]
) -> bool:
    """Whether one result leaves the call and nothing else, all in one module call."""
    if len(template.outputs) != 1 or not isinstance(template.outputs[0], Ref):
        return False
    if any(name not in found.bound for name in template.inputs):
        return False
    result = found.bound.get(template.outputs[0].name)
    inside = set(found.positions)
    made = {value.name for position in inside for value in nodes[position].outputs}
    if not isinstance(result, Ref) or result.name not in made:
        return False
    if any((name in needed or readers.get(name, set()) - inside) for name in made - {result.name}):
        return False
    calls = {step.call for position in inside for step in nodes[position].origin.modules[-1:]}
    return len(calls) <= 1 and result.name in {value.name for value in nodes[found.positions[-1]].outputs}


def _node(function: Function, candidate: Candidate, template: Template, found: Match, nodes: Sequence[Node]) -> Node:
    last = nodes[found.positions[-1]]
    (output,) = template.outputs
    result = found.bound[next(iter(references(output)))]
    value = next(v for v in last.outputs if isinstance(result, Ref) and v.name == result.name)
    arguments = [
        (name, found.bound[source]) for (name, _), source in zip(candidate.arrays, template.inputs, strict=True)
    ]
    arguments += [(name, _operand(static)) for name, static in candidate.static]
    return Node(function.op, tuple(arguments), (Value(value.name, value.spec),), origin=last.origin)


def _operand(static: Any) -> Operand:
    if isinstance(static, jnp.dtype):
        return DType(jnp.dtype(static).name)
    if jax.export.is_symbolic_dim(static):
        return jax_compat.dimension(static)
    return tuple(static) if isinstance(static, list) else static


# arguments with which functions may have been called -------------------------------------------------------------


def _elementwise(**static: Any) -> Candidates:
    def candidates(place: Place) -> Iterator[Candidate]:
        for aval in inputs_at(place):
            yield Candidate((("x", aval),), tuple(static.items()))

    return candidates


def _with_number(name: str, default: float) -> Candidates:
    """One array and a number, which is among those of the nodes that follow."""

    def candidates(place: Place) -> Iterator[Candidate]:
        numbers = {default: None}
        for node in place.following()[:10]:
            numbers |= {operand: None for _, operand in node.arguments if isinstance(operand, float)}
        for aval in inputs_at(place):
            for number in numbers:
                yield Candidate((("x", aval),), ((name, number),))

    return candidates


def _axes(place: Place) -> list[tuple[int, ...]]:
    """The axes over which the next nodes reduce."""
    found: list[tuple[int, ...]] = []
    for node in place.following()[:16]:
        axes = dict(node.arguments).get("axes")
        if node.op.startswith("lax.reduce_") and isinstance(axes, tuple):
            found.append(tuple(axis for axis in axes if isinstance(axis, int)))
    return list(dict.fromkeys(axes for axes in found if axes))


def _over_one_axis(name: str = "axis", **static: Any) -> Candidates:
    def candidates(place: Place) -> Iterator[Candidate]:
        for aval in inputs_at(place):
            for axes in _axes(place):
                if len(axes) == 1 and axes[0] < len(aval.shape):
                    yield Candidate((("x", aval),), ((name, _from_end(axes[0], len(aval.shape))), *static.items()))

    return candidates


def _from_end(axis: int, rank: int) -> int:
    """The last axis is -1, as a person writes it."""
    return -1 if axis == rank - 1 else axis


def _over_axes(*options: Mapping[str, Any]) -> Candidates:
    """Several axes, with each of these other arguments."""

    def candidates(place: Place) -> Iterator[Candidate]:
        for aval in inputs_at(place):
            rank = len(aval.shape)
            for axes in [axes for axes in _axes(place) if axes[-1] < rank]:
                axis: Any = _from_end(axes[0], rank) if len(axes) == 1 else axes
                for static in options:
                    yield Candidate((("x", aval),), (("axis", axis), *static.items()))

    return candidates


def _halves(place: Place) -> Iterator[Candidate]:
    """`glu`: the axis along which the first node splits."""
    axis = dict(place.node.arguments).get("axis")
    for aval in inputs_at(place):
        if isinstance(axis, int):
            yield Candidate((("x", aval),), (("axis", _from_end(axis, len(aval.shape))),))


def _classes(place: Place) -> Iterator[Candidate]:
    """`one_hot`: the number of classes and the dtype are those of the comparison and of its cast."""
    for name in dict.fromkeys(node_inputs(place.node)):
        aval = place.aval(name)
        if not jnp.issubdtype(aval.dtype, jnp.integer):
            continue
        for node in place.following()[:8]:
            if node.op == "lax.convert_element_type" and node.outputs[0].spec.ndim == len(aval.shape) + 1:
                size, dtype = node.outputs[0].spec.shape[-1], node.outputs[0].spec.dtype
                if isinstance(size, int):
                    yield Candidate((("x", aval),), (("num_classes", size), ("dtype", jnp.dtype(dtype))))


def _attention(place: Place) -> Iterator[Candidate]:
    """Queries are what the first node takes; keys, values, mask and bias are among what the next nodes take."""
    first = node_inputs(place.node)
    query = place.aval(first[0]) if first else None
    if query is None or len(query.shape) != 4:
        return
    made = {value.name for node in place.following() for value in node.outputs}
    outside = dict.fromkeys(n for node in place.following() for n in node_inputs(node) if n not in made)
    avals = [place.aval(name) for name in outside if len(place.aval(name).shape) == 4 and name != first[0]]
    floats = [a for a in avals if a.dtype == query.dtype]
    keys = {(a.shape, str(a.dtype)): a for a in [query, *floats] if a.shape[-1] == query.shape[-1]}
    biases = {(a.shape, str(a.dtype)): a for a in floats if a.shape[-2:] == (query.shape[1], _time(keys, a))}
    masks = {(a.shape, "bool"): a for a in avals if a.dtype == jnp.bool_} | biases  # Flax makes masks of floats
    for key in keys.values():
        for mask in (None, *masks.values()):
            for bias in (None, *biases.values()):
                arrays = [("query", query), ("key", key), ("value", key)]
                arrays += [("bias", bias)] if bias is not None else []
                arrays += [("mask", mask)] if mask is not None else []
                for causal in (False, True):
                    yield Candidate(tuple(arrays), (("is_causal", causal),) if causal else ())


def _time(keys: Mapping[Any, Any], bias: Any) -> Any:
    return next((a.shape[1] for a in keys.values() if a.shape[1] == bias.shape[-1]), None)


_X = ("x", (3, 4))
_QKV = (("query", (2, 3, 4, 5)), ("key", (2, 3, 4, 5)), ("value", (2, 3, 4, 5)))


def _attention_of_flax(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(query: Any, key: Any, value: Any, bias: Any = None, mask: Any = None, is_causal: bool = False) -> Any:
        if is_causal:
            raise TypeError("Flax has a mask for it")
        return function(query, key, value, bias=bias, mask=mask, deterministic=True)

    return call


def _kept(kind: str, x: Any, axis: Any, keepdims: bool) -> Any:
    """A reduction that keeps its axes; one that does not is an operator already."""
    return getattr(jnp, kind)(x, axis=axis, keepdims=keepdims)


_BEFORE_ATTENTION = (*LOSSES, *SEGMENTS, *RESIZES)
_ATTENTION = (
    Function("jax.nn.dot_product_attention", jax.nn.dot_product_attention, _attention, probe(*_QKV)),
    Function(
        "flax.dot_product_attention",
        _attention_of_flax(nnx.dot_product_attention),
        _attention,
        probe(*_QKV, ("mask", (2, 1, 3, 3))),
    ),
    Function("flax.dot_product_attention", _attention_of_flax(linen.dot_product_attention), _attention, probe(*_QKV)),
)
_BEHIND_ATTENTION = (
    Function("jax.nn.gelu", jax.nn.gelu, _elementwise(approximate=True), probe(_X, approximate=True)),
    Function("jax.nn.gelu", jax.nn.gelu, _elementwise(approximate=False), probe(_X, approximate=False)),
    Function("jax.nn.selu", jax.nn.selu, _elementwise(), probe(_X)),
    Function("jax.nn.elu", jax.nn.elu, _with_number("alpha", 1.0), probe(_X)),
    Function("jax.nn.celu", jax.nn.celu, _with_number("alpha", 1.0), probe(_X)),
    Function("jax.nn.mish", jax.nn.mish, _elementwise(), probe(_X)),
    Function("jax.nn.log_sigmoid", jax.nn.log_sigmoid, _elementwise(), probe(_X)),
    Function("jax.nn.softplus", jax.nn.softplus, _elementwise(), probe(_X)),
    Function("jax.nn.hard_silu", jax.nn.hard_silu, _elementwise(), probe(_X)),
    Function("jax.nn.glu", jax.nn.glu, _halves, probe(_X)),
    Function("jax.nn.silu", jax.nn.silu, _elementwise(), probe(_X)),
    Function("jax.nn.log_softmax", jax.nn.log_softmax, _over_one_axis(), probe(_X)),
    Function("jax.nn.softmax", jax.nn.softmax, _over_one_axis(), probe(_X)),
    Function(
        "jax.nn.logsumexp",
        lambda x, axis, keepdims=False: jax.nn.logsumexp(x, axis=axis, keepdims=keepdims),
        _over_axes({}, {"keepdims": True}),
        probe(_X, axis=-1),
    ),
    Function("jax.nn.one_hot", jax.nn.one_hot, _classes, probe(("x", (3,)), dtype=jnp.int32, num_classes=4)),
    Function(
        "jnp.var",
        lambda x, axis, ddof=0, keepdims=False: jnp.var(x, axis=axis, ddof=ddof, keepdims=keepdims),
        _over_axes({}, {"keepdims": True}, {"ddof": 1}, {"ddof": 1, "keepdims": True}),
        probe(_X, axis=-1),
    ),
    Function(
        "jnp.mean",
        lambda x, axis, keepdims=False: jnp.mean(x, axis=axis, keepdims=keepdims),
        _over_axes({}, {"keepdims": True}),
        probe(_X, axis=-1),
    ),
    *(
        Function(f"jnp.{kind}", partial(_kept, kind), over, probe(_X, axis=-1, keepdims=True))
        for kind, over in (
            ("sum", _over_axes({"keepdims": True})),
            ("max", _over_axes({"keepdims": True})),
            ("min", _over_axes({"keepdims": True})),
            ("prod", _over_one_axis(keepdims=True)),
        )
    ),
)
