"""The operations of a jaxpr in the words of the table of causes, and what it gives with some of them changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from regauge.run.jax_alternatives import ALTERNATIVES, FAMILIES
from regauge.run.jax_calls import Calls, calls_of
from regauge.run.jax_folding import folded
from regauge.run.jax_substitution import Substitution
from regauge.run.torch_alternatives import ALTERNATIVES as TORCH_ALTERNATIVES

X = jnp.linspace(-2, 2, 24).reshape(4, 6)
W = jnp.linspace(-1, 1, 36).reshape(6, 6) ** 3


def traced(function: Callable[..., Any], *arguments: Any) -> tuple[Any, Calls]:
    """The jaxpr of a function whose first argument is a weight ``layer.kernel``."""
    closed = folded(jax.make_jaxpr(function)(*arguments))
    names = ["layer.kernel", *("" for _ in arguments[1:])]
    return closed, calls_of(closed, names, {"layer.kernel": arguments[0].shape, "layer.bias": (6,)})


def names(calls: Calls) -> list[str]:
    return [entry.description.function for entry in calls.entries]


def with_edits(function: Callable[..., Any], edits: list[dict[str, Any]], *arguments: Any) -> Any:
    closed, calls = traced(function, *arguments)
    return Substitution(calls, edits).run(closed, arguments)[0]


def test_functions_that_jax_writes_out_are_calls_again() -> None:
    def model(w: jax.Array, x: jax.Array) -> jax.Array:
        x = jax.nn.gelu(jax.nn.gelu(x @ w, approximate=False))
        return jax.nn.softmax(x, axis=0) + jax.nn.relu(x)

    _, calls = traced(model, W, X)
    assert names(calls) == ["linear", "gelu", "gelu", "softmax", "relu", "add"]
    assert [entry.arguments.get("approximate") for entry in calls.entries[1:3]] == ["none", "tanh"]
    assert calls.entries[3].arguments["dim"] == -2


def test_settings_of_mapped_functions_can_be_written_as_json() -> None:
    _, calls = traced(lambda w, x: jax.vmap(lambda row: jax.nn.softmax(row).max() + row.sum(axis=0))(x @ w), W, X)
    assert json.loads(json.dumps(calls.entries[-2].arguments))["dim"] == -1
    assert names(calls) == ["linear", "softmax", "amax", "sum", "add"]


def test_numbers_are_known_although_they_are_computed() -> None:
    def model(w: jax.Array, x: jax.Array) -> jax.Array:
        scores = jnp.where(x > 0, x / jnp.sqrt(x.shape[-1]), -1e9)
        return 1 - scores + x.var(ddof=1)

    _, calls = traced(model, W, X)
    by_name = {entry.description.function: entry.arguments for entry in calls.entries}
    assert by_name["div"]["other"] == pytest.approx(6**0.5)
    assert (by_name["masked_fill"]["value"], by_name["rsub"]["other"], by_name["var"]["correction"]) == (-1e9, 1.0, 1.0)


def test_weights_are_known_in_torchs_layout_whichever_way_they_are_used() -> None:
    kernel = jnp.zeros((6, 2))
    _, calls = traced(lambda w, x: x @ w, kernel, X)
    assert calls.layouts["layer.kernel"].shape == (2, 6)
    assert calls.entries[0].arguments["bias"]["weight"] == "layer.bias"
    _, calls = traced(lambda w, x: x @ w.T, kernel.T, X)
    assert (calls.layouts["layer.kernel"].order, calls.layouts["layer.kernel"].shape) == ((0, 1), (2, 6))
    image = jnp.zeros((1, 5, 5, 3))

    def convolved(w: jax.Array, x: jax.Array) -> jax.Array:
        numbers = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=numbers)

    _, calls = traced(convolved, jnp.zeros((3, 3, 3, 8)), image)
    assert calls.layouts["layer.kernel"].shape == (8, 3, 3, 3)
    assert calls.entries[0].arguments["padding"] == [1, 1]


@pytest.mark.parametrize("scanned", [False, True])
def test_a_jaxpr_without_edits_is_the_function(scanned: bool) -> None:
    def model(w: jax.Array, x: jax.Array) -> jax.Array:
        def step(carry: jax.Array, _: None) -> tuple[jax.Array, None]:
            return jax.nn.softmax(carry @ w + 1e-5), None

        return jax.lax.scan(step, x, None, length=3)[0] if scanned else jax.nn.gelu(step(x, None)[0])

    np.testing.assert_allclose(with_edits(model, [], W, X), model(W, X), rtol=1e-6)


def test_an_edit_in_a_scan_is_made_at_every_step_and_has_a_derivative() -> None:
    def model(w: jax.Array, x: jax.Array, eps: float = 1e-3) -> jax.Array:
        def step(carry: jax.Array, _: None) -> tuple[jax.Array, None]:
            return jnp.tanh(carry @ w) / jnp.sqrt(jnp.square(carry).mean() + eps), None

        return jax.lax.scan(step, x, None, length=3)[0]

    closed, calls = traced(model, W, X)
    number = next(n for n, entry in enumerate(calls.entries) if entry.arguments.get("other") == pytest.approx(1e-3))
    changed = Substitution(calls, [{"kind": "argument", "calls": [number], "values": {"other": 0.5}}])
    np.testing.assert_allclose(changed.run(closed, [W, X])[0], model(W, X, 0.5), rtol=1e-5)
    slope = jax.grad(lambda w: changed.run(closed, [w, X])[0].sum())(W)
    np.testing.assert_allclose(slope, jax.grad(lambda w: model(w, X, 0.5).sum())(W), rtol=1e-4, atol=1e-6)


EDITS = {
    "GELU": (
        lambda w, x: jax.nn.gelu(x),
        {"values": {"approximate": "none"}},
        lambda x: jax.nn.gelu(x, approximate=False),
    ),
    "axis": (lambda w, x: jax.nn.softmax(x), {"values": {"dim": 0}}, lambda x: jax.nn.softmax(x, 0)),
    "activation": (lambda w, x: jax.nn.relu(x), {"by": "function", "options": {"name": "silu"}}, jax.nn.silu),
    "left out": (lambda w, x: x + 3.0, {"by": "left_out"}, lambda x: x),
    "ddof": (lambda w, x: x.var(0), {"values": {"correction": 1}}, lambda x: x.var(0, ddof=1)),
    "mask": (
        lambda w, x: jnp.where(jnp.tril(jnp.ones((4, 6), bool)), x, -9.0),
        {"by": "shifted_mask", "options": {"by": 1}},
        lambda x: jnp.where(jnp.tril(jnp.ones((4, 6), bool), 1), x, -9.0),
    ),
    "heads": (
        lambda w, x: x.reshape(4, 2, 3),
        {"by": "split_in_order", "options": {"first": 1, "order": [1, 0]}},
        lambda x: x.reshape(4, 3, 2).swapaxes(1, 2),
    ),
    "empty rows": (
        lambda w, x: jax.nn.softmax(x - jnp.array([0.0, 1e4, 0.0, 0.0])[:, None]),
        {"by": "zero_where_all_is_low"},
        lambda x: jax.nn.softmax(x) * jnp.array([1.0, 0.0, 1.0, 1.0])[:, None],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_gives_what_the_other_model_gives(name: str) -> None:
    model, edit, other = EDITS[name]
    _, calls = traced(model, W, X)
    kind = "replace" if "by" in edit else "argument"
    number = max(n for n, entry in enumerate(calls.entries) if entry.description.function not in ("permute", "sub"))
    found = with_edits(model, [{"kind": kind, "calls": [number], **edit}], W, X)
    np.testing.assert_allclose(found, other(X), rtol=1e-5, atol=1e-6)


def test_a_result_of_another_shape_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="another shape"):
        with_edits(lambda w, x: x.sum(0) * 2, [{"kind": "argument", "calls": [0], "values": {"dim": 1}}], W, X)


def test_alternatives_of_operations_are_named_as_those_of_torch() -> None:
    assert FAMILIES
    assert set(ALTERNATIVES) <= set(TORCH_ALTERNATIVES)
