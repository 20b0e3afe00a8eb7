"""Compares what a captured graph computes with what the model does."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from interpreter import Result, interpret
from torch import nn

from regauge.capture.torch_export import Captured, capture_module
from regauge.ir.graph import Graph
from regauge.run.protocol import flatten_tree


def leaves(tree: Any) -> dict[str, torch.Tensor]:
    return flatten_tree(tree, lambda leaf: isinstance(leaf, torch.Tensor))[1]


def run_graph(graph: Graph, tensors: Mapping[str, torch.Tensor], inputs: Any) -> Result:
    """The graph on the leaves of `inputs`, which have the order of its input values."""
    weights = {w.name: tensors[w.tied_to or w.name] for w in graph.weights}
    given = dict(zip((value.name for value in graph.inputs), leaves(inputs).values(), strict=True))
    with torch.no_grad():
        return interpret(graph, weights, given)


def assert_same(actual: Any, expected: Any) -> None:
    found, wanted = leaves(actual), leaves(expected)
    assert found.keys() == wanted.keys()
    for name in wanted:
        torch.testing.assert_close(found[name], wanted[name].detach(), msg=lambda text, name=name: f"{name}: {text}")


def assert_captures(model: nn.Module, inputs: Any, *, train: bool, others: tuple[Any, ...] = ()) -> Captured:
    """Capture, then compare outputs and buffers with a copy of the model, on these inputs and on `others`.

    Both sides draw the same random numbers: the streams are seeded alike and operators run in the same order.
    """
    captured = capture_module(model, inputs, train=train)
    for given in (inputs, *others):
        original = copy.deepcopy(model).train(train)
        kept = copy.deepcopy(given)
        torch.manual_seed(5)
        expected = original(**kept) if isinstance(kept, dict) else original(*kept)
        torch.manual_seed(5)
        result = run_graph(captured.graph, captured.tensors, given)
        assert_same(result.outputs, expected)
        state = {name: buffer for name, buffer in original.named_buffers() if name in result.state}
        assert state.keys() == result.state.keys()
        assert_same(result.state, state)
        unwritten = {name for name, _ in model.named_buffers()} - result.state.keys()
        before = dict(model.named_buffers())
        for name, buffer in original.named_buffers():
            if name in unwritten:
                assert torch.equal(buffer, before[name]), f"{name} was written, the graph does not say so"
    return captured


def ops(graph: Graph) -> list[str]:
    return [node.op for node in graph.nodes]
