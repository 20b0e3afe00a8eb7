"""Runs the zoos: ``cd tests && python -m zoos.suite`` (``make zoos``); writes docs/coverage/models.md.

Results are kept model by model in build/zoos, so that a run can be resumed or repeated for some models alone.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "build" / "zoos"
LONGEST = 240  # seconds for one model
ZOOS = {"transformers": Path(__file__).parent / "transformers_zoo.py"}


def _work(job: tuple[str, str]) -> dict[str, object]:
    import torch

    from zoos.judging import Outcome, judge

    def stop(*_: object) -> None:
        raise TimeoutError

    zoo, name = job
    torch.set_num_threads(1)
    signal.signal(signal.SIGALRM, stop)
    signal.alarm(LONGEST)
    try:
        outcome = judge(name, f"{ZOOS[zoo]}:{name}")
    except TimeoutError:
        outcome = Outcome(name, "fails", f"longer than {LONGEST} s")
    finally:
        signal.alarm(0)
    place = RESULTS / zoo
    place.mkdir(parents=True, exist_ok=True)
    (place / f"{name}.json").write_text(json.dumps(asdict(outcome)) + "\n", encoding="utf-8")
    return asdict(outcome)


def main() -> int:
    from zoos import transformers_zoo

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=[], help="models of these names")
    parser.add_argument("--resume", action="store_true", help="keep results that are there")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--part", default="0/1", help="i/n: every n-th model from the i-th on")
    given = parser.parse_args()
    at, parts = map(int, given.part.split("/"))
    names = [n for n in transformers_zoo.names() if not given.only or n in given.only][at::parts]
    if given.resume:
        names = [n for n in names if not (RESULTS / "transformers" / f"{n}.json").is_file()]
    jobs = [("transformers", name) for name in names]
    with multiprocessing.get_context("spawn").Pool(given.processes, maxtasksperchild=25) as pool:
        for number, outcome in enumerate(pool.imap_unordered(_work, jobs), 1):
            print(
                f"[{number}/{len(jobs)}] {outcome['name']} {outcome['kind']} {outcome['seconds']} s {outcome['what']}"
            )
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    sys.exit(main())
