"""The sections of docs/benchmarks.md on deep models: a scan over layers, and how converting grows with depth."""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.depth import DEPTHS, REPEATS

Lines = list[dict[str, Any]]
SCALING_REPEATS = 3


def scan_section(lines: Lines) -> list[str]:
    """Compile and step time of scanned against unrolled layers, from the lines of `benchmarks.depth`."""
    text = [
        "## A scan over layers against unrolled layers",
        "",
        "The encoder of `benchmarks/originals.py` with more layers, converted as a scan and with unrolled layers, by",
        f"`benchmarks/depth.py`, a process for each depth: {REPEATS} times both are traced and compiled anew and take",
        "a step, in random order. Seconds are processor time, ratios are medians, with their range. Aims: tracing and",
        "compiling a scan of 48 layers takes less than 1.3 times that of 4; a step takes at most 1.05 times one of",
        "unrolled layers. The encoder has no dropout: scans of layers with dropout or convolutions keep more for the",
        "gradient (docs/architecture.md), which is slower.",
        "",
        "| task | layers | trace + compile, scan, s | unrolled, s | scan / unrolled | step, scan / unrolled | range |",
        "| --- | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for task in ("infer", "train"):
        for depth in DEPTHS:
            rows = [line for line in lines if line["task"] == task and line["depth"] == depth]
            scan, unroll = ([_made(row[way]) for row in rows] for way in ("scan", "unroll"))
            steps = [row["scan"]["step"] / row["unroll"]["step"] for row in rows]
            ratio = statistics.median(a / b for a, b in zip(scan, unroll, strict=True))
            text.append(
                f"| {task} | {depth} | {statistics.median(scan):.2f} | {statistics.median(unroll):.2f} | {ratio:.2f} | "
                f"{statistics.median(steps):.3f} | {min(steps):.3f} to {max(steps):.3f} |"
            )
    text += ["", "From 4 to 48 layers tracing and compiling take:", ""]
    for task in ("infer", "train"):
        found = {way: _growth(lines, task, way) for way in ("scan", "unroll")}
        text.append(f"* {task}: {found['scan']:.2f} times as long as a scan, {found['unroll']:.2f} times unrolled.")
    return text


def _made(figures: dict[str, float]) -> float:
    return figures["trace"] + figures["compile"]


def _growth(lines: Lines, task: str, way: str) -> float:
    of_task = [line for line in lines if line["task"] == task]
    ends = [[_made(line[way]) for line in of_task if line["depth"] == depth] for depth in (DEPTHS[0], DEPTHS[-1])]
    return statistics.median(ends[1]) / statistics.median(ends[0])


_SCALED = {
    "to-jax": ("Converting deep models", "`torch.export` and what makes its graph functional"),
    "to-torch": ("Converting deep JAX models", "tracing in both modes, and what finds modules, layers and functions"),
}


def scaling_section(direction: str, lines: Lines) -> list[str]:
    """Seconds of converting by depth, from the lines of `benchmarks.scaling`."""
    title, capture = _SCALED[direction]
    text = [
        f"## {title}",
        "",
        "The same encoder, 16 wide, with more and more layers; processor time in a fresh process each, medians of",
        f"{SCALING_REPEATS}. Capture is {capture}, emission all from there to",
        "the sources and the weight map, writing the saved folder. What is linear takes the same time a node at every",
        "depth.",
        "",
        "| layers | nodes | capture, s | emission, s | writing, s | capture, ms a node | emission, ms a node |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for depth in sorted({line["depth"] for line in lines}):
        rows = [line for line in lines if line["depth"] == depth]
        figures = {key: statistics.median(row[key] for row in rows) for key in ("capture", "emit", "write")}
        nodes = rows[0]["nodes"]
        text.append(
            f"| {depth} | {nodes} | {figures['capture']:.2f} | {figures['emit']:.2f} | {figures['write']:.2f} | "
            f"{1e3 * figures['capture'] / nodes:.2f} | {1e3 * figures['emit'] / nodes:.2f} |"
        )
    return text
