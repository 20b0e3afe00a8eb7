"""One equation of a jaxpr: the function that it calls, and its results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_CALLS = ("jaxpr", "call_jaxpr", "fun_jaxpr")
_GONE_THROUGH = {
    "jit", "pjit", "closed_call", "core_call", "remat", "checkpoint", "remat2", "custom_jvp_call", "custom_vjp_call",
    "custom_vjp_call_jaxpr", "custom_lin",
}  # fmt: skip


def body_of(equation: Any) -> Any:
    """The jaxpr of an equation that does nothing but call it; None for other equations."""
    if equation.primitive.name not in _GONE_THROUGH:
        return None
    return next((equation.params[key] for key in _CALLS if key in equation.params), None)


def evaluated(equation: Any, values: Sequence[Any], changes: Mapping[str, Any] | None = None) -> list[Any]:
    """The results of one equation, as `jax.core.eval_jaxpr` computes them; with some of its parameters changed."""
    found = equation.primitive.get_bind_params({**equation.params, **(changes or {})})
    functions, params = found if isinstance(found, tuple) else ((), found)  # a tuple before jax 0.8
    with equation.ctx.manager:
        made = equation.primitive.bind(*functions, *values, **params)
    return list(made) if equation.primitive.multiple_results else [made]
