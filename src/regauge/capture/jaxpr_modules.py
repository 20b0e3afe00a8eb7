"""Calls of library modules as one layer node each: `nnx.Linear` is `layer.linear`.

What ran in the call is compared, node by node, with a fresh module of the library (`capture/jaxpr_forms.py`); only
where both are the same does the layer take the place of the nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax

from regauge.capture import jax_compat
from regauge.capture.jaxpr_attention import with_masks
from regauge.capture.jaxpr_draws import DRAWS
from regauge.capture.jaxpr_forms import Form, forms, is_float, key_aval, mapped, parts
from regauge.capture.jaxpr_templates import Match, Template, match, trace
from regauge.capture.jaxpr_walk import Walk
from regauge.ir.graph import ModuleStep, Node, Operand, Origin, Ref, Value, node_inputs, references

# Operators that make keys from a key: they may stand before a layer that draws.
_KEYS = frozenset({
    "lax.random_fold_in", "lax.random_split", "lax.random_wrap", "lax.random_unwrap", "lax.add", "lax.slice",
    "lax.squeeze", "lax.dynamic_slice", "lax.broadcast_in_dim", "lax.convert_element_type", "lax.reshape",
    "lax.random_seed", "lax.random_bits", "lax.select_n", "lax.lt", "lax.gather", "lax.mul", "lax.concatenate",
})  # fmt: skip
_STATISTICS = ("mean", "var")


@dataclass(frozen=True)
class Call:
    """One call: its module, and the values of the module's own arrays by leaf name."""

    step: ModuleStep
    module: Any
    arrays: Mapping[str, str]


def fold(
    walk: Walk,
    nodes: Sequence[Node],
    needed: set[str],
    modules: Mapping[str, Any],
    reads: Mapping[str, str],
    memo: dict[Any, Template | None],
    root: Any = None,
) -> tuple[Node, ...]:
    """The nodes with every call of a library module that is a layer as one node.

    Args:
        walk: that made the nodes.
        nodes: without dead ones.
        needed: values that leave the graph.
        modules: objects by the key of the call.
        reads: values by the name of the weight.
        memo: receives templates, which both modes and bodies share.
        root: the model itself, where it is a module of NNX or Linen.
    """
    nodes, modules = with_masks(*_in_parts(nodes, modules), root)
    inside, steps = _innermost(nodes)
    whole: dict[int, list[Node]] = {}
    gone: set[int] = set()
    outside = _Readers(nodes, needed)
    for key, positions in reversed(inside.items()):  # the last call of a dropout goes first: it reads what others count
        if key not in modules or not steps[key].path:
            continue
        prefix = f"{steps[key].path}."
        arrays = {name.removeprefix(prefix): value for name, value in reads.items() if name.startswith(prefix)}
        layer = _layer(walk, nodes, positions, Call(steps[key], modules[key], arrays), outside, memo)
        if layer is not None:
            whole[positions[-1]], replaced = layer
            gone |= {*positions, *replaced}
            outside.gone = gone
    folded: list[Node] = []
    for position, node in enumerate(nodes):
        folded += whole.get(position, [] if position in gone else [node])
    return tuple(folded)


def _innermost(nodes: Sequence[Node]) -> tuple[dict[str, list[int]], dict[str, ModuleStep]]:
    """Where the nodes of each innermost call are, and the calls, by key."""
    inside: dict[str, list[int]] = {}
    steps: dict[str, ModuleStep] = {}
    for position, node in enumerate(nodes):
        for step in node.origin.modules[-1:]:
            inside.setdefault(step.call, []).append(position)
            steps[step.call] = step
    return inside, steps


def _in_parts(nodes: Sequence[Node], modules: Mapping[str, Any]) -> tuple[Sequence[Node], Mapping[str, Any]]:
    """The nodes with a call inside their own for each part of a module that is several layers of torch."""
    divided, known = list(nodes), dict(modules)
    inside, steps = _innermost(nodes)
    for key, positions in inside.items():
        begin = 0
        for name, module, end in parts(modules.get(key), [nodes[position] for position in positions]):
            kind = f"{type(module).__module__}.{type(module).__qualname__}"
            step = ModuleStep(f"{steps[key].path}.{name}", kind, f"{key}.{name}")
            known[step.call] = module
            for position in positions[begin:end]:
                origin = nodes[position].origin
                divided[position] = replace(nodes[position], origin=Origin((*origin.modules, step), origin.frames))
            begin = end
    return divided, known


class _Readers:
    """Which values of some nodes others read."""

    def __init__(self, nodes: Sequence[Node], needed: set[str]) -> None:
        self.needed = needed
        self.gone: set[int] = set()
        self.readers: dict[str, set[int]] = {}
        for position, node in enumerate(nodes):
            for name in node_inputs(node):
                self.readers.setdefault(name, set()).add(position)

    def leaving(self, nodes: Sequence[Node], positions: Sequence[int]) -> set[str]:
        inside = set(positions)
        made = {value.name for position in positions for value in nodes[position].outputs}
        return {name for name in made if name in self.needed or self.readers.get(name, set()) - inside - self.gone}


