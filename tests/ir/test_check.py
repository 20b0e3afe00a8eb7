"""Each broken invariant of a graph is found and named."""

from __future__ import annotations

from dataclasses import replace

import pytest
from graphs import linear_graph

from regauge.errors import GraphError
from regauge.ir.check import check_graph
from regauge.ir.graph import Ref, Sym, TensorSpec, Value

GRAPH = linear_graph()
LINEAR, CAST, COUNT, ODD = GRAPH.nodes
WEIGHT, TIED, COUNTER = GRAPH.weights


def test_a_whole_graph_passes():
    check_graph(GRAPH)


def with_nodes(*nodes):
    return replace(GRAPH, nodes=nodes)


def with_weights(*weights):
    return replace(GRAPH, weights=weights)


BROKEN = {
    "linear is read before it is made": with_nodes(CAST, LINEAR, COUNT, ODD),
    "missing is read before it is made": with_nodes(LINEAR.with_arguments(input=Ref("missing")), CAST, COUNT, ODD),
    "the name linear is used twice": with_nodes(LINEAR, LINEAR, CAST, COUNT, ODD),
    "the name x is used twice": with_nodes(
        replace(LINEAR, outputs=(Value("x", TensorSpec((), "float32")),)), CAST, COUNT, ODD
    ),
    "'a b' is not an identifier": replace(GRAPH, inputs=(Value("a b", GRAPH.inputs[0].spec),)),
    "an argument is given twice": with_nodes(
        replace(LINEAR, arguments=(*LINEAR.arguments, ("bias", None))), CAST, COUNT, ODD
    ),
    "the argument 'a-b' is not an identifier": with_nodes(
        replace(LINEAR, arguments=(*LINEAR.arguments, ("a-b", None))), CAST, COUNT, ODD
    ),
    "the size rows names rows, which is no symbol": replace(
        GRAPH, inputs=(Value("x", TensorSpec((Sym("rows"), 3), "float32")),)
    ),
    "the size 'batch +' is not an expression": with_nodes(
        LINEAR, CAST, COUNT, ODD.with_arguments(size=(Sym("batch +"),))
    ),
    "the size -1 is negative": replace(GRAPH, inputs=(Value("x", TensorSpec((-1,), "float32")),)),
    "the dtype float31 is not known": replace(GRAPH, inputs=(Value("x", TensorSpec((1,), "float31")),)),
    "the weight fc.weight is declared twice": with_weights(WEIGHT, WEIGHT, TIED, COUNTER),
    "tied to nothing, which does not come before it": with_weights(WEIGHT, replace(TIED, tied_to="nothing"), COUNTER),
    "a tied weight is read through the first one only": with_weights(WEIGHT, replace(TIED, value="p_tied"), COUNTER),
    "only parameters are trainable": with_weights(WEIGHT, TIED, replace(COUNTER, trainable=True)),
    "fc.scale is no weight of the model": replace(GRAPH, mutations=(("fc.scale", "linear"),)),
    "count is mutated twice": replace(GRAPH, mutations=(("count", "add"), ("count", "add"))),
    "the new value nothing is made by no node": replace(GRAPH, mutations=(("count", "nothing"),)),
    "output nothing is made by no node": replace(GRAPH, outputs=(Ref("nothing"),)),
    "are not the inputs": replace(GRAPH, in_tree={"tuple": []}),
    "are not the outputs": replace(GRAPH, out_tree={"leaf": "linear"}),
    "not a tree skeleton": replace(GRAPH, out_tree={"dict": [1]}),
    "a symbol is declared twice": replace(GRAPH, symbols=GRAPH.symbols * 2),
}


@pytest.mark.parametrize("message", BROKEN)
def test_broken_invariants_are_named(message):
    with pytest.raises(GraphError) as caught:
        check_graph(BROKEN[message])
    assert message in str(caught.value)


def test_the_error_names_the_node_and_its_line():
    with pytest.raises(GraphError) as caught:
        check_graph(with_nodes(LINEAR.with_arguments(input=Ref("missing"))))
    assert caught.value.where == "linear = aten.linear.default (net.py:12)"


def test_bodies_are_checked():
    broken = replace(GRAPH, inputs=(), weights=(), nodes=(), mutations=(), outputs=(Ref("nothing"),))
    with pytest.raises(GraphError, match="a body reads nothing, which the closure does not name"):
        check_graph(with_nodes(replace(LINEAR, bodies=(broken,)), CAST, COUNT, ODD))
