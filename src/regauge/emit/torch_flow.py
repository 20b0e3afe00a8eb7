"""Calls of control flow in torch: functions of ops.py, which take the same local functions as JAX's do.

h, ys = ops.scan(step, h, xs)
"""

from __future__ import annotations

import ast
from typing import Any

from regauge.emit.flow_calls import Call, packed
from regauge.emit.literals import literal
from regauge.rules.lax_to_torch import control_flow


def _helper(call: Call, function: Any) -> str:
    call.writer.helpers.add(function)
    return f"ops.{function.__name__}"


def _cond(call: Call) -> ast.expr:
    pred: Any = call.node.argument("pred")
    return call.text(_helper(call, control_flow.cond), [call.writer.use(pred), *call.functions])


def _switch(call: Call) -> ast.expr:
    index: Any = call.node.argument("index")
    return call.text(_helper(call, control_flow.switch), [call.writer.use(index), *call.functions])


def _while_loop(call: Call) -> ast.expr:
    carried = packed(call.values("carried"))
    return call.text(_helper(call, control_flow.while_loop), [*call.functions, carried])


def _scan(call: Call) -> ast.expr:
    given: list[str | ast.expr] = [*call.functions, packed(call.values("init"))]
    xs = call.values("xs")
    given += [packed(xs)] if xs else []
    parts = [part if isinstance(part, str) else ast.unparse(part) for part in given]
    if not xs:
        parts.append(f"length={ast.unparse(literal(call.node.argument('length')))}")
    if call.node.argument("reverse"):
        parts.append("reverse=True")
    return ast.parse(f"{_helper(call, control_flow.scan)}({', '.join(parts)})", mode="eval").body


def _map(call: Call) -> ast.expr:
    return call.text(_helper(call, control_flow.map_rows), [*call.functions, packed(call.values("xs"))])


def _checkpoint(call: Call) -> ast.expr:
    return call.text("checkpoint", [*call.functions, *call.values("xs")], use_reentrant=False)


CALLS = {
    "cond": _cond,
    "switch": _switch,
    "while_loop": _while_loop,
    "scan": _scan,
    "map": _map,
    "checkpoint": _checkpoint,
}
