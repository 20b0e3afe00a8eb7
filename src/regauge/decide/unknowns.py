"""What is not known and could change the answer, each with the command or the field that would settle it."""

from __future__ import annotations

from collections.abc import Iterator

from regauge.decide import evidence as ev
from regauge.decide.assess import Assessment
from regauge.decide.criteria import Inputs
from regauge.decide.fact_words import FRAMEWORKS
from regauge.decide.recommendation import Unknown


def unknowns_of(inputs: Inputs, found: Assessment) -> tuple[Unknown, ...]:
    """Everything open, the measurements first; nothing is listed that weighs nothing."""
    rows = [*_measurements(inputs, found), *_needs(inputs, found), *_facts(found), *_stated(inputs, found)]
    return tuple(dict.fromkeys(rows))


def _measurements(inputs: Inputs, found: Assessment) -> Iterator[Unknown]:
    """A command for each figure that is missing, on a machine that has the device."""
    if found.weights["performance"] == 0:
        return
    questions = ev.questions_of(inputs.needs)
    if not questions:
        yield Unknown(
            "how fast each candidate is: nothing says what the project trains and serves on",
            "name hardware.train and hardware.serve",
        )
    measured = [name for name in ev.MEASURED.values() if name in found.values_of()]
    for question in questions:
        answered = {t.framework for t in inputs.timings if ev.in_scope(t, question)}
        if measured and not answered.issuperset(measured):
            where = f"on a machine with {question.device}"
            text = f"how fast inference is on {question.device}"
            if question.task == "train":
                text = f"how fast a training step is on {question.device}"
            yield Unknown(text, ev.command_for(question), where)
    for name in found.values_of():
        if questions and name not in ev.MEASURED.values():
            yield Unknown(
                f"how fast {FRAMEWORKS[name]} is", "regauge measures PyTorch and JAX; measure it by other means"
            )


def _needs(inputs: Inputs, found: Assessment) -> Iterator[Unknown]:
    hardware = inputs.needs.hardware
    if hardware.os not in ("linux", "windows") and "nvidia-gpu" in (*hardware.train, *hardware.serve):
        yield Unknown("which operating system drives the NVIDIA GPUs; Linux was assumed", "name hardware.os")


def _facts(found: Assessment) -> Iterator[Unknown]:
    for name, judgements in found.open.items():
        for judgement in judgements:
            need, fact = judgement.requirement.need, judgement.fact
            if fact is None:
                text = f"whether {FRAMEWORKS[name]} meets {need}: no fact says so"
            elif judgement.note:
                text = f"whether {FRAMEWORKS[name]} meets {need}: {fact.id} does not decide it, {judgement.note}"
            else:
                text = f"whether {FRAMEWORKS[name]} meets {need} well enough: {fact.id} says in part"
            yield Unknown(text, f"regauge facts {judgement.requirement.dimension}")


def _stated(inputs: Inputs, found: Assessment) -> Iterator[Unknown]:
    needs = inputs.needs
    if found.weights["learning"] > 0 and not needs.team.experience:
        yield Unknown("what the team knows", "name team.experience")
    code = needs.existing_code
    if found.weights["migration"] > 0 and code is not None:
        for name in found.values_of():
            if name != code.framework and name not in inputs.migration:
                settle = "name existing_code.path" if code.path is None else f"regauge audit {code.path}"
                yield Unknown(f"what moving the existing code to {FRAMEWORKS[name]} costs", settle)
    if not needs.weights.stated():
        yield Unknown("what counts how much: every weighting was taken as equally likely", "name weights")
