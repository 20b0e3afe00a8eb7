"""Dataclasses as inputs and outputs: nobody has to register them first."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from comparing import leaves, run_graph
from torch import nn

from regauge.capture.torch_export import capture_function, capture_module


@dataclass
class Batch:
    x: torch.Tensor
    mask: torch.Tensor | None = None


@dataclass
class Inner:
    hidden: torch.Tensor


@dataclass
class Output:
    logits: torch.Tensor
    inner: Inner
    loss: torch.Tensor | None = None


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, batch: Batch) -> Output:
        hidden = self.fc(batch.x)
        return Output(hidden.relu(), Inner(hidden))


def test_dataclasses_that_nobody_registered():
    torch.manual_seed(0)
    model, inputs = Model().eval(), (Batch(torch.randn(2, 4)),)
    captured = capture_module(model, inputs, train=False)
    assert captured.graph.out_tree["dict"].keys() == {"logits", "inner", "loss"}
    found = run_graph(captured.graph, captured.tensors, (inputs[0].x,), gradient=False).outputs
    assert torch.equal(leaves(found)["logits"], model(*inputs).logits)


def test_a_loss_that_takes_one():
    outputs, targets = Output(torch.randn(2, 3), Inner(torch.randn(2, 3))), torch.tensor([0, 2])
    captured = capture_function(lambda o, t: F.cross_entropy(o.logits, t) + o.inner.hidden.mean(), (outputs, targets))
    assert [value.name for value in captured.graph.inputs][-1] == "t"
