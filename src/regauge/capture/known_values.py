"""Values that Python asks for and that no input changes: positions that the model counts, its own buffers.

`torch.export` takes every tensor for unknown, so ``positions.max().item()`` is a number that nobody has, and a mask of
the model's own makes shapes that depend on values. What a model computes from constants and buffers alone is the same
in every call. While it is traced, such tensors are remembered with the operator that made them, or wrote to them, and
computed when Python asks for one. The sizes that go into it become fixed; a buffer that Python reads must not change
(C104).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch._subclasses.fake_tensor import FakeTensor, unset_fake_temporarily
from torch.fx.experimental import proxy_tensor
from torch.utils import _pytree as pytree
from torch.utils.weak import WeakIdKeyDictionary

from regauge.capture import mask_places
from regauge.capture.arguments import written
from regauge.capture.regions import ENTER, LEAVE, tensors_in
from regauge.capture.source_lines import line_of_caller
from regauge.errors import CaptureError
from regauge.findings import Finding

_ATEN = torch.ops.aten
# What is filled with a number has the values of no tensor: this number, or that of the argument at this place.
_FILLED = {
    **dict.fromkeys((_ATEN.new_ones.default, _ATEN.ones_like.default), 1),
    **dict.fromkeys((_ATEN.new_zeros.default, _ATEN.zeros_like.default), 0),
}
_FILLED_WITH = {_ATEN.full_like.default: 1, _ATEN.new_full.default: 2}
_STEPS = {ENTER: 1, LEAVE: -1}  # into a body of control flow, and out of it
_MASKS = (torch.bool, torch.uint8)
# Their results have shapes that depend on values, which torch's tags do not say.
_SHAPED_BY_VALUES = (_ATEN.nonzero_numpy.default, _ATEN.where.default, _ATEN.argwhere.default)
# Of these the second argument alone has to be known.
_BY_SECOND = (
    _ATEN.repeat_interleave.self_Tensor,
    _ATEN.tensor_split.tensor_indices_or_sections,
    _ATEN.masked_select.default,
)


class _Unknown(Exception):
    """A tensor depends on inputs, weights or chance, or was changed in place."""


@dataclass
class _Made:
    """How a tensor of the trace was made.

    Attributes:
        operator: that made it from `args` and `kwargs`, which hold how their tensors were made; None for a buffer. One
            that writes to its first argument made what that tensor is since.
        version: of the tensor then; writes to it, or to what it is a view of, count it up.
        place: of the tensor among several results.
        value: once it was computed.
        buffer: its name, if it is one.
    """

    operator: OpOverload | None
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    version: int
    place: int | None
    value: Tensor | None = None
    buffer: str | None = None


class ReadAndChanged(CaptureError):
    """Python reads a buffer that the model changes."""


@dataclass
class KnownValues:
    """What a capture read.

    Attributes:
        buffers: names of buffers whose values Python read, with the line.
        changing: buffers that are as unknown as any input, because the model writes to them.
        asked: names of inputs, of integers or booleans, whose values Python asked for in vain.
    """

    buffers: dict[str, str] = field(default_factory=dict)
    changing: set[str] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)
    _inputs: Any = field(default_factory=WeakIdKeyDictionary)

    def learn(self) -> bool:
        """Whether a capture that a changed buffer has failed may be tried again: what Python read is unknown now."""
        new = self.buffers.keys() - self.changing
        self.changing |= new
        self.buffers.clear()
        return bool(new)

    def take(self, arguments: Mapping[str, Any]) -> None:
        """Learn which tensors of a trace are the model's inputs, of integers or booleans, by their names."""
        for name, argument in arguments.items():
            for tensor in tensors_in(argument):
                if not tensor.is_floating_point() and not tensor.is_complex():
                    self._inputs[tensor] = frozenset((name,))

    def sources(self, tensors: Iterable[Tensor]) -> frozenset[str]:
        """Names of the inputs that these are, or are made of with nothing else that is unknown."""
        return frozenset().union(*(self._inputs.get(tensor, ()) for tensor in tensors))

    def follow(self, made: Iterable[Tensor], names: frozenset[str]) -> None:
        """Note that tensors are made of these inputs and of nothing else that is unknown; without names, of what is."""
        for tensor in made:
            if names:
                self._inputs[tensor] = names
            else:
                self._inputs.pop(tensor, None)

    def judged(self, changed: set[str], name: str) -> list[Finding]:
        """A finding for the buffers that are read.

        Args:
            changed: names of buffers that the captured graph writes to.
            name: of the model.

        Raises:
            ReadAndChanged: the model changes one of them, so that a later call would decide otherwise.
        """
        if both := sorted(changed & self.buffers.keys()):
            raise ReadAndChanged(
                f"{name} decides in Python on a buffer that it changes: {', '.join(both)}",
                code="C104",
                where=self.buffers[both[0]],
                why="a captured graph is one sequence of operators for all values",
                next="choose between values with torch.where(condition, a, b), or bring the buffer into the state that "
                "it keeps (call the model once) before converting",
            )
        return [
            Finding(
                "C172",
                "info",
                line,
                f"Python reads the buffer {buffer}: its present value is part of the converted code.",
            )
            for buffer, line in self.buffers.items()
        ]


