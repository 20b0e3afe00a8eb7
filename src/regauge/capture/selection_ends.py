"""Where selections by masks end: written back to their places, summed, averaged, or the rows of a loss."""

from __future__ import annotations

from dataclasses import replace

from regauge.capture.selected_parts import Arguments, NotWhole, Parts, Selected, packet, product
from regauge.dtypes import kind
from regauge.ir.graph import Node, Operand, Origin, Ref, Sym, TensorSpec, Value, references

# Losses of elements, by a number at which they are finite for prediction and target alike.
LOSSES: dict[str, float] = {
    **dict.fromkeys(("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy_with_logits"), 0),
    "binary_cross_entropy": 0.5,
}
_MEAN = 1  # of `reduction`; 2 is the sum
_NARROW = ("float16", "bfloat16")


def mask_among(parts: Parts, indices: Operand) -> tuple[int, Value | None]:
    """The only index, if it is a mask, and the axis where it begins."""
    if not isinstance(indices, tuple):
        return 0, None
    given = [(place, index) for place, index in enumerate(indices) if index is not None]
    if len(given) != 1 or not isinstance(index := given[0][1], Ref):
        return 0, None
    mask = parts.specs[index.name]
    usable = mask.spec.dtype == "bool" and mask.spec.ndim > 0 and index.name not in parts.selected
    return given[0][0], mask if usable else None


def put_back(parts: Parts, node: Node, first: Selected) -> None:
    """``y[mask] = values`` with the mask of the values: a choice between both."""
    scatters = packet(node.op) == "masked_scatter"
    base, values = node.argument("self"), node.argument("source" if scatters else "values")
    place, mask = mask_among(parts, (node.argument("mask"),) if scatters else node.argument("indices"))
    if mask is None or not isinstance(values, Ref):
        raise NotWhole
    wide = mask.spec.ndim - first.mask.spec.ndim if scatters else 0  # axes of size 1 behind those of the values' mask
    if not parts.is_same(mask, first.mask, wide) or not isinstance(base, Ref) or base.name in parts.selected:
        raise NotWhole
    out = node.outputs[0]
    after = out.spec.ndim - place - mask.spec.ndim + wide
    if first.after != after or first.before > place:
        raise NotWhole
    if scatters:
        # torch takes the values in the order of a mask that is broadcast; two symbols are sizes that it holds for equal
        if after != wide or first.around[1] != out.spec.shape[out.spec.ndim - after :]:
            raise NotWhole
        pairs = zip(out.spec.shape, first.mask.spec.shape, strict=False)
        if any(a != b and (isinstance(a, int) or isinstance(b, int)) for a, b in pairs):
            raise NotWhole
    new = Ref(parts.selected[values.name].whole.name)
    if not scatters and node.argument("accumulate"):
        total = Value(parts.unique(f"{out.name}_sum"), out.spec)
        new = parts.append("aten.add.Tensor", (("self", base), ("other", new), ("alpha", 1)), total, node.origin)
    chosen = parts.mask_for(first.mask if wide else mask, after, node.origin)
    parts.append("aten.where.self", (("condition", chosen), ("self", new), ("other", base)), out, node.origin)


def is_over_selection(node: Node, first: Selected) -> bool:
    """Whether a sum or mean runs over all elements, or over the axis of the selected ones alone."""
    keys = dict(node.arguments)
    if "dim" not in keys:
        return True
    dims = keys["dim"] if isinstance(keys["dim"], tuple) else (keys["dim"],)
    return [dim % first.rank for dim in dims if isinstance(dim, int)] == [first.before] and not keys.get("keepdim")


def reduced(parts: Parts, node: Node, first: Selected) -> None:
    """A sum or mean over the selected elements: the others are 0 in it."""
    out, origin, keys = node.outputs[0], node.origin, dict(node.arguments)
    mean = packet(node.op) == "mean"
    if keys.get("dtype") is not None:
        raise NotWhole
    if mean and out.spec.dtype in _NARROW:
        raise NotWhole  # a sum in that dtype is rounded, or too large, where a mean is not
    kept = parts.whole(keys["self"], 0, origin, always=True)
    total = Value(parts.unique(f"{out.name}_sum"), out.spec) if mean else out
    op = "aten.sum.default"
    arguments: Arguments = (("self", kept), ("dtype", None))
    if "dim" in keys:
        dims = tuple(range(first.before, first.before + first.mask.spec.ndim))
        op, arguments = "aten.sum.dim_IntList", (("self", kept), ("dim", dims), ("keepdim", False), ("dtype", None))
    summed = parts.append(op, arguments, total, origin)
    if mean:
        count = _count(parts, first, "dim" not in keys, origin)
        parts.append("aten.div.Tensor", (("self", summed), ("other", count)), out, origin)


