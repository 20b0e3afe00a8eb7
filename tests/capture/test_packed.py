"""Packed sequences are captured as padded batches with lengths, and torch is as before afterwards."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from comparing import assert_captures, ops
from torch import Tensor, nn
from torch.nn.utils import rnn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from regauge.capture.torch_export import capture_module
from regauge.errors import BadCase, CaptureError

KINDS = {
    "lstm": lambda **options: nn.LSTM(3, 4, **options),
    "gru": lambda **options: nn.GRU(3, 4, **options),
    "rnn_tanh": lambda **options: nn.RNN(3, 4, **options),
    "rnn_relu": lambda **options: nn.RNN(3, 4, nonlinearity="relu", **options),
}
UNSORTED = torch.tensor([3, 5, 1, 5])
SORTED = torch.tensor([5, 5, 3, 1])


class Reader(nn.Module):
    """Packs, computes, pads; gives output, lengths and final states."""

    def __init__(self, layer: nn.Module, packed_first: bool, padded_first: bool, ordered: bool = False, **padding):
        super().__init__()
        self.layer, self.packed_first, self.padded_first = layer, packed_first, padded_first
        self.ordered, self.padding = ordered, padding

    def forward(self, x: Tensor, lengths: Tensor):
        packed = pack_padded_sequence(x, lengths, self.packed_first, enforce_sorted=self.ordered)
        y, final = self.layer(packed)
        assert isinstance(y, PackedSequence)
        return pad_packed_sequence(y, self.padded_first, **self.padding), final


def batch(first: bool, sizes: tuple[int, int] = (4, 5)) -> Tensor:
    x = torch.randn(*sizes, 3)
    return x if first else x.transpose(0, 1).contiguous()


@pytest.mark.parametrize(("kind", "first"), [*product(KINDS, (True, False))])
def test_each_kind_in_both_directions_and_two_layers(kind: str, first: bool) -> None:
    model = Reader(KINDS[kind](num_layers=2, bidirectional=True, batch_first=first), first, first)
    captured = assert_captures(
        model, (batch(first), UNSORTED), train=True, others=((batch(first), torch.tensor([5, 1, 2, 4])),)
    )
    assert ops(captured.graph).count(f"regauge.{kind}_padded.default") == 1
    assert "C141" in {finding.code for finding in captured.findings}
    assert captured.graph_eval is None


def test_one_node_for_an_lstm_and_nothing_of_the_sorting() -> None:
    captured = capture_module(Reader(nn.LSTM(3, 4), True, True), (batch(True), UNSORTED), train=False)
    names = ops(captured.graph)
    assert set(names) == {"aten.zeros.default", "regauge.lstm_padded.default"}


def test_sequences_that_come_sorted() -> None:
    assert_captures(Reader(nn.GRU(3, 4), True, True, ordered=True), (batch(True), SORTED), train=True)


def test_projected_states_without_biases() -> None:
    layer = nn.LSTM(3, 4, proj_size=2, bias=False, batch_first=True)
    assert_captures(Reader(layer, True, True), (batch(True), UNSORTED), train=True)


@pytest.mark.parametrize("total", [5, 8])
@pytest.mark.parametrize(("packed_first", "padded_first"), [(True, True), (False, True), (True, False)])
def test_total_length_and_the_value_of_the_padding(total: int, packed_first: bool, padded_first: bool) -> None:
    model = Reader(nn.GRU(3, 4), packed_first, padded_first, total_length=total, padding_value=-2.0)
    shorter = torch.tensor([3, 4, 1, 2])
    captured = assert_captures(
        model, (batch(packed_first), shorter), train=True, others=((batch(packed_first), UNSORTED),)
    )
    assert "C141" not in {finding.code for finding in captured.findings}


def test_a_total_length_below_the_padded_length() -> None:
    model = Reader(nn.GRU(3, 4), True, True, total_length=4)
    assert_captures(model, (batch(True), torch.tensor([3, 4, 1, 2])), train=True)


def test_other_sizes_of_the_batch() -> None:
    other = (batch(True, (3, 5)), torch.tensor([5, 2, 5]))
    assert_captures(Reader(nn.LSTM(3, 4), True, True), (batch(True), UNSORTED), train=True, others=(other,))


class Given(nn.Module):
    """Initial states that the model computes; packed twice, through two layers with something between."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.start = nn.LSTM(3, 4), nn.GRU(4, 5), nn.Linear(3, 4)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        h = self.start(x[:, 0]).unsqueeze(0)
        y, (h, c) = self.first(pack_padded_sequence(x, lengths, True, enforce_sorted=False), (h, h.tanh()))
        y, _ = pad_packed_sequence(y, batch_first=True, total_length=x.size(1))
        packed = rnn.pack_padded_sequence(y.relu(), lengths, batch_first=True, enforce_sorted=False)
        return self.second(packed)[1], c


