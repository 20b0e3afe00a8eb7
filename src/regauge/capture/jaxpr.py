"""Capture of a JAX model: its jaxpr as a `Graph`, module calls and the names of weights kept."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from regauge.capture import jax_compat, jaxpr_library, jaxpr_modes, jaxpr_modules
from regauge.capture.jaxpr_walk import Walk, constant_weights, without_dead
from regauge.errors import CaptureError
from regauge.findings import Finding
from regauge.ir.check import check_graph
from regauge.ir.graph import (
    Graph,
    ModuleStep,
    Node,
    Ref,
    Sym,
    Symbol,
    TensorSpec,
    Value,
    WeightSpec,
    node_inputs,
    references,
)
from regauge.run.jax_program import JaxProgram, program_of
from regauge.run.jax_scopes import ModuleCall, calls_in, scopes
from regauge.run.jax_trees import Mode, is_array
from regauge.run.protocol import flatten_tree

Inputs = tuple[Any, ...] | dict[str, Any]
Dynamic = Literal["auto"] | dict[str, Any] | tuple[Any, ...] | None


@dataclass(frozen=True)
class Captured:
    """A captured JAX model.

    Attributes:
        graph: the model in the mode that was asked for.
        graph_eval: the model in evaluation, where that is different code; else None.
        arrays: weights and constants by name.
        constants: the arrays among them that the program holds and that are no weights.
        findings: what a person should know.
    """

    graph: Graph
    graph_eval: Graph | None
    arrays: Mapping[str, np.ndarray]
    constants: Mapping[str, np.ndarray]
    findings: tuple[Finding, ...]


def capture_model(model: Any, inputs: Inputs, *, train: bool, dynamic: Dynamic = "auto") -> Captured:
    """Capture a model on example inputs.

    Args:
        model: as `regauge.run.jax_program.program_of` takes it.
        inputs: tuple of positional or dict of keyword arguments; arrays of jax or numpy in any pytree.
        train: capture in training mode.
        dynamic: "auto" keeps the first axis of the inputs symbolic where the trace allows it; None fixes all sizes;
            a pytree of `jax.export` shapes such as ``"batch, 16"`` in the structure of the inputs says which stay.

    Raises:
        CaptureError: the model cannot be traced, or its program holds what a graph cannot.
    """
    program = program_of(model)
    example = Example(program, inputs)
    wanted = _graph(program, example, "train" if train else "eval", dynamic)
    graph, graph_eval, constants, findings = _both(program, example, wanted, train, dynamic)
    arrays = {name: np.asarray(value) for name, value in {**program.params, **_kept_state(program)}.items()}
    return Captured(graph, graph_eval, {**arrays, **constants}, constants, tuple(findings))


Traced = tuple[Graph, dict[str, np.ndarray], list[Finding]]


def _both(
    program: JaxProgram, example: Example, wanted: Traced, train: bool, dynamic: Dynamic
) -> tuple[Graph, Graph | None, dict[str, np.ndarray], list[Finding]]:
    """Both modes of a model that knows them; one that cannot be traced in training is captured in evaluation."""
    graph, constants, findings = wanted
    if not program.knows_mode:
        return graph, None, constants, findings
    try:
        other = _graph(program, example, "eval" if train else "train", dynamic)
    except Exception as error:  # whatever a model does in a mode that was not asked for
        if train:
            raise
        findings = [*findings, Finding("C155", "info", program.name, f"evaluation only: {_first_line(error)}")]
        return jaxpr_modes.following_all(graph), None, constants, findings
    training, evaluation = (wanted, other) if train else (other, wanted)
    main, second = jaxpr_modes.joined(training[0], evaluation[0])
    if second is None:
        return main, None, training[1], findings
    second, held = _apart(second, evaluation[1], training[1])
    return main, second, {**training[1], **held}, findings


def _apart(
    graph: Graph, arrays: dict[str, np.ndarray], others: Mapping[str, np.ndarray]
) -> tuple[Graph, dict[str, np.ndarray]]:
    """The constants of a graph under names that do not say something else in the other graph."""
    clash = {n for n, array in arrays.items() if n in others and not np.array_equal(array, others[n], equal_nan=True)}
    names = {name: f"{name}_eval" for name in clash}
    weights = tuple(replace(w, name=names.get(w.name, w.name)) for w in graph.weights)
    return replace(graph, weights=weights), {names.get(name, name): array for name, array in arrays.items()}


def _kept_state(program: JaxProgram) -> dict[str, Any]:
    return {name: value for name, value in program.state.items() if name not in program.random}


@dataclass(frozen=True)
class _Leaf:
    """Stands for an array in a pytree."""

    name: str


class Example:
    """Example inputs: their arrays by name, and the tree that they stand in."""

    def __init__(self, program: JaxProgram, inputs: Inputs) -> None:
        self.parameters = _parameters(program, inputs)
        paths, self.structure = jax.tree_util.tree_flatten_with_path(inputs)
        self.leaves = [leaf for _, leaf in paths]
        self.names: list[str] = []
        taken: set[str] = set()
        for path, leaf in paths:
            name = self._name(path, isinstance(inputs, dict)) if is_array(leaf) else ""
            while name in taken:
                name += "_"
            taken |= {name} if name else set()
            self.names.append(name)

    def _name(self, path: tuple[Any, ...], named: bool) -> str:
        first, *rest = [str(getattr(s, "key", getattr(s, "idx", getattr(s, "name", s)))) for s in path]
        if not named:
            position = int(first)
            first = self.parameters[position] if position < len(self.parameters) else f"argument{position}"
        text = "_".join([first, *rest])
        return text if text.isidentifier() else f"input_{len(self.names)}"

    @property
    def arrays(self) -> dict[str, Any]:
        return {name: leaf for name, leaf in zip(self.names, self.leaves, strict=True) if name}

    def tree(self, arrays: Mapping[str, Any]) -> Any:
        """The inputs with other arrays in the places of their own."""
        pairs = zip(self.names, self.leaves, strict=True)
        return jax.tree.unflatten(self.structure, [arrays[name] if name else leaf for name, leaf in pairs])

    def skeleton(self) -> Any:
        """The tree with the names of the arrays as its leaves, and the names of positional parameters."""
        tree = skeleton_of(self.tree({name: _Leaf(name) for name in self.arrays}), "the inputs")
        return {**tree, "names": list(self.parameters[: len(tree["tuple"])])} if "tuple" in tree else tree


def _parameters(program: JaxProgram, inputs: Inputs) -> tuple[str, ...]:
    """Names of the model's own positional parameters, without those that take weights."""
    if isinstance(inputs, dict):
        return ()
    return tuple(program.positions)[: len(inputs)]


