"""End to end: the page in a real browser, read from the document that the browser built."""

from __future__ import annotations

import re
from pathlib import Path

import browser
import numpy as np
import pytest
from page import texts_in
from pixels import read_png
from sample import document, effects

from regauge.report.html import render_html
from regauge.report.wording import ratio_text


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("page")
    shown = document(directory / "folder")
    for language in ("en", "zh"):
        (directory / f"{language}.html").write_text(render_html(shown, language), encoding="utf-8")
    return directory


def test_browser_shows_the_verdict_and_the_numbers(place: Path) -> None:
    found = browser.dom(place / "en.html", place / "profile")
    texts = texts_in(found, "en")
    assert texts[0].startswith("SmallNet: the conversion is the same function (checked on 5 inputs")
    for effect in effects():
        assert f"{ratio_text(effect.ratio)} [{ratio_text(effect.low)}, {ratio_text(effect.high)}]" in texts
    assert 'class="filter"' in found  # the script ran: it took the attribute away that hides the filter
    assert 'class="filter" hidden' not in found


def test_page_asks_the_network_for_nothing(place: Path) -> None:
    assert browser.requests_of(place / "en.html", place / "profile-offline") == []


def test_recording_sees_the_requests_of_a_page_that_asks(place: Path) -> None:
    page = place / "asking.html"
    page.write_text('<!doctype html><img src="http://example.invalid/pixel.png">', encoding="utf-8")
    assert browser.requests_of(page, place / "profile-asking") == ["http://example.invalid/pixel.png"]


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("width", [1280, 500])
def test_screenshot_is_a_page_with_text_and_colour(place: Path, language: str, width: int) -> None:
    image = place / f"{language}-{width}.png"
    profile = place / f"profile-{language}-{width}"
    pixels = read_png(browser.screenshot(place / f"{language}.html", profile, image, width, 1600)).astype(int)
    assert pixels.shape == (1600, width, 3)
    paper = pixels[5, 5]
    inked = np.abs(pixels - paper).max(axis=2) > 40
    assert 0.01 < inked.mean() < 0.5  # written on, and not covered
    assert inked.any(axis=1).mean() > 0.35  # text in many rows, not one block
    coloured = pixels.max(axis=2) - pixels.min(axis=2) > 60
    assert coloured.sum() > 500  # the marks of the charts


@pytest.mark.parametrize("width", [1280, 500])
def test_page_is_not_wider_than_the_window(place: Path, width: int) -> None:
    """A copy of the page measures itself: what is wider than a screen scrolls inside its own box."""
    probe = "<script>document.title = `${document.documentElement.scrollWidth} of ${window.innerWidth}`</script>"
    page = place / f"measured-{width}.html"
    page.write_text((place / "en.html").read_text(encoding="utf-8").replace("</body>", f"{probe}</body>"))
    found = browser.dom(page, place / f"profile-measured-{width}", f"--window-size={width},900")
    sizes = re.search(r"<title>(\d+) of (\d+)</title>", found)
    assert sizes
    assert int(sizes[1]) <= int(sizes[2])
    assert int(sizes[2]) == width


def test_dark_page_is_dark(place: Path) -> None:
    image = place / "dark.png"
    flags = ("--blink-settings=preferredColorScheme=0", "--force-dark-mode")
    pixels = read_png(browser.screenshot(place / "en.html", place / "profile-dark", image, 900, 900, *flags))
    assert pixels[5, 5].max() < 60
