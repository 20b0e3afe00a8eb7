"""Recurrent layers take sequences of any length, in every form that torch traces by a loop over the steps."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from comparing import assert_captures
from torch import Tensor, nn

from regauge.ir.graph import Sym

FORMS: list[dict[str, Any]] = [{"batch_first": True}, {"bidirectional": True, "num_layers": 2}, {"bias": False}]


class Reader(nn.Module):
    """Tokens through a recurrent layer; what follows is written with the length."""

    def __init__(self, layer: type[nn.RNNBase], **options: Any) -> None:
        super().__init__()
        self.table = nn.Embedding(9, 4)
        self.layer = layer(4, 3, **options)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Any]:
        x = self.table(tokens)
        outputs, state = self.layer(x if self.layer.batch_first else x.transpose(0, 1))
        steps = torch.arange(tokens.shape[1], dtype=x.dtype) / tokens.shape[1]
        return outputs * (steps[:, None] if self.layer.batch_first else steps[:, None, None]), state


def tokens(batch: int, length: int) -> tuple[Tensor]:
    return (torch.randint(0, 9, (batch, length)),)


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize(
    ("layer", "options"),
    [(layer, options) for layer in (nn.RNN, nn.GRU, nn.LSTM) for options in FORMS]
    + [(nn.RNN, {"nonlinearity": "relu"}), (nn.LSTM, {"proj_size": 2, "batch_first": True})],
)
def test_the_length_of_a_recurrent_layer_is_symbolic(layer, options, train):
    others = (tokens(4, 7), tokens(2, 2))
    captured = assert_captures(Reader(layer, **options), tokens(3, 5), train=train, others=others)
    assert captured.graph.inputs[0].spec.shape == (Sym("batch"), Sym("sequence"))
    assert captured.graph.findings == ()
