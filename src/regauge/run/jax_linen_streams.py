"""The random streams that a Linen module is applied with."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from unittest import mock

from flax import linen
from flax.errors import InvalidRngError

from regauge.run.jax_trees import Mode, signature_of

Streams = dict[str, Any] | None


def applied(run: Callable[[Streams], Any], mode: Mode, key: Any, asked: Callable[[], None]) -> Any:
    """What a module gives in a mode: in evaluation without streams, as it is called then, unless it draws there too.

    Args:
        run: applies the module with streams.
        mode: of the call.
        key: of its dropout; None where there is none.
        asked: called where the module asks whether it has a stream, so that both modes can differ
            (``deterministic=not self.has_rng("dropout")``).
    """
    has_rng = linen.Module.has_rng

    def noted(module: linen.Module, name: str) -> bool:
        asked()
        return has_rng(module, name)

    streams = None if key is None else {"dropout": key}
    with mock.patch.object(linen.Module, "has_rng", noted):
        if mode == "train" or streams is None:
            return run(streams)
        try:
            return run(None)
        except InvalidRngError:
            return run(streams)


def decided_modes(module: linen.Module) -> list[str]:
    """The modes that the constructor of a module was given; `linen.merge_param` refuses them at the call then."""
    parameters = signature_of(module).parameters.items()
    return [n for n, p in parameters if p.default is None and getattr(module, n, None) is not None]


def mutable_collections(variables: Iterable[str], mode: Mode) -> list[str]:
    """The collections that a call may change: all but the parameters in training.

    In evaluation it is the cache alone, in which decoding keeps the tokens before.
    """
    return [name for name in variables if name != "params" and (mode == "train" or name == "cache")]
