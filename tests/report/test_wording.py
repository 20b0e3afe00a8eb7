from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from sample import check, effects, plan

from regauge.language import use_language
from regauge.report.wording import (
    bytes_text,
    check_sentence,
    distance_text,
    effect_sentence,
    input_label,
    is_preliminary,
    note_text,
    ratio_text,
    seconds_text,
    tier_label,
)
from regauge.verify.inputs import make_input_sets


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0 s"), (2.5e-7, "250 ns"),
     (3.41e-6, "3.41 µs"), (0.00999, "9.99 ms"), (0.9996, "1.00 s"), (12.74, "12.7 s"),
     (245.0, "4 min 05 s"), (None, "–"), (math.inf, "–")],
)  # fmt: skip
def test_seconds(seconds: float | None, text: str) -> None:
    assert seconds_text(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"), [(512, "512 B"), (3 * 2**20, "3.00 MiB"), (1023 * 2**20, "1023 MiB"), (1.5 * 2**30, "1.50 GiB"),
                       (None, "–")],
)  # fmt: skip
def test_bytes(size: float | None, text: str) -> None:
    assert bytes_text(size) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.98512, "0.985"), (1.0, "1.00"), (12.34, "12.3"), (12345.0, "12345"), (4.2e10, "4.2e10"),
                        (math.inf, "∞"), (math.nan, "–")],
)  # fmt: skip
def test_ratios(value: float, text: str) -> None:
    assert ratio_text(value) == text


def test_distances() -> None:
    assert [distance_text(v) for v in (None, 0.0, 3.24e-15, 2.0e-7, math.nan)] == ["–", "0", "3.2e-15", "2.0e-7", "nan"]


def test_faster_is_told_as_speed_and_slower_as_time() -> None:
    fast = dataclasses.replace(effects()[0], ratio=0.5, low=0.4, high=0.625)
    assert effect_sentence(fast, plan()) == (
        "training step: torch compile is 2.00× as fast as torch eager, 95 % interval [1.60, 2.50]"
    )
    slow = dataclasses.replace(fast, ratio=2.0, low=1.6, high=2.5, verdict="slower")
    assert effect_sentence(slow, plan()) == (
        "training step: torch compile takes 2.00× as long as torch eager, 95 % interval [1.60, 2.50]"
    )


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_verdict_has_a_sentence_of_its_own(language: str) -> None:
    with use_language(language):
        kinds = ("faster", "slower", "equivalent", "inconclusive", "not comparable")
        sentences = {effect_sentence(dataclasses.replace(effects()[0], verdict=kind), plan()) for kind in kinds}
        assert len(sentences) == 5
        checks = (None, check(), check(different=True), dataclasses.replace(check(), verdict="not checked"))
        assert len({check_sentence("net", item) for item in checks}) == 4


def test_few_blocks_and_quick_runs_are_preliminary() -> None:
    assert not is_preliminary(effects()[0], plan())
    assert is_preliminary(dataclasses.replace(effects()[0], blocks=5), plan())
    assert is_preliminary(effects()[0], plan(quick=True))
    assert effect_sentence(effects()[0], plan(quick=True)).endswith("(preliminary: few launches)")


def test_equality_is_never_told_stronger_than_it_ran() -> None:
    one = dataclasses.replace(check(), inputs_tried=("reference",))
    assert "checked on 1 input, largest float64 distance 3.5e-15" in check_sentence("net", one)
    without = dataclasses.replace(check(different=True), first_difference="")
    assert check_sentence("net", without) == "net: the conversion is not the same function"


def test_inputs_of_the_check_have_names_in_every_language() -> None:
    """Every set that the check makes for a case with data, masks, indices and targets."""
    leaves = {
        "inputs.x": np.linspace(0.1, 1, 12, dtype=np.float32).reshape(4, 3),
        "inputs.attention_mask": np.array([[1, 1, 0]] * 4),
        "inputs.ids": np.arange(12).reshape(4, 3),
        "targets": np.array([0, 1, 2, -100]),
    }
    symbols = [{"name": "batch", "hint": 4, "low": 1, "high": None}]
    names = [item.name for item in make_input_sets(leaves, symbols, quick=False)]
    assert len(names) >= 12
    with use_language("zh"):
        for name in names:
            assert input_label(name) != name, name
        assert note_text("on random 2") == "在“随机 2”上"
        assert note_text("missing in the original, on zeros") == "原模型中缺失、在“零”上"
    assert note_text("on random 2") == "on random 2"
    assert note_text("missing in the original, on zeros") == "missing in the original, on zeros"


def test_tier_labels() -> None:
    assert tier_label("tier 1 input gradients") == "input gradients: same function (float64)"
    assert tier_label("trajectory adamw") == "training trajectory: adamw"
    assert tier_label("tier 2 state with dropout masks") == "state: no worse arithmetic, with the same dropout masks"
    assert tier_label("trajectory AdamW float32") == "training trajectory: AdamW float32"
    with use_language("zh"):
        assert tier_label("trajectory SGD loss") == "训练轨迹：SGD, 损失"
    assert tier_label("something new") == "something new"