@contextmanager
def computed(model: nn.Module, found: KnownValues) -> Iterator[None]:
    """Within the block Python gets the values of tensors that no input changes.

    Args:
        model: that is going to be traced.
        found: gets the buffers that are read.
    """
    record = _Record(proxy_tensor.proxy_call, model, dict(model.named_buffers()), found)
    _active.append(record)
    try:
        with mock.patch.object(proxy_tensor, "proxy_call", record.called):
            yield
    finally:
        _active.pop()


def is_known(tensor: Tensor) -> bool:
    """Whether Python gets the value of a tensor in the trace that runs now."""
    return bool(_active) and _active[-1].knows(tensor)


_active: list[_Record] = []  # of the traces that run now


@dataclass
class _Record:
    """Tensors of a trace by how they were made, as far as they depend on constants and buffers alone.

    Attributes:
        call: torch's function that puts an operator into a trace.
        model: that is traced.
        buffers: its own tensors, which have values.
        found: what a person should know.
    """

    call: Callable[..., Any]
    model: nn.Module
    buffers: dict[str, Tensor]
    found: KnownValues
    _made: Any = field(default_factory=WeakIdKeyDictionary)
    _tracer: Any = None
    _inside: int = 0  # bodies of control flow that are being traced

    def called(self, mode: Any, operator: OpOverload, pre_dispatch: bool, args: Any, kwargs: Any) -> Any:
        """Put an operator into the trace, unless what Python asks for is known."""
        if self._tracer is not mode.tracer:
            self._begin(mode.tracer)

        def lifted(tensor: Tensor) -> Any:
            return self.called(mode, _ATEN.lift_fresh.default, pre_dispatch, (tensor,), {})

        def put(operator: OpOverload, *args: Any) -> Any:
            return self.called(mode, operator, pre_dispatch, args, {})

        try:
            if torch.Tag.data_dependent_output in operator.tags:
                return self._result(operator, args, kwargs)
            if operator is _ATEN.index.Tensor and (row := mask_places.only_place(args[1])) is not None:
                axis, place = row
                return put(_ATEN.clone.default, put(_ATEN.slice.Tensor, args[0], axis, place, place + 1))
            if operator is _ATEN.index.Tensor:
                args = (args[0], [place for index in args[1] for place in self._places(index, lifted)])
            elif operator is _ATEN.repeat_interleave.self_Tensor:
                kwargs = self._counted(args, kwargs)
            elif operator is _ATEN.tensor_split.tensor_indices_or_sections:
                places = self._numbers(args[1])
                split = _ATEN.tensor_split.indices if isinstance(places, list) else _ATEN.tensor_split.sections
                return put(split, args[0], places, *args[2:])
            elif operator is _ATEN.masked_select.default and self.knows(args[1]):
                data, mask = args
                before = data.ndim - mask.ndim
                if before < 0 or data.shape[before:] != mask.shape:
                    before, size = 0, list(torch.broadcast_shapes(data.shape, mask.shape))
                    data, mask = put(_ATEN.expand.default, data, size), put(_ATEN.expand.default, mask, size)
                return put(_ATEN.view.default, put(_ATEN.index.Tensor, data, [*[None] * before, mask]), [-1])
            elif _shaped_by_values(operator, args):
                return pytree.tree_map_only(Tensor, lifted, self._result(operator, args, kwargs))
        except _Unknown:
            asked = args[1] if operator in _BY_SECOND else args
            self.found.asked.update(self.found.sources(tensors_in(asked)))
        self._inside += _STEPS.get(str(operator), 0)
        # a body may run or not, or several times: what it writes to is unknown
        changed = None if self._inside else _changed(operator, args)
        if changed is None and not _is_function(operator):
            return self.call(mode, operator, pre_dispatch, args, kwargs)
        unknown = [tensor for tensor in tensors_in((args, kwargs)) if not self.knows(tensor)]
        names = [self.found.sources([tensor]) for tensor in unknown]
        given = None if unknown else pytree.tree_map_only(Tensor, self._how, (args, kwargs))
        out = self.call(mode, operator, pre_dispatch, args, kwargs)
        mask_places.note(operator, args, out)
        results = out if changed is None else changed
        self.found.follow(tensors_in(results), frozenset().union(*names) if all(names) else frozenset())
        if given is None and (filled := _filled(operator, args, out)) is not None:
            self._made[out] = filled
        if given is not None:
            places = dict(enumerate(results)) if isinstance(results, tuple | list) else {None: results}
            for place, tensor in places.items():
                # what is known already may be returned as it is, and would be made of itself
                if isinstance(tensor, Tensor) and not self.knows(tensor):
                    self._made[tensor] = _Made(operator, given[0], given[1], tensor._version, place)
        return out

    def _how(self, tensor: Tensor) -> Any:
        """How a known tensor was made, which later writes do not change; itself if it is no tensor of the trace."""
        return self._made.get(tensor, tensor)

    def _begin(self, tracer: Any) -> None:
        """Learn the tensors that stand for buffers in this trace."""
        self._tracer, self._inside = tracer, 0
        self._made.clear()
        mask_places.begin()
        for name, tensor in self.model.named_buffers():
            if isinstance(tensor, FakeTensor) and name in self.buffers and name not in self.found.changing:
                self._made[tensor] = _Made(None, (), {}, tensor._version, None, self.buffers[name], name)

    def _places(self, index: Tensor | None, lifted: Callable[[Tensor], Any]) -> list[Any]:
        """The places where a known mask is true, one tensor for each of its axes; any other index as it is."""
        if index is None or index.dtype not in _MASKS:
            return [index]
        try:
            found = self._result(_ATEN.nonzero_numpy.default, (index,), {})
        except _Unknown:
            self.found.asked.update(self.found.sources([index]))
            return [index]
        return [lifted(places) for places in found]

    def _counted(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The keyword arguments of a repetition, with how many elements it gives."""
        tensor, repeats, axis = (*args, None)[:3]
        if kwargs.get("output_size") is not None:
            return kwargs
        numbers = self._numbers(repeats)
        if repeats.numel() > 1:
            return {**kwargs, "output_size": sum(numbers)}
        number = numbers[0] if isinstance(numbers, list) else numbers  # of all elements
        return {**kwargs, "output_size": number * (tensor.numel() if axis is None else tensor.shape[axis])}

    def _numbers(self, tensor: Tensor) -> Any:
        """The values of a known tensor: a list, or one number of a tensor without axes."""
        value = self._value(tensor)
        with unset_fake_temporarily():
            return value.tolist()

    def knows(self, tensor: Tensor) -> bool:
        made: _Made | None = self._made.get(tensor)
        return made.version == tensor._version if made is not None else not isinstance(tensor, FakeTensor)

    def _result(self, operator: OpOverload, args: Any, kwargs: Any) -> Any:
        """What an operator gives for known tensors.

        Raises:
            _Unknown: one of them is not known.
        """

        def value(leaf: Any) -> Any:
            if isinstance(leaf, Tensor | _Made):
                return self._value(leaf) if isinstance(leaf, Tensor) else self._computed(leaf)
            if isinstance(leaf, torch.SymInt):
                return int(leaf)
            return float(leaf) if isinstance(leaf, torch.SymFloat) else leaf

        with unset_fake_temporarily():
            try:
                given, named = pytree.tree_map(value, (args, kwargs))
                if _changed(operator, given) is not None:
                    given = (given[0].clone(), *given[1:])  # what it was before stays known
                return operator(*given, **named)
            except _Unknown:
                raise
            except Exception as error:  # a size that depends on values, say
                raise _Unknown from error

    def _value(self, tensor: Tensor) -> Tensor:
        if not self.knows(tensor):
            raise _Unknown
        made: _Made | None = self._made.get(tensor)
        return tensor if made is None else self._computed(made)

    def _computed(self, made: _Made) -> Tensor:
        if made.buffer is not None:
            self.found.buffers.setdefault(made.buffer, line_of_caller())
        if made.value is None and made.operator is not None:
            result = self._result(made.operator, made.args, made.kwargs)
            made.value = result if made.place is None else result[made.place]
        if made.value is None:
            raise _Unknown
        return made.value


def _shaped_by_values(operator: OpOverload, args: tuple[Any, ...]) -> bool:
    """Whether the shapes of results depend on values."""
    if operator is _ATEN.one_hot.default and args[1:] not in ((), (-1,)):
        return False
    return torch.Tag.dynamic_output_shape in operator.tags or operator in _SHAPED_BY_VALUES


def _is_function(operator: OpOverload) -> bool:
    """Whether the results follow from the arguments: without writes, and what `_follows` asks for."""
    return _follows(operator) and not operator._schema.is_mutable


def _filled(operator: OpOverload, args: Any, out: Any) -> _Made | None:
    """How a tensor is made that has the shape of another one and one number everywhere."""
    if operator in _FILLED:
        number = _FILLED[operator]
    elif operator in _FILLED_WITH and len(args) > _FILLED_WITH[operator]:
        number = args[_FILLED_WITH[operator]]
    else:
        return None
    return _Made(_ATEN.full.default, (list(out.shape), number), {"dtype": out.dtype}, out._version, None)


def _changed(operator: OpOverload, args: Any) -> Tensor | None:
    """The first argument, if an operator writes to it alone what follows from all arguments."""
    if not operator._schema.is_mutable or not _follows(operator) or torch.Tag.inplace_view in operator.tags:
        return None
    own = operator._schema.arguments[0].name
    return args[0] if args and written(operator) == (own,) and isinstance(args[0], Tensor) else None


def _follows(operator: OpOverload) -> bool:
    """Whether what an operator makes follows from its arguments: without chance, and memory that nobody filled."""
    chance = torch.Tag.nondeterministic_seeded in operator.tags or "rand" in operator._schema.name
    return operator.namespace == "aten" and not chance and "empty" not in operator._schema.name
