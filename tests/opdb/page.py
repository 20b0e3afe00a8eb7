"""docs/coverage/torch-to-jax.md, written from the results of the suite."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from opdb.reasons import REMARKS, reason_of

_HEADER = """# PyTorch's own operator tests

Written by `make op-db` on {date}; do not edit. Every entry of PyTorch's `op_db` ({total} entries, with variants of one
operator) goes through the public path: `regauge.to_jax` captures, applies rules and emits source, which runs under
`jax.jit` with JAX's 64-bit mode on. Sample inputs are PyTorch's, where the gradient is compared those that it has for
gradients, of which some entries have fewer; {most}.

Compared are shape, dtype and values in float64, float32, int64, bool, bfloat16 and complex64, as far as PyTorch has
them; the gradient for random cotangents in float64 and complex128; and, for the first samples of an entry, the
derivative of the gradient (forward over reverse). [equivalence.md](../equivalence.md) has the bounds: 1e-10 in float64,
and in narrower dtypes no more than ten times PyTorch's own distance from float64. Of random operators form, key and
distribution are compared.

Python {python}, torch {torch}, jax {jax}; {cpus} CPU cores, {minutes:.0f} minutes of processor time, {samples} samples.

| question | answer |
| --- | ---: |
| entries that can be compared | {comparable} of {total} |
| of these, every sample right: forward, gradient, every dtype | {right} ({share:.1%}) |
| forward right in every dtype | {forward} ({forward_share:.1%}) |
| differentiable entries whose gradients are all right | {gradient} of {differentiable} ({gradient_share:.1%}) |

An entry cannot be compared where its reason holds for every framework that compiles for fixed shapes, or where PyTorch
promises no values; the reason stands in its row.
"""


# Kinds of outcome that do not count against an entry.
HARMLESS = ("right", "not comparable", "by value")


@dataclass(frozen=True)
class Row:
    """One entry.

    Attributes:
        name: with the variant.
        reason: why it is not compared, or an empty string.
        forward: whether all dtypes are right.
        gradient: whether all gradients are right; None where there is none.
        dtypes: those that are right, and those that are not.
        notes: what is refused or differs.
        samples: how many were compared.
        seconds: of processor time.
    """

    name: str
    reason: str
    forward: bool
    gradient: bool | None
    dtypes: tuple[tuple[str, bool], ...]
    notes: tuple[str, ...]
    samples: int
    seconds: float

    @property
    def right(self) -> bool:
        return self.forward and self.gradient is not False


def rows(results: Iterable[dict[str, Any]]) -> list[Row]:
    """The rows of all results, by name."""
    return sorted((_row(result) for result in results), key=lambda row: row.name.lower())


def _row(result: dict[str, Any]) -> Row:
    dtypes, notes = result["dtypes"], {}
    forward_right = {name: not _bad(found, "forward") for name, found in dtypes.items()}
    differentiated = [found for found in dtypes.values() if found["gradient"]]
    for name, found in dtypes.items():
        for failure in found["failures"]:
            if failure["kind"] != "not comparable":
                notes.setdefault(f"{failure['kind']}, {failure['part']} ({name}): {failure['what'][:120]}", None)
    return Row(
        name=result["name"],
        reason=reason_of(result["name"], {kind for found in dtypes.values() for kind in found["kinds"]}),
        forward=all(forward_right.values()),
        gradient=not any(_bad(found, "gradient") for found in differentiated) if differentiated else None,
        dtypes=tuple(forward_right.items()),
        notes=tuple(notes),
        samples=sum(found["kinds"].get("right", 0) for found in dtypes.values()),
        seconds=result["seconds"],
    )


def _bad(found: dict[str, Any], part: str) -> bool:
    """Whether a sample is not right in its values or, for `gradient`, in its first or second derivative."""
    kinds = [kind for kind in found["kinds"] if kind not in HARMLESS]
    derivative = [kind for kind in kinds if kind.endswith(("gradient", "second derivative"))]
    return bool(derivative) if part == "gradient" else len(kinds) > len(derivative)


def page(results: Sequence[dict[str, Any]]) -> str:
    """The page in Markdown, of one result for each entry."""
    found = rows(results)
    compared = [row for row in found if not row.reason]
    differentiable = [row for row in compared if row.gradient is not None]
    forward, gradient = (sum(row.forward for row in compared), sum(bool(row.gradient) for row in differentiable))
    right = sum(row.right for row in compared)
    text = _HEADER.format(
        date=date.today().isoformat(),
        total=len(found),
        most=_most([result["most"] for result in results]),
        python=platform.python_version(),
        torch=_versions(results, "torch"),
        jax=_versions(results, "jax"),
        cpus=os.cpu_count(),
        minutes=sum(row.seconds for row in found) / 60,
        samples=sum(row.samples for row in found),
        comparable=len(compared),
        right=right,
        share=right / max(1, len(compared)),
        forward=forward,
        forward_share=forward / max(1, len(compared)),
        gradient=gradient,
        differentiable=len(differentiable),
        gradient_share=gradient / max(1, len(differentiable)),
    )
    text += "\n## Not right\n\n" + _table([row for row in compared if not row.right])
    text += "\n## Not compared\n\n" + _reasons([row for row in found if row.reason])
    return text + "\n## Right\n\n" + _table([row for row in compared if row.right])


def _most(most: Sequence[int | None]) -> str:
    """How many of the samples were taken."""
    few = [number for number in most if number is not None]
    if not few:
        return "all of them"
    at_most = f"at most {max(few)} of an entry and dtype"
    return at_most if len(few) == len(most) else f"all of them for {len(most) - len(few)} entries, {at_most} for others"


def _versions(results: Sequence[dict[str, Any]], package: str) -> str:
    return " and ".join(sorted({result["versions"][package] for result in results}))


def _table(chosen: Sequence[Row]) -> str:
    lines = ["| entry | forward | gradient | dtypes | notes |", "| --- | --- | --- | --- | --- |"]
    for row in chosen:
        gradient = "" if row.gradient is None else _word(row.gradient)
        names = ", ".join(name if good else f"~~{name}~~" for name, good in row.dtypes)
        remark = [REMARKS[row.name]] if row.name in REMARKS else []
        notes = "; ".join(note.replace("|", "\\|") for note in [*remark, *row.notes[: 2 - len(remark)]])
        lines.append(f"| `{row.name}` | {_word(row.forward)} | {gradient} | {names} | {notes} |")
    return "\n".join(lines) + "\n"


def _reasons(chosen: Sequence[Row]) -> str:
    lines = ["| entry | reason |", "| --- | --- |"]
    return "\n".join([*lines, *(f"| `{row.name}` | {row.reason} |" for row in chosen)]) + "\n"


def _word(right: bool) -> str:
    return "right" if right else "**no**"
