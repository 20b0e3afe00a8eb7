"""Which tasks a check consists of, by side: data that the engine sends to the workers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regauge.verify.derivative import DRAWS, STEPS
from regauge.verify.evaluations import Mode
from regauge.verify.inputs import SILENT, InputSet
from regauge.verify.sizes import SIZES

Task = dict[str, Any]

ROUNDED = "trajectory-rounded"  # the original with the learning rate that rounded coefficients amount to

MODES: tuple[Mode, ...] = ("train", "eval")
NOISE_STEPS = {"64": 1, "32": 2}  # noisy copies of one pass, by arithmetic
NOISE_COPIES = 3  # noisy copies of a trajectory
MORE_COPIES = 32  # further noisy copies of a float32 pass in which something differs
MORE_OF_LARGE = 8  # the same of a large model
LARGE = 20_000_000  # weights of a model whose gradients are compared on fewer inputs
SLOPES_OF_LARGE = ("reference", "random 1")  # the sets on which gradients of a large model are compared, in training
WALKED = 4_000_000  # elements that all steps of a trajectory together may write of each slot
PASSES = 200  # of a model that draws random numbers which nothing controls
NOISY = "trajectory-noise-1"  # in float64: which statistics an optimizer moves by rounding noise


@dataclass(frozen=True)
class CheckOptions:
    """How thorough a check is.

    Attributes:
        quick: fewer input sets, no other batch size, no float32 pass with dropout masks.
        float32: also judge the arithmetic in float32; without it tier 2 is *not checked*.
        steps: optimizer steps in float64.
        float32_steps: optimizer steps in float32, compared by their losses.
        timeout: seconds for each worker, None for no limit.
        optimizer: JSON of an optimizer spec that the folder's train.py implements, in place of the case's own.
        locate: on a difference, run both models once more and find the first module whose output differs.
        modes: training and evaluation, or training alone where neither side knows the difference.
        casts: look through JAX sides for casts to lower precision.
        reproduce: directory for a file that fails alone, if the two differ; None writes none.
        large: the model has so many weights that gradients are compared on fewer inputs, and that noisy copies in
            float64 run only where something differs.
        units: axis of a layer's units in the original's weights, as `axis_of_units` has it.
        walk: steps of the optimizer in float64 after which parameters and slots are compared, the first being 1.
    """

    quick: bool = False
    float32: bool = True
    steps: int = 20
    float32_steps: int = 5
    timeout: float | None = None
    optimizer: dict[str, Any] | None = None
    locate: bool = True
    modes: tuple[Mode, ...] = MODES
    casts: bool = False
    reproduce: Path | None = None
    large: bool = False
    units: int = 0
    walk: tuple[int, ...] = ()


def axis_of_units(original: str) -> int:
    """Along which axis the units of a layer lie in weights of a framework: the first in torch, the last in JAX."""
    return 0 if original == "torch" else -1


def steps_to_compare(weights: int, steps: int) -> tuple[int, ...]:
    """After which steps parameters and slots of the optimizer are compared: every one if they fit, or few, or none.

    Args:
        weights: elements of the model.
        steps: of the trajectory.
    """
    if weights > LARGE or steps < 1:
        return ()
    if weights * steps <= WALKED:
        return tuple(range(1, steps + 1))
    return tuple(sorted({1, steps}))


def step_id(index: int, mode: Mode, dropout: str = "off") -> str:
    return f"step-{index}-{mode}-{dropout}"


def noisy_ids(step: str) -> tuple[str, ...]:
    """The tasks of a pass of the original with noisy weights, of which most run only where something differs."""
    return tuple(f"{step}-noise-{copy}" for copy in range(1, NOISE_STEPS["32"] + MORE_COPIES + 1))


def _step(index: int, name: str, mode: Mode, options: CheckOptions, dropout: str = "off") -> Task:
    after = index == 0 and mode == "train" and dropout == "off" and "eval" in options.modes
    silent = {"silent": options.units} if name == SILENT else {}
    return {
        **silent,
        "gradients": _slopes(name, mode, options),
        "id": step_id(index, mode, dropout),
        "kind": "step",
        "mode": mode,
        "input": name,
        "dropout": dropout,
        "after": after,
    }


def _slopes(name: str, mode: Mode, options: CheckOptions) -> bool:
    """Not on the sizes that are tried of a pair: each is compiled anew."""
    if options.casts and name in SIZES:
        return False
    return not options.large or (mode == "train" and name in SLOPES_OF_LARGE)


def reference_step(options: CheckOptions) -> Task:
    """The reference inputs once, in training."""
    return _step(0, "reference", options.modes[0], options)


def _noisy(step: Task, arithmetic: str, large: bool = False) -> list[Task]:
    return _copies(step, range(1, 1 + (1 if large else NOISE_STEPS[arithmetic])))


def further(step: Task, large: bool = False) -> list[Task]:
    """More noisy copies of a float32 pass of the original: where one kink decides, few copies seldom cross it."""
    first = NOISE_STEPS["32"] + 1
    return _copies(step, range(first, first + (MORE_OF_LARGE if large else MORE_COPIES)))


def _copies(step: Task, copies: Iterable[int]) -> list[Task]:
    return [{**step, "id": f"{step['id']}-noise-{copy}", "noise": copy} for copy in copies]


def original_float64(sets: Sequence[InputSet], options: CheckOptions, trains: bool) -> list[Task]:
    """M64: every set in both modes, each once more with noisy weights; masks; derivatives; the trajectory."""
    tasks: list[Task] = [{"id": "weights", "kind": "weights"}, *_casts(options)]
    for index, item in enumerate(sets):
        for mode in _modes(item, options):
            step = _step(index, item.name, mode, options)
            tasks += [step, *([] if options.large else _noisy(step, "64"))]
        if is_masked(item, options):
            tasks.append(_step(index, item.name, "train", options, "masks"))
    tasks.append({**_step(0, "reference", "train", options), "id": "again", "seed": 1, "gradients": not options.large})
    tasks.append(
        {
            "id": "derivative",
            "kind": "derivative",
            "mode": "train",
            "input": "reference",
            "draws": 1 if options.large else DRAWS,
            "steps": _steps(options),
            "large": options.large,
        }
    )
    if trains:
        tasks.append(_walked(options))
        if not options.large:
            tasks.append({**trajectory(NOISY, options.steps, options), "noise": 1})
    return tasks


def samples(options: CheckOptions) -> Task:
    """Passes of the reference inputs that draw their own random numbers."""
    return {"id": "samples", "kind": "samples", "mode": options.modes[0], "input": "reference", "passes": PASSES}


def noise_float64(
    sets: Sequence[InputSet], names: Collection[str], masked: Collection[str], options: CheckOptions, trains: bool
) -> list[Task]:
    """The noisy copies that `original_float64` leaves out, for what differs.

    Args:
        sets: all of them.
        names: sets on which anything differs; of these only a large model has copies left out.
        masked: sets to run with dropout masks, of which no copy has run.
        options: of the check.
        trains: whether trajectories differ.
    """
    steps = [
        _step(index, item.name, "train", options, "masks")
        for index, item in enumerate(sets)
        if item.name in masked and is_masked(item, options)
    ]
    if options.large:
        steps += [
            _step(index, item.name, mode, options)
            for index, item in enumerate(sets)
            if item.name in names
            for mode in _modes(item, options)
        ]
    tasks = [task for step in steps for task in _noisy(step, "64")]
    return [*tasks, {**trajectory(NOISY, options.steps, options), "noise": 1}] if options.large and trains else tasks


def noise_float32(
    sets: Sequence[InputSet], failed: Collection[tuple[str, Mode, str]], options: CheckOptions
) -> list[Task]:
    """More noisy copies of the original for the float32 passes in which something differs.

    Args:
        sets: all of them.
        failed: name of the set, mode, and how dropout behaves, of each pass.
        options: of the check.
    """
    tasks = []
    for index, item in enumerate(sets):
        for name, mode, dropout in failed:
            if name == item.name:
                step = {**_step(index, name, mode, options, dropout), "noisy_inputs": item.purpose == "special"}
                tasks += further(step, options.large)
    return tasks


def _steps(options: CheckOptions) -> tuple[float, ...]:
    return STEPS[:2] if options.large else STEPS


def _modes(item: InputSet, options: CheckOptions) -> tuple[Mode, ...]:
    """In which modes a set is run: a large model sees special inputs in training alone."""
    return options.modes[:1] if options.large and item.purpose != "typical" else options.modes


def runs(item: InputSet, mode: Mode, options: CheckOptions) -> bool:
    """Whether a set is run in a mode."""
    return mode in _modes(item, options)


def is_masked(item: InputSet, options: CheckOptions) -> bool:
    """Whether a set is also run with dropout masks."""
    return item.purpose == "typical" and (not options.large or item.name == "reference")


def original_float32(
    sets: Sequence[InputSet], options: CheckOptions, spec: Mapping[str, Any] | None, calls: Mapping[int, Sequence[Any]]
) -> list[Task]:
    """M32: the sets of the reference's shape, and the first steps with three noisy copies.

    Args:
        sets: all of them.
        options: of the check.
        spec: JSON of the optimizer, None if there is none.
        calls: dropout calls of the original, by set index: a condition may decide them.
    """
    tasks = converted_float32(sets, options, spec is not None, calls)
    special = {item.name for item in sets if item.purpose == "special"}
    for task in [task for task in tasks if task["kind"] == "step"]:
        copies = _noisy(task, "32", options.large)
        tasks += [{**noisy, "noisy_inputs": task["input"] in special} for noisy in copies]
    if spec is not None:
        factor = 1 + coefficient_rounding(spec)
        tasks.append({**_losses(ROUNDED, options), "rate_factor": factor})
        tasks += _noisy_losses(options, range(1, NOISE_COPIES + 1))
    return tasks


def noise_of_losses(options: CheckOptions) -> list[Task]:
    """More noisy copies of the first steps in float32."""
    first = NOISE_COPIES + 1
    return _noisy_losses(options, range(first, first + (MORE_OF_LARGE if options.large else MORE_COPIES)))


def noisy_losses() -> list[str]:
    """The tasks of the first steps with noisy weights, of which most run only where something differs."""
    return [f"trajectory-noise-{seed}" for seed in range(1, NOISE_COPIES + MORE_COPIES + 1)]


def _noisy_losses(options: CheckOptions, seeds: Iterable[int]) -> list[Task]:
    return [{**_losses(f"trajectory-noise-{seed}", options), "noise": seed} for seed in seeds]


def converted_float64(
    sets: Sequence[InputSet],
    options: CheckOptions,
    trains: bool,
    calls: Mapping[int, Sequence[Any]],
    chosen: Sequence[int],
) -> list[Task]:
    """C64, and dropout's own random numbers.

    Args:
        sets: those that the original accepts, under their index among all sets.
        options: of the check.
        trains: whether the case has an optimizer.
        calls: dropout calls of the original, by set index.
        chosen: numbers of the directions that the original's derivative task took.
    """
    tasks: list[Task] = [
        {"id": "weights", "kind": "weights"},
        {"id": "randomness", "kind": "randomness", "input": "reference"},
        {**_step(0, "reference", "train", options), "id": "again", "seed": 1, "gradients": not options.large},
        *_casts(options),
    ]
    for index, item in enumerate(sets):
        tasks += [_step(index, item.name, mode, options) for mode in _modes(item, options)]
        if is_masked(item, options) and calls.get(index):
            tasks.append({**_step(index, item.name, "train", options, "masks"), "calls": calls[index]})
    if chosen:
        tasks.append(
            {
                "id": "derivative",
                "kind": "derivative",
                "mode": "train",
                "input": "reference",
                "chosen": list(chosen),
                "steps": _steps(options),
                "large": options.large,
            }
        )
    if trains:
        tasks.append(_walked(options))
    return tasks


def converted_float32(
    sets: Sequence[InputSet], options: CheckOptions, trains: bool, calls: Mapping[int, Sequence[Any]]
) -> list[Task]:
    """C32: the sets of the reference's shape, and the first steps of training."""
    tasks = [
        _step(index, item.name, mode, options)
        for index, item in enumerate(sets)
        for mode in _modes(item, options)
        if item.purpose not in ("shape", "silent")
    ]
    if not options.quick:
        for index, item in enumerate(sets):
            if is_masked(item, options) and calls.get(index):
                tasks.append({**_step(index, item.name, "train", options, "masks"), "calls": calls[index]})
    if trains:
        tasks.append(_losses("trajectory", options))
    return tasks


