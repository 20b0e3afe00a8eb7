"""Example arguments of a JAX function: names for their arrays, their tree, and sizes that stay symbolic."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import export

from regauge.capture.jax_compat import is_key
from regauge.errors import CaptureError
from regauge.ir.graph import Symbol
from regauge.run.jax_trees import is_array
from regauge.run.protocol import flatten_tree

Inputs = tuple[Any, ...] | dict[str, Any]
Dynamic = Literal["auto"] | dict[str, Any] | tuple[Any, ...] | None
Shapes = dict[str, jax.ShapeDtypeStruct]


@dataclass(frozen=True)
class Leaf:
    """Stands for an array in a pytree."""

    name: str


class Example:
    """Example arguments: their arrays by name, and the tree that they stand in.

    Args:
        inputs: tuple of positional or dict of keyword arguments; arrays of jax or numpy in any pytree.
        parameters: names of the positional parameters, as far as they are known.
    """

    def __init__(self, inputs: Inputs, parameters: tuple[str, ...] = ()) -> None:
        self.parameters = parameters
        self.outermost = set(inputs if isinstance(inputs, dict) else parameters)  # what the emitted root calls them
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
        """The arrays by name; of keys of random streams their words."""
        pairs = zip(self.names, self.leaves, strict=True)
        return {name: jax.random.key_data(leaf) if is_key(leaf) else leaf for name, leaf in pairs if name}

    def tree(self, arrays: Mapping[str, Any]) -> Any:
        """The inputs with other arrays in the places of their own."""
        pairs = zip(self.names, self.leaves, strict=True)
        placed = [
            (_as_key(arrays[name], leaf) if is_key(leaf) else arrays[name]) if name else leaf for name, leaf in pairs
        ]
        return jax.tree.unflatten(self.structure, placed)

    def skeleton(self) -> Any:
        """The tree with the names of the arrays as its leaves, and the names of positional parameters."""
        tree = skeleton_of(self.tree({name: Leaf(name) for name in self.arrays}), "the inputs")
        return {**tree, "names": list(self.parameters[: len(tree["tuple"])])} if "tuple" in tree else tree


def _as_key(words: Any, like: Any) -> Any:
    """Keys of their words, with the generator of another key."""
    return words if isinstance(words, Leaf) else jax.random.wrap_key_data(words, impl=jax.random.key_impl(like))


def skeleton_of(tree: Any, what: str) -> Any:
    """The skeleton of a tree of `Leaf`.

    Raises:
        CaptureError: it holds what is no container of arrays.
    """
    try:
        skeleton, leaves = flatten_tree(tree, lambda item: isinstance(item, Leaf))
    except TypeError as error:
        raise CaptureError(
            f"{what} cannot be written down: {error}",
            code="C151",
            next="give arrays in tuples, lists, dicts or dataclasses, and make other containers inside the model; "
            "close over settings and functions: lambda x: model(x, settings)",
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


def renamed_leaves(tree: Any, names: Mapping[str, str]) -> Any:
    """A skeleton with other names for its leaves."""
    if "leaf" in tree:
        return {"leaf": names[tree["leaf"]]}
    if "dict" in tree:
        return {**tree, "dict": {key: renamed_leaves(item, names) for key, item in tree["dict"].items()}}
    for container in ("tuple", "list"):
        if container in tree:
            return {**tree, container: [renamed_leaves(item, names) for item in tree[container]]}
    return tree


def shapes_of(
    example: Mapping[str, Any], dynamic: Dynamic, parameters: Collection[str] = ()
) -> tuple[Shapes, tuple[Symbol, ...]]:
    """Abstract arrays by name, and their symbolic sizes: first axes of one size have one name.

    Args:
        example: arrays by name.
        dynamic: as `regauge.to_torch` takes it.
        parameters: names that the code gives to other things, which are no names of sizes then.
    """
    arrays = {name: jax.eval_shape(lambda a=array: jnp.asarray(a)) for name, array in example.items()}
    if dynamic is None:
        return arrays, ()
    if dynamic != "auto":
        return _asked(arrays, dynamic)
    sizes = [
        array.shape[0] for array in arrays.values() if array.ndim and array.shape[0] > 1 and not _is_one_key(array)
    ]
    base = "batch_size" if "batch" in {*parameters, *arrays} else "batch"
    free = (text for n in count(1) if (text := base if n == 1 else f"{base}{n}") not in {*parameters, *arrays})
    texts = dict(zip(dict.fromkeys(sizes), free, strict=False))
    scope = export.SymbolicScope()
    named = {size: export.symbolic_shape(text, scope=scope)[0] for size, text in texts.items()}

    def shape(array: Any) -> Any:
        if not array.ndim or array.shape[0] not in named or _is_one_key(array):
            return array.shape
        return (named[array.shape[0]], *array.shape[1:])

    shapes = {name: jax.ShapeDtypeStruct(shape(array), array.dtype) for name, array in arrays.items()}
    return shapes, tuple(Symbol(text, size, 1) for size, text in texts.items())


def _is_one_key(array: Any) -> bool:
    """Whether an array is the two words of one key, which are no batch."""
    return array.shape == (2,) and array.dtype == jnp.uint32


def _asked(arrays: Mapping[str, Any], dynamic: Any) -> tuple[Shapes, tuple[Symbol, ...]]:
    scope = export.SymbolicScope()
    texts = jax.tree.leaves(dynamic, is_leaf=lambda leaf: leaf is None or isinstance(leaf, str))
    shapes: dict[str, Any] = {}
    hints: dict[str, int] = {}
    for (name, array), text in zip(arrays.items(), texts, strict=False):
        shape = export.symbolic_shape(text, scope=scope, like=array.shape) if isinstance(text, str) else array.shape
        hints |= {str(d): int(n) for d, n in zip(shape, array.shape, strict=True) if str(d).isidentifier()}
        shapes[name] = jax.ShapeDtypeStruct(shape, array.dtype)
    return shapes, tuple(Symbol(text, size, 1) for text, size in hints.items())
