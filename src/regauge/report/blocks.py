"""Blocks that every report in the terminal is made of: verdict, table, findings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from regauge.findings import Finding
from regauge.language import _, translate_message
from regauge.report import view
from regauge.report.document import Document
from regauge.report.wording import VERDICTS, word

STYLES: dict[view.Tone, str] = {"good": "green", "bad": "red", "even": "cyan", "open": "yellow"}

GAP = 2  # cells between two columns of a table without frame
LONGEST_WORD = 36  # cells; a longer word, such as a path, may be folded
SHORTEST_LINE = 14  # cells that a column of sentences gets at the least


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
    print_table(console, table)


def print_table(console: Console, table: Table) -> None:
    """Print a table where all its columns stay readable side by side, else each row as an entry of its own."""
    needed = [_needed_width(column) for column in table.columns]
    room = console.width - GAP * (len(table.columns) - 1) - sum(needed)
    if room < 0:
        _print_entries(console, table)
        return
    for column, width in zip(table.columns, needed, strict=True):
        column.width = width
    for is_number in (False, True):  # sentences first: what is left keeps the heads of numbers on one line
        columns = [column for column in table.columns if _is_number(column) == is_number]
        room -= _widen(columns, room)
    console.print(table)


def table_of(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]], numeric: Sequence[int] = ()) -> Table:
    """A table without frame; columns of numbers are set to the right."""
    table = Table(title=title, title_justify="left", title_style="bold", header_style="dim", box=None, pad_edge=False)
    for index, head in enumerate(heads):
        table.add_column(head, justify="right" if index in numeric else "left", overflow="fold")
    for row in rows:
        # As Text, so that brackets of an interval are not read as markup.
        table.add_row(*(Text(cell) for cell in row))
    return table


def _widen(columns: Sequence[Column], room: int) -> int:
    """Give columns what they want of `room`, or each its share of it; returns how much they took."""
    wanted = [_natural_width(column) - (column.width or 0) for column in columns]
    share = min(1.0, room / max(sum(wanted), 1))
    for column, more in zip(columns, wanted, strict=True):
        column.width = (column.width or 0) + int(more * share)
    return sum(int(more * share) for more in wanted)


def _print_entries(console: Console, table: Table) -> None:
    """Each row as an entry: its first text with the numbers before it, then the other cells, each with its head."""
    if table.title:
        console.print(Text(str(table.title), style="bold"), soft_wrap=False)
    heads = [str(column.header) for column in table.columns]
    first = next((index for index, column in enumerate(table.columns) if not _is_number(column)), 0)
    for row in zip(*(column.cells for column in table.columns), strict=True):
        cells = [cell if isinstance(cell, Text) else Text(str(cell)) for cell in row]
        console.print(Text("  ").join(cells[: first + 1]), soft_wrap=False)
        named = [
            Text.assemble((head + _(": "), "dim"), cell)
            for head, cell in zip(heads[first + 1 :], cells[first + 1 :], strict=True)
            if cell.plain
        ]
        console.print(Padding(Text(" · ").join(named), (0, 0, 0, 4), expand=False), soft_wrap=False)


def _is_number(column: Column) -> bool:
    return column.justify == "right"


def _needed_width(column: Column) -> int:
    """The least number of terminal cells in which a column can be read: numbers, and words up to `LONGEST_WORD`."""
    longest = max(cell_len(word) for text in _texts(column) for word in _words(text))
    if _is_number(column):  # a number stays on one line; its head may be broken between words
        return max(cell_len(text) for text in [*_texts(column)[1:], *_words(str(column.header))])
    return min(_natural_width(column), max(min(longest, LONGEST_WORD), SHORTEST_LINE))


def _natural_width(column: Column) -> int:
    return max(cell_len(line) for text in _texts(column) for line in text.split("\n"))


def _texts(column: Column) -> list[str]:
    """The head of a column, then its cells."""
    return [str(column.header), *map(str, column.cells)]


def _words(text: str) -> list[str]:
    """What a line is not broken inside of: Chinese and Japanese break between any two characters."""
    return [word for word in re.split(r"[\s\u2e80-\uffef]+", text) if word] or [""]
