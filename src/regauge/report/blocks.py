"""Blocks that every report in the terminal is made of: verdict, table, findings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from regauge.findings import Finding
from regauge.language import translate_message
from regauge.report import view
from regauge.report.document import Document
from regauge.report.wording import VERDICTS, word

STYLES: dict[view.Tone, str] = {"good": "green", "bad": "red", "even": "cyan", "open": "yellow"}


def show_verdict(document: Document, console: Console, others: Iterable[tuple[str, view.Tone]] = ()) -> None:
    """Print the verdict on equality, further sentences in their colours, and what all of them do not say."""
    console.print(Text(view.headline(document)[0], style=f"bold {STYLES[view.headline_tone(document)]}"))
    for sentence, tone in others:
        console.print(Text(sentence, style=STYLES[tone]))
    for sentence in view.not_covered(document):
        console.print(Text(f"  · {sentence}", style="dim"))  # a terminal folds it, and nothing cuts it


def show_findings(findings: Iterable[Finding], console: Console) -> None:
    """Print each finding under its severity, code and place."""
    for finding in findings:
        style = {"error": "red", "warning": "yellow", "info": "dim"}[finding.severity]
        head = f"{word(VERDICTS, finding.severity)} {finding.code} {finding.where}".rstrip()
        console.print(Text.assemble((head, style), f"\n  {translate_message(finding.text)}"))


def show(console: Console, table: Table) -> None:
    """Print a table, with an empty line before it."""
    console.print()
    console.print(table)


def table_of(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]], numeric: Sequence[int] = ()) -> Table:
    """A table without frame; columns of numbers are set to the right."""
    table = Table(title=title, title_justify="left", title_style="bold", header_style="dim", box=None, pad_edge=False)
    for index, head in enumerate(heads):
        is_number = index in numeric
        table.add_column(head, justify="right" if is_number else "left", overflow="fold", no_wrap=is_number)
    for row in rows:
        # As Text, so that brackets of an interval are not read as markup.
        table.add_row(*(Text(cell) for cell in row))
    return table
