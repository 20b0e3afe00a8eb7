"""Regions that torch.export wraps into operators of their own, in the place where they stand: no_grad, autocast."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import fx

from regauge.capture.arguments import op_name
from regauge.capture.autocast import Autocast
from regauge.capture.memory import View, whole
from regauge.capture.source_lines import origin_of

if TYPE_CHECKING:
    from regauge.capture.functionalise import Functionaliser


def higher_order(walk: Functionaliser, node: fx.Node) -> None:
    """Convert a call of an operator that takes sub-graphs."""
    name = op_name(node.target)
    if name == "higher_order.wrap_with_set_grad_enabled":
        enabled, body, *given = node.args
        _inline(walk, node, body, given, without_gradient=not enabled)
    elif name == "higher_order.wrap_with_autocast":
        device, dtype, enabled, _, body, *given = node.args
        outer = walk.autocast
        walk.autocast = Autocast(dtype, str(device)) if enabled and isinstance(dtype, torch.dtype) else None
        _inline(walk, node, body, given, without_gradient=walk.inside is not None)
        walk.autocast = outer
    else:
        raw = {f"argument_{i}": value for i, value in enumerate(node.args)}
        if not isinstance(node.meta.get("val"), torch.Tensor | list | tuple):
            walk.env[node] = None
            return
        walk.plain(node, name, raw, origin_of(node.meta))


def _inline(walk: Functionaliser, node: fx.Node, body: Any, given: list[Any], without_gradient: bool) -> None:
    """The nodes of a region in its place; without gradients, what leaves it is detached."""
    inner: fx.GraphModule = walk.env[body]
    outside = [walk.env[item] if isinstance(item, fx.Node) else item for item in given]
    for placeholder, held in zip(inner.graph.find_nodes(op="placeholder"), outside, strict=True):
        walk.env[placeholder] = held
    outer = walk.inside
    walk.inside = (outer if outer is not None else set()) if without_gradient else None
    left = walk.walk(inner.graph)
    walk.inside = outer
    results = []
    for item in left:
        held = walk.env[item] if isinstance(item, fx.Node) else item
        passed = any(held is other for other in outside)
        if without_gradient and not passed and isinstance(held, View) and walk.value_of(held) in walk.carries:
            origin = origin_of(item.meta, origin_of(node.meta))
            held = whole(walk.detach(walk.value_of(held), held.spec, origin), held.spec)
        results.append(held)
    walk.env[node] = results
