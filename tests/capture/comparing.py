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


def gradients(outputs: Any, weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Derivatives of a fixed weighted sum of all float outputs, by weight name; zeros where nothing flows."""
    total = torch.zeros(())
    for leaf in leaves(outputs).values():
        if leaf.is_floating_point() and leaf.requires_grad:
            total = total + (leaf * torch.linspace(0.5, 1.5, leaf.numel()).reshape(leaf.shape)).sum().float()
    if not total.requires_grad:
        return {name: torch.zeros_like(weight) for name, weight in weights.items()}
    found = torch.autograd.grad(total, list(weights.values()), allow_unused=True, materialize_grads=True)
    return dict(zip(weights, found, strict=True))


def assert_same_gradients(captured: Captured, original: nn.Module, inputs: Any, outputs: Any) -> None:
    """The graph's derivatives by all trained weights are those of the original, whose outputs are given."""
    trained = [w.name for w in captured.graph.weights if w.trainable and w.tied_to is None]
    parameters = dict(original.named_parameters(remove_duplicate=False))
    tensors = {name: tensor.clone().requires_grad_(name in trained) for name, tensor in captured.tensors.items()}
    torch.manual_seed(5)
    result = run_graph(captured.graph, tensors, inputs, gradient=True)
    expected = gradients(outputs, {name: parameters[name] for name in trained})
    for name, found in gradients(result.outputs, {name: tensors[name] for name in trained}).items():
        torch.testing.assert_close(found, expected[name], msg=lambda text, name=name: f"gradient of {name}: {text}")


def run_graph(graph: Graph, tensors: Mapping[str, torch.Tensor], inputs: Any, gradient: bool = False) -> Result:
    """The graph on the leaves of `inputs`, which have the order of its input values."""
    weights = {w.name: tensors[w.tied_to or w.name] for w in graph.weights}
    given = dict(zip((value.name for value in graph.inputs), leaves(inputs).values(), strict=True))
    with torch.set_grad_enabled(gradient):
        return interpret(graph, weights, given)


def assert_same(actual: Any, expected: Any) -> None:
    found, wanted = leaves(actual), leaves(expected)
    assert found.keys() == wanted.keys()
    for name in wanted:
        torch.testing.assert_close(found[name], wanted[name].detach(), msg=lambda text, name=name: f"{name}: {text}")


def assert_captures(model: nn.Module, inputs: Any, *, train: bool, others: tuple[Any, ...] = ()) -> Captured:
    """Capture, then compare with a copy of the model, on these inputs and on `others`: outputs, buffers, gradients.

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
        if train:
            assert_same_gradients(captured, original, given, expected)
        unwritten = {name for name, _ in model.named_buffers()} - result.state.keys()
        before = dict(model.named_buffers())
        for name, buffer in original.named_buffers():
            if name in unwritten:
                assert torch.equal(buffer, before[name]), f"{name} was written, the graph does not say so"
    return captured


def ops(graph: Graph) -> list[str]:
    return [node.op for node in graph.nodes]
