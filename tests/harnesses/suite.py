"""Runs JAX's own tests of its primitives: ``cd tests && python -m harnesses.suite`` (``make harnesses``).

Results are kept group by group in build/harnesses, so that a run can be resumed or repeated for some groups alone.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import sys
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "build" / "harnesses"
PAGE = ROOT / "docs" / "coverage" / "jax-to-torch.md"
LONGEST = 120  # seconds for one case
PART = 100  # cases that one process judges at a time


def harnesses() -> dict[str, list[Any]]:
    """All cases by group."""
    from jax._src.internal_test_util import test_harnesses

    found: dict[str, list[Any]] = {}
    for harness in test_harnesses.all_harnesses:
        if harness.filter("cpu"):
            found.setdefault(harness.group_name, []).append(_with_one_result(harness))
    return found


def _with_one_result(harness: Any) -> Any:
    """A sort as a stable one: an unstable sort leaves the order of equal keys open, so a stable one is right for both.

    The cases bind ``sort_p`` with (*operands, dimension, is_stable, num_keys), the last three of them static.
    """
    if harness.group_name == "sort":
        *operands, dimension, is_stable, keys = harness.arg_descriptors
        harness.arg_descriptors = [*operands, dimension, type(is_stable)(True), keys]
    return harness


def judge_cases(
    group: str, most: int | None = None, names: list[str] | None = None, begin: int = 0, end: int | None = None
) -> list[dict[str, Any]]:
    """What became of the cases of a group: dicts of name, kind, part, what."""
    import jax
    import torch

    from harnesses.judging import Outcome, judge

    jax.config.update("jax_enable_x64", True)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    found = []
    chosen = [h for h in harnesses()[group] if not names or any(name in h.fullname for name in names)]
    if most is not None:  # spread over the group
        chosen = chosen[:: max(1, len(chosen) // most)][:most]
    for harness in chosen[begin:end]:
        try:
            with limited(LONGEST):
                outcome = judge(harness)
        except TimeoutError:
            outcome = Outcome("fails", f"longer than {LONGEST} s")
        found.append({"name": harness.fullname, "kind": outcome.kind, "part": outcome.part, "what": outcome.what})
    return found


class limited:
    """TimeoutError after so many seconds."""

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds

    def __enter__(self) -> None:
        def stop(*_: Any) -> None:
            raise TimeoutError

        signal.signal(signal.SIGALRM, stop)
        signal.alarm(self.seconds)

    def __exit__(self, *_: object) -> None:
        signal.alarm(0)


def _work(job: tuple[str, int | None, list[str], int, int | None]) -> dict[str, Any]:
    started = time.process_time()
    cases = judge_cases(*job)
    return {"group": job[0], "begin": job[3], "seconds": round(time.process_time() - started, 1), "cases": cases}


def main() -> int:
    from harnesses.page import page

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=[], help="groups of exactly these names")
    parser.add_argument(
        "--names", nargs="*", default=[], help="cases whose name contains one of these; nothing is kept"
    )
    parser.add_argument("--most", type=int, help="at most so many cases of a group, spread over it")
    parser.add_argument("--resume", action="store_true", help="keep results that are there")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--show", type=int, default=5, help="failing cases of a group that are printed")
    given = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    kept = not given.names
    jobs = []
    for group, cases in harnesses().items():
        if (given.only and group not in given.only) or (given.resume and (RESULTS / f"{group}.json").is_file()):
            continue
        jobs += [(group, given.most, given.names, at, at + PART) for at in range(0, len(cases), PART)]
    results: dict[str, dict[int, dict[str, Any]]] = {}
    total: Counter[str] = Counter()
    with multiprocessing.get_context("spawn").Pool(given.processes, maxtasksperchild=10) as pool:
        for result in pool.imap_unordered(_work, jobs):
            group = result["group"]
            parts = results.setdefault(group, {})
            parts[result["begin"]] = result
            if len(parts) < sum(job[0] == group for job in jobs):
                continue
            cases = [case for _, part in sorted(parts.items()) for case in part["cases"]]
            if kept:
                (RESULTS / f"{group}.json").write_text(json.dumps(cases, indent=1) + "\n", encoding="utf-8")
            kinds = Counter(case["kind"] for case in cases)
            total += kinds
            print(f"{group}: {dict(kinds)} {sum(p['seconds'] for p in parts.values()):.0f} s")
            for case in [c for c in cases if c["kind"] not in ("right", "not comparable")][: given.show]:
                print(f"    {case['name']}: {case['kind']} {case['part']}: {case['what']}")
            sys.stdout.flush()
    print(f"all: {dict(total)}")
    if kept:
        PAGE.write_text(page(RESULTS, given.most), encoding="utf-8")
    return 0


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    sys.exit(main())
