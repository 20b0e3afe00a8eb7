"""Reductions of segments: numbers that are no segment are left out, and a symbolic count of segments stays one."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from emit.comparing_jax import assert_same

import regauge

IDS = np.array([0, 1, 1, -1, 7, 3, 5], np.int32)
ROWS = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)


@pytest.mark.parametrize("name", ["segment_sum", "segment_max", "segment_min"])
@pytest.mark.parametrize("rows", [ROWS, ROWS[:, 0], (9 * ROWS).astype(np.int32), (9 * ROWS).astype(np.uint8)])
def test_numbers_that_are_no_segment(name, rows):
    def reduced(x, ids):
        return getattr(jax.ops, name)(x, ids, num_segments=6)

    made = regauge.to_torch(reduced, (rows, IDS))
    assert (f"ops.{name}(x, ids, num_segments=6)" in made.source) == (rows.dtype != np.uint8)
    found = made(torch.from_numpy(rows), torch.from_numpy(IDS)).numpy()
    np.testing.assert_array_equal(found, np.asarray(reduced(rows, IDS)))


def test_a_network_of_a_graph_and_its_gradients():
    def network(params, nodes, senders, receivers):
        messages = jnp.tanh(nodes[senders] @ params["w"])
        sums = jax.ops.segment_sum(messages, receivers, num_segments=nodes.shape[0])
        largest = jax.ops.segment_max(messages, receivers, num_segments=nodes.shape[0])
        return sums / nodes.shape[0] + jax.nn.relu(largest)

    edges = np.array([0, 1, 2, 2], np.int32), np.array([1, 1, 3, 0], np.int32)
    made = assert_same((network, {"w": jnp.ones((3, 3))}), (ROWS[:4], *edges))
    assert "ops.segment_sum(messages, receivers, num_segments=batch)" in made.source
    assert "torch.full" not in made.source
