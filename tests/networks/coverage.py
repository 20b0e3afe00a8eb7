"""The whole check of every network, published: ``python -m networks.coverage`` from `tests`, or `make coverage`.

Writes docs/coverage/networks.md, and docs/coverage/networks-of-jax.md for those that are converted from JAX. What fails
stands there with its message. Results are kept network by network in build/networks, so that a run can be resumed or
repeated for some networks alone.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import regauge
from networks import jobs
from networks.zoo import JAX_NETWORKS, NETWORKS
from regauge.errors import RegaugeError
from regauge.run.protocol import read_json
from regauge.verify.result import Check, Tier

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "coverage"
RESULTS = ROOT / "build" / "networks"

_HEADER = """# {title}

Written by `{command}` on {date}; do not edit. Each network is a small model of its kind with random weights
(`tests/networks`), converted from {original} and judged by {check}. Bounds are the largest distances
that [the check](../equivalence.md) saw in a tier: float64 (tier 1) and float32 (tier 2), over all tensors.
{judged} of {all} networks have been judged.

Python {python}, {versions}; {cpus} CPU cores, {threads} thread(s) per process.

"""

_HEAD = "| network | nodes | verdict | inputs | float64 bound | float32 bound | 20 steps, float64 | seconds |\n"
_RULE = "| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: |\n"


@dataclass(frozen=True)
class Direction:
    """The networks of one direction and their page."""

    title: str
    original: str
    networks: dict[str, str]
    file: str


DIRECTIONS = (
    Direction("Networks", "PyTorch to JAX", NETWORKS, "networks.md"),
    Direction("Networks of JAX", "JAX to PyTorch", JAX_NETWORKS, "networks-of-jax.md"),
)


@dataclass(frozen=True)
class Row:
    """One network's result: a check, or the message of the error that came instead."""

    name: str
    nodes: int
    check: Check | None
    error: str
    seconds: float
    quick: bool

    def save(self) -> None:
        check = self.check.to_json() if self.check else None
        text = json.dumps({**asdict(replace(self, check=None)), "check": check})
        RESULTS.mkdir(parents=True, exist_ok=True)
        (RESULTS / f"{self.name}.json").write_text(text, encoding="utf-8")


def kept(name: str) -> Row | None:
    """The result of an earlier run."""
    file = RESULTS / f"{name}.json"
    if not file.is_file():
        return None
    data: dict[str, Any] = read_json(file)
    return Row(**{**data, "check": Check.from_json(data["check"]) if data["check"] else None})


def run(name: str, directory: Path, quick: bool) -> Row:
    """Convert and check one network, from nothing."""
    began = time.monotonic()
    check, error = None, ""
    try:
        check = regauge.check((NETWORKS | JAX_NETWORKS)[name], out=directory, quick=quick)
    except RegaugeError as failure:
        error = str(failure)
    return Row(name, nodes_of(directory), check, error, time.monotonic() - began, quick)


def nodes_of(directory: Path) -> int:
    """Operators of the captured graph of a check."""
    capture = directory / "work" / "capture" / "reply.json"
    return read_json(capture).get("result", {}).get("nodes", 0) if capture.is_file() else 0


def page(direction: Direction, rows: Sequence[Row]) -> str:
    """The page in Markdown."""
    versions = {k: v for row in rows if row.check for k, v in row.check.versions.items()}
    quick = any(row.quick for row in rows)
    text = _HEADER.format(
        title=direction.title,
        original=direction.original,
        command="make coverage QUICK=--quick" if quick else "make coverage",
        date=date.today().isoformat(),
        check="the quick check (`regauge check --quick`)" if quick else "the whole check (`regauge check`)",
        judged=len(rows),
        all=len(direction.networks),
        python=platform.python_version(),
        versions=", ".join(f"{name} {version}" for name, version in sorted(versions.items())),
        cpus=os.cpu_count(),
        threads=os.environ.get("OMP_NUM_THREADS", "any"),
    )
    text += _HEAD + _RULE + "".join(map(_line, rows))
    return text + "".join(_notes(row) for row in rows)


def _line(row: Row) -> str:
    if row.check is None:
        return f"| {row.name} | {row.nodes} | refused | | | | | {row.seconds:.0f} |\n"
    check = row.check
    cells = [
        row.name,
        str(row.nodes),
        check.verdict,
        str(len(check.inputs_tried)),
        *(_bound(t for t in check.tiers if t.name.startswith(start)) for start in ("tier 1", "tier 2")),
        _bound(t for t in check.tiers if t.name.startswith("trajectory") and not t.name.endswith("float32")),
        f"{row.seconds:.0f}",
    ]
    return f"| {' | '.join(cells)} |\n"


def _bound(tiers: Iterable[Tier]) -> str:
    bounds = [tier.bound for tier in tiers if tier.bound is not None]
    return f"{max(bounds):.1e}" if bounds else ""


def _notes(row: Row) -> str:
    """What a reader must know besides the figures: failures, what was not judged, findings."""
    if row.check is None:
        return f"\n## {row.name}\n\n```\n{row.error}\n```\n"
    lines = [
        f"* {tier.verdict}: {tier.name}{f' in {tier.mode} mode' if tier.mode else ''}. {tier.why}"
        for tier in row.check.tiers
        if tier.verdict != "equal"
    ]
    lines += [
        f"* left out: {tier.name} in {tier.mode} mode, {tier.why}"
        for tier in row.check.tiers
        if tier.verdict == "equal" and tier.why.partition(" ")[0] == "not"
    ]
    lines += [f"* finding {f.code}{f' ({f.where})' if f.where else ''}: {f.text}" for f in row.check.findings]
    return f"\n## {row.name}\n\n" + "\n".join(lines) + "\n" if lines else ""


def write_pages() -> None:
    for direction in DIRECTIONS:
        rows = [row for row in map(kept, direction.networks) if row is not None]
        if rows:
            done = jobs.section(jobs.all_kept()) if direction.networks is JAX_NETWORKS else ""
            (PAGES / direction.file).write_text(page(direction, rows) + done, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="networks, all when none is named")
    parser.add_argument("--quick", action="store_true", help="the quick check")
    parser.add_argument("--resume", action="store_true", help="keep results that are there")
    options = parser.parse_args()
    for name in options.names or NETWORKS | JAX_NETWORKS:
        if options.resume and kept(name) is not None:
            continue
        row = run(name, RESULTS / name, options.quick)
        row.save()
        verdict = row.check.verdict if row.check else f"refused: {row.error}"
        print(f"{name}: {verdict}, {row.seconds:.0f} s", flush=True)
        write_pages()
    write_pages()


if __name__ == "__main__":
    main()
