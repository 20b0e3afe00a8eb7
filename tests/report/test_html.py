from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path

import pytest
from page import elements, texts_in
from sample import check, document, effects, measurements, plan, self_test

from regauge.findings import Finding
from regauge.language import UnknownLanguage
from regauge.report.document import Document, build_document
from regauge.report.html import render_html
from regauge.report.wording import ratio_text
from regauge.verify.result import Distance, Tier


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Document:
    return document(tmp_path_factory.mktemp("folder"))


@pytest.fixture(scope="module")
def english(full: Document) -> str:
    return render_html(full, "en")


def test_verdict_comes_first_and_names_what_it_does_not_cover(english: str) -> None:
    texts = texts_in(english, "en")
    assert texts[0].startswith("SmallNet: the conversion is the same function (checked on 5 inputs")
    assert "training step: jax jit is 1.71× as fast as torch eager, 95 % interval [1.63, 1.78]" in texts[:5]
    assert "Not checked: randomness." in texts[:8]
    assert "1 launch of 78 gave no figure; see the launches below." in texts[:8]


def test_every_ratio_is_shown_with_its_interval(english: str) -> None:
    texts = texts_in(english, "en")
    for effect in effects():
        shown = f"{ratio_text(effect.ratio)} [{ratio_text(effect.low)}, {ratio_text(effect.high)}]"
        assert shown in texts


def test_failed_launch_shows_its_error_and_next_step(english: str) -> None:
    assert "the torch worker did not finish within 900 s and was stopped" in english
    assert "last output: step 12" in english
    assert "give more time with --timeout, or smaller inputs" in english


def test_every_tensor_of_every_tier_is_listed(full: Document, english: str) -> None:
    wanted = sum(len(tier.distances) for tier in check().tiers)
    body = english.partition('id="tensor-table"')[2].partition("</tbody>")[0].partition("<tbody>")[2]
    assert body.count("<tr") == wanted


def test_page_is_complete_in_itself(english: str) -> None:
    """Nothing is loaded from anywhere: no address but anchors of the page and the empty icon."""
    for tag, attributes in elements(english):
        for name in ("src", "href", "action", "srcset", "poster"):
            value = attributes.get(name, "#")
            assert value.startswith("#") or value == "data:,", f"{tag} {name}={value}"
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|https?://", english)
    assert "default-src 'none'" in english


def test_anchors_lead_to_lines_that_exist(english: str) -> None:
    found = elements(english)
    ids = [attributes["id"] for _, attributes in found if "id" in attributes]
    targets = [attributes["href"][1:] for tag, attributes in found if tag == "a"]
    assert len(ids) == len(set(ids))
    assert len(targets) >= 4  # conv, norm, drop, head
    assert set(targets) <= set(ids)


def test_chinese_reader_meets_no_english_sentence(full: Document) -> None:
    """Only names and units stay: variants, frameworks, dtypes, the command that repairs something."""
    names = {"torch", "eager", "compile", "jax", "jit", "JAX", "float64", "float32", "SmallNet", "adamw", "strict32"}
    names |= {"norm", "drop", "zeros", "in", "train", "mode", "NaN", "key"}  # values inside the sample
    units = {"ms", "s", "min", "MiB", "GiB", "KiB", "µs"}
    commands = {"regauge", "compare", "self", "test"}
    codes = {"C120", "V310"}
    for text in texts_in(render_html(full, "zh"), "zh"):
        left = {w for w in re.findall(r"[A-Za-zµ][A-Za-zµ0-9]*", text) if len(w) > 1 or w in "s"}
        unknown = left - names - units - commands - codes - {"t", "e"}
        assert not unknown, f"{sorted(unknown)} in {text!r}"


def test_both_languages_are_inside_and_one_is_chosen(full: Document) -> None:
    for chosen, other in (("en", "zh"), ("zh", "en")):
        html = render_html(full, chosen)
        inputs = {a["value"]: a for tag, a in elements(html) if tag == "input" and "value" in a}
        assert "checked" in inputs[chosen]
        assert "checked" not in inputs[other]
        assert texts_in(html, "en") != texts_in(html, "zh")
    with pytest.raises(UnknownLanguage, match="choose one of en, zh"):
        render_html(full, "tlh")


def test_different_model_opens_its_worst_tensor(tmp_path: Path) -> None:
    html = render_html(document(tmp_path, different=True), "en")
    assert (
        texts_in(html, "en")[0] == "SmallNet: the conversion is not the same function; the first difference is in norm"
    )
    first_row = html.partition('id="tensor-table"')[2].partition("<tbody>")[2].partition("</tr>")[0]
    assert "norm.running_var" in first_row
    assert 'class="bad"' in first_row


def test_quick_run_is_called_preliminary(tmp_path: Path) -> None:
    html = render_html(document(tmp_path, blocks=4, quick=True), "en")
    assert "Few launches were made, so the intervals are wide: the figures are preliminary." in texts_in(html, "en")
    assert html.count('<g class="good preliminary"') >= 2


@pytest.mark.parametrize("passed", [True, False])
def test_self_test_is_told_beside_the_verdict(full: Document, passed: bool) -> None:
    html = render_html(full.model_copy(update={"self_test": self_test(passed)}), "en")
    texts = texts_in(html, "en")
    told = next(text for text in texts if "torch eager against itself held the truth" in text)
    assert ("95 % of 2\u202f000 trials" in told) == passed
    assert ("Do not rely on the verdicts on speed" in told) != passed
    assert texts.index(told) < texts.index("Speed")
    chinese = texts_in(render_html(full.model_copy(update={"self_test": self_test(passed)}), "zh"), "zh")
    assert not [text for text in chinese if "neighbouring launches" in text]


def test_text_of_the_person_is_escaped(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    tier = Tier("tier 1 outputs", "different", "eval", why=evil, distances=(Distance(evil, 1.0, 1.0, 0.5, False),))
    findings = (Finding("C1", "error", evil, evil),)
    shown = dataclasses.replace(check(), case=evil, tiers=(tier,), findings=findings, inputs_tried=(evil,))
    html = render_html(build_document(case=evil, check=shown, environment={evil: evil}), "en")
    assert evil not in html
    assert html.count("<script>") == 1


def test_not_a_number_and_infinity_are_shown_as_such() -> None:
    distances = (Distance("a", math.nan, math.inf, 1e-12, False), Distance("b", 1e-16, 1e-16, 1e-12, True))
    tier = Tier("tier 1 outputs", "different", "eval", bound=math.nan, distances=distances)
    html = render_html(build_document(case="x", check=dataclasses.replace(check(), tiers=(tier,))), "en")
    first_row = html.partition('id="tensor-table"')[2].partition("<tbody>")[2].partition("</tr>")[0]
    assert "nan" in first_row
    assert "∞" in first_row


def test_empty_document_and_document_without_effects_render() -> None:
    empty = render_html(build_document(case="nothing"), "en")
    assert (
        texts_in(empty, "en")[0] == "nothing: whether the conversion is the same function was not checked in this run"
    )
    failed = [dataclasses.replace(m, status="failed", samples=(), phases={}, memory={}) for m in measurements(2)]
    html = render_html(build_document(case="all failed", plan=plan(2), measurements=failed), "zh")
    assert html.count(">×</text>") == 2 * 12
