"""Packed sequences under controlled dropout: where each row of packed data stands in the padded batch.

A recurrent layer drops rows of its packed data, whose order follows the lengths. Code that computes the same on the
padded batch drops [time, batch, width], so masks are drawn for the padded batch, and a packed layer takes its rows of
them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence


@dataclass(frozen=True)
class Rows:
    """The rows of one packed sequence.

    Attributes:
        time: the padded length.
        batch: the number of sequences.
        places: int64[rows], ``step * batch + sequence`` of each, sequences in the order of the batch.
    """

    time: int
    batch: int
    places: Tensor

    def padded(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape [time, batch, width] of what the layer has as [rows, width], or [steps, batch, width].

        torch takes the second form where all sequences have the same length.
        """
        return (self.time, self.batch, shape[-1])

    def of(self, padded: Tensor, shape: tuple[int, ...]) -> Tensor:
        """The rows of a tensor [time, batch, width], in the layer's form."""
        return padded.flatten(0, 1)[self.places.to(padded.device)].reshape(shape)


class Packings:
    """Knows the rows of the packed sequence that a recurrent layer is computing on.

    Attributes:
        rows: of that sequence; None outside of recurrent layers and where the layer has a padded batch.
    """

    def __init__(self) -> None:
        self.rows: Rows | None = None
        self._times: dict[int, tuple[Tensor, int]] = {}  # by the address of the sizes, which stay while they are held

    def packed(self, sizes: Tensor, time: int) -> None:
        """Remember the padded length of what was packed with these sizes; the longest sequence may be shorter."""
        self._times[sizes.data_ptr()] = (sizes, time)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Within the block `rows` follows the recurrent layers of torch."""
        with ExitStack() as stack:
            for kind in (nn.LSTM, nn.GRU, nn.RNN):
                stack.enter_context(mock.patch.object(kind, "forward", self._telling(kind.forward)))
            yield

    def _telling(self, forward: Callable[..., Any]) -> Callable[..., Any]:
        def told(layer: nn.RNNBase, input: Any, hx: Any = None) -> Any:
            self.rows = self._rows_of(input) if isinstance(input, PackedSequence) else None
            try:
                return forward(layer, input, hx)
            finally:
                self.rows = None

        return told

    def _rows_of(self, sequence: PackedSequence) -> Rows:
        counts = sequence.batch_sizes.tolist()
        _, time = self._times.get(sequence.batch_sizes.data_ptr(), (None, len(counts)))
        order = torch.arange(counts[0]) if sequence.sorted_indices is None else sequence.sorted_indices.cpu()
        places = torch.cat([step * counts[0] + order[:count] for step, count in enumerate(counts)])
        return Rows(time, counts[0], places)
