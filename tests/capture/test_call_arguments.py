"""What modules were passed, and what they gave, as the capture notes it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from regauge.capture.torch_export import capture_module
from regauge.ir.graph import Call
from regauge.ir.serial import graph_from_json, graph_to_json


class Attend(nn.Module):
    """Its arguments are not read in their order, and it returns last what it makes first."""

    def forward(self, states: Any, mask: Any = None, *, others: Any = None, pair: Any = (), unread: Any = None) -> Any:
        scores = others * mask
        first, second = pair
        return states + scores + first * second, scores


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attend = Attend()
        self.shift = nn.Parameter(torch.ones(4))

    def forward(self, x: Any, mask: Any, context: Any) -> Any:
        mask = mask + 1
        states, scores = self.attend(x, mask, others=context, pair=(self.shift, x), unread=x.neg())
        return self.attend(scores, states, others=mask.mul_(2), pair=[context, states])[0]


def calls() -> dict[str, Call]:
    inputs = (torch.ones(3, 4), torch.ones(3, 4), torch.ones(3, 4))
    net = Net()
    graph = capture_module(net, inputs, train=True).graph
    assert graph_from_json(graph_to_json(graph)) == graph
    return {call.key.removeprefix("L__self__"): call for call in graph.calls}


def test_each_argument_has_its_parameter_in_every_call() -> None:
    first = dict(calls()["attend"].arguments)
    assert first["states"] == "x"
    assert first["others"] == "context"
    assert first["pair"] is None
    assert first["unread"] is None
    second, results = dict(calls()["attend@1"].arguments), calls()["attend"].results
    assert (second["mask"], second["states"]) == results


def test_what_is_written_to_is_not_said_to_be_one_value() -> None:
    found = calls()
    assert "mask" not in dict(found["attend"].arguments)
    assert "others" not in dict(found["attend@1"].arguments)
