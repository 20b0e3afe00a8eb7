"""docs/coverage/models.md, written from the results of the suite."""

from __future__ import annotations

import json
import os
import platform
from collections import Counter
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path

from zoos.judging import Outcome

_HEADER = """# Public model libraries

Written by `make zoos` on {date}; do not edit. Every model type of transformers whose base model can be made small
without a download (default settings, small sizes, random weights: `tests/zoos`) is captured, converted and compared:
outputs and the gradients of all parameters, for a loss that weighs every output element differently, no further from
the original in float64 than ten times the original's own float32.

Python {python}, torch {torch}, transformers {transformers}, jax {jax}; {cpus} CPU cores, {minutes:.0f} minutes of
processor time.

| result | models |
| --- | ---: |
| judged so far | {judged} of {all} |
| built here | {built} |
| captured by torch.export, of those built | {captured} |
| equal, of those captured | {equal} |

*limit*: operators without a rule; *refused*: torch.export cannot capture the model; *not built*: the library asks for
more than small settings, or for inputs that nobody can guess from the names of its arguments.
"""


def page(kept: Path, total: int) -> str:
    """The page in Markdown.

    Args:
        kept: the folder with a file for each model.
        total: how many models there are.
    """
    found = [Outcome(**json.loads(file.read_text(encoding="utf-8"))) for file in sorted(kept.glob("*.json"))]
    kinds = Counter(outcome.kind for outcome in found)
    built = len(found) - kinds["not built"]
    captured = built - kinds["refused"]
    text = _HEADER.format(
        date=date.today().isoformat(),
        python=platform.python_version(),
        torch=version("torch"),
        transformers=version("transformers"),
        jax=version("jax"),
        cpus=os.cpu_count(),
        minutes=sum(outcome.seconds for outcome in found) / 60,
        judged=len(found),
        all=total,
        built=built,
        captured=captured,
        equal=f"{kinds['equal']} of {captured}",
    )
    for kind, title in (
        ("different", "Different"),
        ("fails", "Fails"),
        ("limit", "Limit"),
        ("refused", "Refused by torch.export"),
        ("equal", "Equal"),
        ("not built", "Not built"),
    ):
        chosen = [outcome for outcome in found if outcome.kind == kind]
        if chosen:
            text += f"\n## {title} ({len(chosen)})\n\n" + _table(chosen)
    return text


def _table(outcomes: Sequence[Outcome]) -> str:
    if outcomes[0].kind == "equal":
        return (
            "\n".join(
                ["| model | lines of model.py |", "| --- | ---: |", *(f"| `{o.name}` | {o.lines} |" for o in outcomes)]
            )
            + "\n"
        )
    lines = ["| model | message |", "| --- | --- |"]
    for outcome in outcomes:
        message = _without_paths(outcome.what).replace("|", "\\|")
        lines.append(f"| `{outcome.name}` | {message[:200]} |")
    return "\n".join(lines) + "\n"


def _without_paths(text: str) -> str:
    """Paths of one machine say nothing to a reader: the file and its line stay."""
    return " ".join(word.rsplit("site-packages/", 1)[-1] for word in text.split(" "))
