"""The whole check of every network, published: ``python -m networks.coverage`` from `tests`, or `make coverage`.

Writes docs/coverage/networks.md. What fails stands there with its message.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import regauge
from networks.zoo import NETWORKS
from regauge.errors import RegaugeError
from regauge.run.protocol import read_json
from regauge.verify.result import Check, Tier

PAGE = Path(__file__).parents[2] / "docs" / "coverage" / "networks.md"

_HEADER = """# Networks

Written by `{command}` on {date}; do not edit. Each network is a small model of its kind with random weights
(`tests/networks`), converted and judged by {check}. Bounds are the largest distances
that [the check](../equivalence.md) saw in a tier: float64 (tier 1) and float32 (tier 2), over all tensors.

Python {python}, {versions}; {cpus} CPU cores, {threads} thread(s) per process.

"""

_HEAD = "| network | nodes | verdict | inputs | float64 bound | float32 bound | 20 steps, float64 | seconds |\n"
_RULE = "| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: |\n"


@dataclass(frozen=True)
class Row:
    """One network's result: a check, or the message of the error that came instead."""

    name: str
    nodes: int
    check: Check | None
    error: str
    seconds: float


def run(name: str, directory: Path, quick: bool) -> Row:
    """Convert and check one network, from nothing."""
    began = time.monotonic()
    check, error = None, ""
    try:
        check = regauge.check(NETWORKS[name], out=directory, quick=quick)
    except RegaugeError as failure:
        error = str(failure)
    capture = directory / "work" / "capture" / "reply.json"
    nodes = read_json(capture).get("result", {}).get("nodes", 0) if capture.is_file() else 0
    return Row(name, nodes, check, error, time.monotonic() - began)


def page(rows: Iterable[Row], quick: bool) -> str:
    """The page in Markdown."""
    rows = list(rows)
    versions = {k: v for row in rows if row.check for k, v in row.check.versions.items()}
    text = _HEADER.format(
        command="make coverage QUICK=--quick" if quick else "make coverage",
        date=date.today().isoformat(),
        check="the quick check (`regauge check --quick`)" if quick else "the whole check (`regauge check`)",
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="networks, all when none is named")
    parser.add_argument("--quick", action="store_true", help="the quick check")
    parser.add_argument("--page", type=Path, default=PAGE, help="the file to write")
    options = parser.parse_args()
    rows = []
    with TemporaryDirectory() as directory:
        for name in options.names or NETWORKS:
            rows.append(run(name, Path(directory) / name, options.quick))
            verdict = rows[-1].check.verdict if rows[-1].check else f"refused: {rows[-1].error}"
            print(f"{name}: {verdict}, {rows[-1].seconds:.0f} s", flush=True)
            options.page.parent.mkdir(parents=True, exist_ok=True)
            options.page.write_text(page(rows, options.quick), encoding="utf-8")


if __name__ == "__main__":
    main()