def _count(parts: Parts, first: Selected, every: bool, origin: Origin) -> Ref:
    """How many elements there are: the Trues, times the other sizes if `every` axis is summed over."""
    spec = TensorSpec((), "int64")
    trues: Arguments = (("self", Ref(first.mask.name)), ("dtype", None))
    count = parts.append("aten.sum.default", trues, Value(parts.unique(f"{first.mask.name}_count"), spec), origin)
    before, behind = first.around
    others = product((*before, *behind)) if every else 1
    if others == 1:
        return count
    every_one = Value(parts.unique(f"{first.mask.name}_elements"), spec)
    return parts.append("aten.mul.Tensor", (("self", count), ("other", others)), every_one, origin)


def loss(parts: Parts, node: Node, first: Selected) -> None:
    """A loss of elements: that of each, then the mean or the sum of those that were selected."""
    reduction, out = node.argument("reduction"), node.outputs[0]
    pair = parts.selections_in(name for key in ("self", "target") for name in references(node.argument(key)))
    if [item.after for item in pair] != [first.after] * 2:
        raise NotWhole
    for name in (n for key, o in node.arguments if key not in ("self", "target") for n in references(o)):
        if name in parts.selected or parts.specs[name].spec.ndim > first.after:
            raise NotWhole
    number = LOSSES[packet(node.op)]
    given = {key: parts.whole(node.argument(key), number, node.origin) for key in ("self", "target")}
    before, behind = first.around
    shape = (*before, Sym(first.symbol), *behind)
    name = parts.unique(f"{out.name}_each") if reduction else out.name
    each = replace(node, outputs=(Value(name, TensorSpec(shape, out.spec.dtype)),))
    parts.keep(each.with_arguments(reduction=0, **given), first, first.after, True)
    if reduction:
        op = "aten.mean.default" if reduction == _MEAN else "aten.sum.default"
        over = Node(op, (("self", Ref(name)), ("dtype", None)), (out,), origin=node.origin)
        reduced(parts, over, parts.selected[name])


def cross_entropy(parts: Parts, node: Node) -> None:
    """Cross entropy of selected rows: of all rows, of which the others have the class that is ignored."""
    data, target = node.argument("self"), node.argument("target")
    others = [name for key, o in node.arguments if key not in ("self", "target") for name in references(o)]
    if not isinstance(data, Ref) or not isinstance(target, Ref) or not node.argument("reduction"):
        raise NotWhole
    rows, classes = parts.selected.get(data.name), parts.selected.get(target.name)
    if rows is None or classes is None or parts.selections_in(others):
        raise NotWhole
    if (rows.before, rows.after, classes.after) != (0, 1, 0) or kind(classes.whole.spec.dtype) != "integer":
        raise NotWhole
    ignored = node.argument("ignore_index")
    logits = parts.whole(data, 0, node.origin)
    targets = parts.whole(target, ignored, node.origin, always=True)  # type: ignore[arg-type]
    if rows.mask.spec.ndim > 1:
        logits = _with_one_axis(parts, logits, rows, node.origin)
        targets = _with_one_axis(parts, targets, classes, node.origin)
    parts.nodes.append(node.with_arguments(self=logits, target=targets))


def _with_one_axis(parts: Parts, operand: Operand, item: Selected, origin: Origin) -> Operand:
    """An array of all elements with the axes of the mask made one."""
    _, behind = item.around
    spec = TensorSpec((product(item.mask.spec.shape), *behind), item.whole.spec.dtype)
    flat = Value(parts.unique(f"{item.whole.name}_flat"), spec)
    return parts.append("aten.view.default", (("self", operand), ("size", (-1, *behind))), flat, origin)
