"""What an audit's reports show, as rows of texts in the current language: the page and the terminal share them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from regauge.decide.audit.areas import AREAS, DEGREE_NAMES
from regauge.decide.audit.files import place
from regauge.decide.audit.hazards import KINDS
from regauge.decide.audit.result import DEGREES, Audit, Change, Counts, Degree, Library
from regauge.language import N_, _, language, ngettext, translate_message

FRAMEWORK_NAMES = {
    "pytorch": "PyTorch",
    "torch": "PyTorch",
    "jax": "JAX",
    "tensorflow": "TensorFlow",
    "keras": "Keras",
    "mxnet": "MXNet",
    "theano": "Theano",
    "chainer": "Chainer",
    "paddle": "PaddlePaddle",
}
ROLES = {"left": N_("is left"), "kept": N_("the target"), "other": N_("neither: not converted")}
LIBRARY_DEGREES = {
    "same": N_("works on both sides"),
    "equivalent": N_("equivalent"),
    "partial": N_("partly"),
    "none": N_("no counterpart"),
    "unknown": N_("not in the table of libraries"),
}
OUTCOMES = {"converted": N_("converted"), "refused": N_("refused"), "failed": N_("the case itself fails")}
PLACES = 4  # of a name or a kind of hazard that a table shows; the rest stands in audit.json


@dataclass(frozen=True)
class HazardRow:
    """One kind of hazard with all its places."""

    title: str
    why: str
    instead: str
    stops: bool
    places: tuple[tuple[str, str], ...]


def framework(name: str) -> str:
    return FRAMEWORK_NAMES.get(name, name)


def percent(part: int, whole: int) -> str:
    """A share; what is there never shows as 0 %, and what is missing never as 100 %."""
    if not whole:
        return "–"
    share = 100 * part / whole
    if 0 < share < 1:
        return "< 1 %"
    if 99 < share < 100:
        return "> 99 %"
    return f"{share:.0f} %"


def headline(audit: Audit) -> list[str]:
    """The answer in one sentence, and what it rests on."""
    counts, left, kept = audit.totals, framework(audit.source), framework(audit.target)
    if not audit.source:
        return [_("Nothing here uses PyTorch or JAX.")]
    if not counts.framework_lines:
        return [_("Nothing here uses {left}; there is nothing to move to {kept}.").format(left=left, kept=kept)]
    first = _("{share} of the lines that use {left} move to {kept} automatically.")
    if audit.target == "torch":
        first = _("{share} of the lines that use {left} have a named equivalent in {kept}.")
    degree: Degree = "equivalent" if audit.target == "torch" else "automatic"
    sentences = [first.format(share=percent(getattr(counts, degree), counts.framework_lines), left=left, kept=kept)]
    by_hand = counts.manual + counts.none
    text = ngettext("{n} line is to be rewritten.", "{n} lines are to be rewritten.", by_hand)
    sentences.append(text.format(n=by_hand))
    return sentences


def limits(audit: Audit) -> list[str]:
    """What the figures do not say."""
    found = [_("Lines are counted where they name the framework's API or a library built on it; nothing was run.")]
    if audit.target == "torch":
        found.append(
            _("regauge converts JAX models, but this audit does not count which uses that covers: none is automatic.")
        )
    elif audit.totals.framework_lines and not audit.cases:
        found.append(_("The classes are estimates from the source: --cases FILE.py:NAME converts a model for real."))
    unknown = sum(name.uses for name in audit.names if not name.recorded)
    if unknown:
        text = ngettext(
            "{n} use has no record in regauge's tables and counts as manual.",
            "{n} uses have no record in regauge's tables and count as manual.",
            unknown,
        )
        found.append(text.format(n=unknown))
    return found


def tone(audit: Audit) -> str:
    counts = audit.totals
    if not counts.framework_lines:
        return "open"
    return "good" if counts.manual + counts.none == 0 else "open"


def count_cells(counts: Counts) -> tuple[str, ...]:
    """Lines of the framework, and of each class, as a table shows them."""
    return (str(counts.framework_lines), *(str(getattr(counts, degree) or "") for degree in DEGREES))


def degree_heads() -> tuple[str, ...]:
    return tuple(_(DEGREE_NAMES[degree]) for degree in DEGREES)


def directory_rows(audit: Audit) -> list[tuple[str, ...]]:
    """Directories that use the framework; the others would be rows of zeros."""
    return [
        (row.path, str(row.counts.files), str(row.counts.lines), *count_cells(row.counts), str(row.hazards or ""))
        for row in audit.directories
        if row.counts.framework_lines
    ]


def area_rows(audit: Audit) -> list[tuple[str, ...]]:
    """Uses by area and class, the largest area first."""
    counts: dict[str, Counter[Degree]] = {}
    for name in audit.names:
        counts.setdefault(name.area, Counter())[name.degree] += name.uses
    ordered = sorted(counts.items(), key=lambda pair: (-sum(pair[1].values()), pair[0]))
    return [
        (_(AREAS[area]), str(sum(found.values())), *(str(found[degree] or "") for degree in DEGREES))
        for area, found in ordered
    ]


def name_rows(audit: Audit, degrees: Sequence[Degree]) -> list[tuple[str, ...]]:
    """Names of these classes: name, area, what stands for it, uses, first places, the reason."""
    where: dict[int, list[str]] = {}
    for file in audit.files:
        for index, lines in file.uses:
            if audit.names[index].degree in degrees:
                where.setdefault(index, []).extend(place(file.path, line, file.cells) for line in lines)
    ordered = sorted(where, key=lambda index: (-audit.names[index].uses, audit.names[index].name))
    rows: list[tuple[str, ...]] = []
    for index in ordered:
        item, places = audit.names[index], where[index]
        shown = ", ".join(places[:PLACES]) + (" …" if len(places) > PLACES else "")
        rows.append(
            (
                item.name,
                _(AREAS[item.area]),
                counterpart(item.counterpart),
                str(item.uses),
                shown,
                reason(item.why),
            )
        )
    return rows


def counterpart(text: str) -> str:
    """An API stays as it is; what is said in words is translated."""
    return _(text) if text else "–"


def reason(why: str) -> str:
    """A reason, or several joined by semicolons: fixed ones are marked in the code, the others are patterns."""
    for whole in (_(why), translate_message(why)):
        if whole != why:
            return whole
    return _("; ").join(_(part) for part in why.split("; "))


def hazard_rows(audit: Audit) -> list[HazardRow]:
    """Kinds of hazards, those that stop a conversion first, then by number."""
    cells = {file.path: file.cells for file in audit.files if file.cells}
    found: dict[str, list[tuple[str, str]]] = {}
    for item in audit.hazards:
        found.setdefault(item.kind, []).append((place(item.file, item.line, cells.get(item.file, ())), item.what))
    ordered = sorted(found, key=lambda kind: (not KINDS[kind].stops, -len(found[kind]), kind))
    return [
        HazardRow(
            _(KINDS[kind].title), _(KINDS[kind].why), _(KINDS[kind].instead), KINDS[kind].stops, tuple(found[kind])
        )
        for kind in ordered
    ]


def library_rows(audit: Audit) -> list[tuple[str, ...]]:
    """Libraries of the table: name, files, what stands for it, how far, why, source."""
    return [
        (
            row.name,
            str(row.files),
            ", ".join(row.counterparts) or "–",
            _(LIBRARY_DEGREES[row.degree]),
            why_of(row),
            row.source,
        )
        for row in audit.libraries
        if row.degree != "unknown"
    ]


def why_of(row: Library) -> str:
    return row.why_zh if language() == "zh" and row.why_zh else row.why


def unknown_libraries(audit: Audit) -> list[str]:
    return sorted(row.name for row in audit.libraries if row.degree == "unknown")


def framework_rows(audit: Audit) -> list[tuple[str, ...]]:
    from regauge.decide.fact_words import translated

    return [
        (
            framework(row.name),
            _(ROLES[row.role]),
            str(row.files),
            str(row.lines),
            str(row.uses),
            translated(row.note),
            row.source,
        )
        for row in audit.frameworks
    ]


def change_rows(audit: Audit) -> list[tuple[str, str, str, str]]:
    """Place, line before, line after, reason."""
    return [
        (f"{change.file}:{change.line}", change.before.strip(), after_of(change), reason(change.why))
        for change in audit.tool_chain
    ]


def after_of(change: Change) -> str:
    if not change.after:
        return _("(the line goes)")
    lines = [line.strip() for line in change.after.split("\n")]
    return _("(made anew)") if change.after == change.before else "\n".join(lines)


def work_rows(audit: Audit) -> list[tuple[str, ...]]:
    """Step, files, lines by class, hazards, steps before it."""
    rows = []
    for step in audit.work:
        files = ", ".join(step.files[:PLACES]) + (f" … ({len(step.files)})" if len(step.files) > PLACES else "")
        needs = ", ".join(map(str, step.needs[:PLACES])) + (" …" if len(step.needs) > PLACES else "")
        rows.append((str(step.step), files, *count_cells(step.counts), str(step.hazards or ""), needs))
    return rows


def case_rows(audit: Audit) -> list[tuple[str, ...]]:
    return [
        (
            row.case,
            _(OUTCOMES[row.outcome]),
            ", ".join(row.classes) or "–",
            "; ".join(" ".join(gap.split()) for gap in row.gaps) or "–",
        )
        for row in audit.cases
    ]


def finding_rows(audit: Audit) -> list[tuple[str, str, str]]:
    return [(finding.code, finding.where, translate_message(finding.text)) for finding in audit.findings]
