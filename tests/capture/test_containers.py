"""Dataclasses as inputs and outputs: nobody has to register them first."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from comparing import leaves, run_graph
from torch import nn
from torch.utils import _pytree as pytree

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


class Pair:
    """A class of one's own that torch's pytree is told of, as torch.export asks for."""

    def __init__(self, first, second):
        self.first, self.second = first, second


class Bag:
    """The same without names for its parts."""

    def __init__(self, items):
        self.items = items


pytree.register_pytree_node(
    Pair,
    lambda pair: ([pair.first, pair.second], None),
    lambda children, _: Pair(*children),
    flatten_with_keys_fn=lambda pair: (
        [(pytree.GetAttrKey("first"), pair.first), (pytree.GetAttrKey("second"), pair.second)],
        None,
    ),
)
pytree.register_pytree_node(Bag, lambda bag: (list(bag.items), None), lambda children, _: Bag(children))


@dataclass
class Holds:
    pair: Pair
    sum: torch.Tensor


def test_objects_that_the_pytree_knows_become_dicts_and_lists():
    x = torch.randn(2, 3)
    captured = capture_module(lambda x: Holds(Pair(x + 1, Bag([x * 2, x - 1])), x.sum()), (x,), train=False)
    found = run_graph(captured.graph, captured.tensors, (x,)).outputs
    wanted = {"pair.first": x + 1, "pair.second.0": x * 2, "pair.second.1": x - 1, "sum": x.sum()}
    assert leaves(found).keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert torch.equal(leaves(found)[name], tensor)
    (finding,) = [finding for finding in captured.findings if finding.code == "C242"]
    assert finding.text == (
        "The original returns a Pair in pair: the converted model returns its parts in a list or dict."
    )


def test_empty_tensors_of_one_axis_are_left_out_of_a_concatenation():
    x = torch.randn(2, 3)

    def joined(x):
        empty = torch.tensor([])
        return (
            torch.cat([empty, x]),
            torch.cat([empty, x, x], 1),
            torch.cat([empty.long(), x]),
            torch.cat([empty, x[0]]),
        )

    captured = capture_module(joined, (x,), train=False, dynamic=None)
    for found, wanted in zip(run_graph(captured.graph, captured.tensors, (x,)).outputs, joined(x), strict=True):
        assert torch.equal(found, wanted)
    lengths = [len(node.argument("tensors")) for node in captured.graph.nodes if node.op == "aten.cat.default"]
    assert lengths == [2]
    double = capture_module(lambda x: torch.cat([torch.tensor([], dtype=torch.float64), x]), (x,), train=False)
    assert double.graph.nodes[-1].outputs[0].spec.dtype == "float64"
