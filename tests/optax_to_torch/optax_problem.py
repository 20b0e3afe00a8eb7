"""The parameters and gradients that both sides of these tests walk along; numpy alone."""

from __future__ import annotations

import numpy as np

STEPS = 20
SHAPES = {"dense.kernel": (3, 4), "dense.bias": (4,), "norm.scale": (4,), "out.kernel": (4, 2)}
TARGETS = {
    "dense.kernel": "dense.weight",
    "dense.bias": "dense.bias",
    "norm.scale": "norm.weight",
    "out.kernel": "out.weight",
}
# how large the gradients are, step after step: usual, small (where eps counts), large (where clipping does), none
SIZES = (1.0, 1.0, 1e-3, 10.0, 0.0)


def initial() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {name: generator.standard_normal(shape) for name, shape in SHAPES.items()}


def gradients(step: int, case: str = "") -> dict[str, np.ndarray]:
    """The gradients of a step; those of some have a NaN in cases whose name begins with ``NaN``."""
    generator = np.random.default_rng(1 + step)
    found = {name: SIZES[step % 5] * generator.standard_normal(shape) for name, shape in SHAPES.items()}
    if case.startswith("NaN") and step in (3, 6, 7, 8):
        found["dense.kernel"][1, 2] = np.nan
    return found
