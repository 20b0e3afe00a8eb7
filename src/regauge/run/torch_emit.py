"""The `emit` job of the torch worker: a JAX model as a saved folder with a torch module."""

from __future__ import annotations

from typing import Any

from regauge.emit.torch_target import TORCH
from regauge.run.emitting import emit


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Convert a capture; arguments and result are those of `regauge.run.emitting.emit`."""
    return emit(job, TORCH)
