"""The `emit` job of the JAX worker: a torch model as a saved folder with an NNX module."""

from __future__ import annotations

from typing import Any

from regauge.emit.nnx_target import NNX
from regauge.run.emitting import emit


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Convert a capture; arguments and result are those of `regauge.run.emitting.emit`."""
    return emit(job, NNX)
