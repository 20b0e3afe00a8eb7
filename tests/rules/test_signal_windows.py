"""Samples of signal windows: periodic and symmetric, one element, none, given dtypes and shape parameters."""

import pytest
import torch
from harness import Sample, check, sample

NAMES = ("hann", "hamming", "blackman", "bartlett", "kaiser")

SAMPLES = [
    *(sample(f"{name}_window.default", n) for name in NAMES for n in (8, 5, 1, 0)),
    *(sample(f"{name}_window.periodic", 7, periodic) for name in NAMES for periodic in (True, False)),
    *(sample(f"{name}_window.periodic", n, False) for name in NAMES for n in (1, 0)),
    *(sample(f"{name}_window.default", 6, dtype=torch.float32) for name in NAMES),
    *(sample("hamming_window.periodic_alpha", 6, periodic, 0.6) for periodic in (True, False)),
    *(sample("hamming_window.periodic_alpha_beta", n, True, 0.6, 0.3) for n in (6, 1)),
    sample("hamming_window.periodic_alpha_beta", 6, False, 0.6, 0.3),
    *(sample("kaiser_window.beta", 9, periodic, 5.0) for periodic in (True, False)),
]


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_signal_windows(case: Sample) -> None:
    check(case)