def skeleton_of(tree: Any, what: str) -> Any:
    """The skeleton of a tree of `_Leaf`.

    Raises:
        CaptureError: it holds what is no container of arrays.
    """
    try:
        skeleton, leaves = flatten_tree(tree, lambda item: isinstance(item, _Leaf))
    except TypeError as error:
        raise CaptureError(
            f"{what} cannot be written down: {error}", code="C151", next="use tuples, lists, dicts or dataclasses"
        ) from error

    def named(part: Any) -> Any:
        if "leaf" in part:
            return {"leaf": leaves[part["leaf"]].name}
        if "dict" in part:
            return {**part, "dict": {key: named(item) for key, item in part["dict"].items()}}
        for container in ("tuple", "list"):
            if container in part:
                return {container: [named(item) for item in part[container]]}
        return part

    return named(skeleton)


def _graph(program: JaxProgram, example: Example, mode: Mode, dynamic: Dynamic) -> Traced:
    findings: list[Finding] = []
    shapes, symbols = _shapes(example, dynamic)
    if symbols and dynamic == "auto":
        try:
            return (*_traced(program, example, mode, shapes, symbols), findings)
        except Exception as error:  # whatever a model does with a size that has no value
            findings.append(Finding("C152", "info", program.name, f"all sizes are fixed: {_first_line(error)}"))
            shapes, symbols = _shapes(example, None)
    return (*_traced(program, example, mode, shapes, symbols), findings)


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n", 1)[0][:160] or type(error).__name__


