"""Rules are tested on the CPU, with torch as the oracle in the same process."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

from collections import Counter

import pytest
import torch
from samples import Sample

# Of the samples of one operator so many run in every test run; all of them run with the slow tests.
FAST_SAMPLES = 2


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every operator is in the fast tests, all its samples are in the slow ones."""
    seen: Counter[str] = Counter()
    for item in items:
        parameters = getattr(item, "callspec", None)
        case = parameters.params.get("case") if parameters is not None else None
        if isinstance(case, Sample):
            seen[case.op] += 1
            if seen[case.op] > FAST_SAMPLES:
                item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def _fixed_randomness() -> None:
    """Cotangents are random but the same in every run."""
    torch.manual_seed(0)
