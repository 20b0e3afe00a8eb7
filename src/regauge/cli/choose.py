"""``regauge choose [NEEDS.yaml]``: from needs to a recommendation that can be traced."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from regauge.cli import options
from regauge.cli.terminal import print_json, print_next, stderr, stdout
from regauge.errors import BadNeeds
from regauge.language import _
from regauge.language import language as current_language
from regauge.output import prepare_output, writing

if TYPE_CHECKING:
    from regauge.decide.needs import Needs

TEMPLATE = "NEEDS.yaml"
DOCUMENT = "choice.json"
PAGE = "choice.html"
ENVIRONMENT = "environment"


def choose(
    needs: Annotated[
        Path | None, typer.Argument(metavar="[NEEDS.yaml]", help=_("the needs of the project; asked for if absent"))
    ] = None,
    template: Annotated[
        bool, typer.Option("--template", metavar="", help=_("write a commented NEEDS.yaml and stop"))
    ] = False,
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="DIR", help=_("where the report goes; stored measurements there and one level below count")
        ),
    ] = Path(options.DEFAULT_OUT),
    results: Annotated[
        list[Path] | None,
        typer.Option("--results", metavar="DIR", help=_("another directory with stored measurements; repeatable")),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help=_("of the draws"))] = 0,
    as_json: Annotated[bool, options.json_option()] = False,
    lang: Annotated[str | None, options.lang_option()] = None,
) -> int:
    from regauge.decide.needs import read_needs

    if template:
        return _write_template(needs or Path(TEMPLATE), as_json)
    asked = needs is None
    wanted = read_needs(needs) if needs is not None else _ask(as_json)
    return _recommend(wanted, out, results or [], seed, as_json, asked)


def _recommend(needs: Needs, out: Path, results: list[Path], seed: int, as_json: bool, asked: bool) -> int:
    from regauge.decide.environment import write_environment
    from regauge.decide.recommend import recommend
    from regauge.report.choice_html import render_choice
    from regauge.report.choice_text import render_choice_text
    from regauge.report.document import write_text

    missing = next((place for place in results if not place.is_dir()), None)
    if missing is not None:
        raise BadNeeds(f"no such directory: {missing}", where="--results", next="name a directory of regauge compare")
    found = recommend(needs, results=[out, *results], seed=seed)
    # Everything is made before anything is written: a command that fails leaves nothing behind.
    page, document = render_choice(found, current_language()), _document(found.to_json())
    out = prepare_output(out)
    with writing(out):
        write_text(out / DOCUMENT, document)
        html = write_text(out / PAGE, page)
        files = write_environment(found.stack, out / ENVIRONMENT) if found.stack else ()
    decided = found.choice != "not_enough_evidence"
    if as_json:
        print_json({"ok": decided, **found.to_json()})
    else:
        render_choice_text(found, stdout())
        if asked:
            _save(needs)
        print_next(stderr(), _("open {path} in a browser").format(path=html))
        if files:
            print_next(stderr(), _("environment files: {path}").format(path=out / ENVIRONMENT))
    return 0 if decided else 1


def _document(data: dict[str, Any]) -> str:
    import json

    return json.dumps(data, ensure_ascii=False, indent=1)


def _ask(as_json: bool) -> Needs:
    from regauge.decide.questions import ask_needs

    if as_json:
        raise BadNeeds(
            "with --json nothing is asked",
            code="N130",
            next="regauge choose NEEDS.yaml --json; regauge choose --template writes a commented one",
        )
    return ask_needs()


def _save(needs: Needs) -> None:
    from regauge.decide.needs_template import needs_yaml
    from regauge.decide.questions import ask_where_to_save
    from regauge.report.document import write_text

    path = ask_where_to_save()
    if path is not None:
        write_text(path, needs_yaml(needs))
        print_next(stderr(), f"regauge choose {path}")


def _write_template(path: Path, as_json: bool) -> int:
    from regauge.decide.needs_template import template
    from regauge.report.document import write_text

    _refuse_existing(path)
    text = template()
    write_text(path, text)
    if as_json:
        print_json({"ok": True, "path": str(path), "template": text})
    else:
        stdout().print(str(path))
        print_next(stderr(), _("fill in {path}").format(path=path), f"regauge choose {path}")
    return 0


def _refuse_existing(path: Path) -> None:
    if path.exists():
        raise BadNeeds(
            f"{path} is there already", where=str(path), why="it would be overwritten", next="name another file"
        )
