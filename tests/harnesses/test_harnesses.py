"""A sample of JAX's own tests of its primitives: cases of every family, by the judge of the whole suite."""

from __future__ import annotations

import json
from pathlib import Path

import jax
import pytest

from harnesses import suite
from harnesses.page import page

SAMPLE = (
    *("add", "max", "div", "integer_pow", "convert_element_type", "bitcast_convert_type", "erf_inv", "igamma"),
    *("reduce_max", "argmax", "cumsum", "iota", "broadcast_in_dim", "reduce_precision", "shift_right_logical"),
    *(
        "gather",
        "scatter",
        "scatter_add",
        "scatter_max",
        "dynamic_slice",
        "dynamic_update_slice",
        "pad",
        "sort",
        "top_k",
    ),
    *("reduce_window_max", "reduce_window_add", "select_and_scatter_add", "dot_general", "conv_general_dilated", "fft"),
    *("cholesky", "qr", "eigh", "svd", "triangular_solve", "custom_linear_solve", "random_uniform", "random_split"),
)


@pytest.fixture(autouse=True)
def _as_it_was():
    before = jax.config.jax_enable_x64
    yield
    jax.config.update("jax_enable_x64", before)


@pytest.mark.parametrize("group", SAMPLE)
def test_group(group: str) -> None:
    cases = suite.judge_cases(group, most=2)
    assert cases
    assert not [case for case in cases if case["kind"] not in ("right", "not comparable", "limit")]
    assert any(case["kind"] == "right" for case in cases), "nothing was compared"


def test_page(tmp_path: Path) -> None:
    """What is wrong and what is refused stands first, and counts against the group."""
    cases = [
        {"name": "a_1", "kind": "right", "part": "forward", "what": ""},
        {"name": "a_2", "kind": "wrong", "part": "gradient", "what": "1.0e+00 in norm; gradient 1 instead of 2"},
        {"name": "a_3", "kind": "limit", "part": "forward", "what": "lax.a 1x the model limit: always: no such thing"},
    ]
    (tmp_path / "a.json").write_text(json.dumps(cases), encoding="utf-8")
    (tmp_path / "b.json").write_text(json.dumps(cases[:1]), encoding="utf-8")
    text = page(tmp_path)
    assert "| right, forward and gradient | 2 (50.0%) |" in text
    assert "| groups in which every case is right | 1 of 2 |" in text
    assert "wrong: gradient: differs" in text
    assert "limit: forward: always: no such thing" in text
    assert text.index("## Not right") < text.index("## Groups")
