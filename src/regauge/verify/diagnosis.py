"""Where two models part and why: both are traced on an input on which they differ, and causes are tried there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from regauge.errors import WorkerFailed
from regauge.verify.alignment import Alignment, TracedSide
from regauge.verify.causes import Situation, Trial, trials_for
from regauge.verify.changes import as_written, given_at, library_of
from regauge.verify.direct_causes import dropout_causes, weight_causes
from regauge.verify.evaluations import WIDE, Evaluations
from regauge.verify.inputs import SILENT
from regauge.verify.onestep import MASKED
from regauge.verify.places import module_rows, placed, shown_path, text_of_line
from regauge.verify.plan import axis_of_units, step_id
from regauge.verify.precision_causes import precision_causes
from regauge.verify.result import Cause, ModuleDistance, Place, Tier
from regauge.verify.surroundings import Surroundings, calls_of, near_gradients
from regauge.verify.tolerance import LIMITS
from regauge.verify.training_causes import causes_in_training
from regauge.verify.trying import (
    Laboratory,
    Tried,
    converteds_value,
    originals_value,
    roles_to_try,
    try_all,
    worded,
)

_KINDS = ("outputs", "loss", "gradients", "input gradients", "state", "outputs with the updated state")
_PREFIXES = {"gradients": "gradients.", "input gradients": "input gradients.", "state": "state."}
_PREFIXES["outputs with the updated state"] = "after."


@dataclass(frozen=True)
class Diagnosis:
    """What was found out about a difference."""

    module: str = ""
    places: tuple[Place, ...] = ()
    modules: tuple[ModuleDistance, ...] = ()
    causes: tuple[Cause, ...] = ()


@dataclass(frozen=True)
class Failure:
    """The pass that is looked at.

    Attributes:
        kind: outputs, loss, gradients, ...
        kinds: everything that differs.
        names: of the tensors that differ, as the tier has them.
        every: of all tensors of that kind.
        task: of both sides, a *step* whose arrays are kept.
        id: under which they are kept.
    """

    kind: str
    kinds: frozenset[str]
    names: tuple[str, ...]
    every: tuple[str, ...]
    task: dict[str, Any]
    id: str

    def arrays(self, names: Sequence[str]) -> list[str]:
        """Names of tensors as the files of a step have them."""
        return [f"{_PREFIXES.get(self.kind, '')}{name}" for name in names]


def failure_of(tiers: Sequence[Tier], found: Evaluations, sets: Sequence[str], units: int) -> Failure | None:
    """The pass of the first float64 tier of one step that differs; None if there is none.

    Args:
        tiers: of the check.
        found: for the original's dropout calls.
        sets: names of the input sets, in order.
        units: axis of a layer's units in the original's weights.
    """
    failed = [t for t in tiers if t.verdict == "different" and t.name.startswith("tier 1 ")]
    first = next((tier for tier in failed if any(not d.passed for d in tier.distances)), None)
    if first is None:
        return None
    masks = first.name.endswith(MASKED)
    kind = first.name.removeprefix("tier 1 ").removesuffix(MASKED)
    wrong = [d for d in first.distances if not d.passed]
    on = wrong[0].note.rpartition("on ")[2]
    if on not in sets:
        return None
    index, dropout = sets.index(on), "masks" if masks else "off"
    task: dict[str, Any] = {"kind": "step", "mode": first.mode or "train", "input": on, "dropout": dropout}
    if on == SILENT:
        task["silent"] = units
    if kind.startswith("outputs with"):
        task["after"] = True
    if masks:
        original = found.outcomes["M64"][step_id(index, "train", "masks")]
        task["calls"] = original.info.get("calls", [])
    kinds = frozenset(t.name.removeprefix("tier 1 ").removesuffix(MASKED) for t in failed)
    names = tuple(d.name for d in wrong)
    every = tuple(d.name for d in first.distances)
    return Failure(kind, kinds, names, every, task, step_id(index, first.mode or "train", dropout))


def trajectory_failure(tiers: Sequence[Tier], task: Mapping[str, Any]) -> Failure | None:
    """The training in float64, where parameters part; None if they do not."""
    failed = [t for t in tiers if t.verdict == "different" and t.name.startswith("trajectory")]
    first = next((t for t in failed if not t.name.endswith(("float32", " loss", " state"))), None)
    if first is None:
        return None
    every = [named for d in first.distances if (named := _moved_name(d.name))]
    return Failure("trajectory", frozenset({"parameters"}), (), tuple(every), dict(task), task["id"])


def _moved_name(name: str) -> str:
    """The array of a distance of a trajectory: "head.weight at step 1" is ``first.head.weight``."""
    for ending, prefix in ((" at step 1", "first."), (" at last step", "last.")):
        if name.endswith(ending) and not name.startswith("all together"):
            return prefix + name.removesuffix(ending)
    return ""


def diagnosis_of(
    laboratory: Laboratory, tiers: Sequence[Tier], sets: Sequence[str], training: Mapping[str, Any]
) -> Diagnosis:
    """Where and why, for the first question of a check that is answered with *different*.

    Args:
        laboratory: runs more tasks.
        tiers: of the check.
        sets: names of the input sets, in order.
        training: the task of the trajectory.
    """
    units = axis_of_units(laboratory.frameworks["original"])
    failure = failure_of(tiers, laboratory.found, sets, units) or trajectory_failure(tiers, training)
    differing = {tier.name: tier for tier in tiers if tier.verdict == "different"}
    if failure is not None:
        found = diagnose(laboratory, failure)
        told = dropout_causes(laboratory.found, differing["randomness"]) if "randomness" in differing else []
        # with masks another rate is another factor, and what both sides say themselves is plainer
        told = told if failure.task.get("dropout") == "masks" else []
        names = {cause.name for cause in told}
        return replace(found, causes=(*told, *(cause for cause in found.causes if cause.name not in names)))
    if "weights" in differing:
        return Diagnosis(causes=tuple(weight_causes(laboratory.found, differing["weights"])))
    if "randomness" in differing:
        return Diagnosis(causes=tuple(dropout_causes(laboratory.found, differing["randomness"])))
    narrow = next((tier for name, tier in differing.items() if name.startswith("tier 2")), None)
    if narrow is not None:
        causes, places = precision_causes(laboratory, narrow, sets)
        return Diagnosis(places=places, causes=tuple(causes))
    return Diagnosis()


def diagnose(laboratory: Laboratory, failure: Failure) -> Diagnosis:
    """Trace both sides, find where they part, and try causes."""
    if failure.kind == "trajectory":
        task = {"id": "trace", "kind": "trace", "mode": "train", "input": "reference", "dropout": "off"}
    else:
        task = {**failure.task, "id": "trace", "kind": "trace"}
    traces, outcomes = [], []
    for side in WIDE:
        outcome = laboratory.again(side, [task])["trace"]
        outcomes.append(outcome)
        if outcome.error or not outcome.info["trace"]["nodes"]:
            return Diagnosis()
        traces.append(TracedSide(outcome.info["trace"]))
    alignment, own = Alignment(traces[0], traces[1]), _own_precision(laboratory, task, traces[0])
    if failure.kind == "trajectory":
        found = causes_in_training(laboratory, outcomes, failure.task, failure.every)
        return Diagnosis(modules=tuple(module_rows(alignment, own)), causes=tuple(found))
    regions = tuple(_region(alignment, role, failure) for role in (0, 1))
    firsts = [alignment.first(role, region) for role, region in enumerate(regions)]
    case = _Case(laboratory, failure, alignment, regions, firsts)
    if failure.kind in ("gradients", "input gradients"):
        case.begin_at_gradients()
    tried = case.tried()
    places = case.places(tried[0] if tried and tried[0].proven else None)
    causes = tuple(worded(one, case.role, case.line_to_change(one.trial)) for one in tried)
    module = places[0].module or case.following(tried[0] if tried and tried[0].proven else None)
    return Diagnosis(module, places, tuple(module_rows(alignment, own)), causes)


def _own_precision(laboratory: Laboratory, task: Mapping[str, Any], original: TracedSide) -> Alignment | None:
    """The original in float64 beside the converted model in its own precision; None if the check leaves that out."""
    if "C32" not in laboratory.found.outcomes:
        return None
    try:
        outcome = laboratory.again("C32", [task])["trace"]
    except WorkerFailed:  # a column that stays empty is no reason to say nothing
        return None
    if outcome.error or not outcome.info["trace"]["nodes"]:
        return None
    return Alignment(original, TracedSide(outcome.info["trace"]))


def _region(alignment: Alignment, role: int, failure: Failure) -> list[int]:
    side = alignment.sides[role]
    results = {
        "outputs": [n for n in side.results if n.startswith("outputs")],
        "outputs with the updated state": [n for n in side.results if n.startswith("state.")],
        "state": failure.arrays(failure.names),
    }.get(failure.kind, ["loss"])
    if failure.kind == "outputs":
        results = [name for name in results if name in failure.names] or results
    wrong = [n for n in results if n in side.results and not alignment.is_same(role, side.results[n])]
    return alignment.region(role, wrong or results)


@dataclass
class _Case:
    """One difference under investigation."""

    laboratory: Laboratory
    failure: Failure
    alignment: Alignment
    regions: tuple[list[int], ...]
    firsts: list[int | None]
    role: int = field(init=False)  # of the side that trials are run on

    def __post_init__(self) -> None:
        self.role = roles_to_try(self.laboratory)[0]

    def place(self, role: int) -> Place:
        side, node = self.alignment.sides[role], self.firsts[role]
        if node is None:
            return Place("", "", "", 0, "", None)
        distance = 0.0 if role == 0 else self.alignment.distance(role, node)
        return placed(side, node, side.module(node), distance)

    def place_of_call(self, number: int) -> Place:
        """The place of the call that the proven cause is about."""
        role = self.role
        side = self.alignment.sides[role]
        call = side.calls[number]
        file, line = tuple(side.data["frames"][call["frame"]]) if call["frame"] >= 0 else ("", 0)
        distance = 0.0 if role == 0 else self.place(role).distance
        return Place(call["module"], call["function"], shown_path(file), line, text_of_line(file, line), distance)

    def tried(self) -> list[Tried]:
        """What was tried and helped, proven ones first: on the side where the difference vanished."""
        found: dict[int, list[Tried]] = {}
        for role in roles_to_try(self.laboratory):
            self.role = role
            found[role] = self._tried_here()
            if found[role] and found[role][0].proven:
                return found[role]
        self.role = next((role for role, tried in found.items() if tried), next(iter(found)))
        return found[self.role]

    def _tried_here(self) -> list[Tried]:
        target = self.laboratory.found.outcomes[WIDE[1 - self.role]][self.failure.id]
        return try_all(
            self.laboratory,
            self.role,
            trials_for(self.situation()),
            of=self.failure.task,
            target=target,
            names=[*self.failure.arrays(self.failure.every), *self._kept()],
            limit=LIMITS.same_norm,
        )

    def _kept(self) -> list[str]:
        """What is the same in both and must stay so: a trial on the new state must not change the outputs."""
        return ["loss"] if self.failure.kind == "state" and "loss" not in self.failure.kinds else []

    def situation(self) -> Situation:
        """What stands around the place on the side that trials are run on."""
        around, near = Surroundings(self.alignment, self.role, self.regions, self.firsts), None
        if self.failure.kind in ("gradients", "input gradients"):
            side = self.alignment.sides[self.role]
            wrong, every = side.own_names(self.failure.names), side.own_names(self.failure.every)
            near = near_gradients(calls_of(side), wrong, every)
        return around.situation(self.failure.kinds, near)

    def begin_at_gradients(self) -> None:
        """Where only gradients differ the place is the last use, in the forward pass, of a weight whose gradient does.

        Without such a weight it is the first use of an input.
        """
        role, side = self.role, self.alignment.sides[self.role]
        wrong = side.own_names(self.failure.names)
        users = [
            number
            for number, call in enumerate(side.calls)
            if any(isinstance(v, dict) and v.get("weight") in wrong for v in call["arguments"].values())
        ]
        made = [n for n, node in enumerate(side.nodes) if users and node["call"] == users[-1]]
        fed = [n for n, depends in enumerate(side.depends_on_input) if depends and side.nodes[n]["op"] != "input"]
        node = made[-1] if made else next(iter(fed), None)
        found = None if node is None else self.alignment.counterparts[role][node]
        self.firsts[role], self.firsts[1 - role] = node, None if found is None else found[0]

    def line_to_change(self, trial: Trial) -> str:
        """The line of the converted model, and what it must say where that is known."""
        place, ours = self._blamed(trial), originals_value(trial, self.role)
        where = f"{place.file}:{place.line}" if place.file else place.module
        names = [n for e in trial.edits if e["kind"] == "argument" for n in e["values"]]
        if names and ours:
            where = f"{place.file}:{given_at(place, names[0])}" if place.file else where
            spelled = as_written(names[0], ours, self.laboratory.frameworks["converted"], library_of(place))
            return f"{where}: {spelled}"
        return f"{where}: {place.code}".rstrip(": ")

    def places(self, proven: Tried | None) -> tuple[Place, Place]:
        """Where both sides part: of a proven cause the call, and the line that has the other value."""
        found = [self.place(0), self.place(1)]
        if proven is not None and proven.trial.call is not None:
            found[self.role] = self.place_of_call(proven.trial.call)
            found[1] = self._blamed(proven.trial)
        return found[0], found[1]

    def following(self, proven: Tried | None) -> str:
        """The original's module that returns next after the place, for a place that lies between modules."""
        side, node = self.alignment.sides[0], self.firsts[0]
        if proven is not None and self.role == 0 and proven.trial.call is not None:
            made = [n for n, item in enumerate(side.nodes) if item["call"] == proven.trial.call]
            node = made[-1] if made else node
        if node is None:
            return ""
        return next((path for path, made in side.data["modules"] if path and made > node), "")

    def _blamed(self, trial: Trial) -> Place:
        """The converted model's line that a trial speaks of."""
        if self.role == 1 and trial.call is not None:
            return self.place_of_call(trial.call)
        theirs = converteds_value(trial, self.role)
        return (self._with_constant(theirs) if theirs else None) or self.place(1)

    def _with_constant(self, value: str) -> Place | None:
        """The place in the converted model where a number stands, if it is near."""
        side = self.alignment.sides[1]
        for node in self.regions[1]:
            if any(f"{constant:.6g}" == value for constant in side.nodes[node]["constants"]):
                return placed(side, node, side.module(node), self.alignment.distance(1, node))
        return None
