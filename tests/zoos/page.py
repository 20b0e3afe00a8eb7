"""docs/coverage/models.md, written from the results of the suite."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from importlib.metadata import PackageNotFoundError, version

from zoos.judging import Outcome

_HEADER = """# Public model libraries

Written by `make zoos` on {date}; do not edit. Models with random weights that can be built without a download are
captured, converted and compared: outputs and the gradients of all parameters, for a loss that weighs every output
element differently, no further from the original in float64 than ten times the original's own float32.

{versions}.

*limit*: operators without a rule; *refused*: torch.export cannot capture the model, or captures another function
than the model computes when it is called (C168); *not built*: the library asks for more than small settings, or for
inputs that nobody can guess from the names of its arguments.
"""
ABOUT = {
    "transformers": "Every model type with a base model, with the library's default settings and small sizes; where "
    "those do not fit\ntogether, with few layers and words alone, or with all widths divided by one number. Settings "
    "that only checkpoints give are\nfilled in where the model complains of them. Layers that are left out at random "
    "(`layerdrop`) stay in, and stretches of\nsound that are masked at random (`mask_time_prob`) stay unmasked: the "
    "models decide on them in Python, which torch.export\nrefuses. `informer` does not halve its series (`distil`): "
    "exported, the library makes a mask of the length before. The\nexperts of `openai_privacy_filter` are products by "
    "groups (`experts_implementation`), where the library would choose a loop.",
    "timm": "A small model of every family (module), with few layers where it lets itself be told. timm asks for "
    "torchvision, of which\nthere is no CPU build on the package index: while timm is imported, empty classes answer "
    "for the names that it imports\nfrom there (`tests/zoos/stand_in.py`). No model calls any of them; what runs is "
    "timm's and torch's own code.",
}
_TABLE = """
| result | models |
| --- | ---: |
| judged so far | {judged} of {all} |
| built here | {built} |
| captured by torch.export, of those built | {captured} |
| equal, of those captured | {equal} |
"""
_KNOWN_ROWS = """| captured with the values of some inputs known, of the others | {captured} |
| equal, of those | {equal} of {captured} |
"""
_ABOUT_KNOWN = """
These make sizes of the values of an input: rows and columns of images, lengths. They are converted for the values of
the inputs that are named, as with `regauge.to_jax(..., known=(...))`; all other inputs are as free as elsewhere.

"""
_JUDGED_WITH = {"python": "Python", "torch": "torch", "jax": "jax"}
_KINDS = (
    ("different", "Different"),
    ("fails", "Fails"),
    ("limit", "Limit"),
    ("refused", "Refused by torch.export"),
    ("equal", "Equal"),
    ("not built", "Not built"),
)


def page(found: Mapping[str, Sequence[Outcome]], totals: Mapping[str, int]) -> str:
    """The page in Markdown.

    Args:
        found: what became of the models, for each library.
        totals: how many models each library has.
    """
    versions = _versions([outcome for outcomes in found.values() for outcome in outcomes])
    text = _HEADER.format(date=date.today().isoformat(), versions=versions)
    return text + "".join(_section(zoo, outcomes, totals[zoo]) for zoo, outcomes in found.items())


def _versions(found: Sequence[Outcome]) -> str:
    """How many models were judged with which versions; a run need not be repeated whole for a new one."""
    used = Counter(
        ", ".join(f"{name} {outcome.versions[package]}" for package, name in _JUDGED_WITH.items())
        if outcome.versions
        else "versions that were not kept"
        for outcome in found
    )
    return "Judged with\n" + ";\n".join(f"{used_with} ({count} models)" for used_with, count in used.most_common())


def _section(zoo: str, found: Sequence[Outcome], total: int) -> str:
    known = [outcome for outcome in found if outcome.known]
    kinds = Counter(outcome.kind for outcome in found if not outcome.known)
    built = len(found) - kinds["not built"]
    captured = built - kinds["refused"] - len(known)
    counts = _TABLE.format(
        judged=len(found), all=total, built=built, captured=captured, equal=f"{kinds['equal']} of {captured}"
    )
    if known:
        counts += _KNOWN_ROWS.format(captured=len(known), equal=sum(outcome.kind == "equal" for outcome in known))
    text = f"\n## {zoo} {_version(zoo)}\n\n{ABOUT[zoo]}\n{counts}"
    for kind, title in _KINDS:
        if kind == "equal" and known:
            equal = [outcome for outcome in known if outcome.kind == kind]
            text += f"\n### Equal with inputs known ({len(equal)})\n{_ABOUT_KNOWN}" + _table_of_known(equal)
        if chosen := [outcome for outcome in found if outcome.kind == kind and not (outcome.known and kind == "equal")]:
            text += f"\n### {title} ({len(chosen)})\n\n" + _table(chosen)
    return text


def _version(zoo: str) -> str:
    try:
        return version(zoo)
    except PackageNotFoundError:
        return "(not installed)"


def _table_of_known(outcomes: Sequence[Outcome]) -> str:
    rows = [f"| `{item.name}` | {', '.join(f'`{name}`' for name in item.known)} | {item.lines} |" for item in outcomes]
    return "\n".join(["| model | known | lines of model.py |", "| --- | --- | ---: |", *rows]) + "\n"


def _table(outcomes: Sequence[Outcome]) -> str:
    if outcomes[0].kind == "equal":
        rows = [f"| `{outcome.name}` | {outcome.lines} |" for outcome in outcomes]
        return "\n".join(["| model | lines of model.py |", "| --- | ---: |", *rows]) + "\n"
    lines = ["| model | message |", "| --- | --- |"]
    for outcome in outcomes:
        message = (f"with {', '.join(outcome.known)} known: " if outcome.known else "") + outcome.what
        message = message.replace("|", "\\|")
        lines.append(f"| `{outcome.name}` | {message[:200]} |")
    return "\n".join(lines) + "\n"
