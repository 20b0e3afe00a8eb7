"""Functions that a model hands to control flow or to a transformation, marked in the traced graph.

`torch.export` runs a model once, operator by operator. What `torch.cond`, a scan or a `torch.func.vmap` is given to
run becomes part of that one sequence here, between two operators of our own: ``regauge::enter`` makes the tensors that
the function gets, ``regauge::leave`` takes what it returns and makes what the model goes on with. `capture.bodies` cuts
what stands between them out of the sequence again. So the function keeps the modules, lines and symbolic sizes that
all other code has.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from regauge.capture.source_lines import line_of_caller, unwrapped
from regauge.errors import CaptureError

LIBRARY = torch.library.Library("regauge", "FRAGMENT")
LIBRARY.define("enter(Tensor[] given, int[] axes, int region) -> Tensor[]")
LIBRARY.define(
    "leave(str kind, str about, int region, Tensor[] given, Tensor[] entered, Tensor[] left, Tensor[] like, "
    "int[] axes, SymInt size) -> Tensor[]"
)
ENTER, LEAVE = "regauge.enter.default", "regauge.leave.default"
LEFT_OUT = "left_out"  # the kind of a region that is nothing in the graph
_SAME = -1  # in `axes`: the shape that is there
_numbers = itertools.count()


def _without(tensor: Tensor, axis: int) -> Tensor:
    """An empty tensor like one element along an axis."""
    shape = list(tensor.shape)
    if axis != _SAME:
        del shape[axis]
    return tensor.new_empty(shape)


def _entered(given: Sequence[Tensor], axes: Sequence[int], region: int) -> list[Tensor]:
    return [_without(tensor, axis) for tensor, axis in zip(given, axes, strict=True)]


def _with(tensor: Tensor, axis: int, size: Any) -> Tensor:
    shape = list(tensor.shape)
    if axis != _SAME:
        shape.insert(axis, size)
    return tensor.new_empty(shape)


def _left(
    kind: str,
    about: str,
    region: int,
    given: Sequence[Tensor],
    entered: Sequence[Tensor],
    left: Sequence[Tensor],
    like: Sequence[Tensor],
    axes: Sequence[int],
    size: Any,
) -> list[Tensor]:
    if kind == "jacobian":
        return [left[0].new_empty((*left[0].shape, *tensor.shape)) for tensor in like]
    return [_with(tensor, axis, size) for tensor, axis in zip(like, axes, strict=True)]


torch.library.register_fake("regauge::enter", _entered, lib=LIBRARY)
torch.library.register_fake("regauge::leave", _left, lib=LIBRARY)


@dataclass
class Body:
    """One function of a region, as it was traced.

    Attributes:
        parameters: of each parameter that holds tensors its name, and the names of the tensors in it ('' for none).
        entered: the tensors that it got.
        left: the tensors that it returned, group by group.
        returned: how many tensors each group has: carried and collected ones of a scan, say.
    """

    parameters: list[tuple[str, list[str]]]
    entered: list[Tensor]
    left: list[Tensor] = field(default_factory=list)
    returned: list[int] = field(default_factory=list)

    def returns(self, *groups: Sequence[Tensor]) -> None:
        self.left = [tensor for group in groups for tensor in group]
        self.returned = [len(group) for group in groups]


@dataclass
class Region:
    """One use of control flow or of a transformation.

    Attributes:
        kind: the operator that it becomes: ``cond``, ``scan``, ``vmap`` and so on.
    """

    kind: str
    number: int = field(default_factory=lambda: next(_numbers))
    bodies: list[Body] = field(default_factory=list)

    def enter(
        self,
        function: Callable[..., Any],
        trees: Sequence[Any],
        axes: Sequence[int] | None = None,
        names: Sequence[str] = (),
    ) -> tuple[Any, ...]:
        """Begin a function: its arguments, with the tensors replaced by those that it is to get.

        Args:
            function: what is going to run.
            trees: the arguments, any pytrees, as they are outside.
            axes: for each tensor, the axis of which the function gets one element; -1 for the tensor itself.
            names: of its parameters, where they are not to be read from the function.
        """
        names = names or parameter_names(function, len(trees))
        leaves, spec = pytree.tree_flatten(tuple(trees))
        places = [place for place, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]
        held = [_leaf_names(tree) for tree in trees]
        entered = self._entered([leaves[place] for place in places], axes)
        for place, tensor in zip(places, entered, strict=True):
            leaves[place] = tensor
        parameters = [(name, leaf_names) for name, leaf_names in zip(names, held, strict=True) if leaf_names]
        self.bodies.append(Body(parameters, entered))
        return tuple(pytree.tree_unflatten(leaves, spec))

    def _entered(self, given: list[Tensor], axes: Sequence[int] | None) -> list[Tensor]:
        # A function without tensors begins somewhere too.
        marked = given or [torch.zeros(())]
        given_axes = list(axes) if axes is not None and given else [_SAME] * len(marked)
        entered: list[Tensor] = torch.ops.regauge.enter(marked, given_axes, self.number)
        return entered if given else []

    def leave(
        self,
        groups: Sequence[tuple[str, Sequence[Tensor]]],
        like: Sequence[Tensor],
        axes: Sequence[int] | None = None,
        size: Any = 0,
        **settings: Any,
    ) -> list[Tensor]:
        """End the region; gives the tensors with which the model goes on.

        Args:
            groups: the tensors that stand in the call, by the name of the argument.
            like: tensors of the shapes of the results, but for `axes`.
            axes: for each result, where an axis of `size` elements is added; -1 for none.
            size: how many elements a function is run on.
            settings: of the operator, plain JSON values.
        """
        about = {
            "groups": [[name, len(tensors)] for name, tensors in groups],
            "parameters": [body.parameters for body in self.bodies],
            "entered": [len(body.entered) for body in self.bodies],
            "returned": [body.returned for body in self.bodies],
            "settings": settings,
        }
        given = [tensor for _, tensors in groups for tensor in tensors]
        entered = [tensor for body in self.bodies for tensor in body.entered]
        left = [tensor for body in self.bodies for tensor in body.left]
        placed = list(axes) if axes is not None else [_SAME] * len(like)
        made: list[Tensor] = torch.ops.regauge.leave(
            self.kind, json.dumps(about), self.number, given, entered, left, list(like), placed, size
        )
        return made

    @contextmanager
    def unless_left_out(self) -> Iterator[None]:
        """Run a function; an index out of range or a key that is not there ends the region, which then is nothing."""
        try:
            yield
        except LookupError:
            self.kind, self.bodies = LEFT_OUT, []
            self.leave([("nothing", [torch.zeros(())])], [])
            raise


def parameter_names(function: Callable[..., Any], count: int) -> list[str]:
    """What a function calls its first `count` arguments; numbered names where it does not say."""
    try:
        plain = function if isinstance(function, functools.partial) else unwrapped(function)
        found = inspect.signature(getattr(plain, "forward", plain)).parameters.values()
    except (TypeError, ValueError):
        found = ()  # type: ignore[assignment]
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [parameter.name for parameter in found if parameter.kind in kinds][:count]
    return [*names, *(f"argument_{place}" for place in range(len(names), count))]


def _leaf_names(tree: Any) -> list[str]:
    """The keys of the tensors in a tree, as far as they are names."""
    found = []
    for path, leaf in pytree.tree_flatten_with_path(tree)[0]:
        if isinstance(leaf, Tensor):
            key = getattr(path[-1], "key", getattr(path[-1], "name", "")) if path else ""
            found.append(key if isinstance(key, str) and key.isidentifier() else "")
    return found


def tensors_in(tree: Any) -> list[Tensor]:
    """All tensors of a pytree, in order."""
    return [leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, Tensor)]


def tensors(tree: Any, name: str) -> tuple[list[Tensor], Any]:
    """The leaves of what a function of `name` returned, and its structure.

    Raises:
        CaptureError: a leaf is no tensor.
    """
    leaves, spec = pytree.tree_flatten(tree)
    strange = [leaf for leaf in leaves if not isinstance(leaf, Tensor)]
    if strange:
        raise CaptureError(
            f"a function of {name} returns {type(strange[0]).__name__} where tensors are carried",
            code="C145",
            where=line_of_caller(),
            received=repr(strange[0])[:100],
            next="return tensors only: torch.tensor(value) makes one of a number",
        )
    return leaves, spec


def require_alike(found: Sequence[Tensor], wanted: Sequence[Tensor], name: str) -> None:
    """Both must have the same number of tensors, of the same shapes and dtypes.

    Raises:
        CaptureError: they have not.
    """
    if len(found) == len(wanted) and all(_alike(a, b) for a, b in zip(found, wanted, strict=True)):
        return
    a, b = ([f"{str(t.dtype).removeprefix('torch.')}{list(t.shape)}" for t in given] for given in (found, wanted))
    raise CaptureError(
        f"the results of a function of {name} have other shapes or dtypes than they must",
        code="C145",
        where=line_of_caller(),
        received=f"{', '.join(a) or '-'}; {', '.join(b) or '-'}",
        why="both branches give the same arrays, and a loop gives what it was given, in torch as in JAX",
        next="cast or reshape the results, so that both agree",
    )


def _alike(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and a.ndim == b.ndim and all(bool(x == y) for x, y in zip(a.shape, b.shape, strict=True))
