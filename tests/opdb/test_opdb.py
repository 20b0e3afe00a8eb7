"""A sample of PyTorch's operator tests: entries of each family, in every dtype, by the judge of the whole suite."""

from __future__ import annotations

import jax
import pytest

from opdb import suite
from opdb.entries import entries
from opdb.page import HARMLESS, page
from opdb.reasons import REASONS, REMARKS, reason_of

SAMPLE = (
    *(
        "add",
        "abs",
        "clamp",
        "pow",
        "true_divide",
        "remainder",
        "where",
        "cumsum",
        "amax",
        "std",
        "var_mean",
    ),
    *("sort", "topk", "gather", "scatter_add", "index_put", "masked_fill", "cat", "split", "as_strided", "gradient"),
    *("linalg_solve", "linalg_eigh", "linalg_qr", "matmul", "einsum", "addmv", "fft_rfft", "polar", "view_as_real"),
    *("special_i0e", "digamma", "nn_functional_conv2d", "nn_functional_grid_sample", "nn_functional_dropout"),
    *(
        "nn_functional_cross_entropy",
        "nn_functional_layer_norm",
        "native_layer_norm",
        "bernoulli",
        "linspace",
        "empty",
        "nonzero",
        "equal",
    ),
)


@pytest.fixture(autouse=True)
def _as_it_was():
    before = jax.config.jax_enable_x64
    yield
    jax.config.update("jax_enable_x64", before)


@pytest.mark.parametrize("name", SAMPLE)
def test_entry(name: str) -> None:
    found = suite.judge_entry(name, 1, [])
    failures = [f for dtype in found["dtypes"].values() for f in dtype["failures"] if f["kind"] not in HARMLESS]
    assert not failures
    compared = sum(dtype["kinds"].get("right", 0) for dtype in found["dtypes"].values())
    assert compared or name in ("nonzero", "equal"), "nothing was compared"


def test_reasons_name_entries() -> None:
    assert set(REASONS) | set(REMARKS) <= set(entries())
    assert reason_of("nonzero", {"by value"})
    assert not reason_of("add", {"right", "by value"})


def test_page() -> None:
    """What differs stands first, with its message, and counts against the entry."""
    kinds = {"right": 2, "wrong gradient": 1}
    failure = {"number": 3, "kind": "wrong", "part": "gradient", "what": "1.0 instead of 0.0"}
    dtypes = {"float64": {"kinds": kinds, "gradient": True, "random": 0, "failures": [failure]}}
    versions = {"torch": "2.13.0", "jax": "0.10.2"}
    result = {"name": "tan", "most": 8, "versions": versions, "dtypes": dtypes, "seconds": 1.0}
    text = page([result, result | {"name": "tanh", "most": None}])
    assert "all of them for 1 entries, at most 8 of an entry and dtype for others" in text
    assert "| of these, every sample right: forward, gradient, every dtype | 0 (0.0%) |" in text
    assert "| `tan` | right | **no** | float64 | wrong, gradient (float64): 1.0 instead of 0.0 |" in text
