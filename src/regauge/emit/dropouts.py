"""Which operators drop, and at what rate."""

from __future__ import annotations

from regauge.ir.graph import Node


def dropout_rate(node: Node) -> float | None:
    """The rate of an operator that drops, or None."""
    arguments = dict(node.arguments)
    if node.op == "aten.dropout.default":
        rate = arguments["p"]
        return float(rate) if isinstance(rate, float | int) and arguments["train"] else None
    if node.op == "aten.scaled_dot_product_attention.default":
        rate = arguments.get("dropout_p", 0.0)
        return float(rate) if isinstance(rate, float | int) and rate else None
    if node.op in ("aten.lstm.input", "aten.gru.input", "aten.rnn_tanh.input", "aten.rnn_relu.input"):
        rate = arguments.get("dropout", 0.0)
        active = bool(rate) and bool(arguments["train"]) and arguments["num_layers"] != 1
        return float(rate) if isinstance(rate, float | int) and active else None
    return None
