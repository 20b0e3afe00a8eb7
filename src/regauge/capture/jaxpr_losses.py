"""Losses of optax over all examples, which are one function in torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax.numpy as jnp
import optax

from regauge.capture.jaxpr_functions import Candidate, Candidates, Function, Place, inputs_at, probe
from regauge.ir.graph import node_inputs


def _labelled(place: Place) -> Iterator[Candidate]:
    """Losses of class numbers: the first node takes the labels, logits with one axis more are among what follows."""
    for name in dict.fromkeys(node_inputs(place.node)):
        labels = place.aval(name)
        if not jnp.issubdtype(labels.dtype, jnp.integer) or not labels.shape:
            continue
        taken = dict.fromkeys(n for node in place.following() for n in node_inputs(node))
        floats = [place.aval(n) for n in taken if jnp.issubdtype(place.aval(n).dtype, jnp.floating)]
        found = {(a.shape, str(a.dtype)): a for a in floats if a.shape[:-1] == labels.shape and a.shape}
        for logits in found.values():
            for reduction in ("mean", "sum"):
                yield Candidate((("logits", logits), ("labels", labels)), (("reduction", reduction),))


def _paired(first: str, second: str) -> Candidates:
    """Losses of two arrays of one shape, the first node takes one of them."""

    def candidates(place: Place) -> Iterator[Candidate]:
        for aval in inputs_at(place):
            for reduction in ("mean", "sum") if aval.shape else ():
                yield Candidate(((first, aval), (second, aval)), (("reduction", reduction),))

    return candidates


def _differences(place: Place) -> Iterator[Candidate]:
    """A squared error: both arrays are there in full; the distance from a mean is no loss of two arrays."""
    made = {value.name: node.op for node in place.nodes for value in node.outputs}
    if not any(made.get(name) == "lax.broadcast_in_dim" for name in node_inputs(place.node)):
        yield from _paired("predictions", "targets")(place)


def _reduced(loss: Callable[..., Any]) -> Callable[..., Any]:
    """A loss of single examples, then over all of them: only together they are one of torch's."""

    def call(reduction: str, **arrays: Any) -> Any:
        return getattr(jnp, reduction)(loss(*arrays.values()))

    return call


def _loss(op: str, loss: Callable[..., Any], candidates: Candidates, probe: Candidate) -> Function:
    return Function(op, _reduced(loss), candidates, probe)


_LABELS = Candidate(
    (*probe(("logits", (3, 4))).arrays, *probe(("labels", (3,)), dtype=jnp.int32).arrays), (("reduction", "mean"),)
)
_LOGITS = probe(("logits", (3, 4)), ("labels", (3, 4)), reduction="mean")
_ERRORS = probe(("predictions", (3, 4)), ("targets", (3, 4)), reduction="mean")
_INTEGER_LABELS = "optax.softmax_cross_entropy_with_integer_labels"

LOSSES = (
    _loss(_INTEGER_LABELS, optax.softmax_cross_entropy_with_integer_labels, _labelled, _LABELS),
    _loss("optax.softmax_cross_entropy", optax.softmax_cross_entropy, _paired("logits", "labels"), _LOGITS),
    _loss(
        "optax.sigmoid_binary_cross_entropy", optax.sigmoid_binary_cross_entropy, _paired("logits", "labels"), _LOGITS
    ),
    _loss("optax.squared_error", lambda x, y: (x - y) ** 2, _differences, _ERRORS),
    _loss("optax.squared_error", lambda x, y: jnp.square(x - y), _differences, _ERRORS),
)
