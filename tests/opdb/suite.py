"""Runs every entry: ``cd tests && python -m opdb.suite`` (``make op-db``); writes docs/coverage/torch-to-jax.md.

Results are kept entry by entry in docs/coverage/results/op_db.jsonl, so that a run can be resumed in any clone, or
repeated for some entries alone. A resumed run keeps what has as many samples as it would take.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import sys
import time
import warnings
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

from coverage_results import FOLDER, Results

ROOT = Path(__file__).parents[2]
KEPT = Results(FOLDER / "op_db.jsonl")
PAGE = ROOT / "docs" / "coverage" / "torch-to-jax.md"
# Results whose memory torch does not set.
UNSET = {"empty", "empty_like", "empty_permuted", "empty_strided", "new_empty", "new_empty_strided"}
LONGEST = 120  # seconds for one sample
SHOWN = 5  # failing samples that are kept of one entry and dtype
SECOND = 2  # samples of an entry whose second derivative is compared
CLEARED = 100  # samples after which JAX forgets its traces: looking for one takes longer the more there are


def judge_entry(name: str, most: int | None, dtypes: list[str]) -> dict[str, Any]:
    """All dtypes of one entry."""
    import jax
    import torch

    from opdb.entries import dtypes_of, entries

    jax.config.update("jax_enable_x64", True)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    op, started = entries()[name], time.process_time()
    chosen = [dtype for dtype in dtypes_of(op) if not dtypes or str(dtype).removeprefix("torch.") in dtypes]
    found = {str(dtype).removeprefix("torch."): _judge_dtype(op, dtype, most) for dtype in chosen}
    return {
        "name": name,
        "most": most,
        "versions": {package: version(package) for package in ("torch", "jax")},
        "dtypes": found,
        "seconds": round(time.process_time() - started, 1),
    }


def _judge_dtype(op: Any, dtype: Any, most: int | None) -> dict[str, Any]:
    import jax
    import torch

    from opdb.entries import NO_SECOND, problems
    from opdb.judging import Outcome, is_random, judge

    wide = dtype in (torch.float64, torch.complex64) or torch.float64 not in op.dtypes
    gradient = op.supports_autograd and wide and op.supports_dtype(dtype, "cpu")
    kinds: Counter[str] = Counter()
    failures: list[dict[str, Any]] = []
    drawn = 0
    for position, problem in enumerate(_problems(problems(op, dtype, most, gradient), failures, kinds)):
        if position % CLEARED == 0:
            jax.clear_caches()
        random = is_random(problem.call, problem.tensors)
        drawn += random
        second = gradient and op.supports_gradgrad and position < SECOND and op.formatted_name not in NO_SECOND
        try:
            with _limited(LONGEST):
                outcome = judge(
                    problem, gradient=gradient, second=second, random=random, values=op.name.split(".")[-1] not in UNSET
                )
        except TimeoutError:
            outcome = Outcome("fails", f"longer than {LONGEST} s")
        kinds[outcome.kind if outcome.part == "forward" else f"{outcome.kind} {outcome.part}"] += 1
        if outcome.kind != "right" and sum(f["kind"] == outcome.kind for f in failures) < SHOWN:
            what = outcome.what.replace(f"{ROOT}/", "")  # results are kept, wherever they were made
            failures.append({"number": problem.number, "kind": outcome.kind, "part": outcome.part, "what": what})
    return {"kinds": dict(kinds), "gradient": gradient, "random": drawn, "failures": failures}


def _problems(samples: Any, failures: list[dict[str, Any]], kinds: Counter[str]) -> Any:
    """The samples, until torch itself fails to make one."""
    try:
        yield from samples
    except Exception as error:
        kinds["not comparable"] += 1
        failures.append(
            {"number": -1, "kind": "not comparable", "part": "forward", "what": f"no samples: {error}"[:200]}
        )


class _limited:
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


def _work(job: tuple[str, int | None, list[str]]) -> dict[str, Any]:
    return judge_entry(*job)


def _suffices(kept: dict[str, Any] | None, most: int | None) -> bool:
    """Whether a kept result has as many samples as `most`, where None stands for all."""
    if kept is None:
        return False
    return kept["most"] is None or (most is not None and kept["most"] >= most)


def main() -> int:
    from opdb.entries import entries
    from opdb.page import HARMLESS, page

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, help="at most so many samples of an entry and dtype; default: all")
    parser.add_argument("--only", nargs="*", default=[], help="entries whose name contains one of these")
    parser.add_argument("--exact", nargs="*", default=[], help="entries of exactly these names")
    parser.add_argument("--dtypes", nargs="*", default=[], help="of these alone, float64 for example; not kept")
    parser.add_argument("--resume", action="store_true", help="keep results that are there")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--part", default="0/1", help="i/n: every n-th entry from the i-th on")
    given = parser.parse_args()
    at, parts = map(int, given.part.split("/"))
    names = [n for n in entries() if not given.only or any(part in n for part in given.only)]
    names = [n for n in names if not given.exact or n in given.exact][at::parts]
    if given.resume:
        kept = KEPT.load()
        names = [n for n in names if not _suffices(kept.get(n), given.samples)]
    jobs = [(name, given.samples, given.dtypes) for name in names]
    with multiprocessing.get_context("spawn").Pool(given.processes, maxtasksperchild=60) as pool:
        for number, result in enumerate(pool.imap_unordered(_work, jobs), 1):
            if not given.dtypes:
                KEPT.put(result)
            bad = {
                dtype: [f"{f['kind']} {f['part']} #{f['number']}: {f['what']}" for f in failures[:2]]
                for dtype, found in result["dtypes"].items()
                if (failures := [f for f in found["failures"] if f["kind"] not in HARMLESS])
            }
            print(
                f"[{number}/{len(jobs)}] {result['name']} {result['seconds']} s",
                *(f"\n    {k}: {v}" for k, v in bad.items()),
            )
            sys.stdout.flush()
    PAGE.write_text(page(list(KEPT.load().values())), encoding="utf-8")
    return 0


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    sys.exit(main())
