"""The generated parts of docs/facts.md: what the base holds, and what the machine checks said.

regauge facts --check --out build
python -m regauge.decide.fact_page docs/facts.md build    # without the directory: only what needs no check
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from regauge.decide.community import community_of
from regauge.decide.fact_checks import STATUSES, CheckResult
from regauge.decide.fact_file import AREAS, CONFIDENCES
from regauge.decide.fact_results import stored_results
from regauge.decide.fact_words import FRAMEWORKS, value_text
from regauge.decide.facts import FactBase, Source, load

BEGIN = "<!-- generated: {name} -->"
END = "<!-- end of {name} -->"


def contents(base: FactBase) -> str:
    """Tables of what the base holds: by framework, by area, what ended, community figures."""
    checks = sum(fact.check is not None for fact in base.facts)
    parts = [
        f"{len(base.facts)} facts, {checks} of them with a machine check; {len(base.dimensions())} questions.",
        _by_framework(base),
        _by_area(base),
        "Not developed any more:",
        _ended(base),
        "Community, as dated:",
        _community(base),
    ]
    return "\n\n".join(parts)


def checks(base: FactBase, results: Mapping[str, CheckResult]) -> str:
    """What the checks said, and with which versions; every check that was not confirmed is named."""
    known = [results[fact.id] for fact in base.facts if fact.id in results]
    counts = Counter(result.status for result in known)
    versions = {name: version for result in known for name, version in result.versions.items()}
    dates = sorted({result.date for result in known})
    ran = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    lines = [
        f"{len(known)} checks, {' to '.join(dict.fromkeys([dates[0], dates[-1]]))}, with {ran}.",
        _table(("status", "checks"), [(status, counts[status]) for status in STATUSES]),
    ]
    others = [(result.id, result.status, result.reason or "the expression is false") for result in known]
    others = [row for row in others if row[1] != "confirmed"]
    if others:
        lines.append(_table(("fact", "status", "reason"), others))
    return "\n\n".join(lines)


def replaced(text: str, name: str, section: str) -> str:
    """`text` with the generated section of this name put in place of the one that is there.

    Raises:
        ValueError: the markers are missing.
    """
    begin, end = BEGIN.format(name=name), END.format(name=name)
    head, opened, rest = text.partition(begin)
    _old, closed, tail = rest.partition(end)
    if not opened or not closed:
        raise ValueError(f"no section between {begin} and {end}")
    return f"{head}{begin}\n{section}\n{end}{tail}"


def _by_framework(base: FactBase) -> str:
    rows = []
    for framework in base.frameworks():
        facts = base.of(framework)
        confidence = Counter(fact.confidence for fact in facts)
        with_check = sum(fact.check is not None for fact in facts)
        rows.append((FRAMEWORKS[framework], len(facts), with_check, *(confidence[level] for level in CONFIDENCES)))
    return _table(("framework", "facts", "with a check", *(f"{level} confidence" for level in CONFIDENCES)), rows)


def _by_area(base: FactBase) -> str:
    rows: list[tuple[object, ...]] = []
    counts: list[tuple[int, int, int]] = []
    for area in AREAS:
        facts = [fact for fact in base.facts if fact.area == area]
        shared = [
            (one, other)
            for one in facts
            if one.framework == "pytorch" and (other := base.get("jax", one.dimension)) is not None
        ]
        differ = sum(one.value != other.value for one, other in shared)
        counts.append((len(facts), len(shared), differ))
        rows.append((area, *counts[-1]))
    rows.append(("all", *map(sum, zip(*counts, strict=True))))
    return _table(("area", "facts", "questions answered for PyTorch and JAX", "of these with different answers"), rows)


def _ended(base: FactBase) -> str:
    found = [ended for framework in base.frameworks() if (ended := base.retired(framework))]
    rows = [
        (FRAMEWORKS[ended.framework], ended.status, ended.date, ended.successor or "none named", _links(ended.sources))
        for ended in found
    ]
    return _table(("framework", "status", "as of", "successor", "sources"), rows)


def _community(base: FactBase) -> str:
    rows = [
        (FRAMEWORKS[framework], group, f"{fact.dimension}: {value_text(fact)}", fact.about, _links(fact.sources))
        for framework in base.frameworks()
        for group, facts in community_of(framework, base).items()
        for fact in facts
        if not base.retired(framework)
    ]
    return _table(("framework", "group", "answer", "about", "sources"), rows)


def _links(sources: Iterable[Source]) -> str:
    links = dict.fromkeys(link for source in sources for link in source.links)
    return ", ".join(f"[{number}]({link})" for number, link in enumerate(links, 1))


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def main(arguments: Sequence[str]) -> int:
    """Rewrite the generated sections of the page; without a directory of results only the first one.

    Returns:
        0 when the page was written, 2 without arguments.
    """
    if not arguments:
        print(__doc__)
        return 2
    page = Path(arguments[0])
    base = load()
    text = replaced(page.read_text(encoding="utf-8"), "contents", contents(base))
    if len(arguments) > 1:
        text = replaced(text, "checks", checks(base, stored_results(Path(arguments[1]))))
    page.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
