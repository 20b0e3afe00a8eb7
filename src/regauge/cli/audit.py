"""``regauge audit PATH``: what a code base uses, and what a switch to the other framework would take."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from regauge.cli import options
from regauge.cli.terminal import print_json, print_next, stderr, stdout
from regauge.decide.audit.conversions import Options
from regauge.decide.audit.result import Audit
from regauge.language import _, ngettext
from regauge.language import language as current_language
from regauge.output import prepare_output, writing
from regauge.run.protocol import write_json

RESULT, PAGE = "audit.json", "audit.html"


def audit(
    path: Annotated[Path, typer.Argument(metavar="PATH", help=_("a directory, a Python file or a notebook"))],
    to: Annotated[
        str | None, typer.Option("--to", metavar="jax|torch", help=_("target framework; the other one if absent"))
    ] = None,
    write: Annotated[
        Path | None,
        typer.Option(
            "--write", metavar="DIR", help=_("write the tool chain of the new side here, originals untouched")
        ),
    ] = None,
    cases: Annotated[
        list[str] | None,
        typer.Option("--cases", metavar="CASE", help=_("convert this case for real; may be given several times")),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option("--exclude", metavar="GLOB", help=_("leave out what matches; may be given several times")),
    ] = None,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help=_("where audit.json and audit.html go"))] = Path(
        options.DEFAULT_OUT
    ),
    timeout: Annotated[float | None, options.timeout_option()] = None,
    torch_python: Annotated[str | None, options.torch_python_option()] = None,
    jax_python: Annotated[str | None, options.jax_python_option()] = None,
    as_json: Annotated[bool, options.json_option()] = False,
    lang: Annotated[str | None, options.lang_option()] = None,
) -> int:
    from regauge.decide.audit.tree import audit_tree

    sides = options.interpreters(torch_python, jax_python)
    result = audit_tree(
        path,
        to,  # type: ignore[arg-type]
        exclude=exclude or (),
        cases=cases or (),
        options=Options(sides, timeout),
    )
    written = _write_tool_chain(result, write)
    place = prepare_output(out)
    with writing(place):
        write_json(place / RESULT, result.to_json())
        html = _write_page(result, place / PAGE)
    if as_json:
        print_json(_json(result, html, write, written))
        return 0
    from regauge.report.audit_text import render_audit

    render_audit(result, stdout())
    _next(result, path, html, write, written)
    return 0


def _write_tool_chain(result: Audit, directory: Path | None) -> tuple[Path, ...]:
    from regauge.decide.audit.toolchain.writing import write_files

    if directory is None:
        return ()
    prepare_output(directory.resolve().parent)
    with writing(directory.resolve().parent):
        return write_files(result, directory)


def _write_page(result: Audit, path: Path) -> Path:
    from regauge.report.audit_html import render_audit_html
    from regauge.report.document import write_text

    created = datetime.now().astimezone().isoformat(timespec="seconds")
    name = Path(result.path).name
    return write_text(path, render_audit_html(result, name, created, current_language()))


def _next(result: Audit, path: Path, html: Path, write: Path | None, written: tuple[Path, ...]) -> None:
    console = stderr()
    if write is not None:
        text = ngettext(
            "{n} file of the tool chain written to {place}",
            "{n} files of the tool chain written to {place}",
            len(written),
        )
        console.print(text.format(n=len(written), place=write))
    print_next(console, _("open {path} in a browser").format(path=html))
    if result.target == "jax" and result.totals.framework_lines and not result.cases:
        print_next(console, f"regauge audit {path} --cases FILE.py:NAME")
    if result.tool_chain and write is None:
        print_next(console, f"regauge audit {path} --write DIR")


def _json(result: Audit, html: Path, write: Path | None, written: tuple[Path, ...]) -> dict[str, Any]:
    return {
        "ok": True,
        "html": str(html),
        "written": [str(Path(write or "") / name) for name in written],
        "audit": result.to_json(),
    }
