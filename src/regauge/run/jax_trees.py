"""What the programs of all JAX libraries share: arrays of a pytree by name, and a model's own switches."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from regauge.run.jax_equinox import is_state, kept_by_owner
from regauge.run.protocol import record_class

Mode = Literal["train", "eval"]
Leaves = dict[str, Any]

# names of arguments by which models are told their mode, and their value in training
MODE_ARGUMENTS = {
    "train": True,
    "training": True,
    "is_training": True,
    "is_train": True,
    "deterministic": False,
    "use_running_average": False,
    "inference": False,
}
KEY_ARGUMENTS = ("key", "rng", "rng_key")


class Switches:
    """Which arguments of its own a model is called with beside its inputs: mode and key.

    Args:
        signature: of the model's call.
        decided: names of modes that the model takes from elsewhere, and that a call may not give once more.
    """

    def __init__(self, signature: inspect.Signature, decided: Collection[str] = ()) -> None:
        found = signature.parameters
        keyword = [n for n, p in found.items() if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
        self.positions = [n for n, p in found.items() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        modes = [name for name in keyword if name in MODE_ARGUMENTS and name not in decided]
        # Equinox has `deterministic` for `inference` still, and warns of it
        self.modes = [name for name in modes if name != "deterministic" or "inference" not in modes]
        self.keys = [name for name in keyword if name in KEY_ARGUMENTS]

    def given(self, inputs: Any, skip: int = 0) -> set[str]:
        """Names that the person's own inputs fill; the first `skip` parameters are not theirs."""
        return set(inputs) if isinstance(inputs, dict) else set(self.positions[skip : skip + len(inputs)])

    def chosen(self, inputs: Any, mode: Mode, key: Any, skip: int = 0) -> dict[str, Any]:
        taken = self.given(inputs, skip)
        chosen = {n: MODE_ARGUMENTS[n] == (mode == "train") for n in self.modes if n not in taken}
        return chosen | {name: key for name in self.keys if name not in taken}


def apply(function: Callable[..., Any], first: tuple[Any, ...], inputs: Any, switches: Mapping[str, Any]) -> Any:
    if isinstance(inputs, dict):
        return function(*first, **inputs, **switches)
    return function(*first, *inputs, **switches)


def signature_of(function: Any) -> inspect.Signature:
    """The signature of a callable, an empty one where Python cannot tell."""
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return inspect.Signature()


def is_array(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray | np.generic)


def with_records(tree: Any) -> Any:
    """A pytree in which named tuples stand for dataclasses that JAX does not know."""

    def record(leaf: Any) -> Any:
        if not dataclasses.is_dataclass(leaf) or isinstance(leaf, type):
            return leaf
        fields = [field.name for field in dataclasses.fields(leaf)]
        return record_class(type(leaf).__name__, tuple(fields))(*(with_records(getattr(leaf, f)) for f in fields))

    return jax.tree.map(record, tree)


@jax.tree_util.register_pytree_node_class
class Outputs:
    """Outputs of a function under `jax.jit`, with the texts and Python numbers in them that jit cannot return."""

    def __init__(self, arrays: list[Any], fixed: tuple[Any, Any]) -> None:
        self.arrays, self.fixed = arrays, fixed

    @classmethod
    def of(cls, tree: Any) -> Outputs:
        leaves, structure = jax.tree.flatten(tree)
        texts = [leaf if isinstance(leaf, str | bool | int | float) else None for leaf in leaves]
        arrays = [leaf for leaf, text in zip(leaves, texts, strict=True) if text is None]
        return cls(arrays, (structure, tuple(texts)))

    def tree(self) -> Any:
        """The outputs as the function returned them."""
        structure, texts = self.fixed
        arrays = iter(self.arrays)
        return jax.tree.unflatten(structure, [next(arrays) if text is None else text for text in texts])

    def tree_flatten(self) -> tuple[list[Any], tuple[Any, Any]]:
        return self.arrays, self.fixed

    @classmethod
    def tree_unflatten(cls, fixed: tuple[Any, Any], arrays: Iterable[Any]) -> Outputs:
        return cls(list(arrays), fixed)


class TreeNames:
    """A pytree whose arrays have names; what is no array stays in its place."""

    def __init__(self, tree: Any) -> None:
        self._structure = jax.tree.structure(tree)
        paths = with_paths(tree)
        names = [path_name(path) or "weight" for path, _ in paths]  # a tree may be one array
        if len(set(names)) < len(names):  # "a/b" beside {"a": {"b": ...}}
            names = [jax.tree_util.keystr(path) for path, _ in paths]
        self._leaves = [leaf for _, leaf in paths]
        self._names = [name if is_array(leaf) else "" for name, (_, leaf) in zip(names, paths, strict=True)]

    @property
    def arrays(self) -> Leaves:
        pairs = zip(self._names, self._leaves, strict=True)
        return {name: of_its_own_dtype(jnp.asarray(leaf)) for name, leaf in pairs if name}

    def tree(self, arrays: Mapping[str, Any]) -> Any:
        """The pytree with other arrays in the places of its own."""
        pairs = zip(self._names, self._leaves, strict=True)
        return jax.tree.unflatten(self._structure, [arrays[name] if name else leaf for name, leaf in pairs])

    def trained(self, arrays: Mapping[str, Any]) -> Any:
        """The pytree of these arrays alone: None where a leaf is not among them."""
        return jax.tree.unflatten(self._structure, [arrays.get(name) if name else None for name in self._names])


def with_paths(tree: Any) -> list[tuple[tuple[Any, ...], Any]]:
    """The leaves of a pytree with their paths; what a stateful model of Equinox keeps is named by who keeps it."""
    found: list[tuple[tuple[Any, ...], Any]] = []
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree, is_leaf=is_state)[0]:
        items = kept_by_owner(leaf) if is_state(leaf) else [((), leaf)]
        for owner, kept in items:
            found += (
                [((*path, *owner, *below), inner) for below, inner in with_paths(kept)] if owner else [(path, kept)]
            )
    return found


def of_its_own_dtype(array: Any) -> Any:
    """An array that keeps its dtype in 64-bit mode: a count that began as ``jnp.array(0)`` would become int64 there."""
    return jax.lax.convert_element_type(array, array.dtype) if getattr(array, "weak_type", False) else array


def path_name(path: tuple[Any, ...]) -> str:
    """``layers.0.weight`` of a key path; Haiku's ``a/~/b`` counts as two steps."""
    parts = [str(getattr(step, "key", getattr(step, "idx", getattr(step, "name", step)))) for step in path]
    return ".".join(part.replace("/~/", ".").replace("/", ".") for part in parts)
