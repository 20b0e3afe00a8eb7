"""Dropout inside the attention of Flax, as the module that it would be.

Flax draws a mask with `jax.random.bernoulli` and multiplies the attention weights with it, which are no call of a
module. The nodes of the mask get a call of their own, below that of the attention.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen, nnx

from regauge.capture.jaxpr_draws import DRAWS
from regauge.ir.graph import ModuleStep, Node, Origin, node_inputs

_ATTENTION = (linen.MultiHeadDotProductAttention, nnx.MultiHeadAttention)  # and what inherits from them


@dataclass(frozen=True)
class AttentionDropout:
    """What is done to attention weights [batch, ..., heads, queries, keys].

    Attributes:
        rate: how much is dropped.
        shared: whether all examples and heads have one mask.
    """

    rate: float
    shared: bool

    def axes(self, rank: int) -> tuple[int, ...]:
        """The axes along which a mask is repeated, of weights with so many axes."""
        return tuple(range(rank - 2)) if self.shared else ()

    def __call__(self, weights: Any, key: Any) -> Any:
        """As `flax.linen.dot_product_attention_weights` drops."""
        keep, axes = 1.0 - self.rate, self.axes(weights.ndim)
        shape = tuple(1 if axis in axes else size for axis, size in enumerate(weights.shape))
        mask = jax.random.bernoulli(key, keep, shape)
        return weights * (mask.astype(weights.dtype) / jnp.asarray(keep, dtype=weights.dtype))


def with_masks(
    nodes: Sequence[Node], modules: Mapping[str, Any], root: Any = None
) -> tuple[Sequence[Node], Mapping[str, Any]]:
    """The nodes with a call for each mask of an attention, and the modules with these calls.

    Args:
        nodes: of a graph or a body.
        modules: objects by the key of the call; the model itself is none of them, since it is never folded to a layer.
        root: the model itself, which may be an attention too.
    """
    divided, known = list(nodes), dict(modules)
    for position, node in enumerate(nodes):
        if node.op not in DRAWS or not node.origin.modules:
            continue
        step = node.origin.modules[-1]
        module = modules.get(step.call) if step.path else root
        if not isinstance(module, _ATTENTION) or not 0.0 < module.dropout_rate < 1.0:
            continue
        dropout = AttentionDropout(float(module.dropout_rate), bool(module.broadcast_dropout))
        inner = ModuleStep(
            f"{step.path}.dropout".removeprefix("."), f"flax.{AttentionDropout.__name__}", f"{step.call}.dropout"
        )
        known[inner.call] = dropout
        for place in _mask(nodes, position):
            origin = nodes[place].origin
            divided[place] = replace(nodes[place], origin=Origin((*origin.modules, inner), origin.frames))
    return divided, known


def _mask(nodes: Sequence[Node], first: int) -> list[int]:
    """Where the nodes of a mask are, from its draw to the product with the weights."""
    step, made, found = nodes[first].origin.modules, {v.name for v in nodes[first].outputs}, [first]
    for place in range(first + 1, len(nodes)):
        node = nodes[place]
        read = node_inputs(node)
        if node.origin.modules != step or not made & set(read):
            continue
        found.append(place)
        made |= {value.name for value in node.outputs}
        if node.op == "lax.mul" and not made.issuperset(read):
            break
    return found
