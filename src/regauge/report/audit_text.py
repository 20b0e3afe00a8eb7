"""An audit in a terminal: the totals, then what is to be done; the page and audit.json hold everything."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from regauge.decide.audit.areas import DEGREE_NAMES, DEGREE_TEXTS
from regauge.decide.audit.result import DEGREES, Audit
from regauge.language import _, ngettext
from regauge.report import audit_view as view
from regauge.report.text import STYLES, show, table_of

ROWS = 15  # of each table
DEGREE_STYLES = {"automatic": "green", "equivalent": "cyan", "manual": "yellow", "none": "red"}


def render_audit(audit: Audit, console: Console) -> None:
    """Print an audit."""
    first, *others = view.headline(audit)
    console.print(Text(first, style=f"bold {STYLES['good' if view.tone(audit) == 'good' else 'open']}"))
    for sentence in others:
        console.print(Text(sentence))
    for sentence in view.limits(audit):
        console.print(Padding(Text(f"· {sentence}", style="dim"), (0, 0, 0, 2)))
    _totals(audit, console)
    _tables(audit, console)
    _hazards(audit, console)
    for code, where, text in view.finding_rows(audit)[:ROWS]:
        console.print(Text.assemble((f"{code} ", "yellow"), text, (f" ({where})", "dim")))
    _more(console, len(audit.findings))


def _totals(audit: Audit, console: Console) -> None:
    counts = audit.totals
    heads = (_("class"), _("lines"), _("share"), _("meaning"))
    rows = [
        (
            _(DEGREE_NAMES[degree]),
            str(getattr(counts, degree)),
            view.percent(getattr(counts, degree), counts.framework_lines),
            _(DEGREE_TEXTS[degree]),
        )
        for degree in DEGREES
    ]
    title = _("{files} files, {lines} lines, {used} of them use the framework")
    title = title.format(files=counts.files, lines=counts.lines, used=counts.framework_lines)
    show(console, table_of(title, heads, rows, numeric=(1, 2)))


def _tables(audit: Audit, console: Console) -> None:
    lines = (_("lines"), *view.degree_heads())
    _table(
        audit.source and view.directory_rows(audit),
        console,
        _("Directories"),
        (_("directory"), _("files"), _("all lines"), *lines, _("hazards")),
        range(1, 9),
    )
    _table(
        view.area_rows(audit),
        console,
        _("What it is used for"),
        (_("area"), _("uses"), *view.degree_heads()),
        range(1, 6),
    )
    rows = [
        (name, other, uses, places, why)
        for name, _area, other, uses, places, why in view.name_rows(audit, ("manual", "none"))
    ]
    _table(rows, console, _("To be rewritten"), (_("name"), _("instead"), _("uses"), _("where"), _("why")), (2,))
    _table(
        [row[:5] for row in view.library_rows(audit)],
        console,
        _("Libraries"),
        (_("library"), _("files"), _("counterpart"), _("how far"), _("why")),
        (1,),
    )
    _table(view.change_rows(audit), console, _("Tool chain"), (_("where"), _("before"), _("after"), _("why")), ())
    _table(
        view.case_rows(audit),
        console,
        _("Cases that were converted for real"),
        (_("case"), _("outcome"), _("classes"), _("gaps")),
        (),
    )
    _table(
        view.work_rows(audit),
        console,
        _("Work, in order"),
        (_("step"), _("files"), *lines, _("hazards"), _("needs step")),
        range(2, 8),
    )
    frameworks = view.framework_rows(audit) if len(audit.frameworks) > 1 else []
    _table(
        frameworks,
        console,
        _("Frameworks"),
        (_("framework"), _("role"), _("files"), _("lines"), _("uses"), _("state"), _("source")),
        (2, 3, 4),
    )


def _hazards(audit: Audit, console: Console) -> None:
    rows = view.hazard_rows(audit)
    if rows:
        console.print()
        console.print(Text(_("What stops tracing, or means something else under it"), style="bold"))
    for row in rows:
        console.print(Text(f"{row.title} ({len(row.places)})", style="yellow" if row.stops else "cyan"))
        console.print(Padding(Text(_("why: ") + row.why), (0, 0, 0, 2)))
        console.print(Padding(Text(_("instead: ") + row.instead), (0, 0, 0, 2)))
        for where, what in row.places[: view.PLACES]:
            console.print(Padding(Text.assemble((where, "dim"), f"  {what}"), (0, 0, 0, 2)))
        left = len(row.places) - view.PLACES
        if left > 0:
            console.print(
                Padding(Text(ngettext("and {n} more", "and {n} more", left).format(n=left), "dim"), (0, 0, 0, 2))
            )


def _table(
    rows: Sequence[Sequence[str]] | str, console: Console, title: str, heads: Sequence[str], numeric: Sequence[int]
) -> None:
    if not rows:
        return
    show(console, table_of(title, heads, rows[:ROWS], numeric=numeric))
    _more(console, len(rows))


def _more(console: Console, count: int) -> None:
    left = count - ROWS
    if left > 0:
        console.print(Text(ngettext("and {n} more", "and {n} more", left).format(n=left), style="dim"))
