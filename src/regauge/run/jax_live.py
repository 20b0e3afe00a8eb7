"""A JAX model of this process as one side of a check: float64 is switched on within a context, not for the process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from regauge.case import Case
from regauge.run.jax_describe import describe
from regauge.run.jax_evaluate import evaluate
from regauge.run.jax_precision import wide_names
from regauge.run.jax_side import side_of_case


class LiveJax:
    """Describes and evaluates a case of this process."""

    def __init__(self, case: Case) -> None:
        self._case = case

    def describe(self, out: Path) -> dict[str, Any]:
        return describe(side_of_case(self._case, widen=False), out)

    def evaluate(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """The tasks of a job, in float64 or in full float32."""
        own = jax.enable_x64.value
        if not job["widen"]:
            with jax.enable_x64(False), jax.default_matmul_precision("highest"):
                return evaluate(side_of_case(self._case, widen=False), job)
        side = None
        try:
            with jax.enable_x64(True), wide_names():
                side = side_of_case(self._case, widen=True)
                return evaluate(side, job)
        finally:
            # A function that was jitted in the block must not keep what it read as float64, arrays of numpy above all.
            if own or side is None or side.holding:
                jax.clear_caches()


def arrays_of(tree: Any) -> Any:
    """A tree of numpy arrays as JAX arrays."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf) if isinstance(leaf, np.ndarray) else leaf, tree)
