"""``regauge report RESULT``: the report again, in any language, from the stored results alone."""

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
        Path, typer.Argument(metavar="RESULT", help=_("a directory that regauge compare wrote, or its document.json"))
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help=_("where report.html goes; beside the results if absent")),
    ] = None,
    as_json: Annotated[bool, options.json_option()] = False,
    lang: Annotated[str | None, options.lang_option()] = None,
) -> int:
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
