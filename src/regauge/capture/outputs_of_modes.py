"""Outputs of a model that evaluation gives in another form than training: the loss is captured on those of training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from regauge.capture.node_keys import node_keys
from regauge.findings import Finding
from regauge.ir.graph import Graph, Sym, Symbol
from regauge.run.protocol import leaf_names

Shapes = Mapping[str, tuple[Any, ...]]


@dataclass(frozen=True)
class Varying:
    """An axis of an output that has another size in evaluation.

    Attributes:
        name: of the output, as `regauge.run.protocol.flatten_tree` names it.
        axis: of it.
        training: its size there: a number, or in a symbolic trace an expression.
        evaluation: its size there.
    """

    name: str
    axis: int
    training: Any
    evaluation: Any


class OutputsOfModes:
    """The shapes of the outputs of both modes for one set of inputs, by name and in the order of `flatten_tree`.

    Attributes:
        varying: the axes that have another size in evaluation.
        apart: the outputs that one mode alone has.
    """

    def __init__(self, evaluation: Shapes, training: Shapes) -> None:
        self._evaluation, self._training = evaluation, training
        self.varying = tuple(
            Varying(name, axis, shape[axis], evaluation[name][axis])
            for name, shape in training.items()
            if name in evaluation and len(evaluation[name]) == len(shape)
            for axis in range(len(shape))
            if evaluation[name][axis] != shape[axis]
        )

        self.apart = sorted(evaluation.keys() ^ training.keys())

    def findings(self, loss: Graph, of_evaluation: Graph | None = None) -> list[Finding]:
        """What differs between the modes though `loss`, captured in training, is one code for both.

        Args:
            loss: a function of (outputs, targets).
            of_evaluation: the same captured on the outputs of evaluation, where they are `apart` and it takes them.
        """
        return [*self._of_one_mode(loss, of_evaluation), *self._of_training(loss)]

    def _of_one_mode(self, loss: Graph, of_evaluation: Graph | None) -> list[Finding]:
        if not self.apart:
            return []
        if of_evaluation is not None and _code(loss, self._training) == _code(of_evaluation, self._evaluation):
            return []  # it reads what both modes give, at the same places
        text = (
            f"Outputs of one mode only: {', '.join(self.apart)}. The converted loss is that of the outputs in "
            "training; in evaluation the original's may take others."
        )
        return [Finding("C170", "warning", "the loss", text)]

    def _of_training(self, loss: Graph) -> list[Finding]:
        """A finding for sizes of evaluation that the captured loss is not code for."""
        shapes = {value.name: value.spec.shape for value in loss.inputs}
        symbols = {symbol.name: symbol for symbol in loss.symbols}
        values = dict(zip(self._training, leaf_names(loss.in_tree["tuple"][0]), strict=True))
        apart = []
        for found in self.varying:
            size = shapes[values[found.name]][found.axis]
            if not _takes(symbols.get(size.text) if isinstance(size, Sym) else None, found.evaluation):
                sizes = f"size {found.axis} is {found.training} in training and {found.evaluation} in evaluation"
                apart.append(f"{found.name or 'the output'}: {sizes}")
        if not apart:
            return []
        text = (
            "The converted loss is that of the outputs in training, whose sizes are others in evaluation: "
            f"{', '.join(apart)}. For those of evaluation it fails, or is another function than the original's."
        )
        return [Finding("C193", "warning", "the loss", text)]


def _code(loss: Graph, outputs: Shapes) -> Any:
    """What a loss computes, with the outputs that it reads called by their names."""
    read, *targets = (leaf_names(tree) for tree in loss.in_tree["tuple"])
    names = dict(zip(read, outputs, strict=True))
    names |= {name: f"target {place}" for place, name in enumerate(name for tree in targets for name in tree)}
    made = [value.name for node in loss.nodes for value in node.outputs]
    places = names | {name: str(place) for place, name in enumerate(made)}
    return node_keys(loss, loss.nodes, names), [places.get(name) for name in leaf_names(loss.out_tree)]


def _takes(symbol: Symbol | None, size: Any) -> bool:
    """Whether a size that is `symbol`, or a number without one, was captured for other numbers, and for this one."""
    return (
        symbol is not None
        and isinstance(size, int)
        and symbol.low <= size
        and (symbol.high is None or size <= symbol.high)
    )
