"""Alternatives of recurrent layers: weights in another order, and cells that are written in another way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from regauge.run.torch_alternative_registry import Named, alternative
from regauge.run.torch_calls import name_of

_GATES = {"gru": 3, "lstm": 4}
_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "hardsigmoid": F.hardsigmoid,
    "none": lambda x: x,
}


@dataclass(frozen=True)
class Cell:
    """How one step is computed.

    Attributes:
        negated: a gate that is taken as one minus itself.
        reset_first: GRU: the reset gate multiplies the state before the product, as in the first paper on it
            (Cho et al. 2014, arXiv:1406.1078).
        activation: of the candidate.
        cell: LSTM: what the cell goes through before the output gate.
        gate: what the gates go through.
    """

    negated: int | None = None
    reset_first: bool = False
    activation: str = "tanh"
    cell: str = "tanh"
    gate: str = "sigmoid"

    def opened(self, index: int, x: Tensor) -> Tensor:
        found = _FUNCTIONS[self.gate](x)
        return 1 - found if self.negated == index else found


@alternative
def recurrent(
    func: Any,
    args: Any,
    kwargs: Any,
    named: Named,
    *,
    order: Sequence[int] = (),
    forget: float = 0.0,
    without: str = "",
    **cell: Any,
) -> Any:
    """A recurrent layer with its gates in another order, or combined in another way.

    Args:
        func: torch's gru, lstm, rnn_tanh or rnn_relu.
        args: of the call.
        kwargs: of the call.
        named: of the call.
        order: which block of the weights each gate takes.
        forget: added to the bias of the forget gate.
        without: "hidden" leaves the second bias out.
        cell: of `Cell`, where the steps are to be written out.
    """
    gates = _GATES.get(name_of(func), 1)
    changed = []
    for index, weight in enumerate(args[2]):
        blocks = list(weight.chunk(gates, 0))
        if order:
            blocks = [blocks[i] for i in order]
        if forget and weight.dim() == 1 and gates == 4 and index % 4 == 2:
            blocks[1] = blocks[1] + forget
        tensor = torch.cat(blocks)
        changed.append(
            torch.zeros_like(tensor) if without == "hidden" and weight.dim() == 1 and index % 4 == 3 else tensor
        )
    if cell:
        return _written_out(name_of(func), (*args[:2], changed, *args[3:]), Cell(**cell))
    return func(*args[:2], changed, *args[3:], **kwargs)


def _written_out(kind: str, args: Any, cell: Cell) -> Any:
    """Layers and directions step by step; arguments as torch._VF has them for a padded batch."""
    if kind not in _GATES or isinstance(args[2], Tensor) or len(args) != 9:
        raise NotImplementedError("a GRU or an LSTM on a padded batch")
    x, state, weights, biased, layers, rate, training, both, batch_first = args
    if training and rate > 0 and layers > 1:
        raise NotImplementedError("dropout between the layers")
    x = x.transpose(0, 1) if batch_first else x
    states = state if kind == "lstm" else (state,)
    own, directions = 4 if biased else 2, 2 if both else 1
    last: list[list[Tensor]] = [[] for _ in states]
    for layer in range(layers):
        outputs = []
        for direction in range(directions):
            number = layer * directions + direction
            steps, ends = _one_direction(
                x.flip(0) if direction else x,
                tuple(part[number] for part in states),
                weights[number * own : (number + 1) * own],
                cell,
            )
            outputs.append(steps.flip(0) if direction else steps)
            for kept, end in zip(last, ends, strict=True):
                kept.append(end)
        x = torch.cat(outputs, -1)
    return x.transpose(0, 1) if batch_first else x, *(torch.stack(parts) for parts in last)


def _one_direction(
    x: Tensor, state: tuple[Tensor, ...], weights: Sequence[Tensor], cell: Cell
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """All steps of [time, batch, features]: the outputs, and the state behind the last one."""
    w, u = weights[:2]
    b, c = weights[2:] if len(weights) == 4 else (w.new_zeros(len(w)), u.new_zeros(len(u)))
    found = []
    for step in x.unbind(0):
        given, kept = step @ w.T + b, state[0] @ u.T + c
        state = _lstm(given + kept, state[1], cell) if len(state) == 2 else _gru(given, kept, state[0], u, c, cell)
        found.append(state[0])
    return torch.stack(found), state


def _lstm(mixed: Tensor, memory: Tensor, cell: Cell) -> tuple[Tensor, Tensor]:
    i, f, g, o = mixed.chunk(4, -1)
    i, f, o = (cell.opened(index, gate) for index, gate in ((0, i), (1, f), (3, o)))
    memory = f * memory + i * _FUNCTIONS[cell.activation](g)
    return o * _FUNCTIONS[cell.cell](memory), memory


def _gru(given: Tensor, kept: Tensor, h: Tensor, u: Tensor, c: Tensor, cell: Cell) -> tuple[Tensor]:
    (r, z, n), (hr, hz, hn) = given.chunk(3, -1), kept.chunk(3, -1)
    r, z = cell.opened(0, r + hr), cell.opened(1, z + hz)
    inner = n + ((r * h) @ u.chunk(3)[2].T + c.chunk(3)[2] if cell.reset_first else r * hn)
    return ((1 - z) * _FUNCTIONS[cell.activation](inner) + z * h,)
