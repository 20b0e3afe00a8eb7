"""docs/coverage/judge.md, written from the results of the suite."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path

from judge.correct import PAIRS
from judge.judging import Result
from judge.mutations import MUTATIONS

_HEADER = """# The judge, judged

Written by `make judge` on {date}; do not edit. Pairs of models written by hand (`tests/judge`) in PyTorch and in JAX
(nnx, Linen, Equinox, Haiku, plain functions) are judged by `regauge.check`: correct ones, which must be *equal*, and
mutants, ports with one classic mistake, which must not be. [equivalence.md](../equivalence.md) says how it judges.

Python {python}, {versions}; {cpus} CPU cores.

| question | answer |
| --- | ---: |
| correct pairs judged so far | {pairs} |
| mutants judged so far | {all} |
| correct pairs judged equal | {equal} |
| mutants caught, by the tier that was named before | {caught} |
| the module where the mistake shows is named | {placed} |
| the line of the mistake is named | {lined} |
| the cause is among the first two that are named, where the table of causes has it | {caused} |
| processor time, minutes | {minutes:.0f} |

A correct pair takes the whole check. A mutant takes the quick one in float64, or the whole one where its mistake needs
special inputs or float32 to show; training steps are taken where the mistake concerns training.
"""

Pick = Callable[[Result], "bool | None"]


def page(kept: Path) -> str:
    """The page in Markdown.

    Args:
        kept: the folder with a file for each result.
    """
    correct, mutants = _results(kept / "correct"), _results(kept / "mutants")
    libraries = ("torch", "jax", "flax", "optax", "equinox", "dm-haiku")
    text = _HEADER.format(
        date=date.today().isoformat(),
        python=platform.python_version(),
        versions=", ".join(f"{name} {version(name)}" for name in libraries),
        cpus=os.cpu_count(),
        pairs=f"{len(correct)} of {len(PAIRS)}",
        all=f"{len(mutants)} of {sum(len(mutation.places) for mutation in MUTATIONS)}",
        equal=_count(correct, lambda r: r.right),
        caught=_count(mutants, lambda r: r.right),
        placed=_count(mutants, lambda r: r.right_module),
        lined=_count(mutants, lambda r: r.right_line),
        caused=_count(mutants, lambda r: r.right_cause),
        minutes=sum(r.seconds for r in (*correct, *mutants)) / 60,
    )
    text += "\n## Mutants\n\n" + _mutants(mutants)
    text += _two_of_jax(_results(kept / "jax"))
    text += "\n## Correct pairs\n\n" + _correct(correct)
    return text


def _results(folder: Path) -> list[Result]:
    found = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.json"))]
    return [Result(**{**item, "said": tuple(item["said"]), "causes": tuple(item["causes"])}) for item in found]


def _count(results: Sequence[Result], pick: Pick) -> str:
    asked = [answer for result in results if (answer := pick(result)) is not None]
    return f"{sum(asked)} of {len(asked)}"


def _mutants(results: Sequence[Result]) -> str:
    text = "| mistake | caught by | bases | caught | place | line | cause |\n"
    text += "| --- | --- | --- | ---: | ---: | ---: | ---: |\n"
    for mutation in MUTATIONS:
        own = [result for result in results if result.name == mutation.name]
        if not own:
            continue
        bases = ", ".join(result.base for result in own)
        expected = {"refused": "refused with a message", "not checked": "not checked, with the line"}
        tier = expected.get(mutation.verdict, mutation.tier or "any tier")
        cells = [_cell(own, pick) for pick in _PICKS]
        text += f"| {mutation.name} | {tier} | {bases} | {' | '.join(cells)} |\n"
    return text + _misses(results)


def _two_of_jax(results: Sequence[Result]) -> str:
    """Pairs of two JAX models: the port as it is, and the mutant of it."""
    every = sum(1 for mutation in MUTATIONS if mutation.causes)
    text = "\n## Two JAX models\n\n"
    text += "The port of a base and the port with a mistake, for each mistake that a cause is known of.\n\n"
    text += "| question | answer |\n| --- | ---: |\n"
    text += f"| judged so far | {len(results)} of {every} |\n"
    text += f"| caught, by the tier that was named before | {_count(results, lambda r: r.right)} |\n"
    text += f"| the cause is among the first two that are named | {_count(results, lambda r: r.right_cause)} |\n"
    titles = (("Not caught", _PICKS[0]), ("Another cause named", _PICKS[3]))
    for title, pick in titles:
        missed = [result for result in results if pick(result) is False]
        text += f"\n### {title}, of two JAX models: {len(missed) or 'none'}\n\n"
        text += "".join(_miss(result, title) for result in missed)
    return text


_PICKS: tuple[Pick, ...] = (
    lambda r: r.right,
    lambda r: r.right_module,
    lambda r: r.right_line,
    lambda r: r.right_cause,
)


def _cell(results: Sequence[Result], pick: Pick) -> str:
    text = _count(results, pick)
    return "" if text.endswith(" 0") else text.replace(" of ", "/")


def _misses(results: Sequence[Result]) -> str:
    titles = ("Not caught", "Another module named", "Another line named", "Another cause named")
    text = ""
    for title, pick in zip(titles, _PICKS, strict=True):
        missed = [result for result in results if pick(result) is False]
        text += f"\n### {title}: {len(missed)}\n\n" if missed else f"\n### {title}: none\n"
        text += "".join(_miss(result, title) for result in missed)
    return text


def _miss(result: Result, title: str) -> str:
    if title == "Not caught":
        said = f"{result.verdict}; {'; '.join(result.said)}" if result.said else result.verdict
    elif title == "Another cause named":
        said = ", ".join(result.causes[:2]) or "none"
    else:
        said = result.module or "none"
    return f"* {result.name}, in {result.base}: {said}\n"


def _correct(results: Sequence[Result]) -> str:
    wrong = [result for result in results if not result.right]
    text = "".join(f"* {result.base}: {result.name}\n" for result in sorted(results, key=lambda r: (r.base, r.name)))
    text += f"\n### False alarms: {len(wrong)}\n\n" if wrong else "\n### False alarms: none\n"
    return text + "".join(f"* {r.base}: {r.name}. {r.verdict}; {'; '.join(r.said)}\n" for r in wrong)