def _shapes(example: Example, dynamic: Dynamic) -> tuple[dict[str, jax.ShapeDtypeStruct], tuple[Symbol, ...]]:
    """Abstract inputs by name, and their symbolic sizes."""
    arrays = {name: jax.eval_shape(lambda a=array: jnp.asarray(a)) for name, array in example.arrays.items()}
    if dynamic is None:
        return arrays, ()
    if dynamic != "auto":
        return _asked(example, arrays, dynamic)
    sizes = [array.shape[0] for array in arrays.values() if array.ndim and array.shape[0] > 1]
    texts = {size: "batch" if not n else f"batch{n + 1}" for n, size in enumerate(dict.fromkeys(sizes))}
    scope = export.SymbolicScope()
    named = {size: export.symbolic_shape(text, scope=scope)[0] for size, text in texts.items()}

    def shape(array: Any) -> Any:
        return (named[array.shape[0]], *array.shape[1:]) if array.ndim and array.shape[0] in named else array.shape

    shapes = {name: jax.ShapeDtypeStruct(shape(array), array.dtype) for name, array in arrays.items()}
    return shapes, tuple(Symbol(text, size, 1) for size, text in texts.items())


def _asked(example: Example, arrays: Mapping[str, Any], dynamic: Any) -> tuple[dict[str, Any], tuple[Symbol, ...]]:
    scope = export.SymbolicScope()
    texts = jax.tree.leaves(dynamic, is_leaf=lambda leaf: leaf is None or isinstance(leaf, str))
    shapes: dict[str, Any] = {}
    hints: dict[str, int] = {}
    for (name, array), text in zip(arrays.items(), texts, strict=True):
        shape = export.symbolic_shape(text, scope=scope, like=array.shape) if isinstance(text, str) else array.shape
        hints |= {str(d): int(n) for d, n in zip(shape, array.shape, strict=True) if str(d).isidentifier()}
        shapes[name] = jax.ShapeDtypeStruct(shape, array.dtype)
    return shapes, tuple(Symbol(text, size, 1) for text, size in hints.items())


def _traced(
    program: JaxProgram, example: Example, mode: Mode, shapes: Mapping[str, Any], symbols: Sequence[Symbol]
) -> tuple[Graph, dict[str, np.ndarray]]:
    """The graph of one trace, and the arrays that it holds."""
    key = jax.random.key(0)
    order = (program.params, program.state, shapes)

    def forward(params: Any, state: Any, arrays: Any, key: Any) -> Any:
        return program.call(params, state, example.tree(arrays), mode, key)

    with scopes(program) as calls:
        closed, given = jax.make_jaxpr(forward, return_shape=True)(*order, key)
    outputs, state = given
    walk = Walk(_steps(calls, program.name), fold=jaxpr_library.fold)
    names: list[Ref] = []
    kinds = zip(("weight", "state", "input"), order, strict=True)
    leaves = [(kind, name) for kind, tree in kinds for name in sorted(tree)]
    reads: dict[str, Ref] = {}
    for (kind, name), variable in zip([*leaves, ("key", "key")], closed.jaxpr.invars, strict=True):
        base = name if kind == "input" else name.replace(".", "_")
        names.append(walk.take(base if base.isidentifier() else f"{kind}_{len(names)}", variable.aval))
        reads[f"{kind} {name}"] = names[-1]
    results = walk.run(closed.jaxpr, closed.consts, list(names))
    tree, operands = _outputs(walk, outputs, results)
    changed = {
        name: result
        for name, result in zip(sorted(state), results[len(jax.tree.leaves(outputs)) :], strict=True)
        if name not in program.random and result != reads.get(f"state {name}")
    }
    mutations = tuple((name, walk.result(result).name) for name, result in changed.items())
    needed = {n for o in operands for n in references(o)} | {value for _, value in mutations}
    weights = {name.split(" ", 1)[1]: ref.name for name, ref in reads.items() if not name.startswith("input ")}
    modules = {f"{call.path}#{number}": call.module for number, call in enumerate(calls)}
    nodes = jaxpr_modules.fold(walk, without_dead(walk.nodes, needed), needed, modules, weights)
    nodes = walk.folded(without_dead(nodes, needed), needed)
    owners = _owners(nodes)
    read = {name for node in nodes for name in node_inputs(node)} | needed
    _refuse_streams(program, reads, read)
    specs = [
        *_weights(program.params, "parameter", reads, "weight", read, walk.specs),
        *_weights(_kept_state(program), "buffer", reads, "state", read, walk.specs),
        *(replace(w, name=owners.get(w.value, w.name)) for w in constant_weights(walk.constants) if w.value in read),
    ]
    taken = {name: reads[f"input {name}"].name for name in example.arrays}
    graph = Graph(
        dialect="lax",
        inputs=tuple(Value(value, walk.specs[value]) for value in taken.values()),
        weights=tuple(specs),
        nodes=nodes,
        outputs=operands,
        mutations=mutations,
        symbols=tuple(symbols),
        in_tree=_renamed(example.skeleton(), taken),
        out_tree=tree,
    )
    check_graph(graph)
    return graph, {owners.get(name, name): array for name, array in walk.constants.items() if name in read}


