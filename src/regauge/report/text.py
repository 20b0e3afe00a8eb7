"""The report for a terminal: the same content as the page, without its pictures and sources."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from regauge.language import _, ngettext, translate_message
from regauge.report import view
from regauge.report.blocks import STYLES, show, show_findings, show_verdict, table_of
from regauge.report.check_text import render_difference
from regauge.report.document import Document
from regauge.report.figures import failures, memory_uses, start_costs
from regauge.report.wording import (
    MODES,
    PURPOSES,
    TASKS,
    VERDICTS,
    bytes_text,
    distance_text,
    ratio_text,
    seconds_text,
    tier_label,
    word,
)

WORST_TENSORS = 5


def render_text(document: Document, console: Console) -> None:
    """Print the verdict, then the tables that support it; what the run did not produce is left out."""
    _verdict(document, console)
    _ratios(document, console)
    _start_and_memory(document, console)
    _check(document, console)
    _findings(document, console)


def _verdict(document: Document, console: Console) -> None:
    sentences = list(zip(view.headline(document)[1:], document.effects, strict=True))
    show_verdict(document, console, [(sentence, view.tone(effect.verdict)) for sentence, effect in sentences])


def _ratios(document: Document, console: Console) -> None:
    steps = view.step_facts(document)
    if steps:
        heads = (_("task"), _("variant"), _("median"), _("range of launch medians"), _("launches"), _("without figure"))
        show(console, table_of(_("Step time"), heads, steps, numeric=(2, 3, 4, 5)))
    if document.effects:
        heads = (_("task"), _("variant"), _("time ratio"), _("95 % interval"), _("verdict"), _("blocks"))
        rows = [(row[0], row[1], row[3], row[4], row[5], row[6]) for row in view.effect_facts(document)]
        title = _("Time ratio against {reference}").format(reference=document.effects[0].reference)
        show(console, table_of(title, heads, rows, numeric=(2, 3, 5)))
    sentences = view.break_even_sentences(document)
    if sentences:
        console.print()
    for sentence in sentences:
        console.print(Text(sentence))


def _start_and_memory(document: Document, console: Console) -> None:
    costs = start_costs(document.measurements, document.plan)
    if costs:
        heads: tuple[str, ...] = (_("task"), _("variant"), _("start"), _("to the end of the first step"))
        starts = [(word(TASKS, c.task), c.variant, word(PURPOSES, c.purpose), seconds_text(c.total)) for c in costs]
        show(console, table_of(_("Start and compilation"), heads, starts, numeric=(3,)))
    uses = memory_uses(document.measurements, document.plan)
    if uses:
        heads = (_("task"), _("variant"), _("process"), _("above import"), _("device"))
        peaks = [
            (
                word(TASKS, use.task),
                use.variant,
                *map(bytes_text, (use.host_peak, use.host_above_import, use.device_peak)),
            )
            for use in uses
        ]
        show(console, table_of(_("Peak memory"), heads, peaks, numeric=(2, 3, 4)))


def _check(document: Document, console: Console) -> None:
    """One line for all that is equal, which the page lists; a row for each question that is not."""
    if document.check is None:
        return
    render_difference(document.check, console)
    tiers = document.check.tiers
    equal = sum(tier.verdict == "equal" for tier in tiers)
    text = ngettext(
        "The check: {equal} of {n} question answered with equal",
        "The check: {equal} of {n} questions answered with equal",
        len(tiers),
    )
    console.print()
    console.print(Text(text.format(equal=equal, n=len(tiers))))
    heads: tuple[str, ...] = (_("question"), _("mode"), _("largest distance"), _("limit"), _("verdict"))
    table = table_of(_("Different or not checked"), heads, (), numeric=(2, 3))
    for tier in tiers:
        if tier.verdict == "equal":
            continue
        verdict = Text(word(VERDICTS, tier.verdict), style=STYLES[view.tone(tier.verdict)])
        question = tier_label(tier.name) + (f"\n{translate_message(tier.why)}" if tier.why else "")
        mode = word(MODES, tier.mode)
        table.add_row(Text(question), mode, distance_text(tier.bound), distance_text(tier.limit), verdict)
    if table.row_count:
        show(console, table)
    beyond = [row for row in view.tensor_rows(document.check.tiers) if not row.distance.passed]
    if not beyond:
        return
    rows = [
        (row.distance.name, tier_label(row.tier.name), distance_text(row.distance.norm), ratio_text(row.share))
        for row in beyond[:WORST_TENSORS]
    ]
    heads = (_("tensor"), _("question"), _("distance"), _("over limit"))
    show(console, table_of(_("Tensors beyond their limit, worst first"), heads, rows, numeric=(2, 3)))
    left = len(beyond) - len(rows)
    if left:
        console.print(Text(ngettext("and {n} more tensor", "and {n} more tensors", left).format(n=left)))


def _findings(document: Document, console: Console) -> None:
    if document.findings or failures(document.measurements):
        console.print()
    show_findings(document.findings, console)
    for launch in failures(document.measurements):
        place = f"{word(VERDICTS, launch.status)}: {launch.variant}, {word(TASKS, launch.task)}, "
        place += _("block {n}").format(n=launch.block)
        console.print(Text.assemble((place, "red"), "\n  ", view.failure_text(launch).replace("\n", "\n  ")))
