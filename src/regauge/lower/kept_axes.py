"""Reductions whose axes of one element go again: `x.mean(axis=(1, 2))` for a mean that keeps its axes and a flatten."""

from __future__ import annotations

from dataclasses import replace

from regauge.ir.graph import Dim, Graph, ModuleStep, Node, Operand, Ref, TensorSpec, node_inputs, references
from regauge.lower.borders import followed_calls
from regauge.lower.channel_operators import is_library_layer
from regauge.lower.plan import value_specs

_KEEPING = frozenset({"aten.mean.dim", "aten.sum.dim_IntList", "aten.amax.default", "aten.amin.default"})
_POOLS = {f"aten.adaptive_avg_pool{rank}d.default": rank for rank in (1, 2, 3)}
_WINDOWS = {f"aten.avg_pool{rank}d.default": rank for rank in (1, 2, 3)}
_RESHAPES = frozenset({"aten.view.default", "aten.reshape.default", "aten.flatten.using_ints"})
_SQUEEZES = frozenset({"aten.squeeze.dim", "aten.squeeze.dims", "aten.squeeze.default"})


def without_kept_axes(graph: Graph) -> Graph:
    """The graph in which a reduction leaves out the axes that its one reader takes away.

    Both must stand in the same call of a person's own module: else one of them returns the array as it is.
    """
    specs = value_specs(graph)
    readers: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for name in {*node_inputs(node)}:
            readers.setdefault(name, []).append(node)
    leaving = {n for o in graph.outputs for n in references(o)} | {value for _, value in graph.mutations}
    shorter: dict[int, Node] = {}
    dropped: set[int] = set()
    for node in graph.nodes:
        found = _reduced_axes(node, specs)
        reading = readers.get(node.outputs[0].name, []) if len(node.outputs) == 1 else []
        if found is None or len(reading) != 1 or node.outputs[0].name in leaving:
            continue
        source, axes = found
        (reader,) = reading
        left = tuple(size for axis, size in enumerate(specs[source].shape) if axis not in axes)
        if reader.op not in _RESHAPES | _SQUEEZES or reader.outputs[0].spec.shape != left or _own(reader) != _own(node):
            continue
        shorter[id(node)] = replace(_without(node, source, axes), outputs=reader.outputs)
        dropped.add(id(reader))
    if not shorter:
        return graph
    nodes = tuple(shorter.get(id(node), node) for node in graph.nodes if id(node) not in dropped)
    stand_ins = {n.outputs[0].name: [shorter[id(n)].outputs[0].name] for n in graph.nodes if id(n) in shorter}
    return replace(graph, nodes=nodes, calls=followed_calls(graph.calls, nodes, stand_ins))


def _reduced_axes(node: Node, specs: dict[str, TensorSpec]) -> tuple[str, frozenset[int]] | None:
    """What a node reduces, and the axes of it that it keeps with one element; None where it keeps none."""
    source: Operand = node.arguments[0][1] if node.arguments else None
    if not isinstance(source, Ref) or node.bodies:
        return None
    rank, arguments = specs[source.name].ndim, dict(node.arguments)
    if node.op in _POOLS:
        sizes = arguments["output_size"]
        images = _POOLS[node.op]
        if rank != images + 2 or set(sizes if isinstance(sizes, tuple) else (sizes,)) != {1}:
            return None
        return source.name, frozenset(range(2, 2 + images))
    if node.op in _WINDOWS:
        images = _WINDOWS[node.op]
        whole = rank == images + 2 and _is_one_window(node, specs[source.name].shape[2:])
        return (source.name, frozenset(range(2, 2 + images))) if whole else None
    if node.op not in _KEEPING or arguments.get("keepdim") is not True:
        return None
    given = arguments.get("dim")
    dims = given if isinstance(given, tuple) else (given,)
    axes = frozenset(dim % rank for dim in dims if isinstance(dim, int))
    return (source.name, axes) if len(axes) == len(dims) > 0 else None


def _is_one_window(node: Node, image: tuple[Dim, ...]) -> bool:
    """Whether an average pool in ceiling mode has one window, which holds the image: it takes the mean."""
    arguments = dict(node.arguments)
    kernel = arguments["kernel_size"]
    sizes = kernel if isinstance(kernel, tuple) else (kernel,)
    padding = arguments["padding"]
    plain = arguments.get("divisor_override") is None and not any(padding if isinstance(padding, tuple) else (padding,))
    if not plain or arguments["ceil_mode"] is not True:
        return False
    windows = zip(image, sizes * len(image) if len(sizes) == 1 else sizes, strict=True)
    return all(isinstance(size, int) and isinstance(k, int) and size <= k for size, k in windows)


def _without(node: Node, source: str, axes: frozenset[int]) -> Node:
    if node.op in _KEEPING:
        return node.with_arguments(keepdim=False)
    arguments = (("self", Ref(source)), ("dim", tuple(sorted(axes))), ("keepdim", False), ("dtype", None))
    return replace(node, op="aten.mean.dim", arguments=arguments)


def _own(node: Node) -> str:
    """The innermost call around a node that is of a person's own module, or of a chain of modules."""
    steps: list[ModuleStep] = [step for step in node.origin.modules if not is_library_layer(step)]
    return steps[-1].call if steps else ""