def _layer(
    walk: Walk, nodes: Sequence[Node], positions: Sequence[int], call: Call, readers: _Readers, memo: dict[Any, Any]
) -> tuple[list[Node], list[int]] | None:
    """The nodes that stand for a call, and where nodes after it are that they replace too; or None."""
    own = [nodes[position] for position in positions]
    made = {value.name for node in own for value in node.outputs}
    weights = set(call.arrays.values())
    given = [n for node in own for n in node_inputs(node) if n not in made and n not in weights]
    inputs = [n for n in dict.fromkeys(given) if not _is_random(walk, n) and n not in walk.constants]
    if len(inputs) != 1:
        return None
    avals = {leaf: walk.avals[value] for leaf, value in call.arrays.items() if not _is_random(walk, value)}
    x = walk.avals[inputs[0]]
    for form in forms(call.module, avals):
        if len({str(a.dtype) for a in [x, *(avals[leaf] for leaf in form.leaves)] if is_float(a)}) > 1:
            continue  # torch's layers compute in one dtype
        if form.batched and len(x.shape) != form.rank + 1:
            continue
        if form.keyed and walk.is_inner:
            continue  # in a loop the key may be the same each time, and torch's layer draws anew
        keys = _key_axes(own, walk) if form.keyed else ()
        for template, axes in _endings(_template(form, x, avals, keys, (call.module, memo)), form):
            found = _whole(template, form, call, inputs[0], own, walk)
            if found is None or _wraps(own, form):
                continue
            results = [found.bound.get(name) for output in template.outputs for name in references(output)]
            names = [result.name for result in results if isinstance(result, Ref)]
            leaving = readers.leaving(nodes, positions)
            if not leaving <= set(names):
                continue
            matched = [own[i] for i in found.positions]
            if not axes:
                return _nodes(walk, form, call, inputs[0], names, matched), []
            return _in_order(
                walk, nodes, readers, names[0], axes, partial(_nodes, walk, form, call, inputs[0], own=matched)
            )
    return None


def _in_order(
    walk: Walk,
    nodes: Sequence[Node],
    readers: _Readers,
    result: str,
    axes: tuple[int, ...],
    layer: Callable[..., list[Node]],
) -> tuple[list[Node], list[int]]:
    """The nodes of a layer whose result the call left in another order of axes, and of the nodes that bring it back.

    Args:
        walk: that made the nodes.
        nodes: all of them.
        readers: of their values.
        result: of the call.
        axes: that bring it into the order of the layer's own.
        layer: the nodes of the layer for the names of its results.
    """
    reading = sorted(readers.readers.get(result, set()) - readers.gone)
    back = [p for p in reading if nodes[p].op == "lax.transpose" and nodes[p].argument("permutation") == axes]
    name = nodes[back[0]].outputs[0].name if back else walk.names.new("features")
    if not back:
        aval = walk.avals[result]
        walk.avals[name] = jax.ShapeDtypeStruct(tuple(aval.shape[axis] for axis in axes), aval.dtype)
        walk.specs[name] = jax_compat.spec_of(walk.avals[name])
    made = layer([name])
    if result in readers.needed or reading != back[:1]:
        arguments = (("x", Ref(name)), ("permutation", tuple(axes.index(axis) for axis in range(len(axes)))))
        origin = Origin(made[-1].origin.modules[:-1], made[-1].origin.frames)
        made.append(Node("lax.transpose", arguments, (Value(result, walk.specs[result]),), origin=origin))
    return made, back[:1]


def _endings(template: Template | None, form: Form) -> Iterator[tuple[Template, tuple[int, ...]]]:
    """The template; and without the transposition that ends it, with its axes.

    `jax.vmap` moves the axis of the examples to the front where something reads it there, which for the last operation
    of a module may be after its call; a module that is mapped alone does it at its end.
    """
    if template is None:
        return
    yield template, ()
    last = template.nodes[-1] if template.nodes else None
    if last is not None and last.op == "lax.transpose" and template.outputs == (Ref(last.outputs[0].name),):
        axes: Any = last.argument("permutation")
        if not form.flat[1]:
            yield replace(template, nodes=template.nodes[:-1], outputs=(last.argument("x"),)), axes


def _is_random(walk: Walk, name: str) -> bool:
    aval = walk.avals[name]
    return jax_compat.is_key(aval) or str(aval.dtype) == "uint32"


def _key_axes(own: Sequence[Node], walk: Walk) -> tuple[Any, ...]:
    """The axes that the keys have with which a call draws: under `jax.vmap` each example may have its own."""
    drawn = [node_inputs(node)[0] for node in own if node.op in DRAWS]
    return tuple(walk.avals[drawn[-1]].shape) if drawn else ()


