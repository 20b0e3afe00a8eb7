"""A sample of the model zoos, by the same judge as the whole suite."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoos import suite
from zoos.judging import judge
from zoos.page import page
from zoos.transformers_zoo import NotBuilt, case, names

# Positions from tokens that the module does not read; a mixture of experts; a state space; a convolution with a table.
SAMPLE = ("bart", "mixtral", "mamba", "convnextv2")


@pytest.mark.parametrize("name", SAMPLE)
def test_model(name: str) -> None:
    outcome = judge(name, f"{suite.ZOOS['transformers']}:{name}")
    assert outcome.kind == "equal", outcome.what
    assert outcome.lines > 20


def test_what_cannot_be_built_says_why() -> None:
    with pytest.raises(NotBuilt, match="axial_pos_embds"):
        case("reformer")


def test_page(tmp_path: Path) -> None:
    for name, kind, what in (("a", "equal", ""), ("b", "different", "x: 1e-2"), ("c", "not built", "no")):
        line = suite.json.dumps({"name": name, "kind": kind, "what": what, "lines": 30})
        (tmp_path / f"{name}.json").write_text(line, encoding="utf-8")
    text = page(tmp_path, len(names()))
    assert "| equal, of those captured | 1 of 2 |" in text
    assert "| `b` | x: 1e-2 |" in text
