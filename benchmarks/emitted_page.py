"""Emitted models against models written by hand: the sections of docs/benchmarks.md, for both directions."""

from __future__ import annotations

import os
import statistics
import sys
from dataclasses import asdict
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.launching import ROOT, run
from regauge.measure.statistics import paired_effect

LAUNCHES = int(os.environ.get("LAUNCHES", "10"))
_HOW = [
    "alternating blocks of random order. A process gives one difference, the",
    "median of its blocks, because two processes with the same program differ by more than the blocks of one;",
    "the ratio is Hodges-Lehmann over the processes with its signed-rank interval. Aim: at or under 1.05.",
]
_HEAD_OF_TORCHAX = [
    "| model | task | emitted / torchax | 95 % interval | torchax, ms | processes |",
    "| --- | --- | --- | --- | --- | --- |",
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


def torchax_section() -> list[str]:
    """NNX that was emitted from PyTorch, against the original under torchax."""
    return [
        "## Emitted model against torchax",
        "",
        "The original under `jax.jit` through torchax and the emitted model, in one process, in",
        *_HOW[:2],
        "the ratio is Hodges-Lehmann over the processes with its signed-rank interval. Aim: at or under 1.",
        "torchax leaves the statistics of batch norm as they are; the emitted model moves them.",
        "",
        *_HEAD_OF_TORCHAX,
        *_rows("originals", "benchmarks.against_torchax"),
    ]


def gpu_section() -> list[str]:
    """Both directions and torchax on the GPU of this machine.

    Raises:
        RuntimeError: torch or JAX sees none.
    """
    gpu = run("benchmarks.gpu")[0]
    tables = {
        "Emitted NNX against NNX by hand, jitted": (_HEAD, "originals", "benchmarks.emitted"),
        "Emitted NNX against the original under torchax, jitted": (
            _HEAD_OF_TORCHAX,
            "originals",
            "benchmarks.against_torchax",
        ),
        "Emitted PyTorch against PyTorch by hand": (_HEAD, "jax_cases", "benchmarks.emitted_torch", "eager"),
    }
    lines = [
        f"## On a GPU: {gpu['device']}",
        "",
        f"Written by `python -m benchmarks gpu` on a machine of its own: {gpu['versions']}.",
        "The same benchmarks as on the CPU. The networks are small for such a card, so that what Python does between",
        "two steps shows.",
    ]
    for title, (head, *which) in tables.items():
        print(title, file=sys.stderr, flush=True)
        lines += ["", f"{title}:", "", *head, *_rows(*which)]
    return lines


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
    for name in ("encoder", "resnet"):
        with TemporaryDirectory() as folder:
            case = f"{ROOT / 'benchmarks' / f'{cases}.py'}:{name}"
            run("regauge.cli.main", "convert", case, "--out", folder, "--json")
            lines = [line for seed in range(LAUNCHES) for line in run(benchmark, name, folder, *mode, str(seed))]
        for task in ("infer", "train"):
            found.append(_row(name, ", ".join((task, *mode)), [line for line in lines if line["task"] == task]))
            print(found[-1], file=sys.stderr, flush=True)
    return found


def _row(model: str, task: str, lines: list[dict[str, Any]]) -> str:
    r = asdict(paired_effect([line["difference"] for line in lines], 0.05))
    milliseconds = statistics.median(line["handwritten_ms"] for line in lines)
    interval = f"{r['low']:.3f} to {r['high']:.3f}"
    return f"| {model} | {task} | {r['ratio']:.3f} | {interval} | {milliseconds:.2f} | {r['blocks']} |"
