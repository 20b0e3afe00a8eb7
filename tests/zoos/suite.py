"""Runs the zoos: ``cd tests && python -m zoos.suite`` (``make zoos``); writes docs/coverage/models.md.

Results are kept model by model in docs/coverage/results, so that a run can be resumed or repeated for some models
alone.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import random
import resource
import signal
import sys
from dataclasses import asdict, replace
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from coverage_results import FOLDER, Results

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "coverage" / "models.md"
LONGEST = 900  # seconds of processor time for one model, whatever else the machine does: XLA compiles some for minutes
MEMORY = 6  # GiB that one process may take: a model that asks for more is a result, not the end of the run
SERVED = 4  # models by one process: what is compiled for a model stays in memory, and the next one has less of it
RESULTS = {zoo: Results(FOLDER / f"{zoo}.jsonl") for zoo in ("transformers", "timm")}
ZOOS = {zoo: Path(__file__).parent / f"{zoo}_zoo.py" for zoo in RESULTS}


def _work(job: tuple[str, str, int]) -> tuple[str, dict[str, Any]]:
    import torch

    from zoos.judging import Outcome, judge, without_paths

    def stop(*_: object) -> None:
        raise TimeoutError

    zoo, name, memory = job
    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_DATA, (memory << 30, memory << 30))
    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, LONGEST)
    try:
        outcome = judge(name, f"{ZOOS[zoo]}:{name}")
    except TimeoutError:
        outcome = Outcome(name, "fails", f"longer than {LONGEST} s")
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return zoo, asdict(replace(outcome, what=without_paths(outcome.what), versions=versions(zoo)))


def versions(zoo: str) -> dict[str, str]:
    """What a result depends on, without the builds for other devices (torch 2.13.0+cpu)."""
    return {"python": platform.python_version()} | {
        package: version(package).partition("+")[0] for package in ("torch", "jax", zoo)
    }


def names(zoo: str) -> list[str]:
    """The models of a zoo; none where its library is not installed."""
    try:
        return list(import_module(f"zoos.{zoo}_zoo").names())
    except ImportError as error:
        print(f"{zoo}: {error}", file=sys.stderr)
        return []


def jobs(given: argparse.Namespace) -> list[tuple[str, str]]:
    """What is to be judged, in an order that mixes families, so that a part of a run is a sample."""
    at, parts = map(int, given.part.split("/"))
    found = [(zoo, n) for zoo in given.zoo for n in names(zoo) if not given.only or n in given.only]
    random.Random(0).shuffle(found)
    kept = {zoo: results.load() for zoo, results in RESULTS.items()}
    return [
        (zoo, name)
        for zoo, name in found[at::parts]
        if not given.resume or name not in kept[zoo] or kept[zoo][name]["kind"] in given.again
    ]


def write_page() -> None:
    from zoos.judging import Outcome
    from zoos.page import page

    found = {zoo: [Outcome(**record) for record in results.load().values()] for zoo, results in RESULTS.items()}
    PAGE.write_text(page(found, {zoo: len(names(zoo)) for zoo in RESULTS}), encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--zoo", nargs="*", default=list(ZOOS), choices=list(ZOOS))
    parser.add_argument("--only", nargs="*", default=[], help="models of these names")
    parser.add_argument("--resume", action="store_true", help="keep results that are there")
    parser.add_argument("--again", nargs="*", default=[], help="with --resume: kinds of results that are not kept")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--memory", type=int, default=MEMORY, help="GiB that one process may take")
    parser.add_argument("--part", default="0/1", help="i/n: every n-th model from the i-th on")
    given = parser.parse_args()
    chosen = [(*job, given.memory) for job in jobs(given)]
    with multiprocessing.get_context("spawn").Pool(given.processes, maxtasksperchild=SERVED) as pool:
        for number, (zoo, outcome) in enumerate(pool.imap_unordered(_work, chosen), 1):
            RESULTS[zoo].put(outcome)
            print(
                f"[{number}/{len(chosen)}] {outcome['name']} {outcome['kind']} {outcome['seconds']} s {outcome['what']}"
            )
            sys.stdout.flush()
    write_page()
    return 0


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    sys.exit(main())
