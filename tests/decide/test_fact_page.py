"""docs/facts.md: its generated parts are those of the present base."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from regauge.decide import fact_page
from regauge.decide.fact_checks import CheckResult
from regauge.decide.facts import load

PAGE = Path(__file__).parents[2] / "docs" / "facts.md"
BASE = load()


def section(name: str) -> str:
    text = PAGE.read_text(encoding="utf-8")
    begin, end = fact_page.BEGIN.format(name=name), fact_page.END.format(name=name)
    return text.partition(begin)[2].partition(end)[0].strip()


def test_the_contents_are_up_to_date() -> None:
    assert section("contents") == fact_page.contents(BASE), "python -m regauge.decide.fact_page docs/facts.md"


def test_the_stored_run_covers_every_check() -> None:
    counts = dict(re.findall(r"^\| (confirmed|stale|not checked|failed) \| (\d+) \|$", section("checks"), re.MULTILINE))
    assert sum(int(count) for count in counts.values()) == sum(fact.check is not None for fact in BASE.facts)


def test_what_was_not_confirmed_is_named() -> None:
    results = {
        "jx-jit": CheckResult("jx-jit", "confirmed", "", {"jax": "9.9"}, "python", "", "2030-01-02"),
        "jx-vmap": CheckResult("jx-vmap", "stale", "", {"jax": "9.9"}, "python", "", "2030-01-03"),
    }
    text = fact_page.checks(BASE, results)
    assert text.startswith("2 checks, 2030-01-02 to 2030-01-03, with jax 9.9.")
    assert "| stale | 1 |" in text
    assert "| jx-vmap | stale | the expression is false |" in text


def test_rewriting_needs_the_markers(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- generated: contents -->\nold\n<!-- end of contents -->\nafter\n", encoding="utf-8")
    assert fact_page.main([str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert f"{len(BASE.facts)} facts" in text
    with pytest.raises(ValueError, match="no section between"):
        fact_page.replaced("nothing", "contents", "")


def test_the_example_in_python_runs() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(block, names)
    for line in ('base.near_dimensions("onnx-exprot")', 'facts.retired("theano").successor'):
        promised = re.search(rf"{re.escape(line)} +# ([^,\n]+)", block)
        assert promised is not None
        assert eval(line, names) == ast.literal_eval(promised[1])
