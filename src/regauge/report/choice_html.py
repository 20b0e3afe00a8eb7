"""The recommendation as one self-contained page, in the look and by the means of the report of a comparison."""

from __future__ import annotations

from jinja2 import Environment
from markupsafe import Markup

from regauge import __version__
from regauge.decide.fact_words import translated
from regauge.decide.recommendation import Recommendation
from regauge.language import LANGUAGES, _, language, ngettext, use_language
from regauge.report import choice_charts, choice_view
from regauge.report.html import asset, environment


def render_choice(recommendation: Recommendation, lang: str | None = None) -> str:
    """The page as one string, opened in `lang` (the current language when None)."""
    with use_language(lang or language()) as chosen:
        parts = {key: _part(recommendation, key) for key in LANGUAGES}
        return (
            _environment()
            .get_template("parts_page.html.j2")
            .render(
                name=recommendation.needs.name,
                version=__version__,
                chosen=chosen,
                languages=LANGUAGES,
                parts=parts,
                style=asset("style.css"),
                script=asset("page.js"),
            )
        )


def _part(recommendation: Recommendation, key: str) -> Markup:
    with use_language(key):
        text = (
            _environment()
            .get_template("choice.html.j2")
            .render(
                found=recommendation,
                language=key,
                version=__version__,
                shares=choice_charts.share_chart(recommendation),
                shifts=choice_charts.shift_plots(recommendation),
            )
        )
    return Markup(text)


def _environment() -> Environment:
    found = environment()
    found.globals.update(
        view=choice_view,
        _=_,
        ngettext=ngettext,
        fact_text=translated,
        known_kinds=choice_view.KINDS,
        criteria=choice_view.CRITERIA,
    )
    return found
