"""Operators of one array as modules of torch.nn, for chains."""

from __future__ import annotations

from typing import Any

from regauge.ir.graph import Node

_PLAIN = {
    "jax.nn.relu": "nn.ReLU()",
    "jax.nn.relu6": "nn.ReLU6()",
    "jax.nn.silu": "nn.SiLU()",
    "jax.nn.hard_silu": "nn.Hardswish()",
    "jax.nn.selu": "nn.SELU()",
    "jax.nn.mish": "nn.Mish()",
    "jax.nn.log_sigmoid": "nn.LogSigmoid()",
    "jax.nn.softplus": "nn.Softplus(threshold=40)",
    "lax.tanh": "nn.Tanh()",
    "lax.logistic": "nn.Sigmoid()",
}


def activation(node: Node) -> str | None:
    """The constructor of the module that is this operator, as its rule has it; None if there is none."""
    arguments: dict[str, Any] = dict(node.arguments)
    if node.op in _PLAIN:
        return _PLAIN[node.op]
    if node.op == "jax.nn.gelu":
        return 'nn.GELU(approximate="tanh")' if arguments["approximate"] else "nn.GELU()"
    if node.op == "jax.nn.elu":
        return "nn.ELU()" if arguments["alpha"] == 1 else f"nn.ELU({arguments['alpha']!r})"
    if node.op in ("jax.nn.softmax", "jax.nn.log_softmax"):
        name = "Softmax" if node.op == "jax.nn.softmax" else "LogSoftmax"
        return f"nn.{name}(dim={arguments['axis']})"
    return None
