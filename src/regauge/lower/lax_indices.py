"""Gathers, slices and sorts of JAX's NumPy as the operations that they were written as.

`x[:, i]`, `jnp.take`, `jnp.take_along_axis`, an embedding and `jnp.argsort` are all gathers and sorts in a jaxpr, after
arithmetic that counts negative indices from the end. The forms here are nodes of their own: `lax.getitem`,
`lax.take`, `lax.take_along`, `lax.argsort`, `lax.sort_and_order`. What this leaves unused goes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from regauge.ir.graph import Dim, Graph, Node, Operand, Ref, TensorSpec, Value, node_inputs, references
from regauge.lower.lax_brackets import axes_of, column_of, counting, layout, parts_of
from regauge.lower.lax_graphs import EMPTY, Makers
from regauge.lower.plan import value_specs
from regauge.lower.size_slices import window

Axes = tuple[int, ...]


def with_index_forms(graph: Graph) -> Graph:
    """The graph with indexing in the forms above; its values keep their names."""
    return _formed(graph, EMPTY, {w.value for w in graph.weights if w.role == "parameter"})


def _formed(graph: Graph, around: Mapping[str, TensorSpec], tables: set[str]) -> Graph:
    """The same for a body too, which reads values of the graphs around it."""
    specs = {**around, **value_specs(graph)}
    bodies = [tuple(_formed(body, specs, tables) for body in node.bodies) for node in graph.nodes]
    nodes = tuple(replace(node, bodies=inner) for node, inner in zip(graph.nodes, bodies, strict=True))
    graph = replace(graph, nodes=nodes)
    for form in (_sorted, _selected, _gathered, _put):
        makers = Makers(graph, around)
        made = [form(node, makers, tables) or node for node in graph.nodes]
        graph = replace(graph, nodes=tuple(n for part in made for n in (part if isinstance(part, list) else [part])))
        graph = _without_unused(graph)
    return _with_wide_orders(graph)


_TAKERS = frozenset({"lax.take_along", "lax.getitem", "lax.take", "lax.put"})


def _with_wide_orders(graph: Graph) -> Graph:
    """The graph with orders that are indices alone as int64, which torch makes and takes; JAX has int32."""
    users: dict[str, set[str]] = {name: {"output"} for operand in graph.outputs for name in references(operand)}
    for node in graph.nodes:
        for name in node_inputs(node):
            users.setdefault(name, set()).add(node.op)

    def widened(node: Node) -> Node:
        if node.op not in ("lax.argsort", "lax.sort_and_order"):
            return node
        order = node.outputs[-1]
        if not users.get(order.name, set()) <= _TAKERS:
            return node
        return replace(node, outputs=(*node.outputs[:-1], replace(order, spec=replace(order.spec, dtype="int64"))))

    return replace(graph, nodes=tuple(widened(node) for node in graph.nodes))


def _without_unused(graph: Graph) -> Graph:
    wanted = {name for operand in graph.outputs for name in references(operand)}
    wanted |= {value for _, value in graph.mutations}
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if any(value.name in wanted for value in node.outputs):
            wanted.update(node_inputs(node))
            kept.append(node)
    return replace(graph, nodes=tuple(reversed(kept)))


def _made(node: Node, op: str, **arguments: Operand) -> Node:
    return replace(node, op=op, arguments=tuple(arguments.items()))


def _sorted(node: Node, makers: Makers, tables: set[str]) -> Node | None:
    """A sort that takes a count along, which then says where elements came from."""
    operands = node.argument("operands") if node.op == "lax.sort" else None
    if not isinstance(operands, tuple) or len(operands) != 2 or node.argument("num_keys") != 1:
        return None
    count = makers.node(operands[1], "lax.iota")
    dimension = node.argument("dimension")
    if count is None or count.argument("dimension") != dimension:
        return None
    values, order = node.outputs
    if makers.uses[values.name]:
        return _made(node, "lax.sort_and_order", operand=operands[0], dimension=dimension)
    return replace(
        node,
        op="lax.argsort",
        arguments=(("operand", operands[0]), ("dimension", dimension)),
        outputs=(order,),
    )


def _selected(node: Node, makers: Makers, tables: set[str]) -> Node | None:
    """A slice of one element along some axes that are then removed: `x[:, 0]`, and `x[i]` for a computed index."""
    if node.op != "lax.squeeze":
        return None
    array = node.arguments[0][1]
    removed = node.argument("dimensions")
    made = makers.node(array, "lax.slice", "lax.dynamic_slice")
    if made is None or not isinstance(removed, tuple) or not isinstance(array, Ref) or makers.uses[array.name] > 1:
        return None
    source = made.arguments[0][1]
    shape = makers.shape(source)
    parts: list[Operand] = []
    for axis, size in enumerate(shape):
        part = _bounds(made, axis, size) if made.op == "lax.slice" else _start(made, axis, size, makers)
        if axis in removed:
            index = part[0] if isinstance(part, tuple) and made.op == "lax.slice" else part
            if index is None and size == 1:
                index = 0
            if not isinstance(index, Ref) and type(index) is not int:
                return None
            parts.append(index)
        elif isinstance(part, tuple) or part is None:
            parts.append(part)
        else:
            return None
    return _item(node, source, parts, makers)


def _item(node: Node, operand: Operand, parts: list[Operand], makers: Makers) -> Node:
    """`operand[parts]`. An index without axes gets one, which is removed again: torch would ask for its number."""
    alone = [isinstance(part, Ref) and not makers.shape(part) for part in parts]
    _, batch = layout(parts, makers)
    index = tuple((part,) if single else part for part, single in zip(parts, alone, strict=True))
    if not any(alone) or batch:
        return _made(node, "lax.getitem", operand=operand, index=index)
    left = [part for part in parts if type(part) is not int]
    tensors = [at for at, part in enumerate(left) if isinstance(part, Ref)]
    adjacent = tensors == list(range(tensors[0], tensors[-1] + 1))
    place = tensors[0] if adjacent else 0
    return _made(node, "lax.getitem", operand=operand, index=index, squeezed=place)


def _bounds(node: Node, axis: int, size: Dim) -> Operand:
    """A slice along one axis as (start, stop, step), or None where it is whole."""
    starts, limits, strides = (node.argument(name) for name in ("start_indices", "limit_indices", "strides"))
    step = strides[axis] if isinstance(strides, tuple) else 1
    start = starts[axis] if isinstance(starts, tuple) else None
    limit = limits[axis] if isinstance(limits, tuple) else None
    return None if (start, limit, step) == (0, size, 1) else (start, None if limit == size else limit, step)


def _start(node: Node, axis: int, size: Dim, makers: Makers) -> Operand:
    """The index of a dynamic slice of one element, None for a whole axis, False for anything else.

    An index that JAX counts from the end where it is negative is taken as `x[i]`: torch counts in the same way. Outside
    of the array torch raises an error, while JAX takes the last element.
    """
    starts, sizes = node.argument("starts"), node.argument("slice_sizes")
    if not isinstance(starts, tuple) or not isinstance(sizes, tuple):
        return False
    if sizes[axis] == size:
        return None
    if sizes[axis] != 1:
        return False
    start = starts[axis]
    if start == 0:
        return 0
    if type(start) is int and isinstance(size, int):
        return min(max(start, 0), size - 1)
    return counting(start, size, makers) or False


def _gathered(node: Node, makers: Makers, tables: set[str]) -> Node | None:
    """A gather of elements or of whole rows, planes, ..."""
    if node.op != "lax.gather":
        return None
    if (found := window(node, makers)) is not None:
        return found
    arguments = dict(node.arguments)
    if arguments["operand_batching_dims"]:
        return _along(node, makers)
    operand = arguments["operand"]
    numbers = tuple(axes_of(arguments[name]) for name in ("start_index_map", "collapsed_slice_dims", "offset_dims"))
    sizes = arguments["slice_sizes"]
    indexed = parts_of(node, makers, numbers, sizes if isinstance(sizes, tuple) else ())
    if indexed is None:
        return None
    parts, safe = indexed
    if safe:
        return _item(node, operand, parts, makers)
    return _taken(node, parts, makers, tables)


_PUTS = {
    "lax.scatter": "set", "lax.scatter_add": "add", "lax.scatter_sub": "sub", "lax.scatter_mul": "mul",
    "lax.scatter_max": "max", "lax.scatter_min": "min",
}  # fmt: skip


def _put(node: Node, makers: Makers, tables: set[str]) -> Node | list[Node] | None:
    """A scatter to elements or to whole rows, planes, ...: `x.at[i].set(v)`."""
    arguments = dict(node.arguments)
    if node.op not in _PUTS or arguments["operand_batching_dims"] or arguments["mode"] == "CLIP":
        return None
    shape, updates = makers.shape(arguments["operand"]), makers.shape(arguments["updates"])
    numbers = tuple(
        axes_of(arguments[name])
        for name in ("scatter_dims_to_operand_dims", "inserted_window_dims", "update_window_dims")
    )
    window = iter(numbers[2])
    sizes = tuple(1 if axis in numbers[1] else updates[next(window)] for axis in range(len(shape)))
    found = parts_of(node, makers, numbers, sizes)
    if found is None:
        return None
    parts, safe = found
    columns = [part for part in parts if isinstance(part, Ref)]
    counted = any(makers.node(part, "lax.iota", "lax.argsort") is not None for part in columns)
    unique = arguments["unique_indices"] is True or counted or all(not makers.shape(part) for part in columns)
    how = _PUTS[node.op]
    put = _made(
        node, "lax.put", operand=arguments["operand"], updates=arguments["updates"], index=tuple(parts), how=how,
        checked=not safe, unique=unique,
    )  # fmt: skip
    fixed = [part for part in parts if part is not None]
    spec = makers.spec(arguments["updates"])
    plain = spec is not None and spec.dtype not in ("uint16", "uint32", "uint64")
    if how == "set" or len(fixed) != 1 or isinstance(fixed[0], Ref) or spec is None or not plain:
        return put
    old, new = (Value(f"{node.outputs[0].name}_{word}", spec) for word in ("old", "new"))
    if old.name in makers.specs or new.name in makers.specs:
        return put
    return [
        replace(_made(node, "lax.getitem", operand=arguments["operand"], index=tuple(parts)), outputs=(old,)),
        replace(_made(node, f"lax.{how}", x=Ref(old.name), y=arguments["updates"]), outputs=(new,)),
        _made(
            node, "lax.put", operand=arguments["operand"], updates=Ref(new.name), index=tuple(parts), how="set",
            checked=False, unique=True,
        ),
    ]  # fmt: skip


def _taken(node: Node, parts: list[Operand], makers: Makers, tables: set[str]) -> Node | None:
    """One index array that may point outside, where JAX fills: a row of a table of weights, or `take`."""
    arguments = dict(node.arguments)
    operand = arguments["operand"]
    places = [axis for axis, part in enumerate(parts) if part is not None]
    if len(places) != 1 or not isinstance(operand, Ref) or not isinstance(parts[places[0]], Ref):
        return None
    if arguments["mode"] == "CLIP" and not makers.shape(parts[places[0]]):
        return None
    if arguments["mode"] == "CLIP":
        return _made(node, "lax.take_clipped", operand=operand, indices=parts[places[0]], axis=places[0])
    if operand.name in tables and places == [0] and len(parts) == 2:
        return _made(node, "lax.embedding", table=operand, indices=parts[0])
    fill = _fill(arguments["fill_value"])
    return _made(node, "lax.take", operand=operand, indices=parts[places[0]], axis=places[0], fill_value=fill)


def _fill(value: Operand) -> Operand:
    """None for NaN, which arrays of floats are filled with where nothing else is said."""
    return None if isinstance(value, float) and value != value else value


def _along(node: Node, makers: Makers) -> Node | None:
    """Elements along one axis, by indices of the array's own rank: `take_along_axis`."""
    arguments = dict(node.arguments)
    operand, indexed, batching = (
        arguments["operand"],
        axes_of(arguments["start_index_map"]),
        arguments["operand_batching_dims"],
    )
    shape = makers.shape(operand)
    batch = makers.shape(arguments["indices"])[:-1]
    if len(indexed) != 1 or batching != arguments["start_indices_batching_dims"] or arguments["offset_dims"]:
        return None
    axis = indexed[0]
    if axes_of(batching) != tuple(at for at in range(len(shape)) if at != axis) or len(batch) != len(shape):
        return None
    column = column_of(arguments["indices"], batch, makers)
    if not isinstance(column, Ref) or makers.shape(column) != batch:
        return None
    column = makers.plain(column, shape[axis])
    sure = arguments.get("in_bounds") is True or arguments["mode"] == "PROMISE_IN_BOUNDS"
    if sure or makers.below(column) == shape[axis]:
        return _made(node, "lax.take_along", operand=operand, indices=column, axis=axis, checked=False)
    base = makers.unwrapped(column, shape[axis])
    if arguments["mode"] != "FILL_OR_DROP" or base is None:
        return None
    fill = _fill(arguments["fill_value"])
    return _made(node, "lax.take_along", operand=operand, indices=base, axis=axis, checked=True, fill_value=fill)
