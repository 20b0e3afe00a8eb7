"""Packed sequences during capture: the padded batch with its lengths in their place.

`pack_padded_sequence` makes tensors whose sizes depend on the lengths, which are values. While a model is captured it
gives a `PackedSequence` that carries the padded batch instead; recurrent layers compute on it with the operators of
`padded_ops`, and `pad_packed_sequence` hands the batch back. Sorting by length disappears: it only orders rows that
are put back in order afterwards. Whoever looks inside such a packed sequence gets an error, never other numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from types import CodeType, FunctionType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import rnn
from torch.nn.utils.rnn import PackedSequence

from regauge.capture import padded_ops as padded_ops  # registers the operators
from regauge.errors import CaptureError
from regauge.findings import Finding

_FINDING = Finding(
    "C141",
    "warning",
    "torch.nn.utils.rnn.pad_packed_sequence",
    "The converted model pads to the length of the input of pack_padded_sequence; the original pads to the longest "
    "sequence of each batch. Both are equal where a sequence has full length, as in the inputs of the case; else the "
    "output is longer here, with padding at its end.",
)


# what stands in a packed sequence ------------------------------------------------------------------------------------


class PackedElements:
    """A part of a packed sequence whose elements capture does not have: every use of them is an error."""

    device = torch.device("cpu")  # PackedSequence asks for it when it is made

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise _looked_inside(getattr(func, "__name__", str(func)))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise _looked_inside(name)


class PaddedBatch(PackedElements):
    """In place of the data of a packed sequence: the padded batch.

    Attributes:
        padded: [time, batch, ...], or [batch, time, ...] with `batch_first`.
        lengths: int64[batch], in the order of the batch.
        batch_first: the order of `padded`.
        is_zero_behind: whether `padded` is zero behind the end of each sequence.
    """

    def __init__(self, padded: Tensor, lengths: Tensor, batch_first: bool, is_zero_behind: bool) -> None:
        self.padded = padded
        self.lengths = lengths
        self.batch_first = batch_first
        self.is_zero_behind = is_zero_behind

    @property
    def time(self) -> int:
        """The padded length."""
        return self.padded.shape[1 if self.batch_first else 0]


def _looked_inside(what: str) -> CaptureError:
    return CaptureError(
        f"the model uses the elements of a packed sequence ({what})",
        code="C107",
        why="how many there are, and in which order, depends on the lengths, which are values",
        next="unpack first, with pad_packed_sequence, and mask what is behind the end of each sequence",
    )


# pack, compute, pad --------------------------------------------------------------------------------------------------


@dataclass
class _Packing:
    """The functions on packed sequences while a model is captured.

    Attributes:
        findings: gets what a person should know.
        reached: for each `pad_packed_sequence` without a total length that ran on the example inputs, whether one
            sequence was as long as the padded batch.
    """

    findings: list[Finding]
    reached: list[bool]

    def pack(
        self, input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
    ) -> PackedSequence:
        if not isinstance(lengths, Tensor):
            lengths = torch.as_tensor(lengths, dtype=torch.int64, device="cpu")
        lengths = lengths.to(torch.int64)
        if lengths.shape[0] != input.shape[0 if batch_first else 1]:
            raise ValueError(f"{lengths.shape[0]} lengths for a batch of shape {tuple(input.shape)}")
        order = None if enforce_sorted else PackedElements()
        return _sequence(PaddedBatch(input, lengths, batch_first, False), order)

    def pad(
        self,
        sequence: PackedSequence,
        batch_first: bool = False,
        padding_value: float = 0.0,
        total_length: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        held: Any = sequence.data
        if total_length is None:
            self._require_full_length()
        padded = held.padded
        if padding_value != 0 or not held.is_zero_behind:
            padded = torch.where(_inside(held), padded, padding_value)
        if batch_first != held.batch_first:
            padded = padded.transpose(0, 1)
        if total_length is not None and total_length != held.time:
            padded = _with_length(padded, 1 if batch_first else 0, held.time, total_length, padding_value)
        return padded, held.lengths

    def _require_full_length(self) -> None:
        if not self.reached or not all(self.reached):
            raise CaptureError(
                "pad_packed_sequence pads to the longest sequence, and no sequence of the case is as long as its batch",
                code="C107",
                why="this length depends on values; only where one sequence has full length is it a fixed size",
                next="pass total_length=x.size(1), or give inputs in which one sequence has full length",
            )
        if _FINDING not in self.findings:
            self.findings.append(_FINDING)


def _sequence(data: PaddedBatch, order: PackedElements | None) -> PackedSequence:
    stand_in: Any = (data, PackedElements(), order, order)
    return PackedSequence(*stand_in)


def _inside(held: PaddedBatch) -> Tensor:
    """bool, as `padded` with sizes 1 behind batch and time: which elements are before the end of their sequence."""
    steps = torch.arange(held.time, device=held.padded.device)
    lengths = held.lengths.to(held.padded.device)
    inside = steps < lengths[:, None] if held.batch_first else steps[:, None] < lengths
    return inside.reshape(*inside.shape, *[1] * (held.padded.ndim - 2))


def _with_length(padded: Tensor, axis: int, now: int, wanted: int, value: float) -> Tensor:
    """Cut or padded to a total length; torch itself sees to it that no sequence is cut."""
    if wanted < now:
        return padded.narrow(axis, 0, wanted)
    behind = [0, 0] * (padded.ndim - axis - 1)
    return nn.functional.pad(padded, [*behind, 0, wanted - now], value=value)


def _forward_on(original: Callable[..., Any]) -> Callable[..., Any]:
    """The forward of a recurrent layer that knows the packed sequences of capture."""

    def forward(self: nn.RNNBase, input: Any, hx: Any = None) -> Any:
        if not isinstance(input, PackedSequence) or not isinstance(input.data, PaddedBatch):
            return original(self, input, hx)
        held = input.data
        if hx is None:
            hx = _initial_states(self, held)
        operator = getattr(torch.ops.regauge, f"{self.mode.lower()}_padded")
        weights = [getattr(self, name) for name in self._flat_weights_names]  # export puts its own in their place
        settings = (self.bias, self.num_layers, self.dropout, self.training, self.bidirectional, held.batch_first)
        output, *final = operator(held.padded, held.lengths, hx, weights, *settings)
        result = PaddedBatch(output, held.lengths, held.batch_first, True)
        return _sequence(result, input.sorted_indices), (tuple(final) if self.mode == "LSTM" else final[0])  # type: ignore[arg-type]

    return forward


def _initial_states(layer: nn.RNNBase, held: PaddedBatch) -> Any:
    """Zeros, of the shapes that torch's own forward makes them with."""
    rows = layer.num_layers * (2 if layer.bidirectional else 1)
    batch = held.padded.shape[0 if held.batch_first else 1]
    zeros = partial(torch.zeros, dtype=held.padded.dtype, device=held.padded.device)
    hidden = zeros(rows, batch, layer.proj_size or layer.hidden_size)
    return (hidden, zeros(rows, batch, layer.hidden_size)) if layer.mode == "LSTM" else hidden


