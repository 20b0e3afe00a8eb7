"""Runs the zoos: ``cd tests && python -m zoos.suite`` (``make zoos``); writes docs/coverage/models.md.

Results are kept model by model in build/zoos, so that a run can be resumed or repeated for some models alone.
"""

from __future__ import annotations

import argparse
import json
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

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "build" / "zoos"
PAGE = ROOT / "docs" / "coverage" / "models.md"
LONGEST = 240  # seconds of processor time for one model, whatever else the machine does
MEMORY = 6 << 30  # bytes that one process may take: a model that asks for more is a result, not the end of the run
SERVED = 4  # models by one process: what is compiled for a model stays in memory, and the next one has less of it
ZOOS = {zoo: Path(__file__).parent / f"{zoo}_zoo.py" for zoo in ("transformers", "timm")}


def _work(job: tuple[str, str]) -> dict[str, object]:
    import torch

    from zoos.judging import Outcome, judge

    def stop(*_: object) -> None:
        raise TimeoutError

    zoo, name = job
    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, LONGEST)
    try:
        outcome = judge(name, f"{ZOOS[zoo]}:{name}")
    except TimeoutError:
        outcome = Outcome(name, "fails", f"longer than {LONGEST} s")
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    outcome = replace(outcome, versions=versions(zoo))
    place = RESULTS / zoo
    place.mkdir(parents=True, exist_ok=True)
    (place / f"{name}.json").write_text(json.dumps(asdict(outcome)) + "\n", encoding="utf-8")
    return asdict(outcome)


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
    again = {*given.again}
    return [job for job in found[at::parts] if not given.resume or _kind(*job) in {None, *again}]


def _kind(zoo: str, name: str) -> str | None:
    file = RESULTS / zoo / f"{name}.json"
    return str(json.loads(file.read_text(encoding="utf-8"))["kind"]) if file.is_file() else None


def main() -> int:
    from zoos.page import page

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--zoo", nargs="*", default=list(ZOOS), choices=list(ZOOS))
    parser.add_argument("--only", nargs="*", default=[], help="models of these names")
    parser.add_argument("--resume", action="store_true", help="keep results that are there")
    parser.add_argument("--again", nargs="*", default=[], help="with --resume: kinds of results that are not kept")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--part", default="0/1", help="i/n: every n-th model from the i-th on")
    chosen = jobs(given := parser.parse_args())
    with multiprocessing.get_context("spawn").Pool(given.processes, maxtasksperchild=SERVED) as pool:
        for number, outcome in enumerate(pool.imap_unordered(_work, chosen), 1):
            print(
                f"[{number}/{len(chosen)}] {outcome['name']} {outcome['kind']} {outcome['seconds']} s {outcome['what']}"
            )
            sys.stdout.flush()
    PAGE.write_text(page({zoo: (RESULTS / zoo, len(names(zoo))) for zoo in ZOOS}), encoding="utf-8")
    return 0


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    sys.exit(main())
