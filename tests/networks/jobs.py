"""The main job with every network of JAX as the original: ``python -m networks.jobs`` (`make coverage-jobs`).

Each network goes through ``regauge compare`` on the command line, as a person would call it: converted, checked, and
measured compiled and not on both sides, for inference and for training. One launch of few steps each shows that the
job ends well; it says nothing about speed, so no time stands in the table that this adds to
docs/coverage/networks-of-jax.md. Results are kept network by network in docs/coverage/results.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from coverage_results import FOLDER, Results

from networks.zoo import JAX_NETWORKS

ROOT = Path(__file__).parents[2]
KEPT = Results(FOLDER / "jobs.jsonl")
BUILT = ROOT / "build" / "networks" / "jobs"
COMMAND = "--quick --blocks 1 --steps 5 --threads 1 --variants torch-eager,torch-compile,jax-jit"

_HEADER = f"""
## The main job

Written by `make coverage-jobs`: each network through `regauge compare NETWORK {COMMAND}`.
Launches are of both tasks and all variants; one that does not end well, or whose outputs are not those of the other
side before the clock starts, has its status here. {{judged}} of {{all}} networks have been through it.

| network | verdict | launches that ended well | others |
| --- | --- | ---: | --- |
"""


@dataclass(frozen=True)
class Job:
    """How one network fared.

    Attributes:
        verdict: of the quick check, empty where it did not come to one.
        ended: launches by task and variant, as ``infer, torch compile``, with their status.
        error: what the command said where it gave no result.
    """

    name: str
    verdict: str
    ended: dict[str, str]
    error: str


def kept(name: str) -> Job | None:
    """The result of an earlier run."""
    record = KEPT.load().get(name)
    return Job(**record) if record else None


def run(name: str, directory: Path) -> Job:
    """Take one network through the command line, from nothing."""
    here = Path(__file__).parent
    path = os.pathsep.join([str(here.parent), str(here), os.environ.get("PYTHONPATH", "")])
    command = ["compare", JAX_NETWORKS[name], "--out", str(directory), "--fresh", "--json", *COMMAND.split()]
    done = subprocess.run(
        [sys.executable, "-m", "regauge", *command],
        env={**os.environ, "PYTHONPATH": path, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    found = json.loads(done.stdout) if done.stdout else {}
    document: dict[str, Any] = found.get("document") or {}
    ended = {f"{m['task']}, {m['variant']}": m["status"] for m in document.get("measurements", ())}
    return Job(name, (document.get("check") or {}).get("verdict", ""), ended, _said(found, done.stderr))


def _said(found: dict[str, Any], stderr: str) -> str:
    """The command's own message where it gave no document; its last words where it broke."""
    if "document" in found:
        return ""
    return " ".join(str(found.get("error", {}).get(part, "")) for part in ("code", "what")) if found else stderr[-300:]


def section(jobs: Sequence[Job]) -> str:
    """The table in Markdown; empty where no network has been through the job."""
    if not jobs:
        return ""
    return _HEADER.format(judged=len(jobs), all=len(JAX_NETWORKS)) + "".join(map(_line, jobs))


def _line(job: Job) -> str:
    well = Counter(status == "ok" for status in job.ended.values())[True]
    others = [f"{launch}: {status}" for launch, status in job.ended.items() if status != "ok"]
    cells = [job.name, job.verdict or "none", f"{well} of {len(job.ended)}", "; ".join(others) or job.error]
    return f"| {' | '.join(cells)} |\n"


def all_kept() -> list[Job]:
    return [job for job in map(kept, JAX_NETWORKS) if job is not None]


def main() -> None:
    from networks.coverage import write_pages

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="networks, all when none is named")
    parser.add_argument("--resume", action="store_true", help="keep results that are there")
    options = parser.parse_args()
    for name in options.names or JAX_NETWORKS:
        if options.resume and kept(name) is not None:
            continue
        job = run(name, BUILT / name)
        KEPT.put(asdict(job))
        print(_line(job), end="", flush=True)
        write_pages()
    write_pages()


if __name__ == "__main__":
    main()
