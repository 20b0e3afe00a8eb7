"""Judge one mutant or one correct pair, in this process, and say how the judge did."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import regauge
from judge.mutation import At, Mutation, load, mutated
from judge.pairs import Pair
from regauge.errors import RegaugeError
from regauge.verify import Check

# what torch has one function for is operations of a jaxpr, and the cause is named by the operation
_OF_JAX = {
    "recurrent-activation": "activation",
    "recurrent-bias": "bias",
    "negative-slope": "constant",
    "label-smoothing": "constant",
}
_QUICK = {"quick": True, "float32": False}


@dataclass(frozen=True)
class Result:
    """How the judge did on one pair.

    Attributes:
        name: of the mutation or the correct pair.
        base: file of the pair.
        right: the verdict is the one that is wanted, and the tier that was named is among those that differ.
        verdict: of the check; "refused" if it raised.
        said: tiers that differ or, if there is none, that are not checked; the message if it refused.
        module: first difference as the check names it.
        right_module: whether it is the one that is wanted; None where none is.
        right_line: whether the converted side's place lies on a changed line; None where none is wanted.
        causes: names of causes, in the order of the check.
        right_cause: whether one of the first two is wanted; None where the table of causes has none.
        seconds: of processor time.
    """

    name: str
    base: str
    right: bool
    verdict: str
    said: tuple[str, ...]
    module: str = ""
    right_module: bool | None = None
    right_line: bool | None = None
    causes: tuple[str, ...] = ()
    right_cause: bool | None = None
    seconds: float = 0.0


def judge_mutant(mutation: Mutation, place: At, directory: Path, jax_alone: bool = False) -> Result:
    """Put the mistake into the base and judge the pair.

    Args:
        mutation: the mistake.
        place: the base.
        directory: where modules are written.
        jax_alone: whether the original is the base's port as it is, so that both sides are JAX's.
    """
    before, after, line = mutated(place)
    base = load(place.base, before, directory)
    case = base.original()
    module = load(place.base, after, directory)
    options: dict[str, Any] = {} if mutation.whole else _QUICK

    def check() -> Check:
        converted = module.port(case)
        original = base.port(case) if jax_alone else case
        sides = (original, converted) if mutation.trains else (_untrained(original), _untrained(converted))
        return regauge.check(*sides, **options)

    found, said, seconds = _timed(check)
    if found is None:
        return Result(mutation.name, place.base, mutation.verdict == "refused", "refused", (said,), seconds=seconds)
    causes = tuple(cause.name for cause in found.causes)
    wanted = [*mutation.causes, *(_OF_JAX.get(cause, cause) for cause in mutation.causes if jax_alone)]
    module_wanted = "" if jax_alone else place.module  # ports name their modules as they like
    changed = len(after.splitlines()) - len(before.splitlines())
    last = line + max(changed, 0) + max(new.count("\n") for _, new in place.edits) if place.edits else 0
    return Result(
        mutation.name,
        place.base,
        found.verdict == mutation.verdict and _named(found, mutation),
        found.verdict,
        _said(found),
        found.first_difference,
        _is_place(found, module_wanted) if module_wanted else None,
        _is_line(found, Path(module.__file__ or ""), line, last) if place.module and place.edits else None,
        causes,
        bool(set(causes[:2]) & set(wanted)) if mutation.causes else None,
        seconds,
    )


def judge_pair(pair: Pair, directory: Path) -> Result:
    """Judge a correct pair; the verdict must be *equal*."""
    found, said, seconds = _timed(lambda: regauge.check(*pair.make(directory), **pair.options))
    if found is None:
        return Result(pair.name, pair.base, False, "refused", (said,), seconds=seconds)
    return Result(
        pair.name, pair.base, found.equal, found.verdict, _said(found), found.first_difference, seconds=seconds
    )


def _untrained(case: regauge.Case) -> regauge.Case:
    return replace(case, optimizer=None)


def _timed(check: Callable[[], Check]) -> tuple[Check | None, str, float]:
    started = time.process_time()
    try:
        found, said = check(), ""
    except RegaugeError as error:
        found, said = None, error.what
    return found, said, time.process_time() - started


def _named(check: Check, mutation: Mutation) -> bool:
    return any(tier.verdict == mutation.verdict and tier.name.startswith(mutation.tier) for tier in check.tiers)


def _said(check: Check) -> tuple[str, ...]:
    for verdict in ("different", "not checked"):
        said = [f"{tier.name} ({tier.mode}): {tier.why}" for tier in check.tiers if tier.verdict == verdict]
        if said:
            return tuple(said[:4])
    return ()


def _is_place(check: Check, wanted: str) -> bool:
    """Whether the module is named: by its path, or as the owner of what lies between modules."""
    named = [check.first_difference, *(place.module for place in check.places[:1])]
    return any(name == wanted or name == wanted.rpartition(".")[0] != "" for name in named)


def _is_line(check: Check, file: Path, first: int, last: int) -> bool:
    return any(Path(place.file).name == file.name and first <= place.line <= last for place in check.places[1:2])
