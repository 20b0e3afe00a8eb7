"""An optimizer of stacked parameters as one of the layers' own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from regauge.optax_specs import Masked, OptaxOptimizer, Part
from regauge.weights.mapping import WeightEntry


def by_layer(spec: OptaxOptimizer, entries: Iterable[WeightEntry]) -> OptaxOptimizer:
    """The optimizer whose masks name the slices of stacked parameters, as `WeightEntry.label` has them.

    Args:
        spec: of the original; it looks at no norm of a whole parameter.
        entries: of the weight map.
    """
    slices: dict[str, list[str]] = {}
    for entry in entries:
        slices.setdefault(entry.source, []).append(entry.label)
    return replace(spec, parts=_parts(spec.parts, slices))


def _parts(parts: Sequence[Part], slices: Mapping[str, Sequence[str]]) -> tuple[Part, ...]:
    return tuple(_masked(part, slices) if isinstance(part, Masked) else part for part in parts)


def _masked(part: Masked, slices: Mapping[str, Sequence[str]]) -> Masked:
    labels = tuple(label for name in part.parameters for label in slices.get(name, (name,)))
    return Masked(labels, _parts(part.parts, slices))