def test_initial_states_and_two_layers() -> None:
    captured = assert_captures(Given(), (batch(True), UNSORTED), train=True)
    assert captured.findings == () or "C141" not in {finding.code for finding in captured.findings}


class Stays(nn.Module):
    """Packs and pads without a layer between; lengths as a list."""

    def forward(self, x: Tensor) -> Tensor:
        packed = pack_padded_sequence(x, [5, 4, 4, 1], batch_first=True)
        return pad_packed_sequence(packed, batch_first=True, padding_value=7.0)[0]


def test_padding_alone_takes_what_stands_behind_the_end_away() -> None:
    assert_captures(Stays(), (batch(True),), train=True)


def test_dropout_between_layers_keeps_its_rate() -> None:
    layer = nn.LSTM(3, 4, num_layers=2, dropout=0.25, batch_first=True)
    captured = capture_module(Reader(layer, True, True), (batch(True), UNSORTED), train=True)
    node = next(node for node in captured.graph.nodes if node.op == "regauge.lstm_padded.default")
    assert (node.argument("dropout"), node.argument("train")) == (0.25, True)
    assert captured.graph_eval is None


def test_torch_is_as_before() -> None:
    before = [rnn.pack_padded_sequence.__code__, rnn.pad_packed_sequence.__code__]
    forwards = [nn.LSTM.forward, nn.GRU.forward, nn.RNN.forward]
    capture_module(Reader(nn.LSTM(3, 4), True, True), (batch(True), UNSORTED), train=False)
    with pytest.raises(CaptureError):
        capture_module(LooksInside(), (batch(True), UNSORTED), train=False)
    with pytest.raises(BadCase):
        capture_module(Reader(nn.LSTM(3, 4), True, True), (batch(True), torch.tensor([0, 1, 2, 3])), train=False)
    assert [rnn.pack_padded_sequence.__code__, rnn.pad_packed_sequence.__code__] == before
    assert [nn.LSTM.forward, nn.GRU.forward, nn.RNN.forward] == forwards
    assert pack_padded_sequence(batch(True), UNSORTED, True, enforce_sorted=False).data.shape == (14, 3)


# what is refused -----------------------------------------------------------------------------------------------------


class LooksInside(nn.Module):
    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        return torch.relu(pack_padded_sequence(x, lengths, True, enforce_sorted=False).data).mean()


class Multiplies(nn.Module):
    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        return (pack_padded_sequence(x, lengths, True, enforce_sorted=False).data * 2).mean()


class Orders(nn.Module):
    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(x, lengths, True, enforce_sorted=False)
        return x[packed.sorted_indices]


class Sizes(nn.Module):
    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(x, lengths, True, enforce_sorted=False)
        return x * packed.batch_sizes


@pytest.mark.parametrize("model", [LooksInside(), Multiplies(), Orders(), Sizes()], ids=lambda m: type(m).__name__)
def test_the_elements_of_a_packed_sequence_are_refused(model: nn.Module) -> None:
    lengths = torch.tensor([2, 3, 3])  # as many sizes as there are features, so that the original runs
    with pytest.raises(CaptureError) as caught:
        capture_module(model, (torch.randn(3, 3, 3), lengths), train=False)
    assert caught.value.code == "C107"
    assert "test_packed.py:" in caught.value.where
    assert "pad_packed_sequence" in caught.value.next


def test_padding_to_a_longest_sequence_that_is_not_the_padded_length() -> None:
    with pytest.raises(CaptureError) as caught:
        capture_module(Reader(nn.GRU(3, 4), True, True), (batch(True), torch.tensor([3, 4, 1, 2])), train=False)
    assert caught.value.code == "C107"
    assert "total_length" in caught.value.next
    assert "test_packed.py:" in caught.value.where
