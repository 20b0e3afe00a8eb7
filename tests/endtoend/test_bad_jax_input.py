"""Mistakes in cases of JAX, through the command line: the message, the line and the exit code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_bad_input import Captured, refused

CASES = Path(__file__).parent / "bad_jax_cases.py"
SOURCE = CASES.read_text(encoding="utf-8").splitlines()

# name of the case: the code, the exit code, the line that is named, and what the message says besides
BAD = {
    "counting": ("C157", 2, "return x * CALLS", "CALLS of bad_jax_cases.py (2, then 3)"),
    "branching": ("C156", 2, "if x.sum() > 0", "jax.lax.cond"),
    "on_the_host": ("R201", 1, "return jax.pure_callback", "lax.pure_callback"),
    "wrong_width": ("B110", 2, "return self.fc(x)", "got (3,) and (4,)"),
    "abstract": ("C161", 2, "", "is a shape without values"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_case_is_explained(name: str, tmp_path: Path, capsys: Captured) -> None:
    code, exit_code, line, says = BAD[name]
    shown = refused(["check", f"{CASES}:{name}", "--out", str(tmp_path / "out")], exit_code, capsys)
    assert re.search(rf"^{code}", shown, re.MULTILINE), shown
    assert says in shown
    if line:
        (number,) = [number for number, text in enumerate(SOURCE, 1) if line in text]
        assert f"bad_jax_cases.py:{number}" in shown
