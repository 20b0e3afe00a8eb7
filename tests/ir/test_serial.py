"""Graphs survive the way through JSON unchanged."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from graphs import linear_graph
from hypothesis import given
from hypothesis import strategies as st

from regauge.errors import GraphError
from regauge.ir.graph import DType, Node, Ref, Slice, Sym, TensorSpec, Value
from regauge.ir.serial import graph_from_json, graph_to_json


def through_json(graph):
    return graph_from_json(json.loads(json.dumps(graph_to_json(graph), allow_nan=False)))


def test_round_trip_is_equal():
    graph = linear_graph()
    assert through_json(graph) == graph


def test_calls_that_are_recomputed_stay_so():
    graph = linear_graph()
    root, call = graph.nodes[0].origin.modules
    again = replace(graph.nodes[0].origin, modules=(root, replace(call, recomputed=True)))
    marked = replace(graph, nodes=(replace(graph.nodes[0], origin=again), *graph.nodes[1:]))
    assert through_json(marked) == marked != graph


def test_bodies_of_control_flow_share_the_tables():
    graph = linear_graph()
    outer = replace(graph.nodes[0], bodies=(graph,))
    nested = replace(graph, nodes=(outer, *graph.nodes[1:]))
    assert through_json(nested) == nested


def test_nan_comes_back_as_nan():
    node = Node("aten.x.y", (("value", math.nan),), (Value("v", TensorSpec((), "float32")),))
    graph = replace(linear_graph(), nodes=(node,))
    assert math.isnan(through_json(graph).nodes[0].argument("value"))


OPERANDS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.complex_numbers(allow_nan=False)
    | st.text()
    | st.builds(Ref, st.text())
    | st.builds(Sym, st.text())
    | st.builds(DType, st.text()),
    lambda items: st.lists(items, max_size=3).map(tuple),
    max_leaves=12,
)


@given(OPERANDS)
def test_every_operand_comes_back_with_its_type(operand):
    node = Node("test.op.default", (("value", operand),), ())
    found = through_json(replace(linear_graph(), nodes=(node,))).nodes[0].argument("value")
    assert found == operand
    assert repr(found) == repr(operand)  # 1, 1.0 and True are equal, but not the same operand


def test_what_is_no_operand_is_refused():
    node = Node("test.op.default", (("value", object()),), ())  # type: ignore[arg-type]
    with pytest.raises(GraphError, match="cannot be written as JSON"):
        graph_to_json(replace(linear_graph(), nodes=(node,)))
    data = graph_to_json(linear_graph())
    data["outputs"] = [{"reference": "x"}]
    with pytest.raises(GraphError, match="no operand is written so"):
        graph_from_json(data)


def test_a_slice_of_a_stacked_weight_says_of_what():
    graph = linear_graph()
    part = Slice("layers.kernel", (2, 3, 3), ((1, 2, 3), (0, 1, 2)))
    graph = replace(graph, weights=(replace(graph.weights[0], slice_of=part), *graph.weights[1:]))
    assert through_json(graph) == graph
    assert part.label == "layers.kernel[2, 1]"
