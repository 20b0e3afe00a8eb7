"""Control flow and transformations as nodes with bodies, and what their functions must not do."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch._higher_order_ops import map, scan, while_loop

from regauge.capture.torch_export import capture_module
from regauge.errors import CaptureError, GraphError
from regauge.ir.check import check_graph
from regauge.ir.graph import every_node, free_values
from regauge.ir.serial import graph_from_json, graph_to_json
from regauge.ir.show import show

X = torch.randn(5, 4)


class Steps(nn.Module):
    """A branch in a scan, a layer in it, a tensor from outside."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        bias = x.mean(0)

        def step(h, row):
            h = torch.cond(row.sum() > 0, lambda h: self.layer(h), lambda h: h - bias, (h,))
            return h.clone(), h + row

        return scan(step, torch.zeros_like(bias), x)


def nodes(graph, op):
    return [node for node in every_node(graph) if node.op == op]


def test_functions_are_bodies_with_their_modules_and_lines():
    graph = capture_module(Steps(), (X,), train=False).graph
    (scanned,) = nodes(graph, "regauge.scan")
    (branch,) = nodes(graph, "regauge.cond")
    assert branch in scanned.bodies[0].nodes
    assert [len(body.inputs) for body in branch.bodies] == [1, 1]
    (linear,) = nodes(graph, "aten.linear.default")
    assert linear.origin.path == "layer"
    assert [frame.function for frame in linear.origin.frames] == ["forward", "step", "<lambda>"]
    assert scanned.argument("parameters") == ((("h", ("",)), ("row", ("",))),)
    assert scanned.argument("returned") == ((1, 1),)
    read = [ref.name for ref in scanned.argument("closure")]
    assert set(read) == {*free_values(scanned.bodies[0])}
    assert {weight.value for weight in graph.weights} <= set(read)


def test_sizes_stay_symbolic_inside():
    graph = capture_module(Steps(), (X,), train=False).graph
    (scanned,) = nodes(graph, "regauge.scan")
    assert str(scanned.outputs[1].spec) == "float32[batch, 4]"


def test_the_text_of_a_graph_shows_its_bodies():
    text = show(capture_module(Steps(), (X,), train=False).graph)
    assert "regauge.scan(init=(" in text
    assert "      graph aten" in text
    assert "            graph aten" in text, "the bodies of the body"


def test_a_graph_with_bodies_travels():
    graph = capture_module(Steps(), (X,), train=False).graph
    assert graph_from_json(graph_to_json(graph)) == graph


def test_a_body_reads_only_what_the_closure_names():
    graph = capture_module(Steps(), (X,), train=False).graph
    (scanned,) = (node for node in graph.nodes if node.op == "regauge.scan")
    broken = replace(graph, nodes=tuple(n if n is not scanned else n.with_arguments(closure=()) for n in graph.nodes))
    with pytest.raises(GraphError, match="which the closure does not name"):
        check_graph(broken)


def test_a_body_has_no_weights_of_its_own():
    graph = capture_module(Steps(), (X,), train=False).graph
    (scanned,) = (node for node in graph.nodes if node.op == "regauge.scan")
    other = replace(scanned, bodies=(replace(scanned.bodies[0], weights=graph.weights),))
    with pytest.raises(GraphError, match="weights or state of its own"):
        check_graph(replace(graph, nodes=tuple(other if n is scanned else n for n in graph.nodes)))


def test_a_view_made_again_inside_stays_outside():
    """The view is stale when the function reads it, and it is read once more behind it."""

    def forward(x):
        y = x * 1
        first = y[0]
        y.add_(1)
        z = torch.cond(x.sum() > 0, lambda: first * 2, lambda: first * 3)
        return z + first

    graph = capture_module(forward, (X,), train=False).graph
    check_graph(graph)
    (branch,) = nodes(graph, "regauge.cond")
    assert all(node.op == "aten.mul.Tensor" for body in branch.bodies for node in body.nodes)
    assert {ref.name for ref in branch.argument("closure")} == {*free_values(branch.bodies[0])}


def test_a_loop_of_integers_needs_no_gradient():
    def count(n):
        return while_loop(lambda n: n > 1, lambda n: (n // 2,), (n,))

    def shrink(x):
        return while_loop(lambda x: x.sum() > 1, lambda x: (x / 2,), (x,))

    for function, given, flows in ((count, torch.tensor(9), False), (shrink, X.abs(), True)):
        (loop,) = nodes(capture_module(function, (given,), train=False).graph, "regauge.while_loop")
        assert loop.argument("differentiable") is flows


def test_a_number_of_python_is_carried_as_an_array():
    def forward(x):
        return while_loop(lambda i, x: i < 3, lambda i, x: (i + 1, x * 2), (0, x))[1]

    (loop,) = nodes(capture_module(forward, (X,), train=False).graph, "regauge.while_loop")
    assert str(loop.outputs[0].spec) == "int64[]"


def test_a_branch_on_a_size_is_chosen_with_a_finding():
    def forward(x):
        return torch.cond(x.shape[0] > 3, lambda x: x.sin(), lambda x: x.cos(), (x,))

    captured = capture_module(forward, (X,), train=False)
    assert [node.op for node in captured.graph.nodes] == ["aten.sin.default"]
    assert captured.graph.symbols[0].low == 4
    assert any(finding.code == "C146" and "test_regions.py:" in finding.where for finding in captured.findings)


# what is refused -----------------------------------------------------------------------------------------------------


def writes_outside(x):
    total = torch.zeros(4)

    def each(row):
        total.add_(row)
        return row * 2

    return map(each, x), total


class Remembers(nn.Module):
    def forward(self, x):
        def each(row):
            self.last = row * 2
            return self.last + 1

        return map(each, x) + self.last


class WritesItsArgument(nn.Module):
    def forward(self, x):
        return map(lambda row: row.mul_(2), x.clone())


def gives_a_number(x):
    return map(lambda row: (row.sum(), 3), x)


def gives_other_shapes(x):
    return torch.cond(x.sum() > 100, lambda x: x[:2] * 1, lambda x: x[:3] * 1, (x,))


class Counts(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("runs", torch.zeros(()))

    def forward(self, x):
        def each(row):
            self.runs.add_(1)
            return row * 2

        return map(each, x)


@pytest.mark.parametrize(
    ("model", "what"),
    [
        (writes_outside, "changes a tensor in place that it did not make"),
        (WritesItsArgument(), "changes a tensor in place that it did not make"),
        (Counts(), "changes a tensor in place that it did not make"),
        (Remembers(), "keeps a tensor that a function of control flow made"),
        (gives_a_number, "a function of map returns int where tensors are carried"),
        (gives_other_shapes, "a function of torch.cond have other shapes or dtypes"),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_functions_have_no_effects_but_their_results(model, what, monkeypatch):
    # torch itself refuses some of these when it runs them: here only what capture says counts.
    monkeypatch.setattr("regauge.capture.torch_export._run", lambda *_: (torch.zeros(1),))
    with pytest.raises(CaptureError, match=what) as caught:
        capture_module(model, (X,), train=False)
    assert caught.value.code == "C145"
    assert "test_regions.py:" in caught.value.where


def test_names_in_bodies_are_new():
    graph = capture_module(Steps(), (X,), train=False).graph
    names = [value.name for node in every_node(graph) for value in node.outputs]
    names += [value.name for node in every_node(graph) for body in node.bodies for value in body.inputs]
    assert len(set(names)) == len(names)
