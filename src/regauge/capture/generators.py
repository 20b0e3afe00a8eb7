"""Random numbers drawn with `generator=`: None is the stream that the converted model has, an object is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regauge.errors import CaptureError
from regauge.ir.graph import Origin

# Overloads that torch chooses where `generator=` is written, and those that it chooses where it is not.
_PLAIN = {
    **{
        f"aten.{name}.generator": f"aten.{name}.default"
        for name in ("rand", "randn", "randint", "randperm", "rand_like", "randn_like", "randint_like")
    },
    "aten.randint.low_generator": "aten.randint.low",
    "aten.randint_like.low_generator_dtype": "aten.randint_like.low_dtype",
    "aten.randint_like.Tensor_generator": "aten.randint_like.Tensor",
}


def without_generator(name: str, raw: Mapping[str, Any], origin: Origin) -> tuple[str, dict[str, Any]]:
    """The operator that draws from torch's own stream, with its arguments.

    Args:
        name: of the overload.
        raw: its arguments by name, as torch.fx has them.
        origin: of the call.

    Returns:
        The name of the overload without a generator, where there is one, and its arguments.

    Raises:
        CaptureError: it draws from a generator of the model's own.
    """
    if raw.get("generator") is not None:
        raise CaptureError(
            f"{name} draws from a torch.Generator of the model's own",
            code="C174",
            where=origin.line,
            why="no generator of JAX gives its numbers, and a graph does not say when it is seeded: numbers that are "
            "the same in every call would become new ones",
            next="leave generator out, and the converted model draws from its nnx.Rngs; keep numbers that stay the "
            "same in a buffer, or pass them in as an input",
        )
    if name not in _PLAIN:
        return name, dict(raw)
    return _PLAIN[name], {key: value for key, value in raw.items() if key != "generator"}
