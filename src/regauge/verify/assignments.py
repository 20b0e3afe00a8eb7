"""Which weight is which, where names, shapes and values leave a choice: decided by what the models return.

Every complete map that the open questions allow is tried: the original's weights are put into the converted side by
it, and its outputs are compared with the original's. Weights whose values say nothing (zeros, ones) are given random
values on both sides first. A map is taken only if it alone gives the original's outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from regauge.errors import RegaugeError
from regauge.findings import Finding
from regauge.run.array_files import load_arrays, save_arrays
from regauge.run.evaluation import seeded
from regauge.verify.tolerance import rms, same_function
from regauge.weights.pair_map import PairMap
from regauge.weights.pairing_result import Ambiguity, Pairing

MOST = 48  # complete maps that are tried

Infer = Callable[[Callable[[Ambiguity], str | None]], Pairing]
# runs tasks of both sides in float64 and returns the outputs' arrays of each: (original's, converted's)
Run = Callable[[list[dict[str, Any]], list[dict[str, Any]]], list[list[dict[str, np.ndarray]]]]


@dataclass(frozen=True)
class _Trial:
    """One complete map, and the answers that led to it."""

    pairing: Pairing
    answers: Mapping[str, str]


def decide_by_outputs(pairing: Pairing, infer: Infer, run: Run, weights: Path, work: Path) -> Pairing:
    """The pairing with its open questions answered, or as it is with what was tried in their texts.

    Args:
        pairing: with ambiguities.
        infer: makes the pairing again, with a function that answers questions.
        run: see `Run`.
        weights: file of the original's weights.
        work: directory for the weights that are put in.
    """
    trials = _trials(pairing, infer)
    if trials is None:
        why = f"more than {MOST} assignments are possible, which are too many to try"
        return _open(pairing, why)
    if not trials:
        return pairing
    asked = {name for trial in trials for name in trial.answers}
    file = work / "distinct.safetensors"
    save_arrays(file, _distinct(load_arrays(weights), asked))
    task = {"id": "original", "kind": "candidate", "input": "reference", "map": None, "weights": str(file)}
    tasks = [
        {**task, "id": f"map-{number}", "map": trial.pairing.partial.to_json()} for number, trial in enumerate(trials)
    ]
    try:
        ours, theirs = run([task], tasks)
    except RegaugeError as error:
        why = f"their outputs could not be compared: {error.what}"
        return _open(pairing, why)
    right = [trial for trial, outputs in zip(trials, theirs, strict=True) if _same(ours[0], outputs)]
    if len(right) == 1:
        return _decided(right[0], len(trials))
    why = f"none of {len(trials)} assignments gives the original's outputs"
    if right:
        why = f"{len(right)} of {len(trials)} assignments give the original's outputs"
    return _open(pairing, why)


def _trials(pairing: Pairing, infer: Infer) -> list[_Trial] | None:
    """Every complete map; None if there are too many."""
    found: list[_Trial] = []
    seen: set[Any] = set()
    waiting: list[dict[str, str]] = [{}]
    while waiting:
        answers = waiting.pop()
        result = infer(_answering(answers)) if answers else pairing
        if result.missing or result.mistakes:
            continue
        if not result.ambiguities:
            key = frozenset(result.partial.parts)
            if key not in seen:
                seen.add(key)
                found.append(_Trial(result, answers))
            if len(found) > MOST:
                return None
            continue
        question = result.ambiguities[0]
        if _key(question) in answers or len(waiting) > MOST * 4:
            return None
        waiting += [{**answers, _key(question): candidate} for candidate in question.candidates]
    return found


def _answering(answers: Mapping[str, str]) -> Callable[[Ambiguity], str | None]:
    return lambda question: answers.get(_key(question))


def _key(question: Ambiguity) -> str:
    return question.name if question.kind == "name" else f"layout of {question.name}"


def _distinct(arrays: Mapping[str, np.ndarray], asked: set[str]) -> dict[str, np.ndarray]:
    """The weights, those that the questions are about moved by random numbers of the size of the others."""
    names = {name.removeprefix("layout of ") for name in asked}
    floats = [array for array in arrays.values() if array.dtype.kind == "f"]
    size = max(rms(floats), 1e-3)
    return {
        name: (array + size * seeded(f"distinct {name}").standard_normal(array.shape)).astype(array.dtype)
        if array.dtype.kind == "f" and any(name == asked_for or asked_for.startswith(name) for asked_for in names)
        else array
        for name, array in arrays.items()
    }


def _same(ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray]) -> bool:
    scale = rms(array for array in ours.values() if array.dtype.kind in "fc")
    names = [name for name in ours if name in theirs]
    return bool(names) and all(same_function(name, theirs[name], ours[name], scale).passed for name in names)


def _decided(trial: _Trial, tried: int) -> Pairing:
    findings = list(trial.pairing.findings)
    for name, answer in trial.answers.items():
        text = f"{name} is {answer}: of {tried} assignments this one alone gives the original's outputs"
        findings.append(Finding("W156", "info", name, text))
    return replace(trial.pairing, partial=_with_evidence(trial), findings=tuple(findings))


def _with_evidence(trial: _Trial) -> PairMap:
    """What the answers settled rests on outputs."""
    targets = {answer for name, answer in trial.answers.items() if not name.startswith("layout of ")}
    evidence = {name: "output" if name in targets else how for name, how in trial.pairing.partial.evidence.items()}
    return replace(trial.pairing.partial, evidence=evidence)


def _open(pairing: Pairing, tried: str) -> Pairing:
    questions: Sequence[Ambiguity] = [replace(q, decides=f"{q.decides}; {tried}") for q in pairing.ambiguities]
    return replace(pairing, ambiguities=tuple(questions))
