"""One graph serves training and evaluation, unless the person's code asks for the mode itself."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from comparing import assert_captures, assert_same, ops, run_graph
from torch import nn

from regauge.capture import training_mode
from regauge.capture.torch_export import capture_module


class Switches(nn.Module):
    """Asks for the mode only to switch dropouts."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.norm = nn.BatchNorm1d(4)
        self.rate = 0.25

    def forward(self, x):
        x = F.dropout(self.norm(self.fc(x)), p=self.rate, training=self.training)
        heads = x.reshape(-1, 1, 1, 4)
        return F.scaled_dot_product_attention(heads, heads, heads, dropout_p=self.rate if self.training else 0.0)


class Noise(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x):
        y = self.fc(x)
        if self.training:
            y = y + torch.randn_like(y)
        return y


class Average(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(4))

    def forward(self, x):
        if self.training:
            self.mean.mul_(0.9).add_(x.detach().mean(0))
        return x * 2


def test_switches_of_dropout_cost_no_second_export():
    captured = assert_captures(Switches(), (torch.randn(3, 4),), train=True)
    assert captured.graph_eval is None
    assert "C120" not in [f.code for f in captured.findings]


def test_other_reads_do(monkeypatch):
    exports = []
    original = torch.export.export
    monkeypatch.setattr(torch.export, "export", lambda *a, **k: exports.append(1) or original(*a, **k))
    capture_module(Switches(), (torch.randn(3, 4),), train=True)
    assert len(exports) == 1
    capture_module(Noise(), (torch.randn(3, 4),), train=True)
    assert len(exports) == 3


def test_different_code_gives_two_graphs():
    model, inputs = Noise(), (torch.randn(3, 4),)
    captured = assert_captures(model, inputs, train=True)
    assert "aten.randn_like.default" in ops(captured.graph)
    assert captured.graph_eval is not None
    assert ops(captured.graph_eval) == ["aten.linear.default"]
    assert_same(run_graph(captured.graph_eval, captured.tensors, inputs).outputs, model.eval()(*inputs))
    (finding,) = (f for f in captured.findings if f.code == "C120")
    assert finding.where.startswith("test_modes.py:")
    assert "randn_like" not in finding.text  # places of the person's code, not operators


def test_state_that_only_training_changes_is_different_code():
    captured = assert_captures(Average(), (torch.randn(3, 4),), train=True)
    assert captured.graph.mutations
    assert captured.graph_eval is not None
    assert captured.graph_eval.mutations == ()


class Queue(nn.Module):
    """Keeps what it saw in training in a buffer of its own, beside a batch norm whose statistics change too."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        self.register_buffer("queue", torch.zeros(3, 4))

    def forward(self, x):
        x = self.norm(x)
        if self.training:
            self.queue.copy_(x.detach())
        return x + self.queue.mean()


def test_a_buffer_of_the_model_itself_is_no_statistic_of_a_batch_norm():
    model, inputs = Queue(), (torch.randn(3, 4),)
    captured = capture_module(model, inputs, train=True)
    assert captured.graph_eval is not None
    assert captured.graph_eval.mutations == ()


class Last(nn.Module):
    """As `Queue`, with a buffer that no output depends on."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        self.register_buffer("last", torch.zeros(3, 4))

    def forward(self, x):
        x = self.norm(x)
        if self.training:
            self.last.copy_(x.detach() + 1)
        return x


def test_state_alone_is_different_code_and_the_line_that_makes_it_is_named():
    captured = capture_module(Last(), (torch.randn(3, 4),), train=True)
    assert captured.graph_eval is not None
    assert [finding.code for finding in captured.findings].count("C120") == 1
    source = Path(__file__).read_text(encoding="utf-8").splitlines()
    line = next(i for i, text in enumerate(source, start=1) if "self.last.copy_" in text)
    finding = next(finding for finding in captured.findings if finding.code == "C120")
    assert finding.where.endswith(f"test_modes.py:{line}")


def test_same_code_in_both_modes_is_one_graph():
    class Asks(nn.Module):
        def __init__(self):
            super().__init__()
            self.drop = nn.Dropout(0.1)

        def forward(self, x):
            rows = x.shape[0] if self.training else x.size(0)
            return self.drop(x).reshape(rows, -1)

    assert assert_captures(Asks(), (torch.randn(3, 4),), train=True).graph_eval is None


