"""Small graphs that the tests of this room share."""

from __future__ import annotations

import math

from regauge.findings import Finding
from regauge.ir.graph import (
    DType,
    Frame,
    Graph,
    ModuleStep,
    Node,
    Origin,
    Ref,
    Sym,
    Symbol,
    TensorSpec,
    Value,
    WeightSpec,
)

BATCH = Sym("batch")
ORIGIN = Origin(
    (ModuleStep("", "net.Net", "L__self__"), ModuleStep("fc", "torch.nn.modules.linear.Linear", "L__self__fc@1")),
    (Frame("/home/someone/net.py", 12, "forward"),),
)


def linear_graph() -> Graph:
    """`y = linear(x).to(float64)`, with a counter that is stored and every kind of operand."""
    linear = Node(
        "aten.linear.default",
        (("input", Ref("x")), ("weight", Ref("p_weight")), ("bias", None)),
        (Value("linear", TensorSpec((BATCH, 2), "float32")),),
        origin=ORIGIN,
    )
    cast = Node(
        "aten.to.dtype",
        (("self", Ref("linear")), ("dtype", DType("float64")), ("non_blocking", False)),
        (Value("to", TensorSpec((BATCH, 2), "float64")),),
        origin=ORIGIN,
    )
    count = Node(
        "aten.add.Tensor",
        (("self", Ref("b_count")), ("other", 1), ("alpha", 1)),
        (Value("add", TensorSpec((), "int64")),),
        origin=Origin(),
    )
    odd = Node(
        "test.everything.default",
        (
            ("tensors", (Ref("to"), None, Ref("linear"))),
            ("size", (Sym("2 * batch + 1"), -1)),
            ("values", (math.inf, -math.inf, 0.1, 1e300, 2**63 - 1, True, "mean", 1 - 2j, complex(math.inf, 0.0))),
            ("nested", (("a", (1,)), ())),
        ),
        (Value("odd", TensorSpec((Sym("max(batch, 3)"),), "bool")), Value("even", TensorSpec((0,), "uint8"))),
        origin=ORIGIN,
    )
    return Graph(
        dialect="aten",
        inputs=(Value("x", TensorSpec((BATCH, 3), "float32")),),
        weights=(
            WeightSpec("fc.weight", "p_weight", TensorSpec((2, 3), "float32"), "parameter", trainable=True),
            WeightSpec("head.weight", "", TensorSpec((2, 3), "float32"), "parameter", True, tied_to="fc.weight"),
            WeightSpec("count", "b_count", TensorSpec((), "int64"), "buffer", persistent=False),
        ),
        nodes=(linear, cast, count, odd),
        outputs=(Ref("to"), Ref("odd")),
        mutations=(("count", "add"),),
        symbols=(Symbol("batch", 4, 2, None),),
        in_tree={"tuple": [{"leaf": "x"}, {"value": 3}, {"none": True}]},
        out_tree={"dict": {"y": {"leaf": "to"}, "odd": {"leaf": "odd"}}, "type": "Outputs"},
        findings=(Finding("C110", "info", "x", "fixed"),),
    )
