"""One question of a check asked again, on inputs of one's choice: what shrinking and reproducing rest on.

The verdicts are those of the engine's own functions, so a question that is asked again is judged as it was judged.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from regauge.errors import BadCase
from regauge.run.array_files import save_arrays
from regauge.verify import plan
from regauge.verify.evaluations import WIDE, Arrays, Evaluations, Mode, Side, kind_of
from regauge.verify.onestep import KINDS, MASKED, Pass, no_worse_tiers, same_function_tiers
from regauge.verify.precision import after_precision
from regauge.verify.result import Tier
from regauge.verify.subjects import Subject, role_of
from regauge.verify.training import Trajectory, trajectory_tiers
from regauge.verify.weights import weights_tier

Asked = Literal["step", "step float32", "trajectory", "weights"]

STEPS = 20


@dataclass(frozen=True)
class Question:
    """A tier by its name, in a mode.

    Attributes:
        tier: ``tier 1 outputs``, ``tier 2 gradients with dropout masks``, ``trajectory AdamW``, ``weights`` ...
        mode: training or evaluation.
        steps: optimizer steps of a trajectory.
        typical: whether the input is the case's own or like it: special ones may round more.
    """

    tier: str
    mode: Mode = "train"
    steps: int = STEPS
    typical: bool = True

    @property
    def asked(self) -> Asked:
        """How the question is put to the two sides.

        Raises:
            BadCase: it cannot be asked by itself.
        """
        if re.fullmatch(rf"tier [12] ({'|'.join(KINDS.values())})({MASKED})?", self.tier):
            return "step float32" if self.tier.startswith("tier 2") else "step"
        if self.tier == "weights":
            return "weights"
        if self.tier.startswith("trajectory ") and not self.tier.endswith("float32"):
            return "trajectory"
        raise BadCase("this question of a check cannot be asked by itself", received=self.tier)

    @property
    def masked(self) -> bool:
        return self.tier.endswith(MASKED)

    @property
    def kind(self) -> str:
        """The kind of tensor that a step is asked about, by its prefix in the arrays: ``outputs``, ``after`` ..."""
        words = self.tier.removesuffix(MASKED).partition(" ")[2].partition(" ")[2]
        return next((kind for kind, label in KINDS.items() if label == words), "")


@dataclass
class Asking:
    """Puts one question to the two sides of a subject.

    Attributes:
        subject: the two sides.
        question: what is asked.
        work: directory for the workers' files.
        timeout: seconds for each worker.
        own_precision: also run both sides as they are, for their distance to float64.
        found: what the last round of asking evaluated.
        rejection: how the original rejected every set of the last round.
    """

    subject: Subject
    question: Question
    work: Path
    timeout: float | None = None
    own_precision: bool = False
    found: Evaluations = field(init=False)
    rejection: str = field(init=False, default="")

    def ask(self, sets: Mapping[str, Arrays], chunk: int = 0, enough: Callable[[Tier], bool] = bool) -> dict[str, Tier]:
        """The answer on each input set that the original accepts, by its name.

        Args:
            sets: inputs by name.
            chunk: ask the converted model about so many sets at a time, in their order, until one answer is enough;
                0 asks about all. Each shape is a compilation there.
            enough: which answer ends the asking.

        Raises:
            WorkerFailed: a worker crashed, was killed or ran out of time.
        """
        self.found = Evaluations(self.subject.map, self.subject.constants)
        self.files = self._written(sets)
        asked = self.question.asked
        if asked == "weights":
            for side in WIDE:
                self._launch(side, [{"id": "weights", "kind": "weights"}])
            return dict.fromkeys(sets, weights_tier(self.found, "weights"))
        names = list(sets)
        casts = [{"id": "casts", "kind": "casts", "mode": self.question.mode, "input": names[0]}]
        narrow = casts if self.subject.own_weights else []
        self._launch("M64", [*self._tasks(names, names, noise=1), *narrow])
        errors = {name: self.found.outcomes["M64"][_task(names.index(name))].error for name in names}
        accepted = [name for name in names if not errors[name]]
        if not accepted:
            self.rejection = errors[names[0]]
        if accepted and (asked == "step float32" or (self.own_precision and asked == "step")):
            self._launch("M32", self._tasks(names, accepted, noise=2))
            self._launch("C32", self._tasks(names, accepted, converted=True))
        tiers: dict[str, Tier] = {}
        size = chunk or max(1, len(accepted))
        for start in range(0, len(accepted), size):
            part = accepted[start : start + size]
            more = narrow if start == 0 else []
            self._launch("C64", [*self._tasks(names, part, converted=True), *more], str(start))
            found = {name: self._tier(names.index(name), name) for name in part}
            found |= self._with_more_copies(names, found)
            tiers |= {name: tier for name, tier in found.items() if tier is not None}
            if any(map(enough, tiers.values())):
                break
        return tiers

    def _with_more_copies(self, names: Sequence[str], found: Mapping[str, Tier | None]) -> dict[str, Tier | None]:
        """The answers of float32 that say different, with more noisy copies, as the engine gives them."""
        differ = [name for name, tier in found.items() if tier is not None and tier.verdict == "different"]
        if self.question.asked != "step float32" or not differ:
            return {}
        tasks = self._tasks(names, differ)
        steps = [{**task, "noisy_inputs": not self._is_typical(task["input"])} for task in tasks]
        self._launch("M32", [copy for step in steps for copy in plan.further(step)], f"more-{names.index(differ[0])}")
        return {name: self._tier(names.index(name), name) for name in differ}

    @property
    def takes_targets(self) -> bool:
        """Whether the answer depends on the loss: outputs do not."""
        return self.question.kind not in ("outputs", "after")

    def needed(self, arrays: Arrays) -> Arrays:
        """The inputs, and the targets where they are needed."""
        return {name: array for name, array in arrays.items() if self.takes_targets or name.startswith("inputs")}

    def _tier(self, index: int, name: str) -> Tier | None:
        question = self.question
        if question.asked == "trajectory":
            if self.found.outcomes["M64"][_path(index)].error:
                return None
            optimizer = question.tier.split(" ")[1]
            tasks = Trajectory(_path(index), _task(index), [f"{_path(index)}-noise-1"])
            tiers = trajectory_tiers(self.found, tasks, optimizer)
        else:
            noise = plan.noisy_ids(_task(index))
            passes = [Pass(_task(index), name, self._is_typical(name), noise)]
            judge = no_worse_tiers if question.asked == "step float32" else same_function_tiers
            tiers = judge(self.found, passes, question.mode, MASKED if question.masked else "")
        if self.subject.own_weights:
            tiers = after_precision(tiers, self.found.casts())
        return next((tier for tier in tiers if tier.name == question.tier), None)

    def _is_typical(self, name: str) -> bool:
        return self.question.typical and is_typical(name)

    def _tasks(
        self, names: Sequence[str], asked: Sequence[str], *, converted: bool = False, noise: int = 0
    ) -> list[dict[str, Any]]:
        chosen = [(index, name) for index, name in enumerate(names) if name in asked]
        return [task for index, name in chosen for task in self._about(index, name, converted, noise)]

    def _about(self, index: int, name: str, converted: bool, noise: int) -> list[dict[str, Any]]:
        step: dict[str, Any] = {
            "id": _task(index),
            "kind": "step",
            "mode": self.question.mode,
            "input": name,
            "dropout": "masks" if self.question.masked else "off",
            "after": self.question.kind == "after",
            "gradients": self.takes_targets,
        }
        if self.question.masked and converted:
            step["calls"] = self.found.outcomes["M64"][_task(index)].info.get("calls", [])
        copies = {"noisy_inputs": self.question.asked == "step float32" and not self._is_typical(name)}
        tasks = [step]
        for copy in range(1, noise + 1):
            tasks.append({**step, **copies, "id": f"{_task(index)}-noise-{copy}", "noise": copy})
        if self.question.asked == "trajectory":
            path = {"id": _path(index), "kind": "trajectory", "steps": self.question.steps, "inputs": [name]}
            tasks += [path, *({**path, "id": f"{_path(index)}-noise-1", "noise": 1} for _ in range(noise))]
        return tasks

    def _written(self, sets: Mapping[str, Arrays]) -> dict[str, str]:
        directory = self.work / "inputs"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        files = {}
        for index, (name, arrays) in enumerate(sets.items()):
            files[name] = str((directory / f"{index}.safetensors").resolve())
            save_arrays(Path(files[name]), arrays)
        return files

    def _launch(self, side: Side, tasks: Sequence[Mapping[str, Any]], part: str = "0") -> None:
        out = self.work / side / part
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        role = role_of(side)
        sets = {**self.subject.trees[role], "files": self.files}
        job = {"job": "evaluate", **self.subject.jobs[role], "widen": side.endswith("64"), "sets": sets}
        if not self.takes_targets:
            job |= {"use_loss": False, "sets": {**sets, "targets": None}}
        reply = self.subject.execute(side, {**job, "tasks": list(tasks)}, out, self.timeout)
        self.found.add(side, out, reply["tasks"])

    def tensors(self, side: Side) -> Arrays:
        """What a side computed on the first set of the last round, by tensor as `Distance` names it."""
        if side not in self.found.outcomes:
            return {}
        task = {"weights": "weights", "trajectory": _path(0)}.get(self.question.asked, _task(0))
        reference = self.found.original("M64", task)
        arrays = reference if side == "M64" else self._of(side, task, reference)
        if self.question.asked == "trajectory":
            return _of_trajectory(arrays, self.found.outcomes[side][task].info["losses"])
        if self.question.asked == "weights":
            return arrays
        plain = ("outputs", "loss")
        kind = self.question.kind
        return {n if kind in plain else n.partition(".")[2]: a for n, a in arrays.items() if kind_of(n) == kind}

    def _of(self, side: Side, task: str, reference: Arrays) -> Arrays:
        return self.found.original(side, task) if side == "M32" else self.found.converted(side, task, reference)


def is_typical(name: str) -> bool:
    """Whether an input set is the case's own or random ones like it."""
    return name.startswith(("reference", "random"))


def _task(index: int) -> str:
    return f"step-{index}"


def _path(index: int) -> str:
    return f"trajectory-{index}"


def _of_trajectory(arrays: Arrays, losses: Sequence[float]) -> Arrays:
    """Parameters and losses as the tier names them."""
    labels = {"first": "step 1", "last": "last step"}
    named = {}
    for name, array in arrays.items():
        kind, _, rest = name.partition(".")
        named[f"{rest} at {labels[kind]}" if kind in labels else rest] = array
    return named | {f"loss at step {step}": np.array(loss) for step, loss in enumerate(losses, start=1)}
