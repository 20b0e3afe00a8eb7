"""One self-contained HTML file: no request leaves it, it reads without JavaScript, both languages are inside.

The parts with prose are rendered once for each language, the parts that are mostly data (tensors, sources) once with
both texts; a radio button chooses what the style sheet shows.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from regauge.language import LANGUAGES, _, language, ngettext, translate_message, use_language
from regauge.report import charts, check_charts, check_view, view, wording
from regauge.report.document import Document
from regauge.report.figures import failures
from regauge.report.highlight import listings
from regauge.verify.result import Tier

TABLES = {
    "tasks": wording.TASKS,
    "verdicts": wording.VERDICTS,
    "modes": wording.MODES,
    "purposes": wording.PURPOSES,
    "memory": wording.MEMORY,
    "parts": {**wording.PHASES, **wording.MEMORY},
    "roles": wording.ROLES,
    "tiers": wording.TIERS,
}


def render_html(document: Document, lang: str | None = None) -> str:
    """The page as one string, opened in `lang` (the current language when None).

    Raises:
        UnknownLanguage: `lang` is not one of `LANGUAGES`.
    """
    with use_language(lang or language()) as chosen:
        overview = {key: _part("overview.html.j2", document, key) for key in LANGUAGES}
        details = {key: _part("details.html.j2", document, key) for key in LANGUAGES}
        return (
            environment()
            .get_template("page.html.j2")
            .render(
                document=document,
                name=document.name,
                version=document.regauge,
                chosen=chosen,
                languages=LANGUAGES,
                overview=overview,
                details=details,
                tensors=view.tensor_rows(document.check.tiers if document.check else ()),
                listings=listings(document.sources, document.lines),
                style=asset("style.css") + asset("check.css"),
                script=asset("page.js"),
            )
        )


def _part(template: str, document: Document, key: str) -> Markup:
    with use_language(key):
        text = (
            environment()
            .get_template(template)
            .render(
                document=document,
                language=key,
                ratio_plot=charts.ratio_plot(document.effects, document.plan),
                spread_plots=charts.spread_plots(document),
                start_charts=charts.start_charts(document),
                memory_charts=charts.memory_charts(document),
                break_even_plots=charts.break_even_plots(document),
                depth=check_charts.depth_plot(document.check.modules if document.check else ()),
            )
        )
    return Markup(text)


def both(message: str) -> Markup:
    """A text in every language, each marked with its own."""
    return _in_all(lambda: _(message))


def note_both(note: str) -> Markup:
    """The note of a tensor, in every language."""
    return _in_all(lambda: wording.note_text(note))


def tier_both(tier: Tier) -> Markup:
    """The question of a tier and its mode, in every language."""

    def label() -> str:
        mode = wording.word(wording.MODES, tier.mode)
        return f"{wording.tier_label(tier.name)} · {mode}" if mode else wording.tier_label(tier.name)

    return _in_all(label)


def _in_all(label: Callable[[], str]) -> Markup:
    spans = []
    for key in LANGUAGES:
        with use_language(key):
            spans.append(Markup('<span class="in" lang="{}">{}</span>').format(key, label()))
    return Markup("").join(spans)


def _unused_rows(document: Document) -> list[tuple[str, str]]:
    weights = document.weights
    return [(item.source, translate_message(item.reason)) for item in weights.unused] if weights else []


def _launch_rows(document: Document) -> list[tuple[str, ...]]:
    statuses = ("ok", "failed", "timed out", "skipped")
    return [
        (view.purpose_label(purpose), variant, *(str(counts.get(status, 0)) for status in statuses))
        for purpose, variant, counts in view.launch_counts(document)
    ]


def _entries(table: dict[str, str], names: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(name, wording.word(table, name)) for name in names]


def _memory_entries(chart: charts.BarChart) -> list[tuple[str, str]]:
    """The legend of a memory chart: only the parts that it shows."""
    shown = dict.fromkeys(part.name for bar in chart.bars for part in bar.segments)
    return _entries(wording.MEMORY, tuple(shown))


def slug(variant: str) -> str:
    """A class name of a variant: ``torch eager`` becomes ``torch-eager``."""
    return re.sub(r"[^a-z0-9]+", "-", variant.lower()).strip("-")


def asset(name: str) -> Markup:
    """A style sheet or script, to be set into a page as it is."""
    return Markup(resources.files("regauge.report").joinpath("templates", name).read_text(encoding="utf-8"))


@lru_cache(maxsize=1)
def environment() -> Environment:
    """The templates with what all pages call."""
    made = Environment(
        loader=PackageLoader("regauge.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    shared: tuple[str, ...] = (
        "headline",
        "headline_tone",
        "not_covered",
        "tone",
        "effect_facts",
        "step_facts",
        "nested_facts",
    )
    shared += (
        "break_even_sentences",
        "plan_facts",
        "readback_facts",
        "weight_facts",
        "failure_text",
        "purpose_label",
        "self_test_facts",
    )
    made.globals.update({name: getattr(view, name) for name in shared})
    made.globals.update(
        _=_,
        ngettext=ngettext,
        both=both,
        tier_both=tier_both,
        note_both=note_both,
        slug=slug,
        tables=TABLES,
        word=wording.word,
        tier_label=wording.tier_label,
        input_label=wording.input_label,
        seconds=wording.seconds_text,
        distance=wording.distance_text,
        ratio=wording.ratio_text,
        note=wording.note_text,
        check_view=check_view,
        failures=failures,
        unused_rows=_unused_rows,
        launch_rows=_launch_rows,
        phase_entries=lambda: _entries(wording.PHASES, ("import", "build", "compile", "first_step")),
        memory_entries=_memory_entries,
        translate=translate_message,
    )
    return made
