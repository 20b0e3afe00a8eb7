"""What stands between the brackets of `x[...]` for gathers and scatters: numbers, slices and arrays of indices.

A part is None for a whole axis, a number, a slice as (start, stop, step) or the value that is an array of indices.
"""

from __future__ import annotations

from regauge.ir.graph import Dim, Node, Operand, Ref, Sym
from regauge.lower.lax_graphs import Makers

Axes = tuple[int, ...]
TENSORS = ("int32", "int64")  # dtypes that torch indexes with


def counting(index: Operand, size: Dim, makers: Makers) -> Operand:
    """An index array as torch takes it, or None for one that torch has no form for."""
    base = makers.unwrapped(index, size)
    chosen = index if base is None and makers.below(index) == size else base
    while (cast := makers.node(chosen, "lax.convert_element_type")) is not None:
        inner = makers.spec(cast.arguments[0][1])
        if inner is None or inner.dtype not in TENSORS:
            break
        chosen = cast.arguments[0][1]
    spec = makers.spec(chosen)
    return chosen if spec is not None and spec.dtype in TENSORS else None


def parts_of(
    node: Node, makers: Makers, numbers: tuple[Axes, ...], sizes: tuple[Operand, ...]
) -> tuple[list[Operand], bool] | None:
    """What stands between the brackets for a gather or scatter, and whether it lies inside; None if nothing does.

    Args:
        node: the gather or scatter.
        makers: of its graph.
        numbers: axes of the array that are indexed, that windows do not keep, and of the result that windows give.
        sizes: of the windows.
    """
    indexed, removed, offsets = numbers
    arguments = dict(node.arguments)
    shape = makers.shape(arguments["operand"])
    starts = arguments.get("start")
    if isinstance(starts, tuple):
        parts = _fixed(shape, indexed, removed, sizes, starts)
        return None if parts is None or offsets != tuple(range(len(offsets))) else (parts, True)
    steps = arguments.get("progression")
    whole = all(sizes[axis] == (1 if axis in indexed else shape[axis]) for axis in range(len(shape)))
    batch = makers.shape(arguments["indices"])[:-1]
    columns = _columns(arguments["indices"], len(indexed), batch, makers)
    if not whole or set(indexed) != set(removed):
        return None
    if isinstance(steps, tuple) and offsets == tuple(axis for axis in range(len(shape)) if axis != indexed[0]):
        return [_stepped(steps, size) if axis == indexed[0] else None for axis, size in enumerate(shape)], True
    if columns is None:
        return None
    safe = arguments.get("in_bounds") is True
    safe = safe or (arguments["mode"] == "PROMISE_IN_BOUNDS" and arguments.get("in_bounds") is not False)
    clipped = arguments["mode"] == "CLIP" and not safe
    parts = [None] * len(shape)
    inside = True
    for axis, column in zip(indexed, columns, strict=True):
        size = shape[axis]
        spec = makers.spec(column)
        inside = inside and (makers.below(column) == size or _is_inside(column, size))
        plain = column if spec is None or ((safe or clipped) and spec.dtype in TENSORS) else None
        counted = None if clipped else counting(column, size, makers)
        parts[axis] = column if type(column) is int else counted or plain
        if parts[axis] is None:
            return None
    return (parts, safe or inside) if layout(parts, makers) == (offsets, batch) else None


def _stepped(steps: tuple[Operand, ...], size: Dim) -> Operand:
    """A slice (start, stop, step) that ends with the axis where no element would follow."""
    start, stop, step = (n for n in steps if isinstance(n, int))
    return (start, None if isinstance(size, int) and stop - 1 + step >= size else stop, step)


def _is_inside(column: Operand, size: Dim) -> bool:
    return type(column) is int and column >= 0 and (column == 0 or (isinstance(size, int) and column < size))


