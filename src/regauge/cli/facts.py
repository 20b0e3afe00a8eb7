"""``regauge facts [NAME]``: what is documented about the frameworks, with sources, and whether it still holds here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from regauge.cli import fact_tables, options
from regauge.cli.terminal import print_json, print_next, stderr, stdout
from regauge.decide.fact_checks import SECONDS, STATUSES, CheckResult, check_facts
from regauge.decide.fact_file import AREAS
from regauge.decide.fact_results import store, stored_results
from regauge.decide.facts import Fact, FactBase, UnknownFact, load, near
from regauge.language import _
from regauge.output import prepare_output, writing


def facts(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help=_("a fact, a question, a framework, an area, or a part of such a name")),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", metavar="", help=_("evaluate the machine checks against what is installed"))
    ] = False,
    framework: Annotated[
        str | None, typer.Option("--framework", metavar="NAME", help=_("only the facts about this framework"))
    ] = None,
    area: Annotated[str | None, typer.Option("--area", metavar="NAME", help=_("only the facts of this area"))] = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help=_("where the results of the checks are kept"))
    ] = Path(options.DEFAULT_OUT),
    torch_python: Annotated[str | None, options.torch_python_option()] = None,
    jax_python: Annotated[str | None, options.jax_python_option()] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=1, help=_("give up a single check after this time"))
    ] = SECONDS,
    as_json: Annotated[bool, options.json_option()] = False,
    lang: Annotated[str | None, options.lang_option()] = None,
) -> int:
    base = load()
    found = _selected(base, name, framework, area)
    if check:
        out = prepare_output(out)
        doing = _("checking facts against what is installed")
        with writing(out), stderr().status(doing) as status:
            results = check_facts(
                found,
                interpreters=options.interpreters(torch_python, jax_python),
                seconds=timeout,
                progress=lambda done, total: status.update(f"{doing} {done}/{total}"),
            )
            path = store(results, out)
        return _report(base, results, path, as_json)
    results_by_id = stored_results(out)
    if as_json:
        print_json({"ok": True, "count": len(found), "facts": [_json(base, fact, results_by_id) for fact in found]})
    else:
        _show(base, found, results_by_id, filtered=bool(name or framework or area))
    return 0


def _selected(base: FactBase, name: str | None, framework: str | None, area: str | None) -> list[Fact]:
    """The facts that the arguments ask for, at least one."""
    if framework is not None and framework not in base.frameworks():
        raise UnknownFact(
            f"no fact is about a framework called {framework}",
            received=framework,
            next=_offer(framework, base.frameworks()),
        )
    if area is not None and area not in AREAS:
        raise UnknownFact(f"there is no area called {area}", received=area, next=_offer(area, AREAS))
    named = base.facts if name is None else _named(base, name)
    found = [
        fact
        for fact in named
        if (framework is None or fact.framework == framework) and (area is None or fact.area == area)
    ]
    if not found:
        asked = " ".join(word for word in (name, framework, area) if word)
        raise UnknownFact(
            f"no fact fits all that was asked for: {asked}", received=asked, next="leave out --framework or --area"
        )
    return found


def _named(base: FactBase, name: str) -> Sequence[Fact]:
    """A fact, all answers to a question, all facts of a framework or area, or all that have `name` in their names."""
    exact = [fact for fact in base.facts if fact.id == name] or base.about(name) or base.of(name)
    exact = exact or [fact for fact in base.facts if fact.area == name]
    found = exact or [fact for fact in base.facts if name in fact.id or name in fact.dimension]
    if not found:
        known = [*(fact.id for fact in base.facts), *base.frameworks(), *AREAS, *base.dimensions()]
        close = near(name, known)
        raise UnknownFact(
            f"no fact, question, framework or area is called {name}",
            received=name,
            next=f"close names: {', '.join(close)}" if close else "regauge facts lists all of them",
        )
    return found


def _offer(name: str, known: Sequence[str]) -> str:
    close = near(name, known)
    return f"close names: {', '.join(close)}" if close else f"one of {', '.join(known)}"


def _json(base: FactBase, fact: Fact, results: Mapping[str, CheckResult]) -> dict[str, Any]:
    result = results.get(fact.id)
    retirement = base.retired(fact.framework)
    return {
        **fact.to_json(),
        "checked": result.to_json() if result else None,
        "retired": retirement.to_json() if retirement else None,
    }


def _show(base: FactBase, found: Sequence[Fact], results: Mapping[str, CheckResult], filtered: bool) -> None:
    console = stdout()
    stale = sum(fact.id in results and results[fact.id].status == "stale" for fact in found)
    if len(found) == 1:
        fact_tables.print_fact(console, found[0], results.get(found[0].id), base.retired(found[0].framework))
        others = [fact.id for fact in base.about(found[0].dimension) if fact.id != found[0].id]
        print_next(stderr(), *(f"regauge facts {id}" for id in others[:2]))
        return
    if filtered:
        fact_tables.print_list(console, found, results)
        print_next(stderr(), f"regauge facts {found[0].id}")
    else:
        fact_tables.print_overview(console, found, results)
        print_next(stderr(), "regauge facts onnx_export", "regauge facts --area deployment", "regauge facts --check")
    if stale:
        console.print(fact_tables.stale_sentence(stale), style="yellow")


def _report(base: FactBase, results: Sequence[CheckResult], path: Path, as_json: bool) -> int:
    """What the checks said; 1 if a fact is contradicted."""
    stale = [result for result in results if result.status == "stale"]
    counts = Counter(result.status for result in results)
    if as_json:
        print_json(
            {
                "ok": not stale,
                "counts": {status: counts[status] for status in STATUSES},
                "file": str(path),
                "results": [result.to_json() for result in results],
            }
        )
    else:
        fact_tables.print_results(stdout(), base, results)
        stderr().print(_("every result: {file}").format(file=path), style="dim")
        print_next(stderr(), *([f"regauge facts {result.id}" for result in stale] or ["regauge facts"]))
    return 1 if stale else 0
