"""Calls of library functions stay one node, and only these."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from flax import linen

from regauge.capture.jaxpr import capture_model
from regauge.ir.graph import Graph

X = jnp.ones((3, 8))
Q = jnp.ones((2, 5, 4, 8))

FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = {
    "jax.nn.gelu": (jax.nn.gelu, (X,), {"approximate": True}),
    "jax.nn.gelu exact": (lambda x: jax.nn.gelu(x, approximate=False), (X,), {"approximate": False}),
    "jax.nn.silu": (jax.nn.silu, (X,), {}),
    "jax.nn.hard_silu": (jax.nn.hard_swish, (X,), {}),
    "jax.nn.elu": (lambda x: jax.nn.elu(x, 0.3), (X,), {"alpha": 0.3}),
    "jax.nn.celu": (lambda x: jax.nn.celu(x, 2.0), (X,), {"alpha": 2.0}),
    "jax.nn.selu": (jax.nn.selu, (X,), {}),
    "jax.nn.mish": (jax.nn.mish, (X,), {}),
    "jax.nn.glu": (jax.nn.glu, (X,), {"axis": -1}),
    "jax.nn.softplus": (jax.nn.softplus, (X,), {}),
    "jax.nn.log_sigmoid": (jax.nn.log_sigmoid, (X,), {}),
    "jax.nn.softmax": (lambda x: jax.nn.softmax(x, 0), (X,), {"axis": 0}),
    "jax.nn.log_softmax": (jax.nn.log_softmax, (X,), {"axis": -1}),
    "jax.nn.logsumexp": (lambda x: jax.nn.logsumexp(x, -1, keepdims=True), (X,), {"axis": -1, "keepdims": True}),
    "jnp.mean": (lambda x: x.mean((0, 1)), (X,), {"axis": (0, 1)}),
    "jnp.var": (lambda x: x.var(0, ddof=1), (X,), {"axis": 0, "ddof": 1}),
    "jnp.sum": (lambda x: x.sum(-1, keepdims=True), (X,), {"axis": -1}),
    "jax.nn.one_hot": (lambda n: jax.nn.one_hot(n, 5), (jnp.arange(3),), {"num_classes": 5}),
    "jax.nn.dot_product_attention": (
        lambda q, k, v: jax.nn.dot_product_attention(q, k, v, is_causal=True), (Q, Q, Q), {"is_causal": True}
    ),
    "flax.dot_product_attention": (
        lambda q, k, v, m: linen.dot_product_attention(q, k, v, mask=m), (Q, Q, Q, jnp.ones((2, 1, 5, 5), bool)), {}
    ),
}  # fmt: skip


def captured(function: Callable[..., Any], args: tuple[Any, ...]) -> Graph:
    return capture_model(function, args, train=False).graph


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_call_is_one_node(name: str) -> None:
    function, args, static = FUNCTIONS[name]
    (node,) = captured(function, args).nodes
    assert node.op == name.split(" ")[0]
    assert static.items() <= dict(node.arguments).items()


def test_a_call_written_by_hand_is_the_same_function() -> None:
    def own(x: Any) -> Any:
        return x * jax.nn.sigmoid(x)

    assert [node.op for node in captured(own, (X,)).nodes] == ["jax.nn.silu"]


def test_another_number_is_another_function() -> None:
    def almost(x: Any) -> Any:
        return x * (0.5 * (1.0 + jnp.tanh(0.7978846 * (x + 0.0447 * x**3))))

    assert "jax.nn.gelu" not in {node.op for node in captured(almost, (X,)).nodes}


def test_an_inner_value_that_is_used_keeps_the_nodes() -> None:
    def inner(x: Any) -> Any:
        gate = jax.nn.sigmoid(x)
        return x * gate, gate

    assert [node.op for node in captured(inner, (X,)).nodes] == ["lax.logistic", "lax.mul"]


def test_calls_in_the_body_of_a_scan_are_whole() -> None:
    def scanned(x: Any) -> Any:
        return jax.lax.scan(lambda carry, row: (jax.nn.softmax(carry + row), None), x[0], x)[0]

    bodies = [body for node in captured(scanned, (X,)).nodes for body in node.bodies]
    assert bodies
    assert "jax.nn.softmax" in {node.op for body in bodies for node in body.nodes}


def test_sizes_stay_symbolic() -> None:
    graph = captured(lambda x: jax.nn.softmax(x.reshape(-1, 2, 4)), (X,))
    assert graph.symbols
    assert graph.nodes[-1].op == "jax.nn.softmax"
