"""An audit in a terminal: the totals, then what is to be done; the page and audit.json hold everything."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from regauge.decide.audit.areas import DEGREE_NAMES, DEGREE_TEXTS
from regauge.decide.audit.result import DEGREES, Audit
from regauge.language import _, ngettext
from regauge.report import audit_view as view
from regauge.report.blocks import STYLES, show, table_of

ROWS = 15  # of each table
# Title, heads, rows and the columns of numbers.
Section = tuple[str, Sequence[str], Sequence[Sequence[str]], Sequence[int]]


def render_audit(audit: Audit, console: Console) -> None:
    """Print an audit."""
    first, *others = view.headline(audit)
    console.print(Text(first, style=f"bold {STYLES['good' if view.tone(audit) == 'good' else 'open']}"))
    for sentence in others:
        console.print(Text(sentence))
    for sentence in view.limits(audit):
        console.print(Text(f"  · {sentence}", style="dim"))
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
    title = _("files: {files}, lines: {lines}, of them with the framework: {used}")
    title = title.format(files=counts.files, lines=counts.lines, used=counts.framework_lines)
    show(console, table_of(title, heads, rows, numeric=(1, 2)))


def _tables(audit: Audit, console: Console) -> None:
    for title, heads, rows, numeric in (*_by_use(audit), *_surroundings(audit)):
        if rows:
            show(console, table_of(title, heads, rows[:ROWS], numeric=numeric))
            _more(console, len(rows))


def _by_use(audit: Audit) -> list[Section]:
    lines = (_("lines"), *view.degree_heads())
    directories = [(row[0], row[1], *row[3:]) for row in view.directory_rows(audit)]
    by_hand = [(row[0], *row[2:]) for row in view.name_rows(audit, ("manual", "none"))]
    return [
        (_("Directories"), (_("directory"), _("files"), *lines, _("hazards")), directories, range(1, 8)),
        (_("What it is used for"), (_("area"), _("uses"), *view.degree_heads()), view.area_rows(audit), range(1, 6)),
        (_("To be rewritten"), (_("name"), _("instead"), _("uses"), _("where"), _("why")), by_hand, (2,)),
    ]


def _surroundings(audit: Audit) -> list[Section]:
    lines = (_("lines"), *view.degree_heads())
    libraries = [row[:5] for row in view.library_rows(audit)]
    several = any(row.role == "other" for row in audit.frameworks) or len(audit.frameworks) > 1
    frameworks = view.framework_rows(audit) if several else []
    heads = (_("framework"), _("role"), _("files"), _("lines"), _("uses"), _("state"), _("source"))
    return [
        (_("Libraries"), (_("library"), _("files"), _("counterpart"), _("how far"), _("why")), libraries, (1,)),
        (_("Tool chain"), (_("where"), _("before"), _("after"), _("why")), view.change_rows(audit), ()),
        (
            _("Cases that were converted for real"),
            (_("case"), _("outcome"), _("classes"), _("gaps")),
            view.case_rows(audit),
            (),
        ),
        (
            _("Work, in order"),
            (_("step"), _("files"), *lines, _("hazards"), _("needs step")),
            view.work_rows(audit),
            (0, *range(2, 8)),
        ),
        (_("Frameworks"), heads, frameworks, (2, 3, 4)),
    ]


def _hazards(audit: Audit, console: Console) -> None:
    rows = view.hazard_rows(audit)
    if rows:
        console.print()
        console.print(Text(_("What stops tracing, or means something else under it"), style="bold"))
    for row in rows:
        console.print(Text(f"{row.title} ({len(row.places)})", style="yellow" if row.stops else "cyan"))
        console.print(Text("  " + _("why: ") + row.why))
        console.print(Text("  " + _("instead: ") + row.instead))
        for where, what in row.places[: view.PLACES]:
            console.print(Text.assemble(("  " + where, "dim"), f"  {what}"))
        left = len(row.places) - view.PLACES
        if left > 0:
            console.print(Text("  " + ngettext("and {n} more", "and {n} more", left).format(n=left), "dim"))


def _more(console: Console, count: int) -> None:
    left = count - ROWS
    if left > 0:
        console.print(Text(ngettext("and {n} more", "and {n} more", left).format(n=left), style="dim"))
