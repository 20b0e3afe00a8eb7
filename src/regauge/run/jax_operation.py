"""One operation of a jaxpr with the values that it is given: what other ways to compute it are made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp

from regauge.run.jax_calls import NumberedCall
from regauge.run.jax_equations import evaluated


@dataclass(frozen=True)
class Operation:
    """The operation.

    Attributes:
        equation: of the jaxpr.
        values: of its operands.
        call: what it is.
    """

    equation: Any
    values: Sequence[Any]
    call: NumberedCall

    @property
    def function(self) -> str:
        return self.call.description.function

    def operand(self, name: str) -> Any:
        return self.values[self.call.description.operands[name]]

    def with_operands(self, **values: Any) -> Operation:
        """The same with other operands; a number takes the shape and the dtype of what it replaces."""
        changed = list(self.values)
        for name, value in values.items():
            index = self.call.description.operands[name]
            shape = jnp.shape(changed[index])
            value = jnp.asarray(value, jnp.result_type(changed[index]))
            changed[index] = jnp.broadcast_to(value, shape) if value.ndim == 0 else value
        return replace(self, values=changed)

    def made(self, **params: Any) -> list[Any]:
        """Its results, with some parameters changed."""
        return evaluated(self.equation, self.values, params)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of its first result."""
        return tuple(self.equation.outvars[0].aval.shape)


Alternative = Callable[..., Any]
ALTERNATIVES: dict[str, Alternative] = {}
ARGUMENTS: dict[str, Callable[[Operation, Mapping[str, Any]], Any]] = {}


def alternative(function: Alternative) -> Alternative:
    """Enter another way to compute an operation: takes it and options, gives its result or all of them."""
    ALTERNATIVES[function.__name__] = function
    return function


def arguments_of(*functions: str) -> Callable[[Alternative], Alternative]:
    """Enter how the arguments of functions that are no operands are changed."""

    def enter(function: Alternative) -> Alternative:
        ARGUMENTS.update(dict.fromkeys(functions, function))
        return function

    return enter
