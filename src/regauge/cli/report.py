"""``regauge report RESULT``: the report of a comparison or a check again, in any language, from stored results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regauge.cli import options
from regauge.cli.terminal import print_json, print_next, stderr, stdout
from regauge.language import _
from regauge.language import language as current_language
from regauge.output import prepare_output
from regauge.pipeline import REPORT, write_html


def report(
    result: Annotated[
        Path,
        typer.Argument(
            metavar="RESULT",
            help=_("a directory that regauge compare or check wrote, its document.json or its check.json"),
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help=_("where the page goes; beside the results if absent")),
    ] = None,
    as_json: Annotated[bool, options.json_option()] = False,
    lang: Annotated[str | None, options.lang_option()] = None,
) -> int:
    if is_check(result):
        return _again(result, out, as_json)
    from regauge.report.document import read_document
    from regauge.report.text import render_text

    document = read_document(result)
    place = prepare_output(out or (result if result.is_dir() else result.parent))
    html = write_html(document, place / REPORT, current_language())
    if as_json:
        print_json({"ok": True, "html": str(html), "document": document.model_dump(mode="json")})
        return 0
    render_text(document, stdout())
    print_next(stderr(), _("open {path} in a browser").format(path=html))
    return 0


def is_check(result: Path) -> bool:
    """Whether a result is that of `regauge check` alone: its file, or a directory that holds no comparison."""
    if result.is_dir():
        return (result / "check.json").is_file() and not (result / "document.json").is_file()
    return result.name == "check.json"


def _again(result: Path, out: Path | None, as_json: bool) -> int:
    """The page of a check once more."""
    from regauge.report.check_html import CHECK, PAGE, check_page, read_check, render_check_html
    from regauge.report.check_text import render_check
    from regauge.report.document import write_text

    file = result / CHECK if result.is_dir() else result
    found = read_check(file)
    page = check_page(found, file.parent)
    place = prepare_output(out or file.parent)
    html = write_text(place / PAGE, render_check_html(page, current_language()))
    if as_json:
        print_json({"ok": True, "html": str(html), "check": found.to_json()})
        return 0
    render_check(page.document, stdout())
    print_next(stderr(), _("open {path} in a browser").format(path=html))
    return 0
