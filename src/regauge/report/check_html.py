"""A check as one self-contained page in the look of the other reports: no request leaves it, both languages inside."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment
from markupsafe import Markup

from regauge.cases import case_path
from regauge.errors import BadResult, WeightMismatch
from regauge.language import LANGUAGES, language, use_language
from regauge.report import check_charts, check_view, view
from regauge.report.document import Document, build_document, write_text
from regauge.report.excerpts import Excerpt, excerpt
from regauge.report.highlight import listings
from regauge.report.html import asset, environment
from regauge.run.protocol import read_json
from regauge.verify.result import Check
from regauge.weights.pair_map import PairMap

CHECK, PAGE, MAP, CONVERSION = "check.json", "check.html", "weight_map.json", "conversion"


@dataclass(frozen=True)
class CheckPage:
    """What the page shows.

    Attributes:
        document: the check with findings, weights of a conversion, environment and commands.
        excerpts: the sources around the first difference, the original's first.
        map: of the weights of a pair, if there is one.
        reproduction: text of the file that fails alone, if there is one.
    """

    document: Document
    excerpts: tuple[Excerpt, ...] = ()
    map: PairMap | None = None
    reproduction: str = ""

    @property
    def check(self) -> Check:
        """The check itself."""
        if self.document.check is None:
            raise BadResult("the document holds no check")
        return self.document.check


def read_check(file: Path) -> Check:
    """The check in a ``check.json``.

    Raises:
        BadResult: there is none, or it is damaged.
    """
    try:
        return Check.from_json(read_json(file))
    except FileNotFoundError as error:
        raise BadResult("no stored check here", where=str(file), next="run regauge check first") from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadResult(
            f"the stored check cannot be read: {type(error).__name__}: {error}",
            where=str(file),
            next="run regauge check again",
        ) from error


def check_page(check: Check, directory: Path, created: str | None = None) -> CheckPage:
    """The page of a check whose results lie in a directory: the map, the conversion and the sources are read anew.

    Args:
        check: what was found.
        directory: with ``weight_map.json`` or ``conversion/``, as far as they are there.
        created: UTC time in ISO 8601; now when None.
    """
    folder = None if check.sides else directory / CONVERSION
    document = build_document(
        case=check.case,
        folder=folder if folder and folder.is_dir() else None,
        check=check,
        environment={**check.environment, "versions": check.versions},
        commands=_commands(check),
        created=created,
    )
    roots = [Path.cwd(), *_case_folders(check), *([folder] if folder else [])]
    return CheckPage(
        document,
        tuple(excerpt(place, roots) for place in check.places),
        _map(directory / MAP) if check.sides else None,
        _reproduction(check),
    )


def render_check_html(page: CheckPage, lang: str | None = None) -> str:
    """The page as one string, opened in `lang` (the current language when None).

    Raises:
        UnknownLanguage: `lang` is not one of `LANGUAGES`.
    """
    with use_language(lang or language()) as chosen:
        templates = environment()
        return templates.get_template("check.html.j2").render(
            name=page.document.name,
            version=page.document.regauge,
            chosen=chosen,
            languages=LANGUAGES,
            parts={key: _part(templates, "check_part.html.j2", page, key) for key in LANGUAGES},
            details={key: _part(templates, "check_details.html.j2", page, key) for key in LANGUAGES},
            tensors=view.tensor_rows(page.check.tiers)[: check_view.MOST_ROWS],
            listings=listings(page.document.sources, page.document.lines) if page.document.lines else (),
            style=asset("style.css") + asset("check.css"),
            script=asset("page.js"),
        )


def write_check_page(check: Check, directory: Path) -> Path:
    """``check.html`` in a directory, from the check and what lies beside it.

    Raises:
        OutputError: the place cannot be written.
    """
    return write_text(directory / PAGE, render_check_html(check_page(check, directory)))


def _part(templates: Environment, template: str, page: CheckPage, key: str) -> Markup:
    with use_language(key):
        return Markup(
            templates.get_template(template).render(
                page=page,
                document=page.document,
                check=page.check,
                language=key,
                depth=check_charts.depth_plot(page.check.modules),
                histograms=check_charts.histograms(page.check),
            )
        )


def _commands(check: Check) -> tuple[str, ...]:
    again = f"regauge check {' '.join(check.sides) if check.sides else check.case}"
    return (again, f"python {check.reproduce}") if check.reproduce else (again,)


def _case_folders(check: Check) -> Iterable[Path]:
    paths = (case_path(reference) for reference in (check.sides or (check.case,)))
    return [path.parent for path in paths if path is not None]


def _map(file: Path) -> PairMap | None:
    try:
        return PairMap.from_json(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, WeightMismatch):
        return None  # the page is about the check; what it says of the weights is a help


def _reproduction(check: Check) -> str:
    try:
        return Path(check.reproduce).read_text(encoding="utf-8") if check.reproduce else ""
    except OSError:
        return ""
