"""The page of a check: what it shows, in both languages, in a real browser, and from stored results alone."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from pathlib import Path

import browser
import numpy as np
import pytest
from check_sample import JAX_MARK, modules, pair_check, stored
from page import elements, texts_in
from pixels import read_png
from sample import FIXTURE, folder
from sample import check as conversion_check

from regauge.cli.main import main
from regauge.errors import BadResult
from regauge.report.check_charts import depth_plot, histograms
from regauge.report.check_html import check_page, read_check, render_check_html
from regauge.report.document import build_document
from regauge.report.excerpts import AROUND, excerpt
from regauge.report.html import render_html
from regauge.verify.result import Check, Distance, ModuleDistance, Place, Tier


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = stored(tmp_path_factory.mktemp("check"))
    page = check_page(read_check(directory / "check.json"), directory)
    for language in ("en", "zh"):
        (directory / f"{language}.html").write_text(render_check_html(page, language), encoding="utf-8")
    return directory


def page_of(check: Check, directory: Path) -> str:
    return render_check_html(check_page(check, directory), "en")


def test_the_verdict_comes_first_with_what_it_rests_on(place: Path) -> None:
    texts = texts_in((place / "en.html").read_text(encoding="utf-8"), "en")
    assert texts[0].endswith("are not the same function; the first difference is in norm")
    assert "On 4 inputs; largest distance in float64 4.3e-5." in texts[:3]
    assert "Not checked: training trajectory." in texts[:4]


def test_the_first_difference_is_marked_in_both_sources(place: Path) -> None:
    page = (place / "en.html").read_text(encoding="utf-8")
    english = page.partition('<div class="in" lang="en">')[2].partition('<div class="in" lang="zh">')[0]
    marked = re.findall(r'<tr class="marked"><td class="line">(\d+)</td><td class="text">(.*?)</td>', english)
    texts = [re.sub("<.*?>", "", code).strip() for _, code in marked]
    assert texts == ["self.norm = nn.LayerNorm(8)", JAX_MARK]
    assert [int(number) for number, _ in marked] == [place.line for place in pair_check().places]


def test_causes_show_their_figures_and_the_line_to_change(place: Path) -> None:
    page = (place / "en.html").read_text(encoding="utf-8")
    texts = texts_in(page, "en")
    start = texts.index("Why")
    assert any("with 1e-05 the distance falls to 5e-16" in text for text in texts[start : start + 10])
    assert "shown: the difference vanishes" in texts
    assert "helps, but a difference is left" in texts
    assert "jax_side.py:15: epsilon=1e-05" in page


def test_weights_inputs_findings_and_versions_are_there(place: Path) -> None:
    page = (place / "en.html").read_text(encoding="utf-8")
    texts = texts_in(page, "en")
    for text in ("Weight map", "one to one", "a counter that nothing reads", "by value", "Findings", "Environment"):
        assert text in texts
    assert any("kinks and ties" in text for text in texts)
    assert "permute [1, 0]" in page
    assert "2.13.0" in page
    assert "regauge check " in page


def test_chinese_page_has_no_english_left(place: Path) -> None:
    texts = texts_in((place / "zh.html").read_text(encoding="utf-8"), "zh")
    assert texts[0].endswith("不是同一个函数；最先出现差异的地方是 norm")
    assert "Why" not in texts
    assert "Weight map" not in texts


def test_page_is_complete_in_itself(place: Path) -> None:
    for tag, attributes in elements((place / "en.html").read_text(encoding="utf-8")):
        for name in ("src", "href", "action", "srcset", "poster"):
            address = attributes.get(name, "")
            assert address in ("", "data:,") or address.startswith("#"), f"{tag} {name}={address}"
    assert browser.requests_of(place / "en.html", place / "profile-offline") == []


def test_a_check_without_places_is_a_page_as_well(place: Path) -> None:
    bare = dataclasses.replace(pair_check(), places=(), causes=(), modules=(), findings=(), inputs_tried=())
    texts = texts_in(page_of(bare, place), "en")
    assert "Where the difference begins" not in texts
    assert "Why" not in texts
    assert "Along the depth of the network" not in texts
    failed = Check("a b", "not checked", (Tier("tier 1 outputs", "not checked", why="it broke"),), sides=("a", "b"))
    assert "a and b: equality could not be checked" in texts_in(page_of(failed, place), "en")


def test_the_page_of_a_conversion_shows_its_weights_and_both_sources(tmp_path: Path) -> None:
    folder(tmp_path / "conversion")
    check = dataclasses.replace(conversion_check(different=True), case=f"{FIXTURE / 'original.py'}:case")
    page = page_of(check, tmp_path)
    texts = texts_in(page, "en")
    assert texts[0].endswith("the conversion is not the same function; the first difference is in norm")
    for text in ("Weights", "Unused weights", "Both sources", "Every tensor"):
        assert text in texts
    assert "Weight map" not in texts
    assert f"regauge check {check.case}" in page


def test_the_page_of_a_comparison_says_where_and_why_as_well() -> None:
    texts = texts_in(render_html(build_document(case="x", check=pair_check()), "en"), "en")
    for text in ("Where the difference begins", "Why", "Along the depth of the network", "blocks.9.norm"):
        assert text in texts


def test_a_file_that_changed_since_is_not_quoted(tmp_path: Path) -> None:
    source = tmp_path / "port.py"
    source.write_text("\n".join(f"line{n} = {n}" for n in range(1, 41)), encoding="utf-8")
    found = Place("m", "", "port.py", 20, "line20 = 20", 1.0)
    whole = excerpt(found, [tmp_path])
    assert [line.number for line in whole.lines] == list(range(20 - AROUND, 21 + AROUND))
    source.write_text("something = else_\n" * 40, encoding="utf-8")
    changed = excerpt(found, [tmp_path])
    assert changed.changed
    assert [re.sub("<.*?>", "", line.code).strip() for line in changed.lines] == ["line20 = 20"]
    assert excerpt(Place("m", "", "gone.py", 3, "", None), [tmp_path]).lines == ()


def test_the_plot_along_the_depth_puts_the_first_difference_above_the_limit() -> None:
    plot = depth_plot(modules())
    assert plot is not None
    assert plot.label == "blocks.9.norm"
    wide, narrow = plot.series
    assert [mark.y < plot.limit for mark in wide.marks] == [row.distance > 1e-10 for row in modules()]
    assert [mark.x for mark in wide.marks] == sorted(mark.x for mark in wide.marks)
    assert len(narrow.marks) == len(modules()) - 1  # one was not run in float32
    assert depth_plot(()) is None
    alone = depth_plot([ModuleDistance("m", None, None, math.inf, None, False)])
    assert alone is not None
    assert len(alone.series) == 1
    assert 0 <= alone.series[0].marks[0].y < alone.limit
    zero = depth_plot([ModuleDistance("m", None, None, 0.0, None, True)])
    assert zero is not None
    assert zero.series[0].marks[0].y > zero.limit + 30


def test_the_histogram_counts_every_tensor_once_and_puts_the_limit_between() -> None:
    norms = (0.0, 1e-16, 5e-11, 1e-10, 1.1e-10, 3e-2, math.inf, math.nan)
    distances = tuple(Distance(str(n), n, n, 1e-10, n <= 1e-10) for n in norms)
    check = dataclasses.replace(pair_check(), tiers=(Tier("tier 1 outputs", "different", distances=distances),))
    (plot,) = histograms(check)
    assert plot.tensors == len(norms)
    counts = {column.text.rpartition(": ")[2]: column.beyond for column in plot.columns}
    total = sum(int(column.text.rpartition(": ")[2]) for column in plot.columns)
    assert total == len(norms)
    beyond = sum(int(c.text.rpartition(": ")[2]) for c in plot.columns if c.beyond)
    assert (beyond, bool(counts)) == (4, True)
    assert all(column.x + column.width <= plot.limit + 0.02 for column in plot.columns if not column.beyond)


def test_report_rebuilds_the_page_in_another_language(place: Path, tmp_path: Path, capsys: object) -> None:
    assert main(["report", str(place / "check.json"), "--out", str(tmp_path), "--lang", "zh"]) == 0
    assert 'lang="zh"' in (tmp_path / "check.html").read_text(encoding="utf-8")[:60]
    assert main(["report", str(place), "--json", "--out", str(tmp_path), "--lang", "en"]) == 0


@pytest.mark.parametrize("content", ["{", "[]", '{"case": 1}'])
def test_a_damaged_check_says_what_to_do(content: str, tmp_path: Path) -> None:
    (tmp_path / "check.json").write_text(content, encoding="utf-8")
    with pytest.raises(BadResult, match="the stored check cannot be read"):
        read_check(tmp_path / "check.json")
    with pytest.raises(BadResult, match="no stored check here"):
        read_check(tmp_path / "gone.json")


def test_json_and_back_keeps_everything() -> None:
    assert Check.from_json(json.loads(json.dumps(pair_check().to_json()))) == pair_check()


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("width", [1280, 500])
def test_a_browser_draws_the_page(place: Path, language: str, width: int) -> None:
    image = place / f"{language}-{width}.png"
    profile = place / f"profile-{language}-{width}"
    pixels = read_png(browser.screenshot(place / f"{language}.html", profile, image, width, 1600)).astype(int)
    assert pixels.shape == (1600, width, 3)
    inked = np.abs(pixels - pixels[5, 5]).max(axis=2) > 40
    assert 0.01 < inked.mean() < 0.5
    coloured = pixels.max(axis=2) - pixels.min(axis=2) > 60
    assert coloured.sum() > 500


@pytest.mark.parametrize("width", [1280, 500])
def test_page_is_not_wider_than_the_window(place: Path, width: int) -> None:
    probe = "<script>document.title = `${document.documentElement.scrollWidth} of ${window.innerWidth}`</script>"
    page = place / f"measured-{width}.html"
    page.write_text((place / "en.html").read_text(encoding="utf-8").replace("</body>", f"{probe}</body>"))
    found = browser.dom(page, place / f"profile-measured-{width}", f"--window-size={width},900")
    sizes = re.search(r"<title>(\d+) of (\d+)</title>", found)
    assert sizes
    assert int(sizes[1]) <= int(sizes[2]) == width
