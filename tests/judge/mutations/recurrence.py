"""Mistakes in recurrent networks."""

from __future__ import annotations

from judge.mutation import Mutation, at

_GATES = "r, z = jax.nn.sigmoid(r + hr), jax.nn.sigmoid(z + hz)"
_NEW = "n = jnp.tanh(n + r * hn)"
_MIX = "h = (1 - z) * n + z * h"
_CELL = "c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)"
_OUT = "h = jax.nn.sigmoid(o) * jnp.tanh(c)"


def _reset(w_hh: str, b_hh: str, width: str) -> str:
    return f"n = jnp.tanh(n + (r * h) @ {w_hh}[-{width}:].T + {b_hh}[-{width}:])"


RECURRENCE = (
    Mutation(
        "gates of a GRU exchanged", "tier 1 outputs", ("gate-order",),
        (
            at("gru", "rnn", (_GATES, "z, r = jax.nn.sigmoid(r + hr), jax.nn.sigmoid(z + hz)")),
            at("translator", "writer", (_GATES, "z, r = jax.nn.sigmoid(r + hr), jax.nn.sigmoid(z + hz)")),
            at("speech", "rnn", (_GATES, "z, r = jax.nn.sigmoid(r + hr), jax.nn.sigmoid(z + hz)")),
        ),
    ),
    Mutation(
        "reset gate before the product", "tier 1 outputs", ("reset-gate",),
        (
            at("gru", "rnn", (_NEW, _reset('params["rnn.weight_hh_l0"]', 'params["rnn.bias_hh_l0"]', "5"))),
            at("translator", "writer", (_NEW, _reset("w_hh", "b_hh", "WIDTH"))),
            at("speech", "rnn", (_NEW, _reset('params["rnn.weight_hh_l0"]', 'params["rnn.bias_hh_l0"]', "WIDTH"))),
        ),
    ),
    Mutation(
        "update gate inverted", "tier 1 outputs", ("update-gate",),
        (
            at("gru", "rnn", (_MIX, "h = z * n + (1 - z) * h")),
            at("translator", "writer", (_MIX, "h = z * n + (1 - z) * h")),
            at("speech", "rnn", (_MIX, "h = z * n + (1 - z) * h")),
        ),
    ),
    Mutation(
        "gates of an LSTM in another order", "tier 1 outputs", ("gate-order",),
        (
            at("lstm", "rnn", ("i, f, g, o = jnp.split", "i, f, o, g = jnp.split")),
            at("translator", "reader", ("i, f, g, o = jnp.split", "i, g, f, o = jnp.split")),
            at("speech", "both", ("i, f, g, o = jnp.split", "f, i, g, o = jnp.split")),
        ),
    ),
    Mutation(
        "one added to the forget gate", "tier 1 outputs", ("forget-bias",),
        (
            at("lstm", "rnn", (_CELL, _CELL.replace("sigmoid(f)", "sigmoid(f + 1)"))),
            at("translator", "reader", (_CELL, _CELL.replace("sigmoid(f)", "sigmoid(f + 1)"))),
            at("speech", "both", (_CELL, _CELL.replace("sigmoid(f)", "sigmoid(f + 1)"))),
        ),
    ),
    Mutation(
        "cell without tanh", "tier 1 outputs", ("recurrent-activation",),
        (
            at("lstm", "rnn", (_OUT, "h = jax.nn.sigmoid(o) * c")),
            at("translator", "reader", (_OUT, "h = jax.nn.sigmoid(o) * c")),
            at("speech", "both", (_OUT, "h = jax.nn.sigmoid(o) * c")),
        ),
    ),
    Mutation(
        "second bias left out", "tier 1 outputs", ("recurrent-bias",),
        (
            at("lstm", "rnn", (" + h @ w_hh.T + b_hh,", " + h @ w_hh.T,")),
            at("gru", "rnn", (' + params["rnn.bias_hh_l0"]', "")),
            at("speech", "rnn", (' + params["rnn.bias_hh_l0"]', "")),
        ),
    ),
    Mutation(
        "backward direction not turned back", "tier 1 outputs", (),
        (at("speech", "both", ("x[::-1])[::-1]", "x[::-1])")),),
    ),
    Mutation(
        "state that begins at one", "tier 1 outputs", (),
        (
            at("gru", "rnn", ("start = jnp.zeros(", "start = jnp.ones(")),
            at("lstm", "rnn", ("start = jnp.zeros(", "start = jnp.ones(")),
            at("translator", "reader", ("start = jnp.zeros(", "start = jnp.ones(")),
        ),
    ),
    Mutation(
        "first state for the last one", "tier 1 outputs", (),
        (
            at("gru", "rnn", ('"last": last', '"last": states[:, 0]')),
            at("translator", "writer", ("states.swapaxes(0, 1), last", "states.swapaxes(0, 1), states[0]")),
        ),
    ),
)  # fmt: skip
