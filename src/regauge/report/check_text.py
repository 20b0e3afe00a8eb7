"""What a check found, for the terminal and for a failing test: the verdict, where and why two models differ."""

from __future__ import annotations

from collections import Counter

from rich.console import Console
from rich.text import Text

from regauge.language import _, ngettext, translate_message
from regauge.report import check_view
from regauge.report.blocks import print_table, show_findings, show_verdict, table_of
from regauge.report.document import Document
from regauge.report.view import tensor_rows
from regauge.report.wording import (
    MODES,
    VERDICTS,
    check_sentence,
    distance_text,
    join_words,
    tier_label,
    word,
)
from regauge.verify.result import Cause, Check, Tier

MOST_CAUSES, MOST_TIERS, MOST_TENSORS = 3, 8, 3


def render_check(document: Document, console: Console) -> None:
    """Print a check alone: the verdict, where, why, the questions that were not answered with equal, findings."""
    show_verdict(document, console)
    if document.check is not None:
        render_difference(document.check, console)
        _questions(document.check, console)
    if document.findings:
        console.print()
    show_findings(document.findings, console)


def _questions(check: Check, console: Console) -> None:
    """How many questions were answered how; a row for each that differs, a line for each that was not asked."""
    counts = Counter(tier.verdict for tier in check.tiers)
    text = _("Questions: {equal} equal, {different} different, {open} not checked")
    values = {"equal": counts["equal"], "different": counts["different"], "open": counts["not checked"]}
    console.print()
    console.print(Text(text.format(**values)))
    failed = [tier for tier in check.tiers if tier.verdict == "different"]
    rows = [_row(tier) for tier in failed[:MOST_TIERS]]
    if rows:
        heads = (_("question"), _("mode"), _("largest distance"), _("limit"), _("tensor"))
        print_table(console, table_of("", heads, rows, numeric=(2, 3)))
    left = len(failed) - len(rows)
    if left:
        text = ngettext("and {n} more question", "and {n} more questions", left)
        console.print(Text(text.format(n=left)))
    for tier in check.tiers:
        if tier.verdict == "not checked":
            console.print(Text(f"· {_tier(tier)}", style="dim"))


def _row(tier: Tier) -> tuple[str, ...]:
    worst = next((row.distance.name for row in tensor_rows([tier])), "–")
    mode = word(MODES, tier.mode)
    return tier_label(tier.name), mode, distance_text(tier.bound), distance_text(tier.limit), worst


def render_difference(check: Check, console: Console) -> None:
    """Print where the difference begins and what was tried; nothing where neither is known."""
    for title, lines in ((_("Where"), check_view.where_sentences(check)), (_("Why"), cause_lines(check))):
        if lines:
            console.print()
            console.print(Text(title, "bold"))
            for line in lines:
                console.print(Text(f"  {line}"))


def cause_lines(check: Check) -> list[str]:
    """The first causes, each with its figures and the line to change."""
    return [line for cause in check.causes[:MOST_CAUSES] for line in _cause(cause)]


def _cause(cause: Cause) -> list[str]:
    """The sentence, which holds the figures, and the line to change."""
    lines = [translate_message(cause.text)]
    if cause.change:
        label = _("change: {change}") if cause.proven else _("may help: {change}")
        lines.append(f"  {label.format(change=cause.change)}")
    return lines


def failure_message(check: Check) -> str:
    """What a failing test says: the verdict, where, why, which questions, and what to do."""
    lines = [check_sentence(check.case, check)]
    lines += [f"  {line}" for line in check_view.where_sentences(check)]
    lines += [f"  {line}" for line in cause_lines(check)]
    failed = [tier for tier in check.tiers if tier.verdict == "different"]
    lines += [f"  {_tier(tier)}" for tier in failed[:MOST_TIERS]]
    left = len(failed) - MOST_TIERS
    if left > 0:
        text = ngettext("and {n} more question", "and {n} more questions", left)
        lines.append(f"  {text.format(n=left)}")
    if not failed:
        lines += [f"  {_tier(tier)}" for tier in check.tiers if tier.verdict == "not checked"]
    lines += [
        f"  {finding.code} {translate_message(finding.text)}"
        for finding in check.findings
        if finding.severity == "error"
    ]
    lines += [_("  next: {step}").format(step=step) for step in check_view.next_steps(check)]
    return "\n".join(lines)


def _tier(tier: Tier) -> str:
    """One question: its answer, and the tensors that are furthest beyond their limits."""
    mode = word(MODES, tier.mode)
    question = f"{tier_label(tier.name)} ({mode})" if mode else tier_label(tier.name)
    beyond = [row for row in tensor_rows([tier]) if not row.distance.passed][:MOST_TENSORS]
    said = join_words(f"{row.distance.name} {distance_text(row.distance.norm)}" for row in beyond)
    return _("{question}: {verdict}; {why}").format(
        question=question, verdict=word(VERDICTS, tier.verdict), why=said or translate_message(tier.why)
    )
