"""The whole check of every network, published: ``python -m networks.coverage`` from `tests`, or `make coverage`.

Writes docs/coverage/networks.md, and docs/coverage/networks-of-jax.md for those that are converted from JAX. What fails
stands there with its message. Results are kept network by network in docs/coverage/results, so that a run can be
resumed or repeated for some networks alone; conversions and their reports are in build/networks.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path

from coverage_results import FOLDER, Results

import regauge
from networks import jobs
from networks.zoo import JAX_NETWORKS, NETWORKS
from regauge.errors import RegaugeError
from regauge.run.protocol import read_json
from regauge.verify.result import Check, Tier

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "coverage"
KEPT = Results(FOLDER / "networks.jsonl")
BUILT = ROOT / "build" / "networks"

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
    """One network's result, as the page says it.

    Attributes:
        verdict: of the check; refused where an error came instead.
        inputs: sets of inputs that were tried.
        float64, float32, steps: the largest distances of tier 1, tier 2, and of 20 steps of training in float64.
        seconds: of the clock.
        notes: what a reader must know besides: failures, what was not judged, findings.
        error: the message of the error that came instead of a check.
    """

    name: str
    nodes: int
    verdict: str
    seconds: float
    quick: bool
    inputs: int = 0
    float64: float | None = None
    float32: float | None = None
    steps: float | None = None
    notes: Sequence[str] = ()
    error: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)


def kept(name: str) -> Row | None:
    """The result of an earlier run."""
    record = KEPT.load().get(name)
    return Row(**record) if record else None


def run(name: str, directory: Path, quick: bool) -> Row:
    """Convert and check one network, from nothing."""
    began = time.monotonic()
    try:
        check = regauge.check((NETWORKS | JAX_NETWORKS)[name], out=directory, quick=quick)
    except RegaugeError as failure:
        error = str(failure)
        return Row(name, nodes_of(directory), "refused", time.monotonic() - began, quick, error=error)
    return Row(
        name,
        nodes_of(directory),
        check.verdict,
        time.monotonic() - began,
        quick,
        inputs=len(check.inputs_tried),
        float64=_bound(tier for tier in check.tiers if tier.name.startswith("tier 1")),
        float32=_bound(tier for tier in check.tiers if tier.name.startswith("tier 2")),
        steps=_bound(t for t in check.tiers if t.name.startswith("trajectory") and not t.name.endswith("float32")),
        notes=_notes(check),
        versions=check.versions,
    )


def nodes_of(directory: Path) -> int:
    """Operators of the captured graph of a check."""
    capture = directory / "work" / "capture" / "reply.json"
    return read_json(capture).get("result", {}).get("nodes", 0) if capture.is_file() else 0


def page(direction: Direction, rows: Sequence[Row]) -> str:
    """The page in Markdown."""
    versions = {name: version for row in rows for name, version in row.versions.items()}
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
    return text + "".join(map(_more, rows))


def _line(row: Row) -> str:
    distances = ["" if bound is None else f"{bound:.1e}" for bound in (row.float64, row.float32, row.steps)]
    cells = [row.name, str(row.nodes), row.verdict, str(row.inputs or ""), *distances, f"{row.seconds:.0f}"]
    return f"| {' | '.join(cells)} |\n"


def _bound(tiers: Iterable[Tier]) -> float | None:
    return max((tier.bound for tier in tiers if tier.bound is not None), default=None)


def _more(row: Row) -> str:
    """A section of its own where there is more to say than figures."""
    if row.error:
        return f"\n## {row.name}\n\n```\n{row.error}\n```\n"
    return f"\n## {row.name}\n\n" + "\n".join(f"* {note}" for note in row.notes) + "\n" if row.notes else ""


def _notes(check: Check) -> list[str]:
    return [
        *(
            f"{tier.verdict}: {tier.name}{f' in {tier.mode} mode' if tier.mode else ''}. {tier.why}"
            for tier in check.tiers
            if tier.verdict != "equal"
        ),
        *(
            f"left out: {tier.name} in {tier.mode} mode, {tier.why}"
            for tier in check.tiers
            if tier.verdict == "equal" and tier.why.partition(" ")[0] == "not"
        ),
        *(f"finding {f.code}{f' ({f.where})' if f.where else ''}: {f.text}" for f in check.findings),
    ]


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
        row = run(name, BUILT / name, options.quick)
        KEPT.put(asdict(row))
        print(f"{name}: {row.verdict} {row.error}, {row.seconds:.0f} s", flush=True)
        write_pages()
    write_pages()


if __name__ == "__main__":
    main()
