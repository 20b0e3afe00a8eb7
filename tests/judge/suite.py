"""How good the judge is: ``python -m judge.suite`` from `tests`, or `make judge`.

Judges every mutant and every correct pair and writes docs/coverage/judge.md. The result of each pair is kept in a
file, so that `--resume` goes on where a run ended.
"""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "coverage" / "judge.md"
KEPT = ROOT / "build" / "judge"

# Compilation takes most of the time, and float64 does not need what it is spent on.
_MUTANT_FLAGS = "--xla_backend_optimization_level=0"
CACHE = {  # pairs of one base share most of what is compiled
    "JAX_COMPILATION_CACHE_DIR": str(KEPT / "compiled"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}
_TASKS_OF_A_PROCESS = 8  # compiled programs pile up in memory


def jobs(kind: str) -> Iterator[tuple[str, str]]:
    """Names of all jobs of a kind, with the file that keeps the result.

    Two JAX models, the port and the mutant of it, are judged in one base for each mistake that a cause is known of.
    """
    if kind == "mutants":
        from judge.mutations import MUTATIONS

        most = max(len(mutation.places) for mutation in MUTATIONS)
        places = [(m, m.places[number]) for number in range(most) for m in MUTATIONS if number < len(m.places)]
        names = [f"{mutation.name} in {place.base}" for mutation, place in places]  # every mutation in one base first
    elif kind == "jax":
        from judge.mutations import MUTATIONS

        names = [f"{mutation.name} in {mutation.places[0].base}" for mutation in MUTATIONS if mutation.causes]
    else:
        from judge.correct import PAIRS

        names = [f"{pair.name} in {pair.base}" for pair in PAIRS]
    for name in names:
        yield name, re.sub(r"[^a-z0-9]+", "-", name.lower()) + ".json"


def run(kind: str, name: str) -> dict[str, object]:
    """Judge one mutant or pair by its name."""
    from judge.judging import judge_mutant, judge_pair

    with TemporaryDirectory() as directory:
        if kind in ("mutants", "jax"):
            from judge.mutations import MUTATIONS

            mutation, place = next((m, p) for m in MUTATIONS for p in m.places if f"{m.name} in {p.base}" == name)
            result = judge_mutant(mutation, place, Path(directory), jax_alone=kind == "jax")
        else:
            from judge.correct import PAIRS

            result = judge_pair(next(p for p in PAIRS if f"{p.name} in {p.base}" == name), Path(directory))
    return asdict(result)


def run_all(kind: str, resume: bool, pattern: str, processes: int) -> None:
    """Judge all of a kind, several at a time; results go to files."""
    folder = KEPT / kind
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [(name, folder / file) for name, file in jobs(kind) if re.search(pattern, name)]
    left = [(name, file) for name, file in wanted if not (resume and file.is_file())]
    os.environ |= {"OMP_NUM_THREADS": "1", **CACHE}
    os.environ["XLA_FLAGS"] = "" if kind == "correct" else _MUTANT_FLAGS
    files = dict(left)
    # not concurrent.futures: with a limit on the tasks of a process its pool can wait for ever in Python 3.11
    with get_context("spawn").Pool(processes, maxtasksperchild=_TASKS_OF_A_PROCESS) as pool:
        results = pool.imap_unordered(partial(_named, kind), files)
        for number, (name, result) in enumerate(results, start=1):
            files[name].write_text(json.dumps(result, indent=1), encoding="utf-8")
            mark = "right" if result["right"] else "WRONG"
            print(f"{number}/{len(left)} {mark} {name}: {result['verdict']}, {result['seconds']:.0f} s", flush=True)


def _named(kind: str, name: str) -> tuple[str, dict[str, object]]:
    return name, run(kind, name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pattern", nargs="?", default="", help="regular expression of names; all without one")
    parser.add_argument("--only", choices=("mutants", "correct", "jax"), help="one kind")
    parser.add_argument("--resume", action="store_true", help="keep the results that are there")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="at a time")
    parser.add_argument("--page", type=Path, default=PAGE, help="the file to write")
    options = parser.parse_args()
    for kind in (options.only,) if options.only else ("correct", "mutants", "jax"):
        run_all(kind, options.resume, options.pattern, options.processes)
    from judge.page import page

    options.page.parent.mkdir(parents=True, exist_ok=True)
    options.page.write_text(page(KEPT), encoding="utf-8")


if __name__ == "__main__":
    main()
