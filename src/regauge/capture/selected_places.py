"""Places of a mask's Trues as the mask itself: ``rows, columns = torch.where(mask)``, what is read and written there.

How many places there are depends on values. ``x[rows, columns]`` is ``x[mask]``, and with one of two axes alone
``x[rows]`` is ``x[:, None].expand(...)[mask]``: each row once for every True in it. What is added to rows is written to
such an array of zeros, whose columns are added; what is put there must be one for each row.
After this pass the selections are those by masks, which `selections` makes whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from regauge.capture.node_walks import Walk
from regauge.capture.selected_parts import Arguments, packet
from regauge.ir.graph import Node, Operand, Origin, Ref, TensorSpec, Value, node_inputs

_FINDS = ("aten.where.default", "aten.nonzero_numpy.default")
_AT_PLACES = ("aten.index.Tensor", "aten.index_put.default", "aten.index_select.default", "aten.index_add.default")
_FLATTENS = ("squeeze", "flatten", "reshape", "view", "ravel")


@dataclass(frozen=True)
class _Place:
    """Indices along one axis of a mask, of its Trues in their order."""

    mask: Value
    axis: int


@dataclass(frozen=True)
class _Spot:
    """Where an array is read or written: places of a mask from one axis of the array on.

    Attributes:
        mask: whose Trues are meant.
        begin: the first axis of the array that is indexed.
        axes: of the mask, one for each axis of the array that is indexed.
    """

    mask: Value
    begin: int
    axes: tuple[int, ...]

    @property
    def rank(self) -> int:
        return self.mask.spec.ndim

    @property
    def indices(self) -> tuple[Operand, ...]:
        return (*[None] * self.begin, Ref(self.mask.name))


def as_masks(nodes: Iterable[Node], given: Iterable[Value], unique: Callable[[str], str]) -> list[Node]:
    """Nodes in which places that a mask gives are the mask, as far as they can be.

    Args:
        nodes: of a graph.
        given: its inputs and weights.
        unique: makes names of new values.
    """
    walk = _Walk({value.name: value for value in given}, unique)
    walk.all(nodes)
    return walk.nodes


@dataclass
class _Walk(Walk):
    places: dict[str, _Place] = field(default_factory=dict)
    tables: dict[str, Value] = field(default_factory=dict)  # results of `nonzero`: the mask by their names

    def take(self, node: Node) -> bool:
        """Note or convert a node; False for one that stays as it is."""
        arguments = dict(node.arguments)
        if node.op in _FINDS:
            mask = self._mask(node)
            self.places.update({value.name: _Place(mask, axis) for axis, value in enumerate(node.outputs)})
        elif node.op == "aten.nonzero.default":
            self.tables[node.outputs[0].name] = self._mask(node)
        elif isinstance(source := arguments.get("self"), Ref) and source.name in self.tables:
            self._column(node, self.tables[source.name])
        elif isinstance(source, Ref) and (spot := self._spot(node, arguments)) is not None:
            data = self.specs[source.name]
            if node.op in ("aten.index.Tensor", "aten.index_select.default"):
                return self._read(node, data, spot)
            added = node.op == "aten.index_add.default"
            if added and arguments["alpha"] != 1:
                return False
            return self._written(node, data, spot, arguments["source" if added else "values"])
        return False

    def _mask(self, node: Node) -> Value:
        """The array whose Trues a node finds, as booleans."""
        value = self.specs[node_inputs(node)[0]]
        if value.spec.dtype == "bool":
            return value
        spec, arguments = TensorSpec(value.spec.shape, "bool"), (("self", Ref(value.name)), ("other", 0))
        return self.made("aten.ne.Scalar", arguments, f"{value.name}_mask", spec, node.origin)

    def _column(self, node: Node, mask: Value) -> None:
        """A column of the table of places that `nonzero` gives, or its only one as a list."""
        last = mask.spec.ndim - 1
        keys = dict(node.arguments)
        if node.op == "aten.select.int" and keys["dim"] in (1, -1) and isinstance(keys["index"], int):
            self.places[node.outputs[0].name] = _Place(mask, keys["index"] % (last + 1))
        elif node.op == "aten.unbind.int" and keys["dim"] in (1, -1):
            self.places.update({value.name: _Place(mask, axis) for axis, value in enumerate(node.outputs)})
        elif last == 0 and packet(node.op) in _FLATTENS and node.outputs[0].spec.ndim == 1:
            self.places[node.outputs[0].name] = _Place(mask, 0)

    def _spot(self, node: Node, arguments: dict[str, Operand]) -> _Spot | None:
        """Where a node reads or writes, if places of one mask say so, which has the sizes of the array there."""
        source, indices, dim = (arguments.get(name) for name in ("self", "indices", "dim"))
        if not isinstance(source, Ref) or node.op not in _AT_PLACES:
            return None
        sizes = self.specs[source.name].spec.shape
        if isinstance(indices, tuple):
            begin = next((place for place, index in enumerate(indices) if index is not None), len(indices))
            used = indices[begin:]
        elif isinstance(dim, int):
            begin, used = dim % len(sizes), (arguments["index"],)
        else:
            return None
        found = [self.places.get(index.name) if isinstance(index, Ref) else None for index in used]
        known = [place for place in found if place is not None]
        axes = tuple(place.axis for place in known)
        if not found or len(known) != len(found) or len({place.mask.name for place in known}) > 1:
            return None
        mask = known[0].mask
        covered = tuple(mask.spec.shape[axis] for axis in axes)
        fits = len(set(axes)) == len(axes) and sizes[begin : begin + len(axes)] == covered
        return _Spot(mask, begin, axes) if fits else None

    def _read(self, node: Node, data: Value, spot: _Spot) -> bool:
        wide = self._wide(data, spot, node.origin)
        arguments: Arguments = (("self", Ref(wide.name)), ("indices", spot.indices))
        self.nodes.append(Node("aten.index.Tensor", arguments, node.outputs, origin=node.origin))
        return True

    def _written(self, node: Node, data: Value, spot: _Spot, values: Operand) -> bool:
        out, origin = node.outputs[0], node.origin
        adds = node.op == "aten.index_add.default" or bool(dict(node.arguments)["accumulate"])
        missing = [axis for axis in range(spot.rank) if axis not in spot.axes]
        if missing and not adds and not (len(missing) == 1 and self._is_single(spot.mask, missing[0])):
            return False
        base = data
        if missing and adds:
            base = self.made("aten.zeros_like.default", _like(data), f"{out.name}_parts", data.spec, origin)
        wide = self._wide(base, spot, origin)
        put: Arguments = (
            ("self", Ref(wide.name)),
            ("indices", spot.indices),
            ("values", values),
            ("accumulate", adds and not missing),
        )
        if not missing and spot.axes == tuple(range(spot.rank)):
            self.nodes.append(Node("aten.index_put.default", put, (out,), origin=origin))
            return True
        parts = self.made("aten.index_put.default", put, f"{out.name}_put", wide.spec, origin)
        if not missing:
            back: Arguments = (("self", Ref(parts.name)), ("dims", self._order(data, spot)[1]))
            self.nodes.append(Node("aten.permute.default", back, (out,), origin=origin))
        elif adds:
            dims = tuple(spot.begin + axis for axis in missing)
            total: Arguments = (("self", Ref(parts.name)), ("dim", dims), ("keepdim", False), ("dtype", None))
            summed = self.made("aten.sum.dim_IntList", total, f"{out.name}_sum", data.spec, origin)
            both: Arguments = (("self", Ref(data.name)), ("other", Ref(summed.name)), ("alpha", 1))
            self.nodes.append(Node("aten.add.Tensor", both, (out,), origin=origin))
        else:
            self._only_of_each(data, parts, spot, missing[0], out, origin)
        return True

    def _is_single(self, mask: Value, axis: int) -> bool:
        """Whether a mask has at most one True along an axis: where one of the largest, all different, has a number.

        Of several that are written to one place PyTorch keeps the last, and gives a gradient to all.
        """
        equal = self.made_by.get(mask.name)
        if equal is None or equal.op != "aten.eq.Scalar" or not isinstance(mask.spec.shape[axis], int):
            return False
        found = self.made_by.get(node_inputs(equal)[0])
        if found is None or found.op not in ("aten.topk.default", "aten.sort.default", "aten.sort.stable"):
            return False
        dim = found.argument("dim")
        indices = found.outputs[1]
        return indices.name == node_inputs(equal)[0] and isinstance(dim, int) and dim % indices.spec.ndim == axis

    def _only_of_each(self, data: Value, parts: Value, spot: _Spot, axis: int, out: Value, origin: Origin) -> None:
        """What is written to places of which a mask has one at most along an axis."""
        count = int(spot.mask.spec.shape[axis])  # type: ignore[arg-type]
        rest = TensorSpec(tuple(size for n, size in enumerate(spot.mask.spec.shape) if n != axis), "bool")
        found = data
        for index in range(count):
            one: Arguments = (("self", Ref(spot.mask.name)), ("dim", axis), ("index", index))
            chosen = self.made("aten.select.int", one, f"{spot.mask.name}_{index}", rest, origin)
            for _ in range(data.spec.ndim - spot.begin - rest.ndim):
                spec = TensorSpec((*chosen.spec.shape, 1), "bool")
                new: Arguments = (("self", Ref(chosen.name)), ("dim", -1))
                chosen = self.made("aten.unsqueeze.default", new, f"{spot.mask.name}_wide", spec, origin)
            part: Arguments = (("self", Ref(parts.name)), ("dim", spot.begin + axis), ("index", index))
            value = self.made("aten.select.int", part, f"{out.name}_{index}", data.spec, origin)
            pair: Arguments = (("condition", Ref(chosen.name)), ("self", Ref(value.name)), ("other", Ref(found.name)))
            if index == count - 1:
                self.nodes.append(Node("aten.where.self", pair, (out,), origin=origin))
            else:
                found = self.made("aten.where.self", pair, f"{out.name}_to_{index}", data.spec, origin)

    def _order(self, data: Value, spot: _Spot) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The axes of an array in the order of the mask's, and how to bring them back."""
        order = list(range(data.spec.ndim))
        for place, axis in enumerate(sorted(spot.axes)):
            order[spot.begin + place] = spot.begin + spot.axes.index(axis)
        return tuple(order), tuple(order.index(axis) for axis in range(len(order)))

    def _wide(self, data: Value, spot: _Spot, origin: Origin) -> Value:
        """An array with all axes of the mask, in its order: those that no place names hold it again and again."""
        order, _ = self._order(data, spot)
        if order != tuple(range(len(order))):
            spec = TensorSpec(tuple(data.spec.shape[axis] for axis in order), data.spec.dtype)
            arguments: Arguments = (("self", Ref(data.name)), ("dims", order))
            data = self.made("aten.permute.default", arguments, f"{data.name}_permuted", spec, origin)
        missing = [axis for axis in range(spot.rank) if axis not in spot.axes]
        shape = list(data.spec.shape)
        for axis in missing:
            shape.insert(spot.begin + axis, 1)
            arguments = (("self", Ref(data.name)), ("dim", spot.begin + axis))
            spec = TensorSpec(tuple(shape), data.spec.dtype)
            data = self.made("aten.unsqueeze.default", arguments, f"{data.name}_wide", spec, origin)
        if missing:
            shape[spot.begin : spot.begin + spot.rank] = spot.mask.spec.shape
            arguments = (("self", Ref(data.name)), ("size", tuple(shape)), ("implicit", False))
            spec = TensorSpec(tuple(shape), data.spec.dtype)
            data = self.made("aten.expand.default", arguments, f"{data.name}_each", spec, origin)
        return data


def _like(data: Value) -> Arguments:
    options = ("dtype", "layout", "device", "pin_memory", "memory_format")
    return (("self", Ref(data.name)), *((name, None) for name in options))
