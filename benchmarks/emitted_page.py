"""Emitted models against models written by hand: the sections of docs/benchmarks.md, for both directions."""

from __future__ import annotations

import statistics
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.launching import ROOT, run
from regauge.measure.statistics import paired_effect

LAUNCHES = 10
_HOW = [
    "alternating blocks of random order. A process gives one difference, the",
    "median of its blocks, because two processes with the same program differ by more than the blocks of one;",
    "the ratio is Hodges-Lehmann over the processes with its signed-rank interval. Aim: at or under 1.05.",
]
_HEAD = [
    "| model | task | emitted / by hand | 95 % interval | by hand, ms | processes |",
    "| --- | --- | --- | --- | --- | --- |",
]


def jax_section() -> list[str]:
    """NNX that was emitted from PyTorch."""
    return [
        "## Emitted model against one written by hand",
        "",
        f"Both jitted, in one process, in {_HOW[0]}",
        *_HOW[1:],
        "Originals: `benchmarks/originals.py`, by hand: `benchmarks/handwritten.py`.",
        "",
        *_HEAD,
        *_rows("originals", "benchmarks.emitted"),
    ]


def torch_section() -> list[str]:
    """PyTorch that was emitted from NNX; what is by hand there is the original here."""
    rows = [row for mode in ("eager", "compile") for row in _rows("jax_cases", "benchmarks.emitted_torch", mode)]
    return [
        "## Emitted PyTorch against PyTorch written by hand",
        "",
        f"Both eager or both compiled (`torch.compile`), in one process, in {_HOW[0]}",
        *_HOW[1:],
        "Originals: `benchmarks/jax_cases.py`, by hand: `benchmarks/originals.py`.",
        "",
        *_HEAD,
        *rows,
    ]


def _rows(cases: str, benchmark: str, *mode: str) -> list[str]:
    """Both networks and both tasks, as lines of a table."""
    found = []
    with TemporaryDirectory() as directory:
        for name in ("encoder", "resnet"):
            folder = str(Path(directory) / name)
            case = f"{ROOT / 'benchmarks' / f'{cases}.py'}:{name}"
            run("regauge.cli.main", "convert", case, "--out", folder, "--json")
            lines = [line for seed in range(LAUNCHES) for line in run(benchmark, name, folder, *mode, str(seed))]
            for task in ("infer", "train"):
                of_task = [line for line in lines if line["task"] == task]
                found.append(_row(name, ", ".join((task, *mode)), of_task))
    return found


def _row(model: str, task: str, lines: list[dict[str, Any]]) -> str:
    r = asdict(paired_effect([line["difference"] for line in lines], 0.05))
    milliseconds = statistics.median(line["handwritten_ms"] for line in lines)
    interval = f"{r['low']:.3f} to {r['high']:.3f}"
    return f"| {model} | {task} | {r['ratio']:.3f} | {interval} | {milliseconds:.2f} | {r['blocks']} |"
