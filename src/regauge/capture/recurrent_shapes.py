"""Shapes of recurrent layers of any length.

A recurrent layer is one node of the graph. To know what shapes it gives, torch runs a formula of its own that loops
over the steps in Python, which makes a number of the length. One step tells the shapes and dtypes of all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

from torch import Tensor
from torch._decomp import decompositions
from torch._subclasses import FakeTensor
from torch.fx.experimental.proxy_tensor import get_proxy_mode
from torch.nn import functional

Layer = Callable[..., tuple[Tensor, Any]]


@contextmanager
def of_any_length() -> Iterator[None]:
    """Within the block the length of what recurrent layers give may be symbolic.

    Before 2.13 torch's formula of an LSTM left an axis of length 1 in the final states, which a batch of 1 alone hid.
    """
    plain, gated = decompositions.one_layer_rnn, decompositions.one_layer_lstm
    chosen = decompositions.select_one_layer_lstm_function

    def rnn(inp: Tensor, hidden: Tensor, params: Sequence[Tensor], has_biases: bool, hidden_fn: Any, **way: Any) -> Any:
        if not _asks_shapes(inp):
            return plain(inp, hidden, params, has_biases, hidden_fn, **way)
        into, within, *biases = params
        bias_into, bias_within = biases if has_biases else (None, None)
        first = functional.linear(inp, into, bias_into)[0]
        state = hidden_fn(first, hidden.unsqueeze(0), into, bias_into, within, bias_within)
        return _repeated(state, inp), state.squeeze(0)

    def lstm(inp: Tensor, hidden: Any, params: Sequence[Tensor], has_biases: bool, **way: Any) -> Any:
        if not _asks_shapes(inp):
            outputs, states = gated(inp, hidden, params, has_biases, **way)
            pairs = zip(states, hidden, strict=True)
            return outputs, tuple(final[0] if final.ndim > initial.ndim else final for final, initial in pairs)
        into, within, *rest = params
        biases, projection = (rest[:2], rest[2:]) if has_biases else ([None, None], rest)
        first = functional.linear(inp, into, biases[0])[0]
        before, kept = (state.unsqueeze(0) for state in hidden)
        last = projection[0] if projection else None
        output, cell = decompositions.lstm_cell(first, before, kept, within, biases[1], last, chunk_dim=2)
        return _repeated(output, inp), (output.squeeze(0), cell.squeeze(0))

    def choose(inp: Tensor, *rest: Any) -> Layer:
        return lstm if _asks_shapes(inp) else chosen(inp, *rest)

    with (
        mock.patch.object(decompositions, "one_layer_rnn", rnn),
        mock.patch.object(decompositions, "one_layer_lstm", lstm),
        mock.patch.object(decompositions, "select_one_layer_lstm_function", choose),
    ):
        yield


def _asks_shapes(inp: Tensor) -> bool:
    """Whether a formula runs for the shapes alone: on tensors without values, and not into a graph."""
    return isinstance(inp, FakeTensor) and get_proxy_mode() is None


def _repeated(step: Tensor, inp: Tensor) -> Tensor:
    """The result of one step for every step of an input."""
    return step.expand(inp.shape[0], -1, -1).contiguous()
