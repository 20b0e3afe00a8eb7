"""The check: evaluate both models in processes of their own, and judge them by docs/equivalence.md."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from regauge.errors import RegaugeError, WorkerFailed
from regauge.findings import Finding
from regauge.language import N_
from regauge.run.array_files import save_arrays
from regauge.run.launch import Framework, Interpreters, at_once, one_by_one
from regauge.run.protocol import write_json
from regauge.verify import plan
from regauge.verify.diagnosis import Diagnosis, diagnosis_of
from regauge.verify.evaluations import WIDE, Evaluations, Mode, Outcome, Side
from regauge.verify.inputs import InputSet, make_input_sets, silent_set
from regauge.verify.locate import first_difference
from regauge.verify.more_noise import MoreNoise
from regauge.verify.obstacles import Refusal, effect_findings, other_weights, refusal, rejected_reference
from regauge.verify.own_dtype import without_float64
from regauge.verify.plan import CheckOptions, step_id
from regauge.verify.precision import after_precision, pair_findings
from regauge.verify.questions import LABELS, UNASKED, Questions
from regauge.verify.reproduction import Sources, with_reproduction
from regauge.verify.result import Check, Tier, Verdict
from regauge.verify.subjects import ROLES, Role, Subject, role_of, subject_of_folder
from regauge.verify.watching import BEGINS, TOTAL, about_large, watching
from regauge.verify.weights import weights_tier

Progress = Callable[[str, int, int], None]

_LOCATING = N_("finding the first module that differs")
_TRYING = N_("trying what may be the cause")
_BOTH = N_("both models in float32")


def check_folder(
    case: str,
    folder: Path,
    work: Path,
    *,
    interpreters: Interpreters | None = None,
    options: CheckOptions | None = None,
    progress: Progress | None = None,
) -> Check:
    """Judge whether a saved conversion is the same function as the case that it was made of.

    Args:
        case: reference of the original, ``file.py:name`` or a built-in name.
        folder: the saved conversion.
        work: directory for the workers' files; the result is written to its ``check.json``.
        interpreters: Python executables of the two sides.
        options: how thorough.
        progress: called with what runs now, how many of the parts are done, and how many there are.

    Raises:
        BadCase: the original does not accept its own reference inputs.
        WorkerFailed: a worker crashed, was killed or ran out of time.
        BadResult: the folder is not a whole conversion.
    """
    options, chosen, progress = options or CheckOptions(), interpreters or Interpreters(), progress or silent
    subject = subject_of_folder(case, Path(folder), chosen)
    check = judge(subject, Path(work), options, progress)
    pythons: dict[str, str] = {}
    if chosen != Interpreters():
        pythons = {role: getattr(chosen, subject.frameworks[role]) for role in ROLES}
    sources = Sources(case, str(folder), pythons)
    return with_reproduction(check, subject, Path(work), options, sources, progress)


def judge(subject: Subject, work: Path, options: CheckOptions, progress: Progress) -> Check:
    """Judge any two sides; the result is written to ``work/check.json`` as well."""
    weights = sum(math.prod(kind.shape) for kind in subject.map.sources.values())
    walk = plan.steps_to_compare(weights, options.steps) if subject.own_weights else ()
    units = plan.axis_of_units(subject.frameworks["original"])
    chosen = replace(
        options,
        modes=subject.modes,
        casts=subject.own_weights,
        large=weights > plan.LARGE,
        units=units,
        walk=walk,
    )
    return _Run(subject, work, chosen, progress).check()


def silent(_what: str, _done: int, _total: int) -> None:
    """No progress is shown."""


@dataclass
class _Run:
    """One check in progress."""

    subject: Subject
    work: Path
    options: CheckOptions
    progress: Progress
    findings: list[Finding] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    failures: dict[Side, RegaugeError] = field(default_factory=dict)
    refusals: dict[Side, Refusal] = field(default_factory=dict)

    def check(self) -> Check:
        self.started = time.monotonic()
        (self.work / "check.json").unlink(missing_ok=True)
        self.found = Evaluations(self.subject.map, self.subject.constants)
        self.findings += self.subject.findings
        self.spec = self.options.optimizer or self.subject.spec
        self.trains = bool(self.spec or self.subject.optimizer)
        self.sets = self._write_inputs()
        self.accepted: list[InputSet] = []
        self._evaluate()
        if self.failures.keys() & set(WIDE):
            return self._result([self._crashed(side) for side in self.failures])
        self.findings += effect_findings(self.found)
        if "M64" in self.refusals:
            why = self.refusals["M64"].why
            return self._result([Tier(name, "not checked", why=why) for name in UNASKED])
        weights = [weights_tier(self.found, "weights")] if self.subject.map.sources else []
        functions = self.asked.tiers()
        if self.options.large:
            slots = self.subject.own_weights and self.trains
            self.findings += about_large(self.subject.map, self.accepted, slots)
        tiers = [*weights, *self._with_more_noise(functions)]
        if self.subject.as_written:
            self.findings += [other_weights(tier) for tier in weights if tier.verdict == "different"]
        if self.subject.own_weights:
            tiers = after_precision(tiers, self.found.casts())
            self.findings += [*pair_findings(tiers, self.found, self._numbered()), *self.asked.slot_findings()]
        tiers, findings = without_float64(tiers, self.found, self.subject.modes)
        self.findings += findings
        about = Diagnosis()
        if overall(tiers, self.subject.modes) == "different" and self.options.locate:
            self.progress(_LOCATING, BEGINS[-1], TOTAL)
            about = self._locate(tiers)
        return self._result(tiers, about)

    def _result(self, tiers: Sequence[Tier], about: Diagnosis | None = None) -> Check:
        about = about or Diagnosis()
        result = Check(
            case=self.subject.case,
            verdict=overall(tiers, self.subject.modes),
            tiers=tuple(tiers),
            first_difference=about.module,
            findings=tuple(self.findings),
            inputs_tried=tuple(item.name for item in self.accepted),
            seconds=time.monotonic() - self.started,
            versions=self.versions,
            sides=self.subject.sides,
            places=about.places,
            modules=about.modules,
            causes=about.causes,
        )
        write_json(self.work / "check.json", result.to_json())
        return result

    def _crashed(self, side: Side) -> Tier:
        """A side that crashed, hung or ran out of memory: what the others computed stays in the work directory."""
        error = self.failures[side]
        self.findings.append(Finding("V140", "error", str(self.work / side), "; ".join([error.what, *error.details])))
        question = "tier 1 outputs" if side.endswith("64") else "tier 2 outputs"
        return Tier(question, "not checked", why=f"{LABELS[side]}: {error.what}")

    def _write_inputs(self) -> list[InputSet]:
        """Make the input sets and write each into a file that every side reads."""
        directory = self.work / "inputs"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        subject = self.subject
        sets = make_input_sets(subject.reference, subject.symbols, self.options.quick, subject.known)
        if self.subject.own_weights and not self.options.large:
            sets.append(silent_set(sets))
        self.files = {}
        for index, item in enumerate(sets):
            self.files[item.name] = str(directory / f"{index}.safetensors")
            save_arrays(Path(self.files[item.name]), item.arrays)
        write_json(directory / "names.json", self.files)
        return sets

    def _evaluate(self) -> None:
        options = self.options
        if not self._launch("M64", plan.original_float64(self.sets, options, self.trains), 0):
            return
        self.accepted = self._accepted()
        if not self.accepted:
            return
        passes = {n: self.found.get("M64", step_id(n, "train", "masks")) for n in range(len(self.sets))}
        calls = {n: outcome.info.get("calls", []) for n, outcome in passes.items() if outcome is not None}
        directions = self.found.outcomes["M64"]["derivative"].info.get("directions", [])
        chosen = [direction["draw"] for direction in directions]
        tasks = self._kept(plan.converted_float64(self.sets, options, self.trains, calls, chosen))
        if not self._launch("C64", tasks, 1):
            return
        self.asked = self._questions()
        if self.found.outcomes["C64"][step_id(0, options.modes[0])].error:
            self._refuses("C64", "C32")
        if not options.float32:
            return
        spec = self.spec or ({} if self.trains else None)
        ours = self._kept(plan.original_float32(self.sets, options, spec, calls))
        theirs = self._kept(plan.converted_float32(self.sets, options, self.trains, calls))
        self._launch_all({"M32": ours, "C32": theirs}, _BOTH, 2, meanwhile=self.asked.ask_in_float64)

    def _refuses(self, wide: Side, own: Side) -> bool:
        """Whether a side raises on the reference inputs in float64 alone; a pair only: regauge's own code widens."""
        if not self.subject.own_weights:
            return False
        outcome = next(o for n, o in self.found.outcomes[wide].items() if n.startswith("step-0") and o.error)
        task = {**plan.reference_step(self.options), "id": "own"}
        self._launch(own, [task], place=f"{own}-own")
        found = refusal(wide, outcome, self.found.get(own, "own"))
        if found:
            self.refusals[wide] = found
        return found is not None

    def _launch(self, side: Side, tasks: Sequence[plan.Task], part: int | None = None, place: str = "") -> bool:
        """Evaluate a side; False if it failed and the check goes on without it."""
        return self._launch_all({side: tasks}, LABELS[side], part, place)

    def _launch_all(
        self,
        jobs: Mapping[Side, Sequence[plan.Task]],
        label: str,
        part: int | None = None,
        place: str = "",
        meanwhile: Callable[[], None] | None = None,
    ) -> bool:
        """Evaluate sides, at once if they are processes of their own; False if one failed.

        Args:
            jobs: tasks by side.
            label: what the watcher is told.
            part: number of the evaluation, None for one that is not watched.
            place: directory, where it is not the side's.
            meanwhile: called beside workers that are waited for; where there are none it is left out.
        """
        outs = {side: self.work / (place or side) for side in jobs}
        for out in outs.values():
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir(parents=True)
        calls: list[Callable[[], Any]] = [
            partial(
                self.subject.execute, side, {**self._job(side), "tasks": list(own)}, outs[side], self.options.timeout
            )
            for side, own in jobs.items()
        ]
        watched = [(own, outs[side]) for side, own in jobs.items()]
        with nullcontext() if part is None else watching(self.progress, label, part, watched):
            if self.subject.separate:
                replies = at_once([*calls, *([meanwhile] if meanwhile else [])])[: len(calls)]
            else:
                replies = one_by_one(calls)
        kept = [self._keep(side, reply, outs[side]) for side, reply in zip(jobs, replies, strict=True)]
        return all(kept)

    def _keep(self, side: Side, reply: Any, out: Path) -> bool:
        if isinstance(reply, WorkerFailed):
            if not self.subject.keeps_failures:
                raise reply
            self.failures[side] = reply
            return False
        self.found.add(side, out, reply["tasks"])
        self.versions |= reply["versions"]
        if side == "M64":
            self.modules = reply["modules"]
        return True

    def _job(self, side: Side) -> dict[str, Any]:
        role = role_of(side)
        sets = {**self.subject.trees[role], "files": self.files}
        return {"job": "evaluate", **self.subject.jobs[role], "widen": side.endswith("64"), "sets": sets}

    def _with_more_noise(self, tiers: list[Tier]) -> list[Tier]:
        """The tiers once more, where something differs, with more noisy copies of the original."""
        noise = MoreNoise(self.sets, self.options)
        wide = noise.in_float64(tiers, [item.name for item in self.accepted], self.trains)
        if wide and self._launch_besides("M64", wide, "M64-noise"):
            tiers = self._questions().tiers()
        while (narrow := noise.in_float32(tiers)) and self._launch_besides("M32", narrow, f"M32-{narrow[0]['id']}"):
            tiers = self._questions().tiers()
        return tiers

    def _launch_besides(self, side: Side, tasks: Sequence[plan.Task], place: str) -> bool:
        """Evaluate what the verdict stands without: a side that fails in it has not failed."""
        try:
            if self._launch(side, tasks, place=place):
                return True
        except WorkerFailed:
            return False
        del self.failures[side]
        return False

    def _accepted(self) -> list[InputSet]:
        """The sets that the original takes in both modes; what it rejects is no difference, but is said."""
        accepted = []
        for index, item in enumerate(self.sets):
            outcomes = {mode: self.found.get("M64", step_id(index, mode)) for mode in self.options.modes}
            errors = {mode: outcome.error for mode, outcome in outcomes.items() if outcome}
            if item.name == "reference" and any(errors.values()):
                if not self._refuses("M64", "M32"):
                    raise rejected_reference(errors)
                return []
            rejected = next((f"in {mode} mode: {error}" for mode, error in errors.items() if error), "")
            if rejected:
                text = f"The original rejects the generated input {item.name!r} {rejected}"
                self.findings.append(Finding("V110", "info", "", text))
            else:
                accepted.append(item)
        return accepted

    def _kept(self, tasks: Sequence[plan.Task]) -> list[plan.Task]:
        names = {item.name for item in self.accepted}
        return [task for task in tasks if task.get("input", "reference") in names]

    def _questions(self) -> Questions:
        def sample(side: Side) -> None:
            self._launch(side, [plan.samples(self.options)], place=f"{side}-samples")

        return Questions(
            self.subject,
            self.options,
            self.found,
            self.sets,
            self.accepted,
            self.failures,
            self.refusals,
            self.spec,
            self.trains,
            sample,
        )

    def _numbered(self) -> dict[int, str]:
        return {
            index: item.name
            for index, item in enumerate(self.sets)
            if item.name in {found.name for found in self.accepted}
        }

    def _locate(self, tiers: Sequence[Tier]) -> Diagnosis:
        functions = [tier for tier in tiers if tier.name != "weights"]
        if self.subject.own_weights and any(tier.verdict == "different" for tier in functions):
            tiers = functions  # they were run with the original's weights on both sides
        training = plan.trajectory("trajectory", self.options.steps, self.options)
        about = Diagnosis()
        try:
            about = diagnosis_of(self, tiers, [item.name for item in self.sets], training)
            module = about.module or first_difference(self._run_modules, tiers, self.found, self.modules)
        except WorkerFailed as error:  # the verdict stands without it
            self.findings.append(
                Finding("V142", "info", "", f"It could not be looked for where they part: {error.what}")
            )
            return about
        return replace(about, module=module)

    def _run_modules(self, task: Mapping[str, Any]) -> tuple[Outcome, Outcome]:
        """One pass on both sides that keeps what every module returns: the outcomes in float64."""
        return self.again("M64", [task])[task["id"]], self.again("C64", [task])[task["id"]]

    @property
    def frameworks(self) -> Mapping[Role, Framework]:
        return self.subject.frameworks

    def again(self, side: Side, tasks: Sequence[Mapping[str, Any]]) -> dict[str, Outcome]:
        """Evaluate more tasks on a side, beside what it computed before."""
        if any(task["kind"] == "substitute" for task in tasks):
            self.progress(_TRYING, BEGINS[-1], TOTAL)
        out = self.work / "again" / side
        out.mkdir(parents=True, exist_ok=True)
        reply = self.subject.execute(side, {**self._job(side), "tasks": list(tasks)}, out, self.options.timeout)
        return {name: Outcome(info, out / f"{name}.safetensors") for name, info in reply["tasks"].items()}


def overall(tiers: Sequence[Tier], judged: Sequence[Mode]) -> Verdict:
    """Different if any tier is; equal only if the float64 tier of the outputs ran in all modes."""
    if any(tier.verdict == "different" for tier in tiers):
        return "different"
    modes = {tier.mode for tier in tiers if tier.name == "tier 1 outputs" and tier.verdict == "equal"}
    return "equal" if modes >= set(judged) else "not checked"
