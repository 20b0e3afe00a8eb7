"""docs/coverage/jax-to-torch.md, written from the results of the suite."""

from __future__ import annotations

import json
import os
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

_HEADER = """# JAX's own tests of its primitives

Written by `make harnesses` on {date}; do not edit. Every case of JAX's harness list
(`jax._src.internal_test_util.test_harnesses`) that JAX runs on a CPU goes through the public path: `regauge.to_torch`
traces, applies rules and emits source, which runs in PyTorch, with JAX's 64-bit mode on. The inputs are JAX's; {most}.

Compared are shape, dtype and values in every dtype, and the gradient for random cotangents in float64 and complex128.
[equivalence.md](../equivalence.md) has the bounds: 1e-10 in float64, and in narrower dtypes no more than ten times
JAX's own distance from float64. Of decompositions whose vectors are free in sign or phase, what does not depend on
those is compared.

Python {python}, torch {torch}, jax {jax}; {cpus} CPU cores.

| question | answer |
| --- | ---: |
| cases that JAX itself runs | {comparable} |
| right, forward and gradient | {right} ({share:.1%}) |
| refused, with a reason | {refused} |
| wrong, or an error that is no refusal | {bad} |
| groups in which every case is right | {whole} of {groups} |
"""

_REFUSED = ("limit", "refused")


def page(kept: Path, most: int | None = None) -> str:
    """The page in Markdown.

    Args:
        kept: the folder with a file for each group.
        most: how many cases of a group were run at most; None for all.
    """
    groups: dict[str, list[dict[str, Any]]] = {
        file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(kept.glob("*.json"))
    }
    counts = {name: Counter(case["kind"] for case in cases) for name, cases in groups.items()}
    total = sum(counts.values(), Counter())
    comparable = sum(total.values()) - total["not comparable"]
    refused = sum(total[kind] for kind in _REFUSED)
    whole = [name for name, found in counts.items() if _is_whole(found)]
    text = _HEADER.format(
        date=date.today().isoformat(),
        most="all of them" if most is None else f"at most {most} cases of a group, spread over it",
        python=platform.python_version(),
        torch=version("torch"),
        jax=version("jax"),
        cpus=os.cpu_count(),
        comparable=comparable,
        right=total["right"],
        share=total["right"] / max(1, comparable),
        refused=refused,
        bad=total["wrong"] + total["fails"],
        whole=len(whole),
        groups=len(groups),
    )
    partly = {name: cases for name, cases in groups.items() if name not in whole}
    return f"{text}\n## Not right\n\n{_failures(partly)}\n## Groups\n\n{_table(counts)}"


def _is_whole(found: Mapping[str, int]) -> bool:
    return set(found) <= {"right", "not comparable"} and bool(found["right"])


def _failures(groups: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """What is refused or wrong, each message once for a group."""
    lines = ["| group | cases | what | example |", "| --- | ---: | --- | --- |"]
    for name, cases in groups.items():
        found: dict[tuple[str, str], list[str]] = {}
        for case in cases:
            if case["kind"] not in ("right", "not comparable"):
                found.setdefault((case["kind"], _short(case)), []).append(case["name"])
        for (kind, what), names in found.items():
            lines.append(f"| `{name}` | {len(names)} | {kind}: {what} | `{names[0]}` |")
    return "\n".join(lines) + "\n"


def _short(case: Mapping[str, Any]) -> str:
    """The part and the message without its figures, so that cases that fail alike stand in one row."""
    what = case["what"].split("limit: ")[-1] if case["kind"] == "limit" else case["what"].split("; value")[0]
    if case["kind"] == "wrong" and (" from float64" in what or " in norm" in what):
        what = "differs"
    return f"{case['part']}: {what[:150]}".replace("|", "\\|").replace("\n", " ")


def _table(counts: Mapping[str, Mapping[str, int]]) -> str:
    lines = ["| group | right | refused | wrong or error | JAX does not run |", "| --- | ---: | ---: | ---: | ---: |"]
    for name, found in counts.items():
        refused, bad = sum(found[kind] for kind in _REFUSED), found["wrong"] + found["fails"]
        lines.append(
            f"| `{name}` | {found['right']} | {refused or ''} | {bad or ''} | {found['not comparable'] or ''} |"
        )
    return "\n".join(lines) + "\n"