def test_parts_left_in_evaluation_stay_there():
    class Backbone(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(4)
            self.head = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))

        def forward(self, x):
            return self.head(self.norm(x))

    model = Backbone()
    model.norm.eval()
    graph = capture_module(model, (torch.randn(3, 4),), train=True).graph
    training = {n.origin.path: n.argument("training") for n in graph.nodes if n.op == "aten.batch_norm.default"}
    assert training == {"norm": False, "head.1": True}
    (finding,) = (f for f in graph.findings if f.code == "C121")
    assert "norm" in finding.text


def test_the_two_modes_of_every_torch_layer_compare_equal():
    class Layers(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.1, batch_first=True)
            self.lstm = nn.LSTM(4, 4, 2, dropout=0.2, batch_first=True)
            self.norm = nn.BatchNorm1d(4)
            self.drop = nn.Dropout(0.3)

        def forward(self, x):
            y, _ = self.lstm(self.encoder(x))
            return self.drop(self.norm(y.transpose(1, 2)))

    model = Layers()
    train, evaluation = (capture_module(model, (torch.randn(3, 5, 4),), train=mode).graph for mode in (True, False))
    assert training_mode.differences(train, evaluation) == []
    assert training_mode.differences(train, capture_module(Noise(), (torch.randn(3, 4),), train=False).graph)


def test_spectral_norm_is_two_graphs_and_its_vectors_have_no_gradient():
    model = nn.utils.parametrizations.spectral_norm(nn.Linear(4, 4))
    inputs = (torch.randn(3, 4),)
    captured = assert_captures(model, inputs, train=True)
    assert captured.graph_eval is not None
    assert_same(run_graph(captured.graph_eval, captured.tensors, inputs).outputs, model.eval()(*inputs))
    detached = {n.outputs[0].name for n in captured.graph.nodes if n.op == "aten.detach.default"}
    assert {value for _, value in captured.graph.mutations} <= detached


@pytest.mark.parametrize("layer", [nn.AlphaDropout(0.3), nn.Dropout1d(0.3), nn.FeatureAlphaDropout(0.3), nn.RReLU()])
def test_random_layers_without_a_switch_of_their_own_are_two_graphs(layer):
    inputs = (torch.randn(3, 4, 5),)
    captured = assert_captures(layer, inputs, train=True)
    assert captured.graph_eval is not None
    assert_same(run_graph(captured.graph_eval, captured.tensors, inputs).outputs, layer.eval()(*inputs))


def test_the_watch_sees_own_lines_only():
    model = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(4), Noise())
    with training_mode.watched() as reads:
        model(torch.randn(3, 4))
    assert [file.rsplit("/", 1)[-1] for file, _ in reads.lines] == ["test_modes.py"]
    assert len(reads.that_matter()) == 1
    assert model.training


class ByExample(nn.Module):
    """In evaluation a loop over the examples: their number is fixed there."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            return x.cumsum(-1)
        return torch.stack([row.cumsum(-1) for row in x])


def test_sizes_that_evaluation_needs_as_numbers_are_fixed_in_training_too() -> None:
    captured = capture_module(ByExample(), (torch.randn(3, 4),), train=True)
    assert captured.graph_eval is not None
    assert captured.graph.symbols == captured.graph_eval.symbols == ()
    text = "All sizes are fixed: ByExample needs other sizes as numbers in evaluation than in training."
    assert text in [finding.text for finding in captured.findings]


class Encodes(nn.Module):
    """An encoder, whose fast path without gradients leaves out what the padding mask hides."""

    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1)

    def forward(self, x, hidden):
        return self.encoder(x, src_key_padding_mask=hidden)


@pytest.mark.parametrize("frozen", [False, True])
def test_padded_positions_of_an_encoder_are_computed(frozen):
    model = Encodes().requires_grad_(not frozen)
    x, hidden = torch.randn(2, 4, 8), torch.tensor([[False, False, False, True], [False] * 4])
    captured = capture_module(model, (x, hidden), train=False)
    assert [finding.code for finding in captured.findings if finding.code == "C180"]
    assert "aten._transformer_encoder_layer_fwd.default" not in {node.op for node in captured.graph.nodes}
    assert torch.backends.mha.get_fastpath_enabled()
    assert captured.outputs[0, 3].abs().min() > 0  # the fast path gives zeros
    seen = capture_module(model, (x, torch.zeros(2, 4, dtype=torch.bool)), train=False)
    assert not [finding.code for finding in seen.findings if finding.code == "C180"]
