"""Masks that were flattened: ``x.view(-1, width)[mask.view(-1)]`` is ``x[mask]``, and written there it is, too.

A selection keeps the order of its elements, so that it is the same one by both masks. After this pass all selections by
one mask are by the one with all its axes, and `selections` sees that they belong together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from regauge.capture.node_walks import Walk
from regauge.capture.selected_parts import Arguments, packet
from regauge.ir.graph import Dim, Node, Ref, TensorSpec, Value

_READS = ("aten.index.Tensor", "aten.index_put.default")
_FLATTENS = ("view", "reshape", "flatten")


def by_all_axes(nodes: Iterable[Node], given: Iterable[Value], unique: Callable[[str], str]) -> list[Node]:
    """Nodes in which no flattened mask selects elements of an array.

    Args:
        nodes: of a graph.
        given: its inputs and weights.
        unique: makes names of new values.
    """
    walk = _Walk({value.name: value for value in given}, unique)
    walk.all(nodes)
    return walk.nodes


class _Walk(Walk):
    def take(self, node: Node) -> bool:
        """Convert a node that reads or writes by a flattened mask; False for any other."""
        if node.op not in _READS:
            return False
        data, indices = node.argument("self"), node.argument("indices")
        if not isinstance(data, Ref) or not isinstance(indices, tuple):
            return False
        places = [place for place, index in enumerate(indices) if index is not None]
        index = indices[places[0]] if len(places) == 1 else None
        flat = self._flattened(index.name) if isinstance(index, Ref) else None
        if flat is None or flat.spec.dtype != "bool":
            return False
        place, shape = places[0], self.specs[data.name].spec.shape
        sizes = (*shape[:place], *flat.spec.shape, *shape[place + 1 :])
        whole = self._whole(data.name, place, sizes, node)
        by_mask = node.with_arguments(self=Ref(whole.name), indices=(*indices[:place], Ref(flat.name)))
        if node.op == "aten.index.Tensor":
            self.nodes.append(by_mask)
            return True
        (out,) = node.outputs
        written = Value(self.unique(f"{out.name}_put"), TensorSpec(sizes, out.spec.dtype))
        self.nodes.append(replace(by_mask, outputs=(written,)))
        self.specs[written.name] = written
        back: Arguments = (("self", Ref(written.name)), ("size", shape))
        self.nodes.append(Node("aten.view.default", back, (out,), origin=node.origin))
        return True

    def _flattened(self, name: str) -> Value | None:
        """The array of several axes of which a value has all elements along one; None if there is none."""
        made = self.made_by.get(name)
        source = dict(made.arguments)["self"] if made is not None and packet(made.op) in _FLATTENS else None
        if not isinstance(source, Ref) or self.specs[name].spec.ndim != 1 or self.specs[source.name].spec.ndim < 2:
            return None
        return self.specs[source.name]

    def _whole(self, name: str, place: int, sizes: tuple[Dim, ...], node: Node) -> Value:
        """An array with other sizes in the place of one: what it was before they were joined, where it is known."""
        made = self.made_by.get(name)
        source = dict(made.arguments).get("self") if made is not None else None
        if made is not None and isinstance(source, Ref):
            if packet(made.op) in _FLATTENS and self.specs[source.name].spec.shape == sizes:
                return self.specs[source.name]
            dim, ndim = dict(made.arguments).get("dim"), self.specs[source.name].spec.ndim
            if made.op == "aten.select.int" and isinstance(dim, int) and dim % ndim > place:
                return self._selected(made, source.name, place, sizes, node)
        spec = TensorSpec(sizes, self.specs[name].spec.dtype)
        arguments: Arguments = (("self", Ref(name)), ("size", sizes))
        return self.made("aten.view.default", arguments, f"{name}_whole", spec, node.origin)

    def _selected(self, made: Node, source: str, place: int, sizes: tuple[Dim, ...], node: Node) -> Value:
        """One of an axis behind the joined ones: ``x.view(-1, width)[:, i]`` as ``x[:, :, i]``."""
        before = self.specs[source].spec.shape
        more = len(sizes) - self.specs[made.outputs[0].name].spec.ndim
        whole = self._whole(source, place, (*sizes[: place + 1 + more], *before[place + 1 :]), node)
        dim = int(made.argument("dim")) % len(before) + more  # type: ignore[arg-type]
        arguments: Arguments = (("self", Ref(whole.name)), ("dim", dim), ("index", made.argument("index")))
        spec = TensorSpec(sizes, whole.spec.dtype)
        return self.made("aten.select.int", arguments, f"{made.outputs[0].name}_whole", spec, made.origin)
