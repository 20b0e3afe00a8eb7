"""The page of a recommendation: one file, no requests, both languages, every link leads somewhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from browser import dom

from regauge.decide.libraries import ROLES
from regauge.decide.needs import CRITERIA, needs_of
from regauge.decide.recommend import recommend
from regauge.decide.recommendation import Recommendation
from regauge.language import LANGUAGES, use_language
from regauge.report import choice_view
from regauge.report.choice_charts import share_chart, shift_plots
from regauge.report.choice_html import render_choice

NEEDS: dict[str, dict[str, Any]] = {
    "firm": {
        "name": "detector <b>&amp;",
        "kind": "vision",
        "hardware": {"train": ["nvidia-gpu"], "devices": 8, "serve": ["cpu"], "os": "linux"},
        "team": {"experience": {"pytorch": 4, "jax": 1}},
    },
    "either": {
        "kind": "science",
        "must": ["hessian_function"],
        "team": {"experience": {"pytorch": 3, "jax": 3}},
    },
    "eliminated": {"hardware": {"train": ["nvidia-gpu"], "os": "windows"}},
    "nothing": {"name": "idea"},
}


@pytest.fixture(scope="module")
def found() -> dict[str, Recommendation]:
    return {name: recommend(needs_of(needs), count=1024) for name, needs in NEEDS.items()}


class Page(HTMLParser):
    """Ids, links and texts of a page, and the tags that stay open."""

    VOID = ("meta", "link", "input", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if values.get("id"):
            self.ids.append(str(values["id"]))
        if tag == "a":
            self.links.append(str(values.get("href")))
        if values.get("src") or (tag == "link" and values.get("rel") == "stylesheet"):
            self.loads.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A void element of SVG."""


@pytest.mark.parametrize("name", NEEDS)
def test_the_page_is_whole_and_asks_for_nothing(name: str, found: dict[str, Recommendation]) -> None:
    page = Page(render_choice(found[name]))
    assert page.open == []
    assert page.loads == []
    assert len(page.ids) == len(set(page.ids))
    inner = [link.removeprefix("#") for link in page.links if link.startswith("#")]
    assert set(inner) <= set(page.ids)
    assert all(link.startswith(("#", "https://", "http://")) for link in page.links)


@pytest.mark.parametrize("name", NEEDS)
def test_every_piece_of_evidence_has_a_row_in_every_language(name: str, found: dict[str, Recommendation]) -> None:
    page = Page(render_choice(found[name]))
    for key in LANGUAGES:
        assert {f"{key}-{item.id}" for item in found[name].evidence} <= set(page.ids)


def test_names_are_escaped(found: dict[str, Recommendation]) -> None:
    assert "detector &lt;b&gt;&amp;amp;" in render_choice(found["firm"])


def test_the_chart_shows_every_share(found: dict[str, Recommendation]) -> None:
    chart = share_chart(found["firm"])
    assert [bar.candidate for bar in chart.bars] == [row.candidate for row in found["firm"].ranking]
    for bar, row in zip(chart.bars, found["firm"].ranking, strict=True):
        if row.ranks:
            assert bar.segments[0][2] == pytest.approx(chart.axis.at(row.ranks[0]) - chart.axis.at(0), abs=0.02)
            assert sum(width for _rank, _start, width in bar.segments) == pytest.approx(94, abs=0.1)


def test_plots_of_weights_start_at_the_present_shares(found: dict[str, Recommendation]) -> None:
    plots = shift_plots(found["either"])
    assert len(plots) == 5
    shares = {row.candidate: row.acceptability for row in found["either"].ranking}
    for plot in plots:
        for line in plot.lines:
            ends = [(x2, y2) for _x1, _y1, x2, y2 in line.segments]
            at_present = next(y for x, y in ends if x == pytest.approx(plot.present, abs=0.01))
            assert at_present == pytest.approx(100 - plot.shares.at(shares[line.candidate]), abs=0.1)
    assert shift_plots(found["eliminated"]) == ()


def test_headlines_say_the_answer(found: dict[str, Recommendation]) -> None:
    firsts = {name: choice_view.headline(one)[0] for name, one in found.items()}
    assert re.fullmatch(r"PyTorch: ranks first in \d+ % of the draws", firsts["firm"])
    assert (
        firsts["either"] == "Either fits (PyTorch, JAX): PyTorch leads, but only by facts about frameworks in general"
    )
    assert firsts["eliminated"] == "PyTorch: the only candidate that is shown to meet every need"
    assert firsts["nothing"].startswith("Not enough evidence: PyTorch ranks first in ")


@pytest.mark.parametrize("name", NEEDS)
def test_no_sentence_of_the_chinese_page_is_english(name: str, found: dict[str, Recommendation]) -> None:
    one = found[name]
    with use_language("zh"):
        texts = [*choice_view.headline(one), *choice_view.scope(one)]
        texts += [choice_view.reason_text(reason) for reason in (*one.reasons, *one.against)]
        texts += [row[1] for row in choice_view.flip_rows(one.flips_if)]
        texts += [row[0] for row in choice_view.unknown_rows(one.unknowns)]
        texts += [choice_view.claim(item) for item in one.evidence]
        texts += [choice_view.sentence(item.limits) for item in one.evidence if item.limits]
    assert [text for text in texts if not re.search(r"[\u4e00-\u9fff]", text)] == []


def test_every_role_and_criterion_has_a_word() -> None:
    assert set(choice_view.ROLES) == set(ROLES)
    assert set(choice_view.CRITERIA) == set(CRITERIA)


def test_shares_as_texts() -> None:
    shown = [choice_view.percent(share) for share in (0, 0.001, 0.5, 0.999, 1)]
    assert shown == ["0 %", "< 1 %", "50 %", "> 99 %", "100 %"]
    assert [choice_view.bounds(*pair) for pair in ((0, 1), (0.5, 0.5), (0.2, 0.35))] == ["?", "0.50", "0.20–0.35"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_browser_shows_the_chosen_language(language: str, found: dict[str, Recommendation], tmp_path: Path) -> None:
    page = tmp_path / "choice.html"
    page.write_text(render_choice(found["firm"], language), encoding="utf-8")
    built = dom(page, tmp_path / "profile")
    assert f'<html lang="{language}"' in built
    assert "pt-nvidia-linux" in built
