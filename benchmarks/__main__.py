"""Runs every benchmark in fresh processes and writes docs/benchmarks.md: ``python -m benchmarks`` (``make bench``).

``python -m benchmarks depth scaling`` runs these two alone and leaves the other sections as they are.

All figures of one table come from one run on one machine; the claims are ratios within it.
"""

from __future__ import annotations

import os
import platform
import re
import statistics
import sys
from functools import partial
from importlib.metadata import version
from typing import Any

from benchmarks import scaling as scaled
from benchmarks.depth import DEPTHS
from benchmarks.emitted_page import gpu_section, jax_section, torch_section, torchax_section
from benchmarks.launching import ROOT, run
from benchmarks.layers_page import SCALING_REPEATS, scaling_section, scan_section

PAGE = ROOT / "docs" / "benchmarks.md"
REPEATS = 5


def converting() -> list[dict[str, Any]]:
    """Seconds and peak memory of converting against torch.export alone; the modes alternate."""
    rows = []
    for name in ("encoder", "resnet", "bert-base"):
        runs: dict[str, list[dict[str, Any]]] = {"export": [], "convert": []}
        for _ in range(REPEATS):
            for mode, results in runs.items():
                results += run("benchmarks.converting", mode, name)
        ratios = [
            (c["seconds"] - c["copying"]) / e["seconds"] for c, e in zip(runs["convert"], runs["export"], strict=True)
        ]
        weights = runs["convert"][0]["weights"]
        extra = statistics.median(c["peak"] - e["peak"] for c, e in zip(runs["convert"], runs["export"], strict=True))
        rows.append(
            {
                "model": name,
                "export_s": statistics.median(e["seconds"] for e in runs["export"]),
                "convert_s": statistics.median(c["seconds"] for c in runs["convert"]),
                "copy_s": statistics.median(c["copying"] for c in runs["convert"]),
                "ratio": statistics.median(ratios),
                "low": min(ratios),
                "high": max(ratios),
                "weights_mib": weights / 2**20,
                "extra_mib": extra / 2**20,
            }
        )
    return rows


def depth() -> list[str]:
    """A scan over layers against unrolled ones."""
    return scan_section([line for depth in DEPTHS for line in run("benchmarks.depth", str(depth))])


def scaling(direction: str) -> list[str]:
    """Seconds of converting by depth; the depths alternate."""
    depths = [str(depth) for _ in range(SCALING_REPEATS) for depth in scaled.DEPTHS]
    return scaling_section(
        direction, [line for depth in depths for line in run("benchmarks.scaling", direction, depth)]
    )


def converting_section() -> list[str]:
    rows = [
        f"| {r['model']} | {r['export_s']:.2f} | {r['convert_s']:.2f} | {r['copy_s']:.2f} | {r['ratio']:.2f} | "
        f"{r['low']:.2f} to {r['high']:.2f} | {r['weights_mib']:.1f} | {r['extra_mib']:.1f} |"
        for r in converting()
    ]
    return [
        "## Cost of converting",
        "",
        "Capture to saved folder, against `torch.export` alone with the same symbolic sizes; medians of",
        f"{REPEATS} pairs of fresh processes. The ratio is (convert - copy) / export; copy is writing the weights",
        "once; aim: at most 2. Extra memory is the difference of the peaks; aim: at most 1.2 times the weights.",
        "",
        "| model | export, s | convert, s | copy, s | ratio | range | weights, MiB | extra peak, MiB |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *rows,
    ]


def overhead_section() -> list[str]:
    rows = [
        f"| {r['model']} | {r['launched_s']:.1f} | {r['wall_s']:.1f} | {100 * r['share']:.1f} % |"
        for r in run("benchmarks.overhead")
    ]
    return [
        "## regauge's own cost while measuring",
        "",
        "From the beginning of measuring to the end of the report, less the launches themselves. Aim: under 10 %.",
        "",
        "| case | launches, s | all, s | own share |",
        "| --- | --- | --- | --- |",
        *rows,
    ]


SECTIONS = {
    "emitted": jax_section,
    "emitted-torch": torch_section,
    "converting": converting_section,
    "depth": depth,
    "scaling": partial(scaling, "to-jax"),
    "scaling-torch": partial(scaling, "to-torch"),
    "overhead": overhead_section,
}
# These ask for what not every machine has: torchax, a GPU.
ON_REQUEST = {"torchax": torchax_section, "gpu": gpu_section}


def head() -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "jax", "flax", "optax"))
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench` (`python -m benchmarks`); every table is of one run on one machine.",
        f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}, {packages}.",
    ]
    return "\n".join(lines)


def replaced(page: str, section: list[str]) -> str:
    """The page with this section in the place of the one with its title; at the end if there was none."""
    text = "\n".join(section)
    parts = re.split(r"\n\n(?=## )", page.strip())
    titles = [part.split("\n")[0] for part in parts]
    if section[0] in titles:
        parts[titles.index(section[0])] = text
    else:
        parts.append(text)
    return "\n\n".join(parts) + "\n"


def main(names: list[str]) -> None:
    """Write the sections of these names, all of `SECTIONS` when none is named; what is written by hand is kept."""
    for name in names or SECTIONS:
        section = (SECTIONS | ON_REQUEST)[name]()
        page = PAGE.read_text(encoding="utf-8")
        if name != "gpu":  # which names its own machine
            parts = page.partition("\n## ")
            page = head() + "\n" + parts[1] + parts[2]
        page = replaced(page, section)
        PAGE.write_text(page, encoding="utf-8")
    print(PAGE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main(sys.argv[1:])
