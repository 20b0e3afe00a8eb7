"""What a model owns: names, roles, tied weights, and that capture leaves all of it alone."""

from __future__ import annotations

import random

import torch
from comparing import assert_captures
from torch import nn

from regauge.capture.torch_export import capture_module


class TiedLanguageModel(nn.Module):
    """Embedding and output layer share one tensor, as in GPT-2."""

    def __init__(self):
        super().__init__()
        self.wte = nn.Embedding(11, 6)
        self.unused = nn.Linear(2, 2)
        self.frozen = nn.Linear(6, 6, bias=False).requires_grad_(False)
        self.lm_head = nn.Linear(6, 11, bias=False)
        self.lm_head.weight = self.wte.weight

    def forward(self, ids):
        return self.lm_head(self.frozen(self.wte(ids)))


def test_tied_weights_are_one_value_under_the_first_name():
    model = TiedLanguageModel()
    captured = assert_captures(model, (torch.randint(0, 11, (3, 5)),), train=True)
    specs = {w.name: w for w in captured.graph.weights}
    assert list(specs) == ["wte.weight", "unused.weight", "unused.bias", "frozen.weight", "lm_head.weight"]
    assert specs["lm_head.weight"].tied_to == "wte.weight"
    assert specs["lm_head.weight"].value == ""
    readers = [n.op for n in captured.graph.nodes if f"Ref(name='{specs['wte.weight'].value}')" in str(n.arguments)]
    assert readers == ["aten.embedding.default", "aten.linear.default"]
    assert "lm_head.weight" not in captured.tensors
    assert captured.tensors["wte.weight"].data_ptr() == model.wte.weight.data_ptr()  # no copy


def test_unused_and_frozen_weights_are_listed():
    specs = {
        w.name: w for w in capture_module(TiedLanguageModel(), (torch.zeros(2, 3).long(),), train=True).graph.weights
    }
    assert specs["unused.weight"].value == ""
    assert specs["unused.weight"].trainable
    assert specs["frozen.weight"].value
    assert not specs["frozen.weight"].trainable


def test_modules_under_two_names_are_tied():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.BatchNorm1d(3)
            self.second = self.first

        def forward(self, x):
            return self.second(self.first(x))

    graph = assert_captures(Twice(), (torch.randn(4, 3),), train=True).graph
    tied = {w.name: w.tied_to for w in graph.weights if w.tied_to}
    assert tied == {f"second.{n}": f"first.{n}" for n in ("weight", "bias", "running_mean", "running_var")} | {
        "second.num_batches_tracked": "first.num_batches_tracked"
    }
    assert dict(graph.mutations).keys() == {"first.running_mean", "first.running_var", "first.num_batches_tracked"}


def test_parts_of_one_storage_are_not_tied():
    class Halves(nn.Module):
        def __init__(self):
            super().__init__()
            both = torch.randn(2, 3)
            self.a, self.b = nn.Parameter(both[0]), nn.Parameter(both[1])

        def forward(self, x):
            return x * self.a + self.b

    graph = assert_captures(Halves(), (torch.randn(2, 3),), train=True).graph
    assert [w.tied_to for w in graph.weights] == [None, None]


def test_names_of_constants_avoid_those_of_the_model():
    class Literal(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("constant_0", torch.ones(2))

        def forward(self, x):
            return x * self.constant_0 + torch.tensor([1.0, 2.0])

    captured = assert_captures(Literal(), (torch.randn(3, 2),), train=False)
    assert [w.name for w in captured.graph.weights] == ["constant_0", "constant_0_"]


class Stateful(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        self.frozen = nn.BatchNorm1d(4).eval()
        self.dropout = nn.Dropout(0.5)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, x):
        self.calls += 1
        return self.dropout(self.frozen(self.norm(x)))


def test_capture_changes_nothing():
    for train in (True, False):
        model = Stateful()
        model.norm.eval()
        inputs = (torch.randn(3, 4),)
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        versions = [p._version for p in model.parameters()]
        modes = [m.training for m in model.modules()]
        grads = [p.requires_grad for p in model.parameters()]
        torch.manual_seed(3)
        random.seed(3)
        streams = torch.get_rng_state(), random.getstate()
        capture_module(model, inputs, train=train)
        assert torch.equal(torch.get_rng_state(), streams[0])
        assert random.getstate() == streams[1]
        assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
        assert [p._version for p in model.parameters()] == versions
        assert [m.training for m in model.modules()] == modes
        assert [p.requires_grad for p in model.parameters()] == grads
        assert "training" not in vars(nn.Module)  # the watching descriptor is gone
        assert all(type(b) is torch.Tensor for b in model.buffers())
