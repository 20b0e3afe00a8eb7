"""Samples of Bessel functions and their relatives, and their distance from SciPy's.

torch's own J, Y and Ai are wrong in the seventh digit of float64, so SciPy says what is right there.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
import scipy.special
from harness import Sample, check, rule_of, sample
from values import floats, normal, scalar, uniform

X = normal(3, 4)
POSITIVE = uniform(3, 4, low=0.1, high=9.0)
NO_GRADIENT = "torch has none"

SAMPLES = [
    *(
        sample(f"{op}.default", x)
        for op in ("i0", "special_i0", "special_i0e", "special_i1", "special_i1e")
        for x in (X, POSITIVE, scalar(0.0))
    ),
    *(
        Sample(f"aten.special_{op}.default", (x,), no_gradient=NO_GRADIENT)
        for op in ("modified_bessel_i0", "modified_bessel_i1", "spherical_bessel_j0")
        for x in (X, floats(0.0, 1e-3, 20.0))
    ),
    *(
        Sample(f"aten.special_{op}.default", (x,), no_gradient=NO_GRADIENT)
        for op in (
            "modified_bessel_k0",
            "modified_bessel_k1",
            "scaled_modified_bessel_k0",
            "scaled_modified_bessel_k1",
        )
        for x in (POSITIVE, floats(0.0, -1.0, 1e-3, 1.0, 40.0))
    ),
    # where torch's formula is right to float64
    *(
        Sample(f"aten.special_{op}.default", (floats(0.1, 1.0, 2.0),), no_gradient=NO_GRADIENT)
        for op in ("bessel_j0", "bessel_j1", "bessel_y0", "bessel_y1", "airy_ai")
    ),
]

REFERENCES: dict[str, Callable[[Any], Any]] = {
    "bessel_j0": scipy.special.j0,
    "bessel_j1": scipy.special.j1,
    "bessel_y0": scipy.special.y0,
    "bessel_y1": scipy.special.y1,
    "modified_bessel_k0": scipy.special.k0,
    "modified_bessel_k1": scipy.special.k1,
    "airy_ai": lambda x: scipy.special.airy(x)[0],
}


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_bessel(case: Sample) -> None:
    check(case)


@pytest.mark.parametrize("name", REFERENCES)
def test_against_scipy(name: str) -> None:
    """To a few units in the last place of the function's amplitude, across the borders of all formulas."""
    positive = np.concatenate([np.geomspace(1e-12, 200.0, 301), [0.999, 1.001, 24.999, 25.001]])
    x = positive if "_y" in name or "_k" in name else np.concatenate([-positive, positive])
    with jax.enable_x64(True):
        found = np.asarray(jax.jit(rule_of(f"aten.special_{name}.default").fn)(x))
    wanted = REFERENCES[name](x)
    amplitude = 1 / np.sqrt(np.maximum(np.abs(x), 1)) if "bessel_j" in name or "bessel_y" in name else 1.0
    floor = 1e-300 if "_k" in name else 1e-3 * amplitude if "airy" not in name else 1e-5
    assert np.max(np.abs(found - wanted) / np.maximum(np.abs(wanted), floor)) < 1e-10
