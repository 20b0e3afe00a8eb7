"""An audit as one self-contained page in the look of the other reports: no request leaves it, both languages inside."""

from __future__ import annotations

from jinja2 import Environment
from markupsafe import Markup

from regauge.decide.audit.areas import DEGREE_NAMES, DEGREE_TEXTS
from regauge.decide.audit.result import DEGREES, Audit
from regauge.language import LANGUAGES, language, use_language
from regauge.report import audit_view as view
from regauge.report.html import asset, environment

MOST_ROWS = 400  # of a table; audit.json holds all


def render_audit_html(audit: Audit, name: str, created: str, lang: str | None = None) -> str:
    """The page as one string, opened in `lang` (the current language when None).

    Args:
        name: what the page calls the tree.
        created: date and time that the page shows.

    Raises:
        UnknownLanguage: `lang` is not one of `LANGUAGES`.
    """
    with use_language(lang or language()) as chosen:
        templates = environment()
        parts = {key: _part(templates, audit, key, created) for key in LANGUAGES}
        return templates.get_template("parts_page.html.j2").render(
            name=name,
            version=audit.regauge,
            chosen=chosen,
            languages=LANGUAGES,
            parts=parts,
            style=asset("style.css") + asset("audit.css"),
            script=asset("page.js"),
        )


def _part(templates: Environment, audit: Audit, key: str, created: str) -> Markup:
    with use_language(key):
        template = templates.get_template("audit_part.html.j2")
        return Markup(
            template.render(
                audit=audit,
                view=view,
                language=key,
                created=created,
                most=MOST_ROWS,
                bars=_bars(audit),
                degrees=DEGREES,
                degree_names=DEGREE_NAMES,
                degree_texts=DEGREE_TEXTS,
            )
        )


def _bars(audit: Audit) -> list[tuple[str, float, float]]:
    """Class, start and width of each part of the bar of all lines, in percent."""
    found: list[tuple[str, float, float]] = []
    reached = 0.0
    for degree in DEGREES:
        share = audit.totals.share(degree) or 0.0
        if share:
            found.append((degree, round(100 * reached, 2), round(100 * share, 2)))
        reached += share
    return found