def _owners(nodes: Sequence[Node]) -> dict[str, str]:
    """Names for the arrays that the program holds, by value: an array that one module reads is that module's."""
    readers: dict[str, set[str]] = {}
    for node in nodes:
        for name in node_inputs(node):
            readers.setdefault(name, set()).add(node.origin.path)
    single = {name: next(iter(paths)) for name, paths in readers.items() if len(paths) == 1}
    return {name: f"{path}.{name}" for name, path in single.items() if path}


def _renamed(tree: Any, names: Mapping[str, str]) -> Any:
    if "leaf" in tree:
        return {"leaf": names[tree["leaf"]]}
    if "dict" in tree:
        return {**tree, "dict": {key: _renamed(item, names) for key, item in tree["dict"].items()}}
    for container in ("tuple", "list"):
        if container in tree:
            return {**tree, container: [_renamed(item, names) for item in tree[container]]}
    return tree


def _steps(calls: Sequence[ModuleCall], root: str) -> Callable[[str], tuple[ModuleStep, ...]]:
    """The module calls of a name stack."""
    types = [f"{type(call.module).__module__}.{type(call.module).__qualname__}" for call in calls]
    outermost = ModuleStep("", root, "root")

    def steps(stack: str) -> tuple[ModuleStep, ...]:
        inner = [ModuleStep(calls[n].path, types[n], f"{calls[n].path}#{n}") for n in calls_in(stack)]
        return (outermost, *inner)

    return steps


def _weights(
    arrays: Mapping[str, Any],
    role: Literal["parameter", "buffer"],
    reads: Mapping[str, Ref],
    kind: str,
    read: set[str],
    specs: Mapping[str, TensorSpec],
) -> list[WeightSpec]:
    found = []
    for name in arrays:
        value = reads[f"{kind} {name}"].name
        found.append(WeightSpec(name, value if value in read else "", specs[value], role, role == "parameter"))
    return found


def _outputs(walk: Walk, shapes: Any, results: Sequence[Any]) -> tuple[Any, tuple[Ref, ...]]:
    """The tree of the outputs and the values that it holds."""
    leaves, structure = jax.tree.flatten(shapes)
    values = [walk.result(result) for result in results[: len(leaves)]]
    tree = skeleton_of(jax.tree.unflatten(structure, [_Leaf(value.name) for value in values]), "the outputs")
    return tree, tuple(values)


def _refuse_streams(program: JaxProgram, reads: Mapping[str, Ref], read: set[str]) -> None:
    streams = [name for name in program.random if reads[f"state {name}"].name in read]
    if streams or reads["key key"].name in read:
        raise CaptureError(
            "the model draws random numbers",
            code="C153",
            received=", ".join(streams) or "its key",
            why="the stream of a module of JAX has no counterpart in a module of torch",
            next="capture in evaluation mode, or pass a key as an input",
        )


def source_file(model: Any) -> str:
    """The name of the file that defines a model, or an empty string."""
    for part in model if isinstance(model, tuple) else (model,):
        try:
            return Path(inspect.getfile(part if inspect.isroutine(part) or inspect.isclass(part) else type(part))).name
        except (TypeError, OSError):
            continue
    return ""


def symbolic(spec: TensorSpec) -> bool:
    return any(isinstance(size, Sym) for size in spec.shape)


__all__ = ["Captured", "capture_model", "jax_compat", "source_file"]
