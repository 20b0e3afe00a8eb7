from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import pytest
from rich.console import Console
from sample import document

from regauge.language import use_language
from regauge.report.document import Document, build_document
from regauge.report.text import render_text
from regauge.report.view import (
    break_even_sentences,
    effect_facts,
    nested_facts,
    not_covered,
    readback_facts,
    step_facts,
)


def _printed(document: Document, width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    render_text(document, console)
    return console.file.getvalue()


def test_tables_carry_the_verdict_and_the_figures(tmp_path: Path) -> None:
    lines = _printed(document(tmp_path)).splitlines()
    assert lines[0].startswith("SmallNet: the conversion is the same function (checked on 5 inputs")
    rows = [line.split("  ") for line in lines]
    rows = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert ["training step", "jax jit", "0.584", "[0.561, 0.612]", "faster", "10"] in rows
    assert ["training step", "torch compile", "910 MiB", "570 MiB", "–"] in rows
    assert ["training step", "torch compile", "first start, empty caches", "33.2 s"] in rows
    assert ["randomness", "training mode", "–", "–", "not checked"] in rows
    assert "The check: 7 of 8 questions answered with equal" in lines
    assert not any(row[0].startswith("state") for row in rows if row)
    assert "failed: torch eager, training step, block 1" in lines


def test_difference_lists_the_tensors_beyond_their_limit(tmp_path: Path) -> None:
    printed = _printed(document(tmp_path, different=True))
    assert "the first difference is in norm" in printed
    assert "state: same function (float64)" in printed
    assert "norm.running_var" in printed.partition("Tensors beyond their limit, worst first")[2]


def test_narrow_terminal_loses_no_verdict(tmp_path: Path) -> None:
    words = _printed(document(tmp_path), width=80).split()
    for verdict in ("faster", "inconclusive", "equivalent"):
        assert verdict in words


@pytest.mark.parametrize("width", [50, 80])
def test_no_width_cuts_a_sentence_or_a_cell(width: int, tmp_path: Path) -> None:
    """The consoles of the commands leave wrapping to the terminal, which must not cut what is set in."""
    found = document(tmp_path)
    console = Console(file=io.StringIO(), width=width, color_system=None, soft_wrap=True)
    render_text(found, console)
    printed = " ".join(console.file.getvalue().split())
    assert all(sentence in printed for sentence in not_covered(found))
    cells = [cell for row in (*step_facts(found), *(row[:2] for row in effect_facts(found))) for cell in row]
    assert all(word in printed.split() for cell in cells for word in cell.split())


def test_chinese_and_empty_documents() -> None:
    with use_language("zh"):
        assert _printed(build_document(case="模型")) == "模型：本次运行没有检验转换后的模型是否为同一个函数\n"


def test_break_even_is_no_surer_than_the_interval(tmp_path: Path) -> None:
    lines = [line for line in _printed(document(tmp_path), width=200).splitlines() if "has paid off" in line]
    rough = [line for line in lines if line.endswith("the difference in speed is not certain.")]
    assert len(lines) == 4
    # Both intervals of inference hold 1, also that of the variant whose verdict is equivalent.
    assert [line.partition(":")[0] for line in rough] == ["inference", "inference"]


@pytest.mark.parametrize(
    ("low", "high", "verdict", "ends"),
    [
        (0.063, 0.258, "faster", "This is a rough figure: few launches were made."),
        (0.00327, 313.0, "inconclusive", "This is a rough figure: the difference in speed is not certain."),
    ],
)
def test_break_even_of_few_launches(low: float, high: float, verdict: str, ends: str, tmp_path: Path) -> None:
    found = _with_interval(document(tmp_path), low, high, verdict)
    sentences = [text for text in break_even_sentences(found) if "training step" in text and "jax jit" in text]
    assert len(sentences) == 1
    assert sentences[0].endswith(ends)


@pytest.mark.parametrize(
    ("low", "high", "says"),
    [
        (1.01, 1.6, "and never makes up for it."),
        (0.00327, 313.0, "; it is not certain that it ever makes up for it."),
    ],
)
def test_never_is_said_only_where_the_interval_says_it(low: float, high: float, says: str, tmp_path: Path) -> None:
    """A variant whose median step is longer than the reference's, as measured or as chance has it."""
    found = _with_interval(document(tmp_path), low, high, "slower" if low > 1 else "inconclusive")
    slow = [
        dataclasses.replace(m, samples=tuple(9 * sample for sample in m.samples)) if m.variant == "jax jit" else m
        for m in found.measurements
    ]
    sentences = break_even_sentences(found.model_copy(update={"measurements": tuple(slow)}))
    assert [
        text for text in sentences if text.startswith("training step: jax jit starts later") and text.endswith(says)
    ]


def _with_interval(found: Document, low: float, high: float, verdict: str) -> Document:
    """The document with this effect, of three blocks, of jax jit in training."""
    effects = [
        dataclasses.replace(effect, low=low, high=high, verdict=verdict, blocks=3)
        if (effect.task, effect.variant) == ("train", "jax jit")
        else effect
        for effect in found.effects
    ]
    return found.model_copy(update={"effects": tuple(effects)})


def test_memory_of_the_machine_is_shown_with_its_unit() -> None:
    facts = nested_facts({"machine": {"memory": 25276514304, "cpus": 2}, "memory_available": 3 * 2**30})
    assert [fact.value for fact in facts] == ["23.5 GiB", "2", "3.00 GiB"]


def test_what_launches_read_back_is_ordered_by_size_not_by_letters(tmp_path: Path) -> None:
    found = document(tmp_path)
    timed = [m for m in found.measurements if m.purpose == "time"]
    read = [
        dataclasses.replace(m, environment={"memory_available": (9 + block) * 2**30}) for block, m in enumerate(timed)
    ]
    ranges = {
        variant: rows[0].value
        for variant, rows in readback_facts(found.model_copy(update={"measurements": tuple(read)}))
    }
    assert ranges["torch eager"].startswith("9.00 GiB – ")
