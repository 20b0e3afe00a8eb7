"""Rules are tested on the CPU, with torch as the oracle in the same process."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import pytest
import torch


@pytest.fixture(autouse=True)
def _fixed_randomness() -> None:
    """Cotangents are random but the same in every run."""
    torch.manual_seed(0)
