"""Dropout inside packed recurrent layers takes the masks of the padded batch, which other code can share."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from regauge.run.dropout_masks import DropoutCall, keep_mask
from regauge.run.torch_arithmetic import controlled

RATE, WIDTH, TIME = 0.4, 6, 7
LENGTHS = {"one is full": [7, 2, 5, 2], "none is full": [3, 5, 5, 1], "all alike": [5, 5, 5, 5]}
LAYERS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


def stacked(kind: str, bidirectional: bool) -> tuple[nn.Module, list[nn.Module]]:
    """A layer of two with dropout between, and the two as layers of their own with the same weights."""
    torch.manual_seed(0)
    options = {"batch_first": True, "bidirectional": bidirectional}
    whole = LAYERS[kind](3, WIDTH, num_layers=2, dropout=RATE, **options)
    parts = [LAYERS[kind](3 if n == 0 else WIDTH * (1 + bidirectional), WIDTH, **options) for n in range(2)]
    with torch.no_grad():
        for number, part in enumerate(parts):
            for name, parameter in part.named_parameters():
                parameter.copy_(getattr(whole, name.replace("_l0", f"_l{number}")))
    return whole, parts


def by_hand(parts: list[nn.Module], x: Tensor, lengths: Tensor, mask: Tensor) -> Tensor:
    """The two layers one after the other, with dropout on the padded batch between; `mask` is [time, batch, width]."""
    for number, part in enumerate(parts):
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        x, _ = pad_packed_sequence(part(packed)[0], batch_first=True, total_length=TIME)
        if number == 0:
            x = x * mask.transpose(0, 1) / (1 - RATE)
    return x


@pytest.mark.parametrize(
    "lengths", [[7, 2, 5, 2], [3, 5, 5, 1], [5, 5, 5, 5]], ids=["one is full", "none is full", "all alike"]
)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", LAYERS)
def test_rows_are_dropped_by_the_mask_of_the_padded_batch(kind: str, bidirectional: bool, lengths: list[int]) -> None:
    whole, parts = stacked(kind, bidirectional)
    x, sizes = torch.randn(4, TIME, 3), torch.tensor(lengths)
    with controlled(False, "masks") as control:
        packed = pack_padded_sequence(x, sizes, batch_first=True, enforce_sorted=False)
        found = pad_packed_sequence(whole(packed)[0], batch_first=True, total_length=TIME)[0]
    call = DropoutCall((TIME, 4, WIDTH * (1 + bidirectional)), 1 - RATE)
    assert control.calls == [call]
    expected = by_hand(parts, x, sizes, torch.from_numpy(keep_mask(0, call)))
    torch.testing.assert_close(found, expected)
    without = by_hand(parts, x, sizes, torch.ones(call.shape))
    assert not torch.allclose(found, without, atol=1e-3)


def test_what_is_not_packed_keeps_its_shape() -> None:
    whole, _ = stacked("lstm", True)
    x = torch.randn(4, TIME, 3)
    with controlled(False, "masks") as control:
        whole(pack_padded_sequence(x, torch.full((4,), TIME), batch_first=True))
        nn.functional.dropout(x, RATE)
        whole(x)
    assert [call.shape for call in control.calls] == [(TIME, 4, 2 * WIDTH), (4, TIME, 3), (TIME, 4, 2 * WIDTH)]
