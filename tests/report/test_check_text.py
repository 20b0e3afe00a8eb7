"""A check in the terminal and in a failing test: short, and what to do next."""

from __future__ import annotations

import dataclasses
import io

import pytest
from check_sample import pair_check
from rich.console import Console

from regauge.language import use_language
from regauge.report.check_text import MOST_TIERS, failure_message, render_check
from regauge.report.check_view import next_steps
from regauge.report.document import build_document
from regauge.verify.result import Check, Tier


def printed(check: Check, language: str = "en") -> str:
    stream = io.StringIO()
    with use_language(language):
        render_check(build_document(case=check.case, check=check), Console(file=stream, width=200, soft_wrap=True))
    return stream.getvalue()


def test_verdict_place_cause_and_questions_in_this_order() -> None:
    lines = [line for line in printed(pair_check()).splitlines() if line.strip()]
    assert lines[0].endswith("are not the same function; the first difference is in norm")
    wanted = ("Where", "Why", "Questions: 2 equal, 3 different, 1 not checked")
    places = [lines.index(text) for text in wanted]
    assert places == sorted(places)
    assert "aten.layer_norm.default in norm" in lines[places[0] + 1]
    assert "with 1e-05 the distance falls to 5e-16" in lines[places[1] + 1]
    assert lines[places[1] + 2].strip() == "change: jax_side.py:15: epsilon=1e-05"
    assert any(line.startswith("· training trajectory (training mode): not checked; no optimizer") for line in lines)
    assert len(lines) < 25


def test_many_questions_are_counted() -> None:
    tiers = tuple(Tier(f"tier 1 outputs {n}", "different", "eval", 1, 1.0, 1e-10) for n in range(MOST_TIERS + 3))
    shown = printed(dataclasses.replace(pair_check(), tiers=tiers))
    assert "and 3 more questions" in shown
    assert f"outputs {MOST_TIERS}" not in shown


def test_an_equal_pair_needs_few_lines() -> None:
    tiers = (Tier("tier 1 outputs", "equal", "eval", 4, 3e-16, 1e-10),)
    check = Check("a b", "equal", tiers, inputs_tried=("reference",), sides=("a", "b"))
    lines = [line for line in printed(check).splitlines() if line.strip()]
    assert lines[0] == "a and b are the same function (on 1 input, largest float64 distance 3.0e-16)"
    assert lines[-1] == "Questions: 1 equal, 0 different, 0 not checked"
    assert next_steps(check) == []


def test_a_failing_test_says_what_to_do() -> None:
    check = dataclasses.replace(pair_check(), reproduce="build/reproduce.py")
    lines = failure_message(check).splitlines()
    assert lines[-2:] == [
        "  next: change jax_side.py:15: epsilon=1e-05, then check again",
        "  next: python build/reproduce.py",
    ]
    assert any("gradients: same function (float64) (training mode): different; b.bias 4.3e-5" in x for x in lines)


@pytest.mark.parametrize("severity", ["error", "info"])
def test_only_errors_among_the_findings_stop_a_test(severity: str) -> None:
    finding = dataclasses.replace(pair_check().findings[0], severity=severity)
    said = failure_message(dataclasses.replace(pair_check(), findings=(finding,)))
    assert ("V126" in said) == (severity == "error")


def test_in_chinese() -> None:
    shown = printed(pair_check(), "zh")
    for text in ("位置", "原因", "检验项：2 项相等，3 项不同，1 项未检验"):
        assert text in shown
