"""The readable form of a graph."""

from __future__ import annotations

from dataclasses import replace

from graphs import linear_graph

from regauge.ir.show import show

EXPECTED = """\
graph aten
  symbol batch = 4 in [2, inf]
  input  x: float32[batch, 3]
  parameter fc.weight: float32[2, 3] as p_weight
  parameter head.weight: float32[2, 3]  (tied to fc.weight)
  buffer count: int64[] as b_count  (not persistent)
  # fc  Linear
  linear: float32[batch, 2] = aten.linear.default(input=x, weight=p_weight)                       # net.py:12
  to: float64[batch, 2] = aten.to.dtype(self=linear, dtype=float64, non_blocking=False)           # net.py:12
  # (root)
  add: int64[] = aten.add.Tensor(self=b_count, other=1, alpha=1)
  # fc  Linear
  odd: bool[max(batch, 3)], even: uint8[0] = test.everything.default(tensors=(to, None, linear), \
size=(2 * batch + 1, -1), values=(inf, -inf, 0.1, 1e+300, 9223372036854775807, True, 'mean', (1-2j), (inf+0j)), \
nested=(('a', (1,)), ()))  # net.py:12
  return to, odd
  store  count <- add
  info C110 x: fixed"""


def test_show():
    assert show(linear_graph()) == EXPECTED


def test_a_call_that_is_recomputed_says_so():
    graph = linear_graph()
    root, call = graph.nodes[0].origin.modules
    again = replace(graph.nodes[0].origin, modules=(root, replace(call, recomputed=True)))
    marked = replace(graph, nodes=(replace(graph.nodes[0], origin=again),))
    assert "\n  # fc  Linear  (fc recomputed)\n" in show(marked)
