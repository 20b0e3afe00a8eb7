"""A case of JAX as one side of a check."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest

from regauge.run.jax_side import load_side

CASE = """
import jax
import regauge

weights = {"w": jax.random.normal(jax.random.key(0), (3, 2))}
case = regauge.Case((lambda params, x: x @ params["w"], weights), (jax.random.normal(jax.random.key(1), (4, 3)),))
"""


@pytest.fixture
def own_precision() -> Iterator[None]:
    before = jax.config.values["jax_enable_x64"]
    yield
    jax.config.update("jax_enable_x64", before)


@pytest.mark.usefixtures("own_precision")
def test_weights_that_are_drawn_are_the_same_in_float64(tmp_path: Path) -> None:
    file = tmp_path / "drawn_case.py"
    file.write_text(CASE, encoding="utf-8")
    narrow, wide = (load_side({"case": f"{file}:case", "widen": widen}) for widen in (False, True))
    assert wide.program.params["w"].dtype == np.float64
    np.testing.assert_array_equal(narrow.program.params["w"], wide.program.params["w"].astype(np.float32))
    np.testing.assert_array_equal(narrow.inputs[0], wide.inputs[0])