# in place of torch's functions ---------------------------------------------------------------------------------------

_active: list[Any] = []  # whose `pack` and `pad` run now


def _pack_in_place(input, lengths, batch_first=False, enforce_sorted=True):  # type: ignore[no-untyped-def]
    from regauge.capture import packed

    return packed._active[-1].pack(input, lengths, batch_first, enforce_sorted)


def _pad_in_place(sequence, batch_first=False, padding_value=0.0, total_length=None):  # type: ignore[no-untyped-def]
    from regauge.capture import packed

    return packed._active[-1].pad(sequence, batch_first, padding_value, total_length)


@contextmanager
def _code(function: Any, code: CodeType) -> Iterator[None]:
    """Another body for a function: names that a person's file imported are bound to the function object itself."""
    before = function.__code__
    function.__code__ = code
    try:
        yield
    finally:
        function.__code__ = before


@contextmanager
def _forward(kind: Any) -> Iterator[None]:
    before = kind.forward
    kind.forward = _forward_on(before)
    try:
        yield
    finally:
        kind.forward = before


@contextmanager
def _in_place(functions: Any) -> Iterator[None]:
    _active.append(functions)
    try:
        with (
            _code(rnn.pack_padded_sequence, _pack_in_place.__code__),
            _code(rnn.pad_packed_sequence, _pad_in_place.__code__),
        ):
            yield
    finally:
        _active.pop()


@contextmanager
def replaced(findings: list[Finding], reached: list[bool]) -> Iterator[None]:
    """Within the block packed sequences are padded batches; afterwards torch is as before.

    Args:
        findings: gets C141 where the length of an output becomes that of the input.
        reached: what `observed` found on the example inputs.
    """
    with ExitStack() as stack:
        stack.enter_context(_in_place(_Packing(findings, reached)))
        for kind in (nn.LSTM, nn.GRU, nn.RNN):
            stack.enter_context(_forward(kind))
        yield


# what the example inputs do ------------------------------------------------------------------------------------------


def _copied(function: Any) -> Callable[..., Any]:
    """The function with the body that it has now."""
    return FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__)


@dataclass
class _Observation:
    """torch's own functions, with a look at the lengths."""

    reached: list[bool]
    times: dict[int, tuple[Tensor, int]] = field(default_factory=dict)  # batch sizes keep their id while held
    own_pack: Callable[..., Any] = field(default_factory=lambda: _copied(rnn.pack_padded_sequence))
    own_pad: Callable[..., Any] = field(default_factory=lambda: _copied(rnn.pad_packed_sequence))

    def pack(self, input: Tensor, lengths: Any, batch_first: bool, enforce_sorted: bool) -> PackedSequence:
        sequence: PackedSequence = self.own_pack(input, lengths, batch_first, enforce_sorted)
        self.times[id(sequence.batch_sizes)] = (sequence.batch_sizes, input.shape[1 if batch_first else 0])
        return sequence

    def pad(
        self, sequence: PackedSequence, batch_first: bool, padding_value: float, total_length: int | None
    ) -> tuple[Tensor, Tensor]:
        if total_length is None:
            _, time = self.times.get(id(sequence.batch_sizes), (None, -1))
            self.reached.append(sequence.batch_sizes.shape[0] == time)
        result: tuple[Tensor, Tensor] = self.own_pad(sequence, batch_first, padding_value, total_length)
        return result


@contextmanager
def observed(reached: list[bool]) -> Iterator[None]:
    """Within the block `reached` gets, for each padding to the longest sequence, whether it has full length."""
    with _in_place(_Observation(reached)):
        yield
