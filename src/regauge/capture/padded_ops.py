"""Recurrent networks on padded batches with lengths, as operators of torch of their own.

A packed sequence has as many rows as all its sequences together, which depends on values; these operators compute the
same from shapes that do not: ``regauge::lstm_padded`` and its like take the padded batch and `lengths`, otherwise the
arguments of ``aten::lstm.input``. Behind the end of a sequence the output is zero; final states are those at each
sequence's own end, and the reverse direction begins there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch._subclasses import FakeTensor
from torch._subclasses.functional_tensor import FunctionalTensor

_SWITCHES = (
    "Tensor[] params, bool has_biases, int num_layers, float dropout, bool train, bool bidirectional, bool batch_first"
)
# Kind -> torch's operator on packed sequences.
_PACKED: dict[str, Any] = {
    "lstm": torch.ops.aten.lstm.data,
    "gru": torch.ops.aten.gru.data,
    "rnn_tanh": torch.ops.aten.rnn_tanh.data,
    "rnn_relu": torch.ops.aten.rnn_relu.data,
}
_DEVICES = ("CPU", "CUDA")


def _computed(
    kind: str, input: Tensor, lengths: Tensor, states: Sequence[Tensor], *settings: Any
) -> tuple[Tensor, list[Tensor]]:
    """Output and final states, by packing, torch's operator on packed sequences, and padding."""
    params, has_biases, num_layers, dropout, train, bidirectional, batch_first = settings
    batch, time = (0, 1) if batch_first else (1, 0)
    ordered, order = torch.sort(lengths.cpu(), descending=True)
    back = torch.argsort(order).to(input.device)
    order = order.to(input.device)
    data, sizes = torch._pack_padded_sequence(input.index_select(batch, order), ordered, batch_first)
    given = [state.index_select(1, order) for state in states]
    hx = given if kind == "lstm" else given[0]
    output, *final = _PACKED[kind](data, sizes, hx, params, has_biases, num_layers, dropout, train, bidirectional)
    padded, _ = torch._pad_packed_sequence(output, sizes, batch_first, 0.0, input.shape[time])
    return padded.index_select(batch, back), [state.index_select(1, back) for state in final]


def _shaped(input: Tensor, states: Sequence[Tensor], bidirectional: bool) -> list[Tensor]:
    """Empty tensors of the shapes of output and final states."""
    width = states[0].shape[-1] * (2 if bidirectional else 1)
    return [input.new_empty((*input.shape[:2], width)), *(torch.empty_like(state) for state in states)]


def _define(library: torch.library.Library, kind: str) -> None:
    single = kind != "lstm"
    state, results = ("Tensor hx", "(Tensor, Tensor)") if single else ("Tensor[] hx", "(Tensor, Tensor, Tensor)")
    name = f"{kind}_padded"

    def run(input: Tensor, lengths: Tensor, hx: Any, *settings: Any) -> tuple[Tensor, ...]:
        output, final = _computed(kind, input, lengths, [hx] if single else hx, *settings)
        return (output, *final)

    def differentiable(input: Tensor, *others: Any) -> tuple[Tensor, ...]:
        # Operators of torch know their own derivatives; where only shapes are traced, the tracer must see this one.
        if not isinstance(input, FakeTensor | FunctionalTensor):
            return run(input, *others)
        with torch._C._AutoDispatchBelowAutograd():
            result: tuple[Tensor, ...] = getattr(torch.ops.regauge, name).default(input, *others)
            return result

    def shaped(input: Tensor, lengths: Tensor, hx: Any, *settings: Any) -> tuple[Tensor, ...]:
        return tuple(_shaped(input, [hx] if single else hx, settings[5]))

    library.define(f"{name}(Tensor input, Tensor lengths, {state}, {_SWITCHES}) -> {results}")
    for device in _DEVICES:
        library.impl(name, run, device)
        library.impl(name, differentiable, f"Autograd{device}")
    torch.library.register_fake(f"regauge::{name}", shaped, lib=library)


_LIBRARY = torch.library.Library("regauge", "DEF")
for _kind in _PACKED:
    _define(_LIBRARY, _kind)
