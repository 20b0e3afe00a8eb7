"""``regauge check CASE``: convert, then judge against float64; nothing is measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regauge.cli import options
from regauge.cli.progress import Bar
from regauge.cli.terminal import print_json, print_next, resumable, stderr, stdout
from regauge.errors import RegaugeError
from regauge.language import _
from regauge.output import prepare_output, writing
from regauge.pipeline import Options, alone, check_stage, convert_stage


class NoSuchPair(RegaugeError):
    """A pair of models was given where this version judges a case."""

    default_code = "U120"


def check(
    case: Annotated[str, options.case_argument()],
    converted: Annotated[str | None, typer.Argument(hidden=True)] = None,
    out: Annotated[Path, options.out_option()] = Path(options.DEFAULT_OUT),
    quick: Annotated[bool, typer.Option("--quick", metavar="", help=_("fewer inputs and steps"))] = False,
    fresh: Annotated[bool, options.fresh_option()] = False,
    timeout: Annotated[float | None, options.timeout_option()] = None,
    torch_python: Annotated[str | None, options.torch_python_option()] = None,
    jax_python: Annotated[str | None, options.jax_python_option()] = None,
    as_json: Annotated[bool, options.json_option()] = False,
    lang: Annotated[str | None, options.lang_option()] = None,
) -> int:
    if converted is not None:
        raise NoSuchPair(
            "regauge check takes one case, which it converts itself",
            received=f"{case} {converted}",
            why="this version judges its own conversions, not pairs that were written by hand",
            next=f"regauge check {case}",
        )
    chosen = Options(
        quick=quick, fresh=fresh, timeout=timeout, interpreters=options.interpreters(torch_python, jax_python)
    )
    place = prepare_output(out)
    with resumable(), writing(place), alone(place), Bar() as bar:
        conversion = convert_stage(case, place, chosen, bar)
        found = check_stage(case, conversion, place, chosen, bar)
    if as_json:
        print_json({"ok": found.equal, "check": found.to_json(), "conversion": conversion.to_json()})
        return 0 if found.equal else 1
    from regauge.report.document import build_document
    from regauge.report.text import render_text

    render_text(build_document(case=case, folder=conversion.folder, check=found), stdout())
    if found.equal:
        print_next(stderr(), f"regauge compare {case} --out {out}")
    return 0 if found.equal else 1
