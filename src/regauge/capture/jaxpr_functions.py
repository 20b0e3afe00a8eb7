"""A library function, where it may stand in a graph, and with which arguments: what `jaxpr_library` looks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from regauge.capture.jaxpr_templates import abstract
from regauge.capture.jaxpr_walk import Walk
from regauge.ir.graph import Node, node_inputs

NEAR = 40  # nodes behind the first in which other arguments of a call are looked for


@dataclass(frozen=True)
class Place:
    """A node where a call may begin, and what stands around it."""

    walk: Walk
    nodes: Sequence[Node]
    position: int

    @property
    def node(self) -> Node:
        return self.nodes[self.position]

    def following(self) -> Sequence[Node]:
        return self.nodes[self.position : self.position + NEAR]

    def aval(self, name: str) -> Any:
        return self.walk.avals[name]


@dataclass(frozen=True)
class Candidate:
    """A function that may have been called: its arrays by parameter, its static arguments, and how it is called."""

    arrays: tuple[tuple[str, Any], ...]
    static: tuple[tuple[str, Any], ...] = ()


Candidates = Callable[[Place], Iterator[Candidate]]


@dataclass(frozen=True)
class Function:
    """A library function.

    Attributes:
        op: what its node is called.
        call: takes the arrays and the static arguments by name.
        candidates: arguments with which it may have been called at a place.
        probe: arguments on which the first operator of a call is found.
    """

    op: str
    call: Callable[..., Any]
    candidates: Candidates
    probe: Candidate


def inputs_at(place: Place) -> Iterator[Any]:
    """The different arrays that the first node takes, floats only; a size that becomes a number may stand before it."""
    first = next((node for node in place.following()[:4] if node.op != "lax.dim_as_value"), place.node)
    if first.op == "lax.convert_element_type" and first is not place.node:
        first = place.following()[2] if len(place.following()) > 2 else place.node
    seen: set[str] = set()
    for name in node_inputs(first):
        if name not in seen and jnp.issubdtype(place.aval(name).dtype, jnp.inexact):
            seen.add(name)
            yield place.aval(name)


def probe(*arrays: tuple[str, tuple[int, ...]], dtype: Any = jnp.float32, **static: Any) -> Candidate:
    """Arguments of these shapes, on which the first operator of a call is found."""
    avals = tuple((name, abstract(jax.ShapeDtypeStruct(shape, dtype))) for name, shape in arrays)
    return Candidate(avals, tuple(static.items()))
