"""A recommendation for a terminal: the same content as the page, without its pictures and the full list of evidence."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from regauge.decide.recommendation import Reason, Recommendation
from regauge.language import _, ngettext
from regauge.report import choice_view as view
from regauge.report.blocks import STYLES, show, table_of

# What the terminal shows of long lists; the page and the JSON hold all of them.
SHOWN_FLIPS = 6
SHOWN_UNKNOWNS = 8


def render_choice_text(found: Recommendation, console: Console) -> None:
    """Print the answer, then what it rests on."""
    first, *others = view.headline(found)
    console.print(Text(first, style=f"bold {STYLES[view.tone(found)]}"))
    for sentence in others:
        console.print(Text(sentence))
    for sentence in view.scope(found):
        console.print(Text(f"  · {sentence}", style="dim"))
    heads = (_("candidate"), _("ranks first"), _("mean value"), _("confidence factor"), _("not shown to meet"))
    show(console, table_of(_("Acceptability"), heads, view.ranking_rows(found), (1, 2, 3)))
    if found.eliminated:
        removed = [(view.name_of(row.candidate), row.need, row.fact, row.source) for row in found.eliminated]
        show(console, table_of(_("Eliminated by facts"), (_("candidate"), _("need"), _("fact"), _("source")), removed))
    name = view.name_of(found.front[0])
    _reasons(console, _("For {name}").format(name=name), found.reasons, "green", "+")
    _reasons(console, _("Against {name}").format(name=name), found.against, "red", "-")
    _flips(console, found)
    _unknowns(console, found)
    if found.stack is not None:
        stack = [row[:4] for row in view.library_rows(found.stack, first=True)]
        names = (_("part"), _("library"), _("version"), _("address"))
        show(console, table_of(_("The stack that goes with it"), names, stack))


def _reasons(console: Console, title: str, reasons: Sequence[Reason], style: str, mark: str) -> None:
    if not reasons:
        return
    console.print()
    console.print(Text(title, style="bold"))
    for reason in reasons:
        line = Text(f"  {mark} ", style).append(view.reason_text(reason), "default")
        console.print(line.append(f"  [{', '.join(reason.evidence)}]", "dim"))


def _flips(console: Console, found: Recommendation) -> None:
    if not found.flips_if:
        return
    heads = (_("kind"), _("change"), _("size"), _("answer"))
    rows = view.flip_rows(found.flips_if[:SHOWN_FLIPS])
    show(console, table_of(_("What would change the answer"), heads, rows, (2,)))
    _more(console, len(found.flips_if) - len(rows))


def _unknowns(console: Console, found: Recommendation) -> None:
    if not found.unknowns:
        return
    console.print()
    console.print(Text(_("Not known"), style="bold"))
    for what, settle, where in view.unknown_rows(found.unknowns[:SHOWN_UNKNOWNS]):
        line = Text("  ? ", "yellow").append(what, "default").append(f"  → {settle}", "bold")
        console.print(line.append(f" {where}" if where else "", "dim"))
    _more(console, len(found.unknowns) - SHOWN_UNKNOWNS)


def _more(console: Console, count: int) -> None:
    if count > 0:
        console.print(Text("  " + ngettext("and {n} more", "and {n} more", count).format(n=count), "dim"))
