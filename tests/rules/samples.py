"""Samples of operators in torch's terms, and the rule that serves each with everything but its arrays bound."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.modules.linear_cross_entropy  # registers operators that rules serve

import regauge.capture.padded_ops
import regauge.capture.whole_ops  # noqa: F401  the same
from regauge.ir.graph import TensorSpec
from regauge.lower.lower import dtype_argument, jax_dtype
from regauge.lower.promotion import casts
from regauge.rules.aten_to_jax import TABLE
from regauge.rules.table import Rule

WIDE = {torch.float32: torch.float64, torch.complex64: torch.complex128}


@dataclass(frozen=True)
class Sample:
    """One call of an operator, in torch's terms.

    Attributes:
        op: full overload name, ``aten.add.Tensor``.
        args: positional arguments: tensors, scalars, dtypes, lists.
        kwargs: keyword arguments.
        no_gradient: why torch has no gradient to compare with here, or an empty string.
        held: arguments for which torch defines no derivative (running statistics).
        loose: a wider bound for float64, with its cause: only where the oracle itself is not exact to 1e-10.
        extras: keyword arguments of the rule that torch does not have (``channels_last``, ``dropout``, ``rng_key``).
        label: distinguishes samples of one operator in the list of tests.
    """

    op: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    no_gradient: str = ""
    held: tuple[str, ...] = ()
    loose: tuple[float, str] | None = None
    extras: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""

    def __str__(self) -> str:
        parts = [_brief(a) for a in self.args] + [f"{k}={_brief(v)}" for k, v in self.kwargs.items()]
        return f"{self.op}({', '.join(parts)}){self.label}"


@dataclass(frozen=True)
class LimitSample:
    """A call that must reach the limit of the rule whose `when` is this text."""

    op: str
    when: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.op}: {self.when}"


def sample(op: str, *args: Any, **kwargs: Any) -> Sample:
    """A sample whose gradient is compared too."""
    return Sample(f"aten.{op}", args, kwargs)


def torch_op(op: str) -> Any:
    """The overload of torch for `aten.name.overload`, or of capture for `regauge.name.overload`."""
    family, name, overload = op.split(".")
    if family == "transformers":
        importlib.import_module("transformers.integrations.moe")  # which defines the operator
    return getattr(getattr(getattr(torch.ops, family), name), overload)


def is_inexact(tensor: torch.Tensor) -> bool:
    """Whether its elements are floating or complex numbers: those that have derivatives."""
    return tensor.is_floating_point() or tensor.is_complex()


def dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def rule_of(op: str) -> Rule:
    rule = TABLE.get(op)
    if rule is None:
        raise LookupError(f"no rule for {op}")
    return rule


def arguments_of(op: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """All arguments of the schema by the rule's names, defaults filled, as capture gives them."""
    found: dict[str, Any] = {}
    for position, argument in enumerate(torch_op(op)._schema.arguments):
        name = "from_" if argument.name == "from" else argument.name
        if position < len(args):
            found[name] = args[position]
        elif argument.name in kwargs:
            found[name] = kwargs[argument.name]
        else:
            found[name] = default_of(argument)
    return found


def default_of(argument: Any) -> Any:
    """An argument's default as rules have it; torch's schemas give dtypes as numbers."""
    is_dtype = argument.name == "dtype" and isinstance(argument.default_value, int)
    return torch.int64 if is_dtype else argument.default_value


def _brief(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"{dtype_name(value.dtype)}{list(value.shape)}".replace(" ", "")
    if isinstance(value, list | tuple):
        return f"[{','.join(_brief(v) for v in value)}]"
    return str(value).removeprefix("torch.")


def map_tensors(value: Any, fn: Callable[[torch.Tensor], Any]) -> Any:
    """`value` with `fn` applied to every tensor in its lists, tuples and dicts."""
    if isinstance(value, torch.Tensor):
        return fn(value)
    if isinstance(value, list | tuple):
        return tuple(map_tensors(v, fn) for v in value)
    if isinstance(value, Mapping):
        return {k: map_tensors(v, fn) for k, v in value.items()}
    return value


def widen_floats(value: Any) -> Any:
    """float32 tensors and dtypes as float64, complex64 as complex128; everything else as it is."""
    if isinstance(value, torch.Tensor):
        return value.to(WIDE.get(value.dtype, value.dtype))
    if isinstance(value, torch.dtype):
        return WIDE.get(value, value)
    if isinstance(value, list | tuple):
        return tuple(widen_floats(v) for v in value)
    if isinstance(value, Mapping):
        return {k: widen_floats(v) for k, v in value.items()}
    return value


def to_numpy(tensor: torch.Tensor) -> np.ndarray:
    """The tensor's values; bfloat16 keeps its dtype."""
    tensor = tensor.detach()
    if tensor.dtype == torch.bfloat16:
        return tensor.float().numpy(force=True).astype(jnp.bfloat16)
    return tensor.numpy(force=True).copy()


def spec_of(value: Any) -> Any:
    """Tensors as `TensorSpec`, lists as tuples: what limits and promotion look at."""
    return map_tensors(value, lambda t: TensorSpec(tuple(t.shape), dtype_name(t.dtype)))


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors_in(item)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors_in(item)


def results_of(outputs: Any) -> list[torch.Tensor]:
    """The tensors that an operator returned, in order."""
    return list(tensors_in(outputs))


class BoundRule:
    """A rule with everything but its arrays fixed: a function of a flat list of arrays."""

    def __init__(self, sample: Sample, widen: bool = False) -> None:
        self.rule = rule_of(sample.op)
        arguments = arguments_of(sample.op, sample.args, sample.kwargs)
        self.arguments = widen_floats(arguments) if widen else arguments
        self.tensors = list(tensors_in(self.arguments))
        self.casts = casts(self.rule, spec_of(self.arguments))
        self.extras = dict(sample.extras)

    def arrays(self) -> list[jax.Array]:
        return [jnp.asarray(to_numpy(t)) for t in self.tensors]

    def __call__(self, *arrays: jax.Array) -> list[jax.Array]:
        feed = iter(arrays)
        given = {name: self._fill(value, feed, self.casts.get(name)) for name, value in self.arguments.items()}
        outputs = self.rule.fn(**given, **self.extras)
        return list(outputs) if isinstance(outputs, tuple | list) else [outputs]

    def _fill(self, value: Any, feed: Iterator[jax.Array], cast: str | None) -> Any:
        if isinstance(value, torch.Tensor):
            array = next(feed)
            return array if cast is None else array.astype(int if cast == "int64" else jax_dtype(cast))
        if isinstance(value, torch.dtype):
            return dtype_argument(dtype_name(value))
        if isinstance(value, list | tuple):
            return tuple(self._fill(v, feed, cast) for v in value)
        if isinstance(value, torch.device | torch.layout | torch.memory_format):
            return str(value)
        return value
