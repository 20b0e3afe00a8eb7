"""``regauge check``: judge two models that somebody wrote, or convert one case and judge that; nothing is measured."""

from __future__ import annotations

import shutil
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
from regauge.verify.result import Check

FAIL_ON = ("different", "not-checked")


class BadChoice(RegaugeError):
    """Options that do not go together, or a value that is none of the choices."""

    default_code = "U120"


def check(
    original: Annotated[str, options.case_argument("ORIGINAL")],
    converted: Annotated[str | None, options.converted_argument()] = None,
    weight_map: Annotated[Path | None, options.map_option()] = None,
    save_map: Annotated[Path | None, options.save_map_option()] = None,
    fail_on: Annotated[str | None, options.fail_on_option()] = None,
    out: Annotated[Path, options.out_option()] = Path(options.DEFAULT_OUT),
    quick: Annotated[bool, typer.Option("--quick", metavar="", help=_("fewer inputs and steps"))] = False,
    fresh: Annotated[bool, options.fresh_option()] = False,
    layers: Annotated[str | None, options.layers_option()] = None,
    timeout: Annotated[float | None, options.timeout_option()] = None,
    torch_python: Annotated[str | None, options.torch_python_option()] = None,
    jax_python: Annotated[str | None, options.jax_python_option()] = None,
    original_python: Annotated[str | None, options.original_python_option()] = None,
    converted_python: Annotated[str | None, options.converted_python_option()] = None,
    as_json: Annotated[bool, options.json_option()] = False,
    lang: Annotated[str | None, options.lang_option()] = None,
) -> int:
    _refuse(converted, weight_map, save_map, fail_on)
    sides = options.interpreters(torch_python, jax_python)
    chosen = Options(quick=quick, fresh=fresh, timeout=timeout, layers=layers, interpreters=sides)
    place = prepare_output(out)
    if converted is not None:
        from regauge.judging import judge_cases

        with resumable(), writing(place), alone(place), Bar() as bar:
            pythons = {"original": original_python, "converted": converted_python}
            found = judge_cases(original, converted, place, chosen, bar, weight_map=weight_map, pythons=pythons)
        if save_map is not None and (place / "weight_map.json").is_file():
            shutil.copyfile(place / "weight_map.json", save_map)
        html = _page(found, place)
        if as_json:
            print_json({"ok": found.equal, "html": str(html), "check": found.to_json()})
            return exit_code(found, fail_on)
        _show(found, found.case, None, html, place)
        return exit_code(found, fail_on)
    with resumable(), writing(place), alone(place), Bar() as bar:
        conversion = convert_stage(original, place, chosen, bar)
        found = check_stage(original, conversion, place, chosen, bar)
    html = _page(found, place)
    if as_json:
        data = {"ok": found.equal, "html": str(html), "check": found.to_json(), "conversion": conversion.to_json()}
        print_json(data)
        return exit_code(found, fail_on)
    _show(found, original, conversion.folder, html, place)
    if found.equal:
        print_next(stderr(), f"regauge compare {original} --out {out}")
    return exit_code(found, fail_on)


def exit_code(found: Check, fail_on: str | None) -> int:
    """0 when the models are equal; ``different`` forgives what was not checked, ``not-checked`` forgives nothing."""
    if fail_on == "different":
        return int(found.verdict == "different")
    if fail_on == "not-checked":
        return int(not found.equal or bool(found.not_checked))
    return 0 if found.equal else 1


def _page(found: Check, place: Path) -> Path:
    from regauge.report.check_html import write_check_page

    with writing(place):
        return write_check_page(found, place)


def _show(found: Check, case: str, folder: Path | None, html: Path, place: Path) -> None:
    from regauge.report.check_text import render_check
    from regauge.report.check_view import next_steps
    from regauge.report.document import build_document

    render_check(build_document(case=case, folder=folder, check=found), stdout())
    stderr().print(_("every distance: {file}").format(file=place / "check.json"), style="dim")
    print_next(stderr(), *next_steps(found), _("open {path} in a browser").format(path=html))


def _refuse(converted: str | None, weight_map: Path | None, save_map: Path | None, fail_on: str | None) -> None:
    if fail_on is not None and fail_on not in FAIL_ON:
        raise BadChoice("unknown value of --fail-on", received=fail_on, next=f"choose from: {', '.join(FAIL_ON)}")
    if converted is None and (weight_map is not None or save_map is not None):
        raise BadChoice(
            "--map and --save-map are for two models",
            why="the map of a conversion that regauge makes is known",
            next="regauge check ORIGINAL CONVERTED --map FILE",
        )