def _fixed(
    shape: tuple[Dim, ...], indexed: Axes, removed: Axes, sizes: tuple[Operand, ...], starts: tuple[Operand, ...]
) -> list[Operand] | None:
    """Numbers and slices for a single window whose place is known."""
    parts: list[Operand] = []
    for axis, size in enumerate(shape):
        start = starts[indexed.index(axis)] if axis in indexed else 0
        width = sizes[axis]
        if axis in removed:
            parts.append(start)
        elif start == 0 and width == size:
            parts.append(None)
        elif start == 0:
            parts.append((0, width, 1))
        elif isinstance(start, int) and isinstance(width, int):
            parts.append((start, None if start + width == size else start + width, 1))
        elif isinstance(start, int) and isinstance(width, Sym):
            parts.append((start, _plus(width, start), 1))
        else:
            return None
    return parts


def _plus(size: Sym, number: int) -> Sym:
    """A symbolic size and a number: `n - 2` and 2 are `n`."""
    shorter = size.text.removesuffix(f" - {number}")
    return Sym(shorter if shorter != size.text else f"{size.text} + {number}")


def axes_of(operand: Operand) -> Axes:
    return tuple(item for item in operand if isinstance(item, int)) if isinstance(operand, tuple) else ()


def layout(parts: list[Operand], makers: Makers) -> tuple[Operand, tuple[Dim, ...]]:
    """The axes of `x[parts]` that come from whole axes of x, and the shape of the indices, as torch lays them out."""
    left = [part for part in parts if type(part) is not int]
    tensors = [at for at, part in enumerate(left) if isinstance(part, Ref)]
    batch: tuple[Dim, ...] = ()
    for at in tensors:
        batch = _broadcast(batch, makers.shape(left[at]))
    adjacent = bool(tensors) and tensors == list(range(tensors[0], tensors[-1] + 1))
    first = tensors[0] if adjacent else 0
    count = len(left) - len(tensors)
    return tuple(at if at < first else at + len(batch) for at in range(count)), batch


def _broadcast(left: tuple[Dim, ...], right: tuple[Dim, ...]) -> tuple[Dim, ...]:
    rank = max(len(left), len(right))
    pairs = zip((1,) * (rank - len(left)) + left, (1,) * (rank - len(right)) + right, strict=True)
    return tuple(b if a == 1 else a for a, b in pairs)


def _columns(indices: Operand, count: int, batch: tuple[Dim, ...], makers: Makers) -> list[Operand] | None:
    """The arrays that an array of index vectors was put together from, each of the shape `batch` or broadcast to it."""
    joined = makers.node(indices, "lax.concatenate")
    given = joined.argument("operands") if joined is not None else (indices,)
    if not isinstance(given, tuple) or len(given) != count:
        return None
    found = [column_of(part, batch, makers) for part in given]
    return None if any(column is None for column in found) else found


def column_of(part: Operand, batch: tuple[Dim, ...], makers: Makers) -> Operand:
    """An array of indices without the last axis of size 1 that was added to it; numbers where it holds one alone."""
    made = makers.node(part, "lax.broadcast_in_dim", "lax.reshape")
    if made is None or makers.shape(part) != (*batch, 1):
        return None
    source = made.arguments[0][1]
    if made.op == "lax.broadcast_in_dim" and not _trailing(made, source, len(batch), makers):
        return None
    if made.op == "lax.reshape" and makers.shape(source) != batch:
        return None
    while (inner := makers.node(source, "lax.broadcast_in_dim", "lax.convert_element_type")) is not None:
        deeper = inner.arguments[0][1]
        if inner.op == "lax.broadcast_in_dim" and not _trailing(inner, deeper, len(makers.shape(source)), makers):
            break
        if inner.op == "lax.convert_element_type" and not _are_indices(makers, deeper, source):
            break
        source = deeper
    return source


def _are_indices(makers: Makers, *operands: Operand) -> bool:
    """Whether all are numbers or of a dtype that torch indexes with."""
    specs = [makers.spec(operand) for operand in operands]
    return all(spec is None or spec.dtype in TENSORS for spec in specs)


def _trailing(node: Node, source: Operand, rank: int, makers: Makers) -> bool:
    """Whether a broadcast is the one that arithmetic does by itself: the axes of the array are the last ones."""
    axes = axes_of(node.argument("broadcast_dimensions"))
    return axes == tuple(range(rank - len(axes), rank)) and len(axes) == len(makers.shape(source))