def _walked(options: CheckOptions) -> Task:
    """The trajectory in float64, of a pair with what the optimizers keep."""
    return {**trajectory("trajectory", options.steps, options), "walk": list(options.walk)}


def _losses(name: str, options: CheckOptions) -> Task:
    """The first steps in float32, of which the losses are compared and nothing else."""
    return {**trajectory(name, options.float32_steps, options), "parameters": False}


def coefficient_rounding(optimizer: Mapping[str, Any]) -> float:
    """How far a float32 bias correction moves the learning rate of Adam, relatively.

    torch computes ``1 - beta ** t`` in float64, optax in float32. beta is rounded by at most 2^-25 there, which is
    2^-25 / (1 - beta) of the difference; the second moment enters by its root, hence half of it.
    """
    pairs = [optimizer["betas"]] if "betas" in optimizer else _betas(optimizer.get("parts", ()))
    return max((2**-25 / (1 - first) + 2**-26 / (1 - second) for first, second in pairs), default=0.0)


def _betas(parts: Sequence[Mapping[str, Any]]) -> list[tuple[float, float]]:
    """Those of every transformation of an optax spec that corrects a bias, as Adam does."""
    kinds = [part for part in parts if "b1" in part and part["type"] != "ScaleByLion"]
    found = [(_largest(part["b1"]), _largest(part["b2"])) for part in kinds]
    return found + [pair for part in parts for pair in _betas(part.get("parts", ()))]


def _largest(beta: Any) -> float:
    """A number, or the largest below 1 that a schedule names."""
    if not isinstance(beta, Mapping):
        return float(beta)
    numbers = [value for value in beta.values() if isinstance(value, int | float) and not isinstance(value, bool)]
    return max((float(value) for value in numbers if value < 1), default=0.0)


def _casts(options: CheckOptions) -> list[Task]:
    if not options.casts:
        return []
    return [{"id": name, "kind": name, "mode": "train", "input": "reference"} for name in ("casts", "effects")]


def trajectory(name: str, steps: int, options: CheckOptions) -> Task:
    return {
        "id": name,
        "kind": "trajectory",
        "steps": steps,
        "inputs": ["reference", "random 1"],
        "optimizer": options.optimizer,
    }


def cost(task: Task) -> int:
    """About how long a task takes, as a multiple of a forward pass: what the time that is left is told by."""
    if task["kind"] == "step":
        return 3 if task["gradients"] else 1
    if task["kind"] == "trajectory":
        return 5 * task["steps"]
    if task["kind"] == "derivative":
        return 4 * len(task["steps"]) * len(task.get("chosen") or range(task.get("draws", 0)))
    return 2
