"""What both tracers write down: every operation of one pass with its place, its origins and a fingerprint of its value.

A trace is JSON: ``{"nodes": [...], "frames": [[file, line], ...], "results": {name: node}, "calls": [...],
"modules": [[path, node that it returns], ...]}``. A node is ``{"op", "module", "frame", "from": [nodes],
"print": fingerprint or None, "call", "constants": [...]}``; `frame` indexes `frames` and `call` indexes `calls`, -1 for
none. Values are not kept, so memory stays that of the model.
"""

from __future__ import annotations

from typing import Any

import numpy as np

# the largest number of operations that are written down: beyond it a trace says so and stops
MOST_NODES = 60_000


def fingerprint(array: np.ndarray) -> list[float] | None:
    """What tells a float array from others, whatever the order of its elements; None for integers and empty arrays.

    Returns:
        Number of elements; number of those that are not finite; of the finite ones the sum, the sum of magnitudes, the
        sum of squares, the largest and the smallest.
    """
    if array.dtype.kind == "c":
        array = np.stack([array.real, array.imag])
    if array.dtype.kind != "f" or not array.size:
        return None
    flat = np.asarray(array, np.float64).ravel()
    finite = flat[np.isfinite(flat)]
    if not finite.size:
        return [float(flat.size), float(flat.size), 0.0, 0.0, 0.0, 0.0, 0.0]
    with np.errstate(over="ignore", invalid="ignore"):  # squares of huge values
        return [
            float(flat.size),
            float(flat.size - finite.size),
            float(finite.sum()),
            float(np.abs(finite).sum()),
            float(np.dot(finite, finite)),
            float(finite.max()),
            float(finite.min()),
        ]


class Trace:
    """A trace while it is made."""

    def __init__(self) -> None:
        self.nodes: list[dict[str, Any]] = []
        self.calls: list[dict[str, Any]] = []
        self.results: dict[str, int] = {}
        self.modules: list[list[Any]] = []
        self._frames: dict[tuple[str, int], int] = {}

    @property
    def is_full(self) -> bool:
        return len(self.nodes) >= MOST_NODES

    def frame(self, file: str, line: int) -> int:
        """The number of a place in the sources; -1 where it is unknown."""
        return self._frames.setdefault((file, line), len(self._frames)) if file else -1

    def add(
        self,
        operation: str,
        module: str,
        frame: int,
        origins: list[int],
        prints: list[float] | None,
        *,
        call: int = -1,
        constants: list[float] | None = None,
    ) -> int:
        """Write down one value; returns its number."""
        self.nodes.append(
            {
                "op": operation,
                "module": module,
                "frame": frame,
                "from": sorted(set(origins)),
                "print": prints,
                "call": call,
                "constants": constants or [],
            }
        )
        return len(self.nodes) - 1

    def to_json(self) -> dict[str, Any]:
        return {
            "nodes": self.nodes,
            "frames": [list(frame) for frame in self._frames],
            "results": self.results,
            "calls": self.calls,
            "modules": self.modules,
            "full": self.is_full,
        }
