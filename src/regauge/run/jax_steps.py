"""Steps of an optax transformation alone, on given parameters and gradients in float64."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from regauge.run.jax_precision import wide_names, widen_accumulators, widen_counts
from regauge.run.steps import Step, as_float64, is_update, slots_of, walk_function


def walk(optimizer: Any, params: Mapping[str, np.ndarray], gradients: Sequence[Mapping[str, np.ndarray]]) -> list[Step]:
    """What each step leaves.

    Args:
        optimizer: an optax.GradientTransformation, or anything with its `init` and `update`; or
            ``update(params, grads, state)``.
        params: float64 by name.
        gradients: of each step.
    """
    with jax.enable_x64(True), wide_names():
        current, *slopes = [{name: jnp.asarray(a) for name, a in part.items()} for part in (params, *gradients)]
        if is_update(optimizer):
            return walk_function(optimizer, current, slopes, np.array)
        optimizer = widen_accumulators(optimizer)
        state = widen_counts(optimizer.init(current))
        steps = []
        for slope in slopes:
            updates, state = optimizer.update(slope, state, current)
            current = {name: array + updates[name] for name, array in current.items()}
            found = {name: as_float64(np.asarray(array)) for name, array in current.items()}
            steps.append(Step(found, slots_of(state, np.array, current)))
        return steps
