"""Functions for `ops.py` that control flow needs where JAX has no derivative."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


def while_loop(condition: Callable[[Any], Any], step: Callable[[Any], Any], carry: Any) -> Any:
    """`lax.while_loop` with a gradient: 64 states on the way are kept, and what lies between them is run again."""
    condition, read_by_condition = jax.closure_convert(condition, carry)
    step, read_by_step = jax.closure_convert(step, carry)
    slots = 64

    @jax.custom_vjp
    def run(carry: Any, read_by_condition: Any, read_by_step: Any) -> Any:
        return lax.while_loop(lambda c: condition(c, *read_by_condition), lambda c: step(c, *read_by_step), carry)

    def forward(carry: Any, read_by_condition: Any, read_by_step: Any) -> Any:
        def counted(state: Any) -> Any:
            return state[0] + 1, step(state[1], *read_by_step)

        count, final = lax.while_loop(lambda state: condition(state[1], *read_by_condition), counted, (0, carry))
        return final, (carry, read_by_step, count)

    def backward(residuals: Any, cotangent: Any) -> Any:
        carry, read, count = residuals
        stride = jnp.maximum(-(-count // slots), 1)

        def save(i: Any, state: Any) -> Any:
            kept, now = state
            at = i // stride
            kept = jax.tree.map(lambda rows, row: rows.at[at].set(jnp.where(i % stride, rows[at], row)), kept, now)
            return kept, step(now, *read)

        kept = jax.tree.map(lambda leaf: jnp.zeros((slots, *jnp.shape(leaf)), jnp.result_type(leaf)), carry)
        kept, _ = lax.fori_loop(0, count, save, (kept, carry))

        def back(number: Any, state: Any) -> Any:
            cotangent, summed = state
            i = count - 1 - number
            start = jax.tree.map(lambda leaf: leaf[i // stride], kept)
            before = lax.fori_loop(0, i % stride, lambda _, c: step(c, *read), start)
            _, pull = jax.vjp(lambda c, r: step(c, *r), before, read)
            by_carry, by_read = pull(cotangent)
            return by_carry, jax.tree.map(jnp.add, summed, by_read)

        zeros = jax.tree.map(jnp.zeros_like, read)
        by_carry, by_read = lax.fori_loop(0, count, back, (cotangent, zeros))
        return by_carry, None, by_read

    run.defvjp(forward, backward)
    return run(carry, read_by_condition, read_by_step)
