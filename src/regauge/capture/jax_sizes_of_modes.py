"""Sizes of a JAX model's outputs that are others in evaluation, as symbols for the loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, NamedTuple

import jax
from jax import export

from regauge.capture.jax_example import Shapes
from regauge.capture.outputs_of_modes import OutputsOfModes
from regauge.ir.graph import Symbol
from regauge.run.protocol import flatten_tree


class Sizes(NamedTuple):
    """What a loss is traced with.

    Attributes:
        outputs: abstract, a pytree.
        targets: abstract, by name.
        symbols: of both.
    """

    outputs: Any
    targets: Shapes
    symbols: Sequence[Symbol]


def named_shapes(outputs: Any) -> dict[str, tuple[Any, ...]]:
    """The shapes of abstract outputs by name, in the order of `flatten_tree`.

    Raises:
        CaptureError: they stand in what is no container of arrays.
    """
    leaves = jax.tree.leaves(outputs)
    return {name: tuple(leaves[place].shape) for name, place in _places(outputs).items()}


def with_sizes_of_modes(modes: OutputsOfModes, outputs: Any, targets: Shapes, symbols: Sequence[Symbol]) -> Sizes:
    """Outputs and targets with one symbol for all sizes that are the same numbers in both modes.

    JAX takes the bounds of symbols when their scope is made, and no symbols of two scopes: so all are made anew.

    Args:
        modes: whose numbers of training and evaluation bound each symbol.
        outputs: abstract, of training.
        targets: abstract, by name.
        symbols: that are there.
    """
    varying = [v for v in modes.varying if isinstance(v.training, int) and isinstance(v.evaluation, int)]
    if not varying:
        return Sizes(outputs, targets, symbols)
    taken = {symbol.name for symbol in symbols}
    free = (text for n in count(1) if (text := "size" if n == 1 else f"size{n}") not in taken)
    names = dict(zip(dict.fromkeys((v.training, v.evaluation) for v in varying), free, strict=False))
    bounds = [(f"{text} >= {min(pair)}", f"{text} <= {max(pair)}") for pair, text in names.items()]
    scope = export.SymbolicScope([bound for pair in bounds for bound in pair])

    def placed(leaf: Any, sizes: Mapping[int, str]) -> jax.ShapeDtypeStruct:
        texts = [sizes.get(axis, str(size)) for axis, size in enumerate(leaf.shape)]
        return jax.ShapeDtypeStruct(export.symbolic_shape(", ".join(texts), scope=scope), leaf.dtype)

    leaves, structure = jax.tree.flatten(outputs)
    places = _places(outputs)
    chosen: list[dict[int, str]] = [{} for _ in leaves]
    for v in varying:
        chosen[places[v.name]][v.axis] = names[v.training, v.evaluation]
    made = tuple(Symbol(text, pair[0], min(pair), max(pair)) for pair, text in names.items())
    return Sizes(
        jax.tree.unflatten(structure, map(placed, leaves, chosen)),
        {name: placed(shape, {}) for name, shape in targets.items()},
        (*symbols, *made),
    )


@dataclass(frozen=True)
class _Place:
    """Stands for an output in its pytree."""

    number: int


def _places(outputs: Any) -> dict[str, int]:
    """Where among the leaves of JAX each output stands, by name."""
    leaves, structure = jax.tree.flatten(outputs)
    tree = jax.tree.unflatten(structure, [_Place(n) for n in range(len(leaves))])
    found = flatten_tree(tree, lambda leaf: isinstance(leaf, _Place))[1]
    return {name: place.number for name, place in found.items()}
