"""Facts in the terminal: an overview by area, a list, one fact with its sources, what the checks said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from regauge.decide.fact_checks import STATUSES, CheckResult
from regauge.decide.fact_words import (
    AREAS,
    CONFIDENCES,
    FRAMEWORKS,
    KINDS,
    LEVELS,
    in_language,
    label,
    translated,
    value_text,
)
from regauge.decide.fact_words import STATUSES as STATUS_LABELS
from regauge.decide.facts import Fact, FactBase, Retirement, Source
from regauge.language import _, ngettext, translate_message
from regauge.report.wording import join_words

STYLES = {"confirmed": "green", "stale": "bold yellow", "not checked": "dim", "failed": "red"}
# The two that most questions are answered for have columns of their own in the overview.
COLUMNS = ("pytorch", "jax")


def print_overview(console: Console, facts: Sequence[Fact], results: Mapping[str, CheckResult]) -> None:
    """One table per area: a question in each row, the answers of the frameworks beside each other."""
    for area in dict.fromkeys(fact.area for fact in facts):
        table = Table(title=label(AREAS, area), title_justify="left")
        for head in (_("what is asked"), *(FRAMEWORKS[name] for name in COLUMNS), _("others")):
            table.add_column(head, overflow="fold")
        inside = [fact for fact in facts if fact.area == area]
        for dimension in dict.fromkeys(fact.dimension for fact in inside):
            answers = {fact.framework: fact for fact in inside if fact.dimension == dimension}
            own = [_answer(answers[name], results) if name in answers else "" for name in COLUMNS]
            others = [
                f"{label(FRAMEWORKS, name)} {_answer(fact, results)}"
                for name, fact in answers.items()
                if name not in COLUMNS
            ]
            table.add_row(dimension, *own, join_words(others))
        console.print(table)
    console.print(
        _("{facts} facts about {frameworks} frameworks, {checks} with a machine check").format(
            facts=len(facts),
            frameworks=len({fact.framework for fact in facts} - {"common"}),
            checks=sum(fact.check is not None for fact in facts),
        )
    )


def print_list(console: Console, facts: Sequence[Fact], results: Mapping[str, CheckResult]) -> None:
    """Two lines for each fact: its answer with the version or date that it is about, and its statement."""
    for fact in facts:
        shown = in_language(fact)
        line = (
            Text(fact.id, "bold")
            .append(f"  {fact.dimension}{_(': ')}", "default")
            .append(_answer(fact, results), "bold")
        )
        console.print(line.append(f"  ({shown.about})", "dim"))
        console.print(f"    {shown.statement}")


def print_fact(console: Console, fact: Fact, result: CheckResult | None, retirement: Retirement | None) -> None:
    """Everything about one fact, headed by the warning that its framework ended, if it did."""
    shown = in_language(fact)
    if retirement:
        _print_retirement(console, retirement)
    console.print(f"{fact.id}  ({label(FRAMEWORKS, fact.framework)}, {label(AREAS, fact.area)})", style="bold")
    console.print(f"{fact.dimension}{_(': ')}{value_text(fact)}")
    console.print(shown.statement)
    _print_field(console, _("note"), shown.note)
    _print_field(console, _("about"), shown.about)
    _print_field(console, _("confidence"), label(CONFIDENCES, fact.confidence))
    _print_field(console, _("replaced by"), shown.replaced_by)
    print_sources(console, fact.sources)
    if fact.check:
        _print_field(console, _("machine check"), f"{fact.check.expr}  ({label(LEVELS, fact.check.level)})")
        console.print(f"    import {', '.join(fact.check.imports)}", style="dim")
    else:
        _print_field(console, _("machine check"), _("none: only the sources say so"))
    if result:
        console.print(Text("  ").append(_status_text(result)))


def print_sources(console: Console, sources: Sequence[Source]) -> None:
    """Each source with its kind and where it can be read."""
    for source in sources:
        console.print(Text("  ").append(label(KINDS, source.kind) + _(": "), "dim").append(source.ref))
        for link in source.links:
            if link != source.ref:
                console.print(f"      {link}")


def _print_retirement(console: Console, retirement: Retirement) -> None:
    """That a framework ended, since when, and what came after it; its fact has the sources."""
    name = label(FRAMEWORKS, retirement.framework)
    if retirement.successor:
        sentence = _("{framework} is not developed any more (as of {date}); use instead: {successor}")
    else:
        sentence = _("{framework} is not developed any more (as of {date}); the project names no successor")
    successor = translated(retirement.successor) if retirement.successor else ""
    date = translated(retirement.date)
    console.print(sentence.format(framework=name, date=date, successor=successor), style="bold yellow")


def print_results(console: Console, base: FactBase, results: Sequence[CheckResult]) -> None:
    """What the checks said: how many of each status, then everything that was not confirmed."""
    if not results:
        console.print(_("none of these facts has a machine check"))
        return
    counts = Counter(result.status for result in results)
    for status in STATUSES:
        if counts[status]:
            console.print(f"{label(STATUS_LABELS, status)}{_(': ')}{counts[status]}", style=STYLES[status])
    versions = {name: version for result in results for name, version in result.versions.items()}
    console.print(", ".join(f"{name} {version}" for name, version in sorted(versions.items())), style="dim")
    for result in results:
        if result.status == "confirmed" and len(results) > 1:
            continue
        fact = base.by_id(result.id)
        console.print(Text(f"{fact.id}  ").append(_status_text(result)))
        console.print(f"    {translated(fact.statement)} ({translated(fact.about)})")
        if result.status in ("stale", "failed"):
            console.print(f"    {result.expr}", style="dim")
    if counts["stale"]:
        console.print(stale_sentence(counts["stale"]), style="yellow")


def stale_sentence(count: int) -> str:
    """What a stale fact means for the reader."""
    return ngettext(
        "{n} fact is contradicted by what is installed: look at its sources again before you rely on it",
        "{n} facts are contradicted by what is installed: look at their sources again before you rely on them",
        count,
    ).format(n=count)


def _answer(fact: Fact, results: Mapping[str, CheckResult]) -> str:
    """The value, marked where a check that was run here contradicts it."""
    stale = fact.id in results and results[fact.id].status == "stale"
    return f"{value_text(fact)} ({_('stale')})" if stale else value_text(fact)


def _status_text(result: CheckResult) -> Text:
    """``stale: look again (2026-11-25, torch 2.13.0)``."""
    text = Text(label(STATUS_LABELS, result.status), STYLES[result.status])
    if result.status == "stale":
        text.append(_(": ") + _("look again, the fact was true of what it is about"))
    elif result.reason:
        text.append(_(": ") + translate_message(result.reason))
    known = [f"{name} {version}" for name, version in result.versions.items()]
    place = [result.python] if result.status == "not checked" else []
    return text.append(f"  ({join_words([result.date, *known, *place])})", "dim")


def _print_field(console: Console, name: str, value: str | None) -> None:
    if value:
        console.print(Text("  ").append(name + _(": "), "dim").append(value))
