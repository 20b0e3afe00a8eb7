"""Outputs of a model that evaluation gives in another form than training: the loss is captured on those of training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from regauge.capture.dynamic import tensors_in
from regauge.findings import Finding
from regauge.ir.graph import Graph, Sym, Symbol
from regauge.run.protocol import flatten_tree, leaf_names


class OutputsOfModes:
    """The outputs of both modes for one set of inputs.

    Attributes:
        training: the outputs in training, a pytree of tensors.
    """

    def __init__(self, evaluation: Any, training: Any) -> None:
        self.training = training
        self._evaluation, self._training = _by_name(evaluation), _by_name(training)

    def varying(self) -> list[tuple[int, int]]:
        """The axes that have another size in evaluation: (place among the tensors of `training`, axis)."""
        places = {id(tensor): place for place, tensor in enumerate(tensors_in(self.training))}
        return [(places[id(self._training[name])], axis) for name, axis in self._axes()]

    def findings(self, loss: Graph) -> list[Finding]:
        """What differs between the modes though `loss`, captured in training, is one code for both.

        Args:
            loss: a function of (outputs, targets).
        """
        return [*self._of_one_mode(), *self._of_training(loss)]

    def _axes(self) -> list[tuple[str, int]]:
        return [
            (name, axis)
            for name, tensor in self._training.items()
            if name in self._evaluation and self._evaluation[name].ndim == tensor.ndim
            for axis in range(tensor.ndim)
            if self._evaluation[name].shape[axis] != tensor.shape[axis]
        ]

    def _of_one_mode(self) -> list[Finding]:
        apart = sorted(self._evaluation.keys() ^ self._training.keys())
        if not apart:
            return []
        text = (
            f"Outputs of one mode only: {', '.join(apart)}. The converted loss is that of the outputs in training; in "
            "evaluation the original's may take others."
        )
        return [Finding("C170", "warning", "the loss", text)]

    def _of_training(self, loss: Graph) -> list[Finding]:
        """A finding for sizes of evaluation that the captured loss is not code for."""
        shapes = {value.name: value.spec.shape for value in loss.inputs}
        symbols = {symbol.name: symbol for symbol in loss.symbols}
        values = dict(zip(self._training, leaf_names(loss.in_tree["tuple"][0]), strict=True))
        apart = []
        for name, axis in self._axes():
            evaluation, training = self._evaluation[name].shape[axis], self._training[name].shape[axis]
            size = shapes[values[name]][axis]
            if not _takes(symbols.get(size.text) if isinstance(size, Sym) else None, evaluation):
                sizes = f"size {axis} is {training} in training and {evaluation} in evaluation"
                apart.append(f"{name or 'the output'}: {sizes}")
        if not apart:
            return []
        text = (
            "The converted loss is that of the outputs in training, whose sizes are others in evaluation: "
            f"{', '.join(apart)}. For those of evaluation it fails, or is another function than the original's."
        )
        return [Finding("C193", "warning", "the loss", text)]


def _by_name(tree: Any) -> Mapping[str, torch.Tensor]:
    return flatten_tree(tree, lambda leaf: isinstance(leaf, torch.Tensor))[1]


def _takes(symbol: Symbol | None, size: int) -> bool:
    """Whether a size that is `symbol`, or a number without one, was captured for other numbers, and for this one."""
    return symbol is not None and symbol.low <= size and (symbol.high is None or size <= symbol.high)
