"""Tensors that share memory, without memory: what a write through one name changes for all others.

Traced code may write through views (`z[:, 0] = 0`). Here a piece of memory is a `Memory` that holds a value of the
graph; a `View` is a way of looking at it, reached from a parent view by one operator. A write makes a new value for
the memory, by undoing the operators on the way; views that are read later are made again from it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from regauge.errors import CaptureError
from regauge.ir.graph import Operand, Origin, Ref, TensorSpec

Arguments = dict[str, Operand]
# (operator, arguments, results as (wanted name, spec), origin) -> names of the results
Emit = Callable[[str, Arguments, list[tuple[str, TensorSpec]], Origin], list[str]]


_numbers = itertools.count()


@dataclass(eq=False)
class Memory:
    """A piece of memory.

    Attributes:
        value: the graph value that it holds now.
        version: how often it has been written to.
        owner: what it belongs to besides the traced code: ``buffer x``, ``parameter x``, ``input x`` or nothing.
        number: what was made later has a greater one.
    """

    value: str
    version: int = 0
    owner: str = ""
    number: int = field(default_factory=lambda: next(_numbers))


@dataclass(frozen=True)
class Step:
    """The operator that makes a view of its parent: its other arguments, and which of its results the view is."""

    op: str
    arguments: Arguments
    results: list[tuple[str, TensorSpec]]
    index: int
    origin: Origin

    @property
    def data(self) -> str:
        """The name of the argument that is the parent."""
        return next(iter(self.arguments))


@dataclass(eq=False)
class View:
    """A tensor as the traced code holds it.

    Attributes:
        memory: what it looks at.
        spec: its shape and dtype.
        parent: the view that it was made from; None where it is the whole memory.
        step: how it was made from the parent.
        value: the graph value that it was when the memory had version `version`.
    """

    memory: Memory
    spec: TensorSpec
    parent: View | None = None
    step: Step | None = None
    value: str = ""
    version: int = 0

    @property
    def root(self) -> View:
        """The view of the whole memory."""
        return self if self.parent is None else self.parent.root


def mark() -> int:
    """A number that is greater than those of all memory so far."""
    return next(_numbers)


def whole(value: str, spec: TensorSpec, owner: str = "") -> View:
    """A tensor with memory of its own."""
    return View(Memory(value, owner=owner), spec, value=value)


def read(view: View, emit: Emit) -> str:
    """The graph value of a view now."""
    if view.parent is None or view.step is None:
        return view.memory.value
    if view.version != view.memory.version:
        source = read(view.parent, emit)
        arguments = {**view.step.arguments, view.step.data: Ref(source)}
        view.value = emit(view.step.op, arguments, view.step.results, view.step.origin)[view.step.index]
        view.version = view.memory.version
    return view.value


def write(view: View, new: str, emit: Emit, origin: Origin) -> None:
    """Make `new` the value of a view, and with it change what its memory holds.

    Raises:
        CaptureError: the view cannot be written through (overlapping elements, or an operator without an inverse).
    """
    if view.parent is None or view.step is None:
        view.memory.value = new
        view.memory.version += 1
        return
    before = read(view.parent, emit)
    write(view.parent, _undo(view.step, view.parent.spec, before, new, emit, origin), emit, origin)
    view.value, view.version = new, view.memory.version


# Operators whose result has all elements of the parent in the same order: undone by giving the shape back.
_RESHAPES = frozenset(
    {
        *(f"aten.{name}.default" for name in ("view", "reshape", "unsqueeze", "squeeze", "view_as", "reshape_as")),
        "aten.sum_to_size.default",
        "aten._unsafe_view.default",
        "aten.flatten.using_ints",
        "aten.unflatten.int",
        "aten.squeeze.dim",
        "aten.squeeze.dims",
        "aten.ravel.default",
        *(f"aten.atleast_{rank}d.default" for rank in (1, 2, 3)),
    }
)
# Operators that undo themselves, and the others with what undoes them.
_TRANSPOSES = frozenset(
    f"aten.{name}" for name in ("transpose.int", "t.default", "swapaxes.default", "swapdims.default", "mT.default")
) | {"aten.numpy_T.default"}
_MOVES = frozenset(f"aten.{name}.{kind}" for name in ("movedim", "moveaxis") for kind in ("int", "intlist"))
_PAIRS = {
    "aten.view_as_real.default": "aten.view_as_complex.default",
    "aten.view_as_complex.default": "aten.view_as_real.default",
}
# Operators that cut a tensor into consecutive parts.
_PARTS = frozenset({"aten.split.Tensor", "aten.split_with_sizes.default", "aten.chunk.default"})
_TRANSPARENT = frozenset(
    f"aten.{name}.default" for name in ("detach", "alias", "dropout", "feature_dropout", "alpha_dropout")
) | {"aten.feature_alpha_dropout.default"}


def _undo(step: Step, parent: TensorSpec, before: str, new: str, emit: Emit, origin: Origin) -> str:
    """The parent's value after the view was given the value `new`."""
    arguments = step.arguments

    def make(op: str, changed: Arguments) -> str:
        return emit(op, changed, [(op.split(".")[1], parent)], origin)[0]

    if step.op in _TRANSPARENT:
        return new
    if step.op in _RESHAPES:
        return make("aten.view.default", {"self": Ref(new), "size": parent.shape})
    if step.op in ("aten.select.int", "aten.slice.Tensor"):
        rest = {name: value for name, value in arguments.items() if name != "self"}
        scatter = "aten.select_scatter.default" if step.op == "aten.select.int" else "aten.slice_scatter.default"
        return make(scatter, {"self": Ref(before), "src": Ref(new), **rest})
    if step.op in _TRANSPOSES:
        return make(step.op, {**arguments, "self": Ref(new)})
    if step.op in _MOVES:
        back = {"source": arguments["destination"], "destination": arguments["source"]}
        return make(step.op, {"self": Ref(new), **back})
    if step.op in _PAIRS:
        return make(_PAIRS[step.op], {"self": Ref(new)})
    if step.op == "aten.narrow.default":
        start, length, size = arguments["start"], arguments["length"], parent.shape[arguments["dim"]]  # type: ignore[index]
        if isinstance(start, int) and isinstance(length, int) and (start >= 0 or isinstance(size, int)):
            first = start if start >= 0 or not isinstance(size, int) else start + size
            part: Arguments = {"dim": arguments["dim"], "start": first, "end": first + length, "step": 1}
            return make("aten.slice_scatter.default", {"self": Ref(before), "src": Ref(new), **part})
    if step.op == "aten.permute.default":
        axes = [int(axis) % parent.ndim for axis in arguments["dims"]]  # type: ignore[union-attr, arg-type]
        return make(step.op, {"self": Ref(new), "dims": tuple(axes.index(i) for i in range(parent.ndim))})
    if step.op == "aten.einsum.default" and (reverse := _undone(str(arguments["equation"]))):
        return make(step.op, {**arguments, "equation": reverse, "tensors": (Ref(new),)})
    if step.op == "aten.diagonal.default":
        rest = {name: value for name, value in arguments.items() if name != "self"}
        return make("aten.diagonal_scatter.default", {"self": Ref(before), "src": Ref(new), **rest})
    if step.op in _PARTS:
        dim = arguments["dim"]
        sizes = [spec.shape[dim] for _, spec in step.results[: step.index + 1]]  # type: ignore[index]
        if all(isinstance(size, int) for size in sizes):
            end: int = sum(sizes)  # type: ignore[arg-type]
            window: Arguments = {"dim": dim, "start": end - sizes[-1], "end": end, "step": 1}  # type: ignore[operator]
            return make("aten.slice_scatter.default", {"self": Ref(before), "src": Ref(new), **window})
    if step.op == "aten.unbind.int":
        place: Arguments = {"dim": arguments["dim"], "index": step.index}
        return make("aten.select_scatter.default", {"self": Ref(before), "src": Ref(new), **place})
    raise CaptureError(
        f"an in-place operation writes through a view made by {step.op}",
        code="C130",
        where=origin.line or origin.path,
        why="the write cannot be expressed as a new value of the tensor that the view belongs to",
        next="write it without the view: y = torch.where(...), torch.cat(...), or index the tensor itself",
    )


def _undone(equation: str) -> str:
    """The equation that gives back the axes that ``ij->ji`` permutes; empty for one that does more."""
    given, arrow, wanted = equation.replace(" ", "").partition("->")
    if not arrow:  # the result of "ji" has the axes of the ellipsis, then the others in alphabetical order
        wanted = "..." * ("..." in given) + "".join(sorted(given.replace("...", "")))
    permutes = sorted(given) == sorted(wanted) and all(given.count(axis) == 1 for axis in given if axis != ".")
    return f"{wanted}->{given}" if permutes else ""


def not_its_own(owner: str, origin: Origin) -> CaptureError:
    """The refusal of a write to what a model is given: an input, a parameter."""
    return CaptureError(
        f"the model changes its {owner} in place",
        code="C109",
        where=origin.line or origin.path,
        why="a JAX function cannot change what it is given; only buffers are carried along as state",
        next="work on a copy (x = x.clone()), or make a tensor attribute a buffer with register_buffer",
    )
