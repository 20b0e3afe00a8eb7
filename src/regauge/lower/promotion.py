"""Which operands an operator's rule must cast, so that JAX computes in the dtype in which torch does.

The engine casts, not the rules: torch promotes by named kinds (`Promotes`), and JAX differs only where 0-d arrays
or Python scalars take part, or where integers become floats.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cache
from typing import Any

from regauge.dtypes import DEFAULT_FLOAT, Participant, join, kind, scalar_dtype, torch_result_type
from regauge.ir.graph import TensorSpec
from regauge.rules.table import Promotes, Rule

# Arrays that select rather than compute: their dtype never takes part in promotion.
_SELECTORS = frozenset({"condition", "mask", "index", "indices", "attn_mask", "running_mean", "running_var"})
# What JAX makes of an array of floats and a complex number of Python, as torch does.
_COMPLEX_OF = {"float32": "complex64", "float64": "complex128"}


@cache
def promoting_arguments(rule: Rule) -> tuple[str, ...]:
    """Names of the arguments that take part in promotion: those annotated as arrays that are not selectors."""
    parameters = inspect.signature(rule.fn).parameters.values()
    return tuple(p.name for p in parameters if "Array" in str(p.annotation) and p.name not in _SELECTORS)


def computation_dtype(rule: Rule, operands: Mapping[str, Any]) -> str | None:
    """The dtype in which torch computes this call, or None when the rule does not promote.

    Args:
        rule: the operator's rule.
        operands: its arguments by name; arrays as `TensorSpec`.
    """
    if rule.promotes is Promotes.NONE:
        return None
    participants = _participants(rule, operands)
    if not participants:
        return None
    common = torch_result_type(participants)
    if rule.promotes is Promotes.INT_TO_FLOAT and kind(common) in ("bool", "integer"):
        return DEFAULT_FLOAT
    if rule.promotes is Promotes.BOOL_TO_LONG and kind(common) in ("bool", "integer"):
        return "int64"
    return common


def casts(rule: Rule, operands: Mapping[str, Any]) -> dict[str, str]:
    """Arguments to cast before the rule is called, with the dtype: empty where JAX would do the same anyway."""
    target = computation_dtype(rule, operands)
    if target is None or _jax_result(rule, operands) == target:
        return {}
    return {
        name: target
        for name in promoting_arguments(rule)
        if any(spec.dtype != target for spec in _specs(operands.get(name)))
    }


def promote(rule: Rule, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with the casts applied, for calling a rule on real arrays (anything with shape and dtype)."""
    specs = {name: _as_spec(value) for name, value in arguments.items()}
    needed = casts(rule, specs)
    return {name: _cast(value, needed[name]) if name in needed else value for name, value in arguments.items()}


def _cast(value: Any, dtype: str) -> Any:
    if isinstance(value, tuple | list):
        return type(value)(_cast(item, dtype) for item in value)
    if not hasattr(value, "astype"):
        return value
    return value.astype(int if dtype == "int64" else dtype)


def _as_spec(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return tuple(_as_spec(item) for item in value)
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return TensorSpec(tuple(value.shape), str(value.dtype))
    return value


def _specs(operand: Any) -> list[TensorSpec]:
    if isinstance(operand, TensorSpec):
        return [operand]
    if isinstance(operand, tuple):
        return [spec for item in operand for spec in _specs(item)]
    return []


def _participants(rule: Rule, operands: Mapping[str, Any]) -> list[Participant]:
    found = []
    for name in promoting_arguments(rule):
        operand = operands.get(name)
        found += [Participant(spec.dtype, "array" if spec.shape else "zero-dim") for spec in _specs(operand)]
        if isinstance(operand, bool | int | float | complex):
            found.append(Participant(scalar_dtype(operand), "scalar"))
    return found


def _jax_result(rule: Rule, operands: Mapping[str, Any]) -> str | None:
    """What JAX computes in without casts; None where that depends on its 64-bit setting."""
    result: str | None = None
    scalars: list[str] = []
    for name in promoting_arguments(rule):
        operand = operands.get(name)
        for spec in _specs(operand):
            result = spec.dtype if result is None else join(result, spec.dtype)
        if isinstance(operand, bool | int | float | complex):
            scalars.append(kind(scalar_dtype(operand)))
    if result is None:
        return None
    if "complex" in scalars and result in _COMPLEX_OF:
        result = _COMPLEX_OF[result]
    order = ("bool", "integer", "float", "complex")
    if any(order.index(scalar) > order.index(kind(result)) for scalar in scalars):
        return None
    if rule.promotes is Promotes.INT_TO_FLOAT and kind(result) in ("bool", "integer"):
        return None
    return result
