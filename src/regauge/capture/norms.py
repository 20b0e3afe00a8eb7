"""Normalization that overwrites running statistics or the rows of a table, as operators that return the new ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from torch import fx

from regauge.capture.memory import Arguments, View, whole
from regauge.ir.graph import DType, Origin, Ref

if TYPE_CHECKING:
    from regauge.capture.functionalise import Functionaliser


def _layer(walk: Functionaliser, node: fx.Node, raw: Mapping[str, Any], origin: Origin) -> None:
    """In training it has three results: the output and the new running mean and variance."""
    training = raw["training"] if "training" in raw else raw["use_input_stats"]
    if not training or raw["running_mean"] is None or raw["running_var"] is None:
        walk.plain(node, str(node.target), raw, origin)
        return
    views: list[View] = [walk.env[raw["running_mean"]], walk.env[raw["running_var"]]]
    spec = walk.specs(node, origin)[0]
    wanted = [(node.name, spec), *((f"{node.name}_{n}", v.spec) for n, v in zip(("mean", "var"), views, strict=True))]
    result, *new = walk.emit(str(node.target), walk.arguments(raw), wanted, origin)
    walk.carries.difference_update(new)
    for view, value in zip(views, new, strict=True):
        walk.write(view, value, origin)
    walk.env[node] = whole(result, spec)


def _native(walk: Functionaliser, node: fx.Node, raw: Mapping[str, Any], origin: Origin) -> None:
    """The operators that layers are made of: output, mean and inverse deviation of the batch, and what is reserved."""
    tensors = {name: raw[name] for name in ("input", "weight", "bias")}
    numbers = {name: raw[name] for name in ("momentum", "eps")}
    statistics = {name: raw[name] for name in ("running_mean", "running_var")}
    training, specs = raw.get("training", True), walk.specs(node, origin)
    results = [(f"{node.name}_{i}", spec) for i, spec in enumerate(specs[:3])]
    if raw["running_mean"] is None or raw["running_var"] is None:
        form, given, views = "_native_batch_norm_legit.no_stats", {"training": True}, []
    elif training:
        form, given = "_native_batch_norm_legit_functional.default", statistics | {"training": True}
        views = [walk.env[view] for view in statistics.values()]
    else:
        form, given, views = "_native_batch_norm_legit_no_training.default", statistics, []
    changed = [(f"{node.name}_{name}", view.spec) for name, view in zip(statistics, views, strict=False)]
    made = walk.emit(f"aten.{form}", walk.arguments(tensors | given | numbers), results + changed, origin)
    for view, value in zip(views, made[3:], strict=True):
        walk.carries.discard(value)
        walk.write(view, value, origin)
    walk.env[node] = [whole(value, spec) for value, spec in zip(made[:3], specs, strict=False)]
    if len(specs) > 3:  # what torch reserves for the derivative of cuDNN: no bytes
        unset = dict.fromkeys(("layout", "device", "pin_memory"))
        size: Arguments = {"size": specs[3].shape, "dtype": DType(specs[3].dtype), **unset}
        (reserved,) = walk.emit("aten.zeros.default", size, [(f"{node.name}_3", specs[3])], origin)
        walk.env[node].append(whole(reserved, specs[3]))


def _rows_limited(walk: Functionaliser, node: fx.Node, raw: Mapping[str, Any], origin: Origin) -> None:
    """`max_norm` of embeddings: torch scales rows of the parameter behind the back of its gradient.

    The gradient is that of the lookup in the new rows, and goes to the parameter as if they were its own; the rule says
    so, and the parameter itself holds the new rows after the call. Its detached view is therefore not looked at.
    """
    table: View = walk.env[raw["self"]]
    while table.parent is not None and table.step is not None and table.step.op == "aten.detach.default":
        table = table.parent
    arguments = walk.arguments(raw) | {"self": Ref(walk.value_of(table))}
    (limited,) = walk.emit("aten.embedding_renorm.default", arguments, [("limited", table.spec)], origin)
    walk.write(table, limited, origin, ("buffer ", "parameter "))
    walk.env[node] = walk.env[raw["self"]]


OPERATORS: dict[str, Callable[[Functionaliser, fx.Node, Mapping[str, Any], Origin], None]] = {
    "aten.batch_norm.default": _layer,
    "aten.instance_norm.default": _layer,
    "aten.native_batch_norm.default": _native,
    "aten._native_batch_norm_legit.default": _native,
    "aten._batch_norm_with_update.default": _native,
    "aten.embedding_renorm_.default": _rows_limited,
}
