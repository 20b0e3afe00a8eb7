"""What a scan only passes through: carries that no step changes, and slices that no step reads.

Transformations of Flax hand a loop everything that the modules in it hold, the keys of their random streams too, and
get all of it back. Left in, a model would seem to draw random numbers in evaluation, and each step would return its
weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from regauge.ir.graph import Graph, Ref, node_inputs, references, renamed, with_names, without_dead


@dataclass(frozen=True)
class Busy:
    """A scan without what it passes through.

    Attributes:
        body: the function of one step.
        inputs: which of its parameters are left.
        outputs: which of its results are left.
        known: the other results, by place: values outside that they equal.
    """

    body: Graph
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    known: dict[int, Ref]


def busy(body: Graph, given: Sequence[Ref], carried: int) -> Busy:
    """What a scan with this body computes.

    Args:
        body: the function of one step; the first of its parameters and results are the carry.
        given: what the scan is given for each parameter.
        carried: how many values the carry has.
    """
    places = {value.name: place for place, value in enumerate(body.inputs)}
    known: dict[int, Ref] = {}
    for place, operand in enumerate(body.outputs):
        source = places.get(operand.name) if isinstance(operand, Ref) else None
        if source is not None and (source == place if place < carried else source >= carried):
            known[place] = given[source]
    steady = [place for place in known if place < carried]
    names = {body.inputs[place].name: given[place].name for place in steady}
    left = tuple(place for place in range(len(body.outputs)) if place not in known)
    results = tuple(renamed(body.outputs[place], names) for place in left)
    needed = {name for operand in results for name in references(operand)}
    nodes = without_dead((with_names(node, names) for node in body.nodes), needed)
    read = needed.union(*(node_inputs(node) for node in nodes))
    inputs = tuple(
        place for place, value in enumerate(body.inputs)
        if (place < carried and place not in known) or (place >= carried and value.name in read)
    )  # fmt: skip
    parameters = tuple(body.inputs[place] for place in inputs)
    return Busy(replace(body, inputs=parameters, nodes=nodes, outputs=results), inputs, left, known)
