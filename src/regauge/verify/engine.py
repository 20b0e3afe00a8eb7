"""The check: evaluate both models in processes of their own, and judge them by docs/equivalence.md."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from regauge.errors import BadCase
from regauge.findings import Finding
from regauge.language import N_
from regauge.run.evaluation import save_arrays
from regauge.run.launch import Framework, Interpreters, launch
from regauge.run.protocol import read_json, write_json
from regauge.verify import plan
from regauge.verify.derivative import derivative_tier
from regauge.verify.evaluations import Evaluations, Mode, Side
from regauge.verify.inputs import InputSet, make_input_sets
from regauge.verify.locate import first_difference
from regauge.verify.onestep import Pass, no_worse_tiers, same_function_tiers
from regauge.verify.plan import CheckOptions, step_id
from regauge.verify.randomness import randomness_tier
from regauge.verify.result import Check, Tier, Verdict
from regauge.verify.training import Trajectory, float32_tier, trajectory_tiers
from regauge.verify.weights import weights_tier
from regauge.weights.mapping import WeightMap

Progress = Callable[[str, int, int], None]

# float64 in JAX is a setting of the process; in float32 every device must really compute in float32
_ENVIRONMENT: dict[Side, dict[str, str]] = {
    "M64": {},
    "C64": {"JAX_ENABLE_X64": "1"},
    "M32": {},
    "C32": {"JAX_ENABLE_X64": "0", "JAX_DEFAULT_MATMUL_PRECISION": "highest"},
}


# what a watcher shows, as msgids
_LABELS: dict[Side, str] = {
    "M64": N_("original in float64"),
    "C64": N_("converted model in float64"),
    "M32": N_("original in float32"),
    "C32": N_("converted model in float32"),
}
_LOCATING = N_("finding the first module that differs")
_PARTS = 5

_FLOAT64_ONLY = "the check was asked for float64 alone"


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
    options = options or CheckOptions()
    run = _Run(case, Path(folder), Path(work), interpreters or Interpreters(), options, progress or _silent)
    return run.check()


def _silent(_what: str, _done: int, _total: int) -> None:
    """No progress is shown."""


@dataclass
class _Run:
    """One check in progress."""

    case: str
    folder: Path
    work: Path
    interpreters: Interpreters
    options: CheckOptions
    progress: Progress
    findings: list[Finding] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)

    def check(self) -> Check:
        started = time.monotonic()
        (self.work / "check.json").unlink(missing_ok=True)
        self.conversion = read_json(self.folder / "conversion.json")
        self.found = Evaluations(WeightMap.from_json(read_json(self.folder / "weights.json")))
        self.spec = self.options.optimizer or self.conversion.get("optimizer")
        self.trains = self.spec is not None
        self.sets = self._write_inputs()
        self._evaluate()
        tiers = [weights_tier(self.found, "weights"), *self._function_tiers()]
        verdict = _overall(tiers)
        where = ""
        if verdict == "different" and self.options.locate:
            self.progress(_LOCATING, _PARTS - 1, _PARTS)
            where = self._locate(tiers)
        result = Check(
            case=self.case,
            verdict=verdict,
            tiers=tuple(tiers),
            first_difference=where,
            findings=tuple(self.findings),
            inputs_tried=tuple(item.name for item in self.accepted),
            seconds=time.monotonic() - started,
            versions=self.versions,
        )
        write_json(self.work / "check.json", result.to_json())
        return result

    def _write_inputs(self) -> list[InputSet]:
        """Make the input sets and write each into a file that every worker reads."""
        directory = self.work / "inputs"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        reference = load_file(self.folder / "reference.safetensors")
        sets = make_input_sets(reference, self.conversion.get("symbols", []), self.options.quick)
        files = {}
        for index, item in enumerate(sets):
            files[item.name] = str(directory / f"{index}.safetensors")
            save_arrays(Path(files[item.name]), item.arrays)
        self.description = {
            "inputs": self.conversion["inputs"],
            "targets": self.conversion.get("targets"),
            "files": files,
        }
        return sets

    def _evaluate(self) -> None:
        options = self.options
        self._launch("M64", plan.original_float64(self.sets, options, self.trains), 0)
        self.accepted = self._accepted()
        calls = self.found.outcomes["M64"][step_id(0, "train", "masks")].info.get("calls", [])
        directions = self.found.outcomes["M64"]["derivative"].info.get("directions", [])
        chosen = [direction["draw"] for direction in directions]
        self._launch("C64", self._kept(plan.converted_float64(self.sets, options, self.trains, calls, chosen)), 1)
        if not options.float32:
            return
        self._launch("M32", self._kept(plan.original_float32(self.sets, options, self.spec, calls)), 2)
        self._launch("C32", self._kept(plan.converted_float32(self.sets, options, self.trains, calls)), 3)

    def _launch(self, side: Side, tasks: Sequence[plan.Task], done: int) -> None:
        framework: Framework = "torch" if side.startswith("M") else "jax"
        if done < _PARTS - 1:
            self.progress(_LABELS[side], done, _PARTS)
        out = self.work / side
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        subject = {"case": self.case} if framework == "torch" else {"folder": str(self.folder.resolve())}
        job = {"job": "evaluate", "out": str(out), **subject, "widen": side.endswith("64"), "sets": self.description}
        reply = launch(
            framework,
            {**job, "tasks": list(tasks)},
            interpreters=self.interpreters,
            environment=_ENVIRONMENT[side],
            timeout=self.options.timeout,
        )
        self.found.add(side, out, reply["tasks"])
        self.versions |= reply["versions"]
        if side == "M64":
            self.modules = reply["modules"]

    def _accepted(self) -> list[InputSet]:
        """The sets that the original takes in both modes; what it rejects is no difference, but is said."""
        accepted = []
        for index, item in enumerate(self.sets):
            errors = {mode: self.found.outcomes["M64"][step_id(index, mode)].error for mode in plan.MODES}
            if item.name == "reference" and any(errors.values()):
                raise BadCase(
                    "the model rejects its own reference inputs in float64",
                    received=next(error for error in errors.values() if error),
                    next="call the model with the case's inputs, in training and in eval mode",
                )
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

    def _passes(self, mode: Mode, dropout: str = "off", shapes: bool = True) -> list[Pass]:
        accepted = {item.name for item in self.accepted}
        return [
            Pass(
                step_id(index, mode, dropout),
                item.name,
                item.purpose == "typical",
                plan.noisy_ids(index, mode, dropout),
            )
            for index, item in enumerate(self.sets)
            if item.name in accepted
            and (shapes or item.purpose != "shape")
            and (dropout == "off" or item.purpose == "typical")
        ]

    def _function_tiers(self) -> list[Tier]:
        if not self._is_repeatable():
            why = "two runs of the original differ: it draws random numbers that the check does not control"
            names = ("tier 1 outputs", "tier 2 outputs", "finite difference", "trajectory")
            return [Tier(name, "not checked", why=why) for name in names]
        randomness = randomness_tier(self.found, "randomness", step_id(0, "train", "masks"))
        return [*self._step_tiers(), *self._training_tiers(), randomness]

    def _step_tiers(self) -> list[Tier]:
        tiers: list[Tier] = []
        for mode in plan.MODES:
            tiers += same_function_tiers(self.found, self._passes(mode), mode)
            if self.options.float32:
                tiers += no_worse_tiers(self.found, self._passes(mode, shapes=False), mode)
            else:
                tiers.append(Tier("tier 2 outputs", "not checked", mode, why=_FLOAT64_ONLY))
        tiers += self._masked_tiers()
        if self.found.get("C64", "derivative"):
            tiers.append(derivative_tier(self.found, "derivative", "train"))
        else:
            why = self.found.outcomes["M64"]["derivative"].error or "the loss depends on no parameter"
            tiers.append(Tier("finite difference", "not checked", "train", why=why))
        return tiers

    def _masked_tiers(self) -> list[Tier]:
        suffix = " with dropout masks"
        first = self.found.get("C64", step_id(0, "train", "masks"))
        if first is None:
            return []
        if first.info.get("error_type") == "MasksDoNotFit":
            return [Tier(f"tier 1 outputs{suffix}", "not checked", "train", why=first.error)]
        passes = self._passes("train", "masks")
        tiers = same_function_tiers(self.found, passes, "train", suffix)
        if self.options.float32 and not self.options.quick:
            tiers += no_worse_tiers(self.found, passes, "train", suffix)
        return tiers

    def _is_repeatable(self) -> bool:
        one = self.found.outcomes["M64"][step_id(0, "train")].arrays()
        other = self.found.outcomes["M64"]["again"].arrays()
        names = [name for name in one if name.startswith(("outputs", "loss"))]
        return all(np.allclose(one[n], other[n], rtol=1e-9, atol=0, equal_nan=True) for n in names)

    def _training_tiers(self) -> list[Tier]:
        if self.spec is None:
            why = "the case has no optimizer" if self.conversion.get("has_loss") else "the case has no loss"
            return [Tier("trajectory", "not checked", "train", why=why)]
        error = self.found.outcomes["M64"]["trajectory"].error
        if error:
            return [Tier("trajectory", "not checked", "train", why=f"the original's own step raises: {error}")]
        noisy = [f"trajectory-noise-{seed}" for seed in range(1, plan.NOISE_COPIES + 1)]
        tasks = Trajectory("trajectory", step_id(0, "train"), noisy, plan.ROUNDED)
        name = self.spec["type"]
        if not self.options.float32:
            skipped = Tier(f"trajectory {name} float32", "not checked", "train", why=_FLOAT64_ONLY)
            return [*trajectory_tiers(self.found, tasks, name), skipped]
        return [*trajectory_tiers(self.found, tasks, name), float32_tier(self.found, tasks, name)]

    def _locate(self, tiers: Sequence[Tier]) -> str:
        return first_difference(self._run_modules, tiers, self.found, self.modules)

    def _run_modules(self, task: Mapping[str, Any]) -> tuple[Any, Any]:
        """One pass on both sides that keeps what every module returns: the outcomes in float64."""
        self._launch("M64", [dict(task)], _PARTS - 1)
        self._launch("C64", [dict(task)], _PARTS - 1)
        return self.found.outcomes["M64"][task["id"]], self.found.outcomes["C64"][task["id"]]


def _overall(tiers: Sequence[Tier]) -> Verdict:
    """Different if any tier is; equal only if the float64 tier of the outputs ran in both modes."""
    if any(tier.verdict == "different" for tier in tiers):
        return "different"
    modes = {tier.mode for tier in tiers if tier.name == "tier 1 outputs" and tier.verdict == "equal"}
    return "equal" if modes >= set(plan.MODES) else "not checked"
