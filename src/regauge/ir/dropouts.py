"""Which operators drop, and at what rate."""

from __future__ import annotations

from regauge.ir.graph import Node

_KINDS = ("lstm", "gru", "rnn_tanh", "rnn_relu")
_RECURRENT = frozenset(
    {f"aten.{kind}.input" for kind in _KINDS} | {f"regauge.{kind}_padded.default" for kind in _KINDS}
)
DROPPING_ATTENTION = "flax.dot_product_attention"  # which has a rate where it drops


def dropout_rate(node: Node) -> float | None:
    """The rate of an operator that drops with a module of its class, or None.

    A `layer.dropout` of JAX is such a module itself; attention of JAX that drops in evaluation too draws by itself.
    """
    arguments = dict(node.arguments)
    if node.op == "aten.dropout.default":
        rate = arguments["p"]
        return float(rate) if isinstance(rate, float | int) and rate and arguments["train"] else None
    if node.op == "aten.scaled_dot_product_attention.default":
        rate = arguments.get("dropout_p", 0.0)
        return float(rate) if isinstance(rate, float | int) and rate else None
    if node.op == DROPPING_ATTENTION:
        rate = arguments.get("rate")
        return float(rate) if isinstance(rate, float | int) and arguments.get("follows") else None
    if node.op in _RECURRENT:
        rate = arguments.get("dropout", 0.0)
        active = bool(rate) and bool(arguments["train"]) and arguments["num_layers"] != 1
        return float(rate) if isinstance(rate, float | int) and active else None
    return None
