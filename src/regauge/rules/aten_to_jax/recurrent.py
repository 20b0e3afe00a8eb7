"""Recurrent networks as scans over time, with torch's order of gates and weights.

`params` lists for each layer, and in it for each direction, w_ih, w_hh, b_ih, b_hh (without biases: the first two;
with a projection of the state: w_hr at the end).
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array, lax

from regauge.rules.table import RuleTable

TABLE = RuleTable("recurrent")

State = tuple[Array, ...]
Dropout = float | Callable[[Array], Array]


def lstm_step(w_hh: Array, b_hh: Array | None, w_hr: Array | None, gates: Array, state: State) -> State:
    """New (h, c); gates in the order input, forget, cell, output."""
    h, c = state
    gates = gates + h @ w_hh.T if b_hh is None else gates + h @ w_hh.T + b_hh
    i, f, g, o = jnp.split(gates, 4, axis=-1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    h = jax.nn.sigmoid(o) * jnp.tanh(c)
    return (h if w_hr is None else h @ w_hr.T), c


def gru_step(w_hh: Array, b_hh: Array | None, gates: Array, state: State) -> State:
    """New (h,); gates in the order reset, update, new. The reset gate multiplies the product with the state."""
    (h,) = state
    hidden = h @ w_hh.T if b_hh is None else h @ w_hh.T + b_hh
    input_r, input_z, input_n = jnp.split(gates, 3, axis=-1)
    hidden_r, hidden_z, hidden_n = jnp.split(hidden, 3, axis=-1)
    r, z = jax.nn.sigmoid(input_r + hidden_r), jax.nn.sigmoid(input_z + hidden_z)
    n = jnp.tanh(input_n + r * hidden_n)
    return ((h - n) * z + n,)


def cell_step(kind: str, w_hh: Array, b_hh: Array | None, w_hr: Array | None, gates: Array, state: State) -> State:
    """The new state of a cell of this kind; `gates` is what the input adds."""
    if kind == "lstm":
        return lstm_step(w_hh, b_hh, w_hr, gates, state)
    if kind == "gru":
        return gru_step(w_hh, b_hh, gates, state)
    hidden = state[0] @ w_hh.T if b_hh is None else state[0] @ w_hh.T + b_hh
    return (jnp.tanh(gates + hidden) if kind == "tanh" else jax.nn.relu(gates + hidden),)


def recurrent_layer(
    kind: str, x: Array, state: State, weights: State, has_biases: bool, reverse: bool
) -> tuple[Array, State]:
    """One direction of one layer over time.

    Args:
        kind: "lstm", "gru", "tanh" or "relu".
        x: [time, batch, features].
        state: initial state, each [batch, hidden].
        weights: of this direction.
        has_biases: whether the biases are among them.
        reverse: from the last step to the first.

    Returns:
        The outputs [time, batch, hidden] in the order of time, and the final state.
    """
    w_ih, w_hh, *rest = weights
    b_ih, b_hh = (rest.pop(0), rest.pop(0)) if has_biases else (None, None)
    w_hr = rest[0] if rest else None
    gates = x @ w_ih.T if b_ih is None else x @ w_ih.T + b_ih

    def advance(carry: State, gate: Array) -> tuple[State, Array]:
        new = cell_step(kind, w_hh, b_hh, w_hr, gate, carry)
        return new, new[0]

    state, outputs = lax.scan(advance, state, gates, reverse=reverse)
    return outputs, state


def recurrent_network(
    kind: str,
    input: Array,
    states: State,
    params: State,
    has_biases: bool,
    num_layers: int,
    dropout: Dropout,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Array, ...]:
    """All layers and directions; dropout, if it is a function, acts between layers.

    Args:
        kind: "lstm", "gru", "tanh" or "relu".
        input: [time, batch, features], or [batch, time, features] with `batch_first`.
        states: initial states, each [layers * directions, batch, hidden].
        params: weights as in the description of this file.
        has_biases: whether the biases are among them.
        num_layers: number of layers.
        dropout: a number (nothing is dropped) or a function.
        bidirectional: two directions in each layer, their outputs side by side.
        batch_first: the order of `input` and of the output.

    Returns:
        The output of the last layer and the final states.
    """
    x = input.swapaxes(0, 1) if batch_first else input
    directions = 2 if bidirectional else 1
    count = len(params) // (num_layers * directions)
    finals = []
    for layer in range(num_layers):
        outputs = []
        for direction in range(directions):
            position = layer * directions + direction
            weights = params[position * count : (position + 1) * count]
            state = tuple(s[position] for s in states)
            output, final = recurrent_layer(kind, x, state, weights, has_biases, reverse=direction == 1)
            outputs.append(output)
            finals.append(final)
        x = jnp.concatenate(outputs, axis=-1) if bidirectional else outputs[0]
        if callable(dropout) and layer < num_layers - 1:
            x = dropout(x)
    last = tuple(jnp.stack(parts) for parts in zip(*finals, strict=True))
    return (x.swapaxes(0, 1) if batch_first else x, *last)


@TABLE.rule("aten.lstm.input")
def lstm(
    input: Array,
    hx: tuple[Array, ...],
    params: tuple[Array, ...],
    has_biases: bool,
    num_layers: int,
    dropout: Dropout,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Array, ...]:
    """lstm.input(Tensor input, Tensor[] hx, Tensor[] params, bool has_biases, int num_layers, float dropout, bool train, bool bidirectional, bool batch_first) -> (Tensor, Tensor, Tensor)"""  # noqa: E501
    return recurrent_network("lstm", input, hx, params, has_biases, num_layers, dropout, bidirectional, batch_first)


@TABLE.rule("aten.gru.input")
def gru(
    input: Array,
    hx: Array,
    params: tuple[Array, ...],
    has_biases: bool,
    num_layers: int,
    dropout: Dropout,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Array, ...]:
    """gru.input(Tensor input, Tensor hx, Tensor[] params, bool has_biases, int num_layers, float dropout, bool train, bool bidirectional, bool batch_first) -> (Tensor, Tensor)"""  # noqa: E501
    return recurrent_network("gru", input, (hx,), params, has_biases, num_layers, dropout, bidirectional, batch_first)


@TABLE.rule("aten.rnn_tanh.input")
def rnn_tanh(
    input: Array,
    hx: Array,
    params: tuple[Array, ...],
    has_biases: bool,
    num_layers: int,
    dropout: Dropout,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Array, ...]:
    """rnn_tanh.input(Tensor input, Tensor hx, Tensor[] params, bool has_biases, int num_layers, float dropout, bool train, bool bidirectional, bool batch_first) -> (Tensor, Tensor)"""  # noqa: E501
    return recurrent_network("tanh", input, (hx,), params, has_biases, num_layers, dropout, bidirectional, batch_first)


@TABLE.rule("aten.rnn_relu.input")
def rnn_relu(
    input: Array,
    hx: Array,
    params: tuple[Array, ...],
    has_biases: bool,
    num_layers: int,
    dropout: Dropout,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Array, ...]:
    """rnn_relu.input(Tensor input, Tensor hx, Tensor[] params, bool has_biases, int num_layers, float dropout, bool train, bool bidirectional, bool batch_first) -> (Tensor, Tensor)"""  # noqa: E501
    return recurrent_network("relu", input, (hx,), params, has_biases, num_layers, dropout, bidirectional, batch_first)


# padded batches with lengths: what packed sequences are in a captured graph


def padded_layer(
    kind: str, x: Array, valid: Array, state: State, weights: State, has_biases: bool, reverse: bool
) -> tuple[Array, State]:
    """One direction of one layer over sequences of different length.

    Args:
        kind: "lstm", "gru", "tanh" or "relu".
        x: [time, batch, features].
        valid: bool[time, batch, 1], whether a step is before the end of its sequence.
        state: initial state, each [batch, hidden].
        weights: of this direction.
        has_biases: whether the biases are among them.
        reverse: from the last step of each sequence to the first.

    Returns:
        The outputs [time, batch, hidden], zero behind the end, and the states at the end of each sequence.
    """
    w_ih, w_hh, *rest = weights
    b_ih, b_hh = (rest.pop(0), rest.pop(0)) if has_biases else (None, None)
    w_hr = rest[0] if rest else None
    gates = x @ w_ih.T if b_ih is None else x @ w_ih.T + b_ih

    def advance(carry: State, step: tuple[Array, Array]) -> tuple[State, Array]:
        gate, inside = step
        new = cell_step(kind, w_hh, b_hh, w_hr, gate, carry)
        kept = tuple(jnp.where(inside, n, c) for n, c in zip(new, carry, strict=True))
        return kept, jnp.where(inside, new[0], 0)

    state, outputs = lax.scan(advance, state, (gates, valid), reverse=reverse)
    return outputs, state


def padded_network(
    kind: str,
    input: Array,
    lengths: Array,
    states: State,
    params: State,
    has_biases: bool,
    num_layers: int,
    dropout: Dropout,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Array, ...]:
    """All layers and directions over sequences of different length, as torch computes them packed.

    Args:
        kind: "lstm", "gru", "tanh" or "relu".
        input: [time, batch, features], or [batch, time, features] with `batch_first`.
        lengths: integers [batch].
        states: initial states, each [layers * directions, batch, hidden].
        params: weights as in the description of this file.
        has_biases: whether the biases are among them.
        num_layers: number of layers.
        dropout: a number (nothing is dropped) or a function that acts between layers.
        bidirectional: two directions in each layer, their outputs side by side.
        batch_first: the order of `input` and of the output.

    Returns:
        The output of the last layer, zero behind the end of each sequence, and the states there.
    """
    x = input.swapaxes(0, 1) if batch_first else input
    valid = (jnp.arange(x.shape[0])[:, None] < lengths)[..., None]
    # What stands behind the end, even NaN, must not reach the gradients of the weights.
    x = jnp.where(valid, x, 0)
    directions = 2 if bidirectional else 1
    count = len(params) // (num_layers * directions)
    finals = []
    for layer in range(num_layers):
        outputs = []
        for direction in range(directions):
            position = layer * directions + direction
            weights = params[position * count : (position + 1) * count]
            state = tuple(s[position] for s in states)
            output, final = padded_layer(kind, x, valid, state, weights, has_biases, reverse=direction == 1)
            outputs.append(output)
            finals.append(final)
        x = jnp.concatenate(outputs, axis=-1) if bidirectional else outputs[0]
        if callable(dropout) and layer < num_layers - 1:
            x = dropout(x)
    last = tuple(jnp.stack(parts) for parts in zip(*finals, strict=True))
    return (x.swapaxes(0, 1) if batch_first else x, *last)


@TABLE.rule("regauge.lstm_padded.default")
def lstm_padded(
    input: Array,
    lengths: Array,
    hx: tuple[Array, ...],
    params: tuple[Array, ...],
    has_biases: bool,
    num_layers: int,
    dropout: Dropout,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Array, ...]:
    """lstm_padded(Tensor input, Tensor lengths, Tensor[] hx, Tensor[] params, bool has_biases, int num_layers, float dropout, bool train, bool bidirectional, bool batch_first) -> (Tensor, Tensor, Tensor)"""  # noqa: E501
    return padded_network(
        "lstm", input, lengths, hx, params, has_biases, num_layers, dropout, bidirectional, batch_first
    )


@TABLE.rule("regauge.gru_padded.default")
def gru_padded(
    input: Array,
    lengths: Array,
    hx: Array,
    params: tuple[Array, ...],
    has_biases: bool,
    num_layers: int,
    dropout: Dropout,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Array, ...]:
    """gru_padded(Tensor input, Tensor lengths, Tensor hx, Tensor[] params, bool has_biases, int num_layers, float dropout, bool train, bool bidirectional, bool batch_first) -> (Tensor, Tensor)"""  # noqa: E501
    return padded_network(
        "gru", input, lengths, (hx,), params, has_biases, num_layers, dropout, bidirectional, batch_first
    )


@TABLE.rule("regauge.rnn_tanh_padded.default")
def rnn_tanh_padded(
    input: Array,
    lengths: Array,
    hx: Array,
    params: tuple[Array, ...],
    has_biases: bool,
    num_layers: int,
    dropout: Dropout,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Array, ...]:
    """rnn_tanh_padded(Tensor input, Tensor lengths, Tensor hx, Tensor[] params, bool has_biases, int num_layers, float dropout, bool train, bool bidirectional, bool batch_first) -> (Tensor, Tensor)"""  # noqa: E501
    return padded_network(
        "tanh", input, lengths, (hx,), params, has_biases, num_layers, dropout, bidirectional, batch_first
    )


@TABLE.rule("regauge.rnn_relu_padded.default")
def rnn_relu_padded(
    input: Array,
    lengths: Array,
    hx: Array,
    params: tuple[Array, ...],
    has_biases: bool,
    num_layers: int,
    dropout: Dropout,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Array, ...]:
    """rnn_relu_padded(Tensor input, Tensor lengths, Tensor hx, Tensor[] params, bool has_biases, int num_layers, float dropout, bool train, bool bidirectional, bool batch_first) -> (Tensor, Tensor)"""  # noqa: E501
    return padded_network(
        "relu", input, lengths, (hx,), params, has_biases, num_layers, dropout, bidirectional, batch_first
    )


def input_gates(input: Array, w_ih: Array, b_ih: Array | None) -> Array:
    """What the input adds to the gates of a cell."""
    return input @ w_ih.T if b_ih is None else input @ w_ih.T + b_ih


@TABLE.rule("aten.lstm_cell.default")
def lstm_cell(
    input: Array,
    hx: tuple[Array, ...],
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None = None,
    b_hh: Array | None = None,
) -> tuple[Array, ...]:
    """lstm_cell(Tensor input, Tensor[] hx, Tensor w_ih, Tensor w_hh, Tensor? b_ih=None, Tensor? b_hh=None) -> (Tensor, Tensor)"""  # noqa: E501
    return lstm_step(w_hh, b_hh, None, input_gates(input, w_ih, b_ih), hx)


@TABLE.rule("aten.gru_cell.default")
def gru_cell(
    input: Array, hx: Array, w_ih: Array, w_hh: Array, b_ih: Array | None = None, b_hh: Array | None = None
) -> Array:
    """gru_cell(Tensor input, Tensor hx, Tensor w_ih, Tensor w_hh, Tensor? b_ih=None, Tensor? b_hh=None) -> Tensor"""
    return gru_step(w_hh, b_hh, input_gates(input, w_ih, b_ih), (hx,))[0]


@TABLE.rule("aten.rnn_tanh_cell.default")
def rnn_tanh_cell(
    input: Array, hx: Array, w_ih: Array, w_hh: Array, b_ih: Array | None = None, b_hh: Array | None = None
) -> Array:
    """rnn_tanh_cell(Tensor input, Tensor hx, Tensor w_ih, Tensor w_hh, Tensor? b_ih=None, Tensor? b_hh=None) -> Tensor"""  # noqa: E501
    return cell_step("tanh", w_hh, b_hh, None, input_gates(input, w_ih, b_ih), (hx,))[0]


@TABLE.rule("aten.rnn_relu_cell.default")
def rnn_relu_cell(
    input: Array, hx: Array, w_ih: Array, w_hh: Array, b_ih: Array | None = None, b_hh: Array | None = None
) -> Array:
    """rnn_relu_cell(Tensor input, Tensor hx, Tensor w_ih, Tensor w_hh, Tensor? b_ih=None, Tensor? b_hh=None) -> Tensor"""  # noqa: E501
    return cell_step("relu", w_hh, b_hh, None, input_gates(input, w_ih, b_ih), (hx,))[0]
