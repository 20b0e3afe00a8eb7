"""Tensors that a model makes or keeps for itself, and reads in one mode alone, or other ones in each mode.

Each export names its constants by their number: the first of training and the first of evaluation have one name.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import torch

from regauge.ir.graph import Graph, WeightSpec

Tensors = Mapping[str, torch.Tensor]


def with_constants_of(
    training: Graph, evaluation: Graph, tensors: Tensors, own: Tensors
) -> tuple[Graph, Graph, dict[str, torch.Tensor]]:
    """Both graphs with the constants of both, each under a name of its own.

    Args:
        training, evaluation: the captures of both modes.
        tensors: what the weights of `training` hold, by name.
        own: the same of `evaluation`.

    Returns:
        The graph of training, which has all weights; that of evaluation; and the tensors that training does not have.
    """
    names: dict[str, str] = {}
    added: list[WeightSpec] = []
    taken = {weight.name for weight in training.weights}
    for weight in evaluation.weights:
        if weight.role != "constant" or weight.name not in own or _is_same(weight.name, tensors, own):
            continue
        name = _free(weight.name, taken)
        taken.add(name)
        names[weight.name] = name
        added.append(replace(weight, name=name, value=""))
    if not added:
        return training, evaluation, {}
    specs = tuple(
        replace(w, name=names.get(w.name, w.name), tied_to=names.get(w.tied_to or "", w.tied_to))
        for w in evaluation.weights
    )
    more = {new: own[old] for old, new in names.items()}
    return replace(training, weights=(*training.weights, *added)), replace(evaluation, weights=specs), more


def _is_same(name: str, tensors: Tensors, own: Tensors) -> bool:
    one, other = tensors.get(name), own[name]
    return (
        one is not None
        and one.dtype == other.dtype
        and one.shape == other.shape
        and bool(torch.equal(one, other) or ((one == other) | ((one != one) & (other != other))).all())
    )


def _free(name: str, taken: Collection[str]) -> str:
    number, free = 2, name
    while free in taken:
        number, free = number + 1, f"{name}_{number}"
    return free
