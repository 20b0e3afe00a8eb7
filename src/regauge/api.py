"""The Python API: convert in this process, check, compare."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from regauge.errors import BadCase

if TYPE_CHECKING:
    from regauge.run.jax_model import JaxModel


def to_jax(
    module: Any,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any] | None = None,
    *,
    train: bool = False,
    dynamic: Any = "auto",
) -> JaxModel:
    """Convert a torch module or function to JAX, in this process.

    Args:
        module: torch.nn.Module or a function of tensors; it is not changed.
        args: example positional arguments; shapes and dtypes are taken from them.
        kwargs: example keyword arguments.
        train: whether calls of the result run in training mode (dropout, batch statistics).
        dynamic: "auto" keeps sizes symbolic where capture can prove it; None fixes all; a dict is passed on to
            torch.export as `dynamic_shapes`.

    Returns:
        A model that holds the weights, calls a jitted function, and shows its source.

    Raises:
        CaptureError: torch.export cannot capture the module.
        UnsupportedOps: operators without a rule, all at once.
    """
    from regauge.capture import in_memory
    from regauge.run import jax_model

    inputs = _inputs(module, args, kwargs)
    captured, weights, arrays, reference = in_memory.capture(module, inputs, train=train, dynamic=dynamic)
    return jax_model.build(captured, jax_model.Original(weights, arrays, reference), train)


def _inputs(module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any] | None) -> tuple[Any, ...] | dict[str, Any]:
    """Arguments as capture takes them: all by position, or all by name."""
    if not isinstance(args, tuple):
        raise BadCase("args must be a tuple of positional arguments", received=type(args).__name__, next="(x,)")
    if not kwargs:
        return args
    if not args:
        return dict(kwargs)
    function: Callable[..., Any] = getattr(module, "forward", module)
    bound = inspect.signature(function).bind(*args, **kwargs)
    named = dict(bound.arguments)
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            named |= named.pop(name, {})
        elif parameter.kind in (parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY) and name in named:
            raise BadCase(
                "positional-only arguments beside keywords cannot be passed on by name",
                received=name,
                next="give all arguments by position, or give the model named parameters",
            )
    return named