def _template(
    form: Form, x: Any, avals: Mapping[str, Any], keys: tuple[Any, ...], memo: tuple[Any, dict[Any, Any]]
) -> Template | None:
    """What a fresh module leaves: arguments are the input, the arrays in order, and the key or keys."""
    module, known = memo
    attributes = tuple((k, str(v)) for k, v in form.attributes.items())
    shapes = tuple((leaf, str(avals[leaf].shape), str(avals[leaf].dtype)) for leaf in form.leaves)
    key = (type(module), _config(module), form.op, attributes, str(x.shape), str(x.dtype), shapes, str(keys))
    if key not in known:
        fresh, leaves = mapped(form, len(x.shape), len(keys)), list(form.leaves)

        def run(x: Any, *rest: Any) -> Any:
            return fresh(x, dict(zip(leaves, rest, strict=False)), rest[-1] if form.keyed else None)

        arguments = [x, *(avals[leaf] for leaf in leaves), *([key_aval(keys)] if form.keyed else [])]
        known[key] = trace(run, arguments)
    return known[key]  # type: ignore[no-any-return]


def _config(module: Any) -> str:
    """The numbers and words among a module's attributes: what tells two modules of one class apart."""
    plain = (bool, int, float, str, tuple, list, type(None))
    return repr(sorted((k, str(v)) for k, v in vars(module).items() if isinstance(v, plain) and not k.startswith("_")))


def _whole(template: Template, form: Form, call: Call, x: str, own: Sequence[Node], walk: Walk) -> Match | None:
    """The match of a template with all nodes of a call; nodes that make a key may stand before it."""
    values = [x, *(call.arrays[leaf] for leaf in form.leaves)]
    bound: dict[str, Operand] = {name: Ref(v) for name, v in zip(template.inputs, values, strict=False)}
    for first in range(len(own)):
        found = match(template, own, first, walk.specs, walk.constants, bound)
        if found is not None and found.positions == list(range(first, len(own))):
            return found
        if not form.keyed or own[first].op not in _KEYS:
            return None
    return None


def _nodes(walk: Walk, form: Form, call: Call, x: str, names: Sequence[str], own: Sequence[Node]) -> list[Node]:
    """The layer, and the reshapes around it where it takes several axes as one."""
    inner = own[-1].origin
    outer = Origin(inner.modules[:-1], inner.frames)
    before, after = _flat(walk, form, x, names[0], outer)
    source = before.outputs[0].name if before is not None else x
    results = [Value(name, walk.specs[name]) for name in names]
    if after is not None:
        results = [Value(_input(after), walk.specs[_input(after)])]
    operands = {operand: Ref(call.arrays[leaf]) for leaf, operand in form.leaves.items()}
    arguments: dict[str, Operand] = {"x": Ref(source), **operands, **form.attributes}
    if form.reads:
        arguments |= _read(own, form)
    layer = Node(form.op, tuple(arguments.items()), tuple(results), origin=inner)
    return [node for node in (before, layer, after) if node is not None]


def _input(node: Node) -> str:
    return node_inputs(node)[0]


def _flat(walk: Walk, form: Form, x: str, result: str, origin: Origin) -> tuple[Node | None, Node | None]:
    count, sizes = form.flat
    before = after = None
    if count > 1:
        flat = _declare(walk, "flat", x, count, form.attributes["in_features"])
        before = _reshape(walk, x, flat, origin)
    if sizes:
        features = _declare(walk, "features", result, len(sizes), form.attributes["out_features"])
        after = _reshape(walk, features, result, origin)
    return before, after


def _declare(walk: Walk, base: str, like: str, count: int, size: Operand) -> str:
    """A value with the last axes of another one as one."""
    name, aval = walk.names.new(base), walk.avals[like]
    walk.avals[name] = jax.ShapeDtypeStruct((*aval.shape[:-count], size), aval.dtype)
    walk.specs[name] = jax_compat.spec_of(walk.avals[name])
    return name


def _reshape(walk: Walk, source: str, result: str, origin: Origin) -> Node:
    spec = walk.specs[result]
    arguments = (("operand", Ref(source)), ("new_sizes", spec.shape), ("dimensions", None))
    return Node("lax.reshape", arguments, (Value(result, spec),), origin=origin)


def _wraps(own: Sequence[Node], form: Form) -> bool:
    """Whether a convolution's image is first made larger by parts of itself (padding "CIRCULAR" and "REFLECT")."""
    return any(node.op == "lax.concatenate" for node in _before(own, form)) if form.reads else False


def _before(own: Sequence[Node], form: Form) -> Sequence[Node]:
    return own[: next(position for position, node in enumerate(own) if node.op == form.reads)]


def _read(own: Sequence[Node], form: Form) -> dict[str, Operand]:
    """What a convolution is, from its operator; zeros put around the image before it ("CAUSAL") are its padding."""
    before = _before(own, form)
    node = own[len(before)]
    padding: Any = node.argument("padding")
    for pad in (pad for pad in before if pad.op == "lax.pad"):
        config: Any = pad.argument("padding_config")
        around = config[2:] if form.attributes["channels_first"] else config[1:-1]
        padding = tuple((low + a, high + b) for (low, high), (a, b, _) in zip(padding, around, strict=True))
    return {
        "strides": node.argument("window_strides"),
        "padding": padding,
        "lhs_dilation": node.argument("lhs_dilation"),
        "rhs_dilation": node.argument("rhs_dilation"),
        "groups": node.argument("feature_group_count"),
    }
