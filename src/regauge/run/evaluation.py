"""What both evaluating workers share: the task loop, array files, and random numbers that do not depend on a framework.

An *evaluate* job holds input sets and a list of tasks; each task writes ``<id>.safetensors`` into the job's `out` and
returns a JSON-able description. A task that raises is recorded with its error and does not end the others: whether
that is a rejected input or a defect is for the parent to judge, who sees both sides.
"""

from __future__ import annotations

import math
import time
import traceback
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from regauge.errors import RegaugeError, WorkerFailed
from regauge.run.array_files import Arrays, load_arrays, save_arrays
from regauge.run.process_memory import give_back
from regauge.run.protocol import unflatten_tree

TASKS_DONE = "tasks"  # a file whose length says how many tasks are done
_MEMORY = (
    "DefaultCPUAllocator: not enough memory",
    "can't allocate memory",
    "CUDA out of memory",
    "RESOURCE_EXHAUSTED",
)
_SMALLEST_SHARE = 0.1  # of ||g|| ||u|| / sqrt(dimension): a direction nearly at right angles says little

Handler = Callable[[dict[str, Any]], tuple[Arrays, dict[str, Any]]]


def loss_modes(job: Mapping[str, Any]) -> tuple[Literal["train", "eval"], ...]:
    """The modes in which a job takes a side's own loss; in the others it is a probe of the outputs."""
    return tuple(job.get("loss_modes", ("train", "eval"))) if job.get("use_loss", True) else ()


def run_tasks(job: Mapping[str, Any], handlers: Mapping[str, Handler]) -> dict[str, Any]:
    """Run every task of a job; the file ``tasks`` in `out` grows by one byte with each that is done.

    Returns:
        By task id: what its handler said, with `seconds` and the `dtypes` of its arrays; or `error` and `traceback`.
    """
    out = Path(job["out"])
    results: dict[str, Any] = {}
    for task in job["tasks"]:
        started = time.perf_counter()
        try:
            arrays, info = handlers[task["kind"]]({**task, "file": str(out / task["id"])})
            save_arrays(array_file(out / task["id"]), arrays)
            del arrays  # as large as the model, perhaps: not beside those of the next task
        except RegaugeError:
            raise
        except Exception as error:
            if is_memory(error):
                raise _out_of_memory(task, error) from error
            lines = traceback.format_exc().strip().splitlines()
            info = {
                "error": f"{type(error).__name__}: {error}",
                "error_type": type(error).__name__,
                "where": own_line(error),
                "traceback": lines[-12:],
            }
        results[task["id"]] = {**info, "seconds": time.perf_counter() - started}
        with (out / TASKS_DONE).open("ab") as counter:
            counter.write(b".")
        give_back()
    return results


def is_memory(error: Exception) -> bool:
    """Whether memory ran out: numpy's and Python's own error, torch's allocators, XLA's status."""
    text = str(error)
    return isinstance(error, MemoryError) or any(part in text for part in _MEMORY)


def _out_of_memory(task: Mapping[str, Any], error: Exception) -> WorkerFailed:
    return WorkerFailed(
        f"the memory ran out in {task['id']}: {type(error).__name__}",
        details=str(error).splitlines()[:2],
        next="use a smaller batch, or a machine with more memory: float64 takes twice that of float32",
    )


def own_line(error: BaseException) -> str:
    """``file.py:line`` of the last line of the person's own code that an error passed, or an empty string."""
    frames = traceback.extract_tb(error.__traceback__)
    package = str(Path(__file__).parents[1])
    own = [f for f in frames if "site-packages" not in f.filename and not f.filename.startswith(package)]
    return f"{own[-1].filename}:{own[-1].lineno}" if own and Path(own[-1].filename).is_file() else ""


def array_file(task: Path | str, part: str = "") -> Path:
    """The file of a task's arrays, or of a part that it writes before its end; `task` is the path without an ending."""
    return Path(f"{task}.{part}.safetensors" if part else f"{task}.safetensors")


def task_arrays(task: Path | str, parts: Iterable[str]) -> Arrays:
    """What a task wrote, mapped from its files: nothing is read before it is looked at."""
    files = [array_file(task), *(array_file(task, part) for part in parts)]
    return {name: array for file in files for name, array in load_arrays(file).items()}


def step_part(number: int) -> str:
    """The part of a trajectory that holds what one step left, the first being 1."""
    return f"step-{number}"


class PartKeeper:
    """Writes the parts of a trajectory, ``start``, ``first`` and ``last``, while it runs.

    Args:
        task: without ``parameters`` nothing is written; ``walk`` lists the steps of which everything is.

    Attributes:
        parts: that were written.
        walked: steps of which a part was written that is not among `parts`: it is read by itself.
    """

    def __init__(self, task: Mapping[str, Any]) -> None:
        self.parts: list[str] = []
        self.walked: list[int] = []
        self._walk = frozenset(task.get("walk", ()))
        self._file = task["file"] if task.get("parameters", True) else None

    def after(self, number: int, arrays: Callable[[], Arrays]) -> None:
        """Write what a step left, if it is to be kept."""
        if self._file is not None and number in self._walk:
            save_arrays(array_file(self._file, step_part(number)), arrays())
            self.walked.append(number)

    def __call__(self, part: str, arrays: Callable[[], Arrays]) -> None:
        if self._file is not None:
            save_arrays(array_file(self._file, part), arrays())
            self.parts.append(part)


def with_transplant(job: Mapping[str, Any], run: Callable[[Mapping[str, Any]], dict[str, Any]], put: Any) -> Any:
    """The results of all tasks: those that ask for the side's own weights before others are put in their places.

    Args:
        job: with the tasks.
        run: gives the results of a job.
        put: puts the weights in.
    """
    own = [task for task in job["tasks"] if task["kind"] == "weights"]
    results = run({**job, "tasks": own})
    put()
    return results | run({**job, "tasks": [task for task in job["tasks"] if task["kind"] != "weights"]})


class InputSets:
    """The named inputs and targets of a job, as trees of numpy arrays.

    Args:
        description: ``{"inputs": skeleton, "targets": skeleton or None, "files": {name: path}}``.
    """

    def __init__(self, description: Mapping[str, Any]) -> None:
        self.inputs_skeleton = description["inputs"]
        self.targets_skeleton = description["targets"]
        self._files = description["files"]

    def leaves(self, name: str) -> Arrays:
        """The arrays of a set by leaf name (``inputs.*`` and ``targets.*``)."""
        return {key: np.array(array) for key, array in load_arrays(self._files[name]).items()}

    def noisy(self, arrays: Arrays, seed: int) -> Arrays:
        """Each float input moved by one unit in the last place of the reference's magnitude.

        Also a constant or zero one, whose rounding errors nothing else would show.
        """
        reference = self.leaves("reference")
        moved: Arrays = {}
        for key, array in arrays.items():
            if key.startswith("inputs") and array.dtype.kind == "f":
                magnitude = np.finfo(array.dtype).eps * np.sqrt(np.mean(np.square(reference[key], dtype=np.float64)))
                moved[key] = (array + magnitude * signs(key, seed, array.shape)).astype(array.dtype)
        return moved

    def inputs(self, leaves: Mapping[str, Any]) -> Any:
        return unflatten_tree(self.inputs_skeleton, leaves)

    def targets(self, leaves: Mapping[str, Any]) -> Any:
        return None if self.targets_skeleton is None else unflatten_tree(self.targets_skeleton, leaves)


def with_silent_units(weights: Mapping[str, np.ndarray], axis: int) -> Arrays:
    """Weights in which about half of the units of a layer are zero: what they give is zero, gradients pass the others.

    Which ones depends on the layer, so that a layer that keeps channels apart lets some of the zeros before it pass.

    Args:
        weights: by the original's names, in its layout.
        axis: of the units, the first in torch and the last in JAX.
    """
    return {name: _silenced(name, array, axis) if array.ndim else array for name, array in weights.items()}


def _silenced(name: str, array: np.ndarray, axis: int) -> np.ndarray:
    units = np.moveaxis(array.copy(), axis, 0)
    units[seeded(f"silent {name.rpartition('.')[0]}").random(len(units)) < 0.5] = 0
    return np.moveaxis(units, 0, axis)


def seeded(name: str, seed: int = 0) -> np.random.Generator:
    """A generator that depends on a name alone, so that two processes draw the same numbers."""
    return np.random.default_rng([zlib.crc32(name.encode()), seed])


def signs(name: str, seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """int8[shape]: -1 or 1 by chance."""
    # without axes numpy gives a number
    return np.asarray(2 * seeded(f"noise {name}", seed).integers(0, 2, shape, np.int8) - np.int8(1))


def probe_weights(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Weights of one output in the probe loss ``sum(weights * output)`` of a case without a loss: float64[shape]."""
    return seeded(f"probe {name}").standard_normal(shape) / math.sqrt(max(1, math.prod(shape)))


def directions(weights: Mapping[str, np.ndarray], draw: int, size: float | None = None) -> Arrays:
    """A random direction in the space of all parameters, as long as the parameters themselves.

    Args:
        weights: parameters by the original's name, in the original's layout.
        draw: number of the direction.
        size: length of the parameters, where it is known.
    """
    raw = {
        name: np.asarray(seeded(f"direction {name}", draw).standard_normal(array.shape))
        for name, array in weights.items()
    }
    scale = (length(weights) if size is None else size) / (length(raw) or 1.0)
    for array in raw.values():
        np.multiply(array, scale, out=array)
    return raw


def derivative_results(
    task: Mapping[str, Any],
    weights: Mapping[str, np.ndarray],
    gradient: Mapping[str, np.ndarray],
    difference: Callable[[Arrays, float], float],
) -> dict[str, Any]:
    """Central differences along random directions against the gradient: the result of a *derivative* task.

    The original draws: directions nearly at right angles to the gradient, which say little, are drawn again. The
    converted side takes the directions that were `chosen`.

    Args:
        task: ``draws`` or ``chosen``, and ``steps``.
        weights: parameters by the original's name, in its layout.
        gradient: of the loss, alike.
        difference: the central difference of the loss along a direction, with a step.
    """
    results: list[dict[str, Any]] = []
    chosen = task.get("chosen")
    count = max(1, sum(array.size for array in weights.values()))
    size = length(weights)
    least = _SMALLEST_SHARE * length(gradient) * size / math.sqrt(count)
    for draw in range(8 * task["draws"]) if chosen is None else chosen:
        direction = directions(weights, draw, size)
        slope = inner(gradient, direction)
        if chosen is None and (abs(slope) < least or slope == 0):
            continue
        numeric = [difference(direction, step) for step in task["steps"]]
        results.append({"draw": draw, "slope": slope, "numeric": numeric})
        if chosen is None and len(results) == task["draws"]:
            break
    return {"directions": results}


def length(arrays: Mapping[str, np.ndarray]) -> float:
    """The 2-norm of all arrays together."""
    # in the order in which they lie: a transposed one is not copied
    flat = (array.ravel(order="K") for array in arrays.values())
    return math.sqrt(sum(float(np.vdot(array, array).real) for array in flat))


def inner(left: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray]) -> float:
    """The sum of products over the names that both have."""
    return sum(float(np.vdot(left[name], right[name])) for name in left if name in right)


def summaries(outputs: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Three numbers for each float output of one pass: mean, mean square, and the sum that the probe loss takes."""
    found: dict[str, float] = {}
    for name, array in outputs.items():
        if array.dtype.kind == "f" and array.size:
            found[f"{name} mean"] = float(array.mean())
            found[f"{name} mean square"] = float(np.square(array).mean())
            found[f"{name} projection"] = float((probe_weights(name, array.shape) * array).sum())
    return found


def sampled(passes: int, one: Callable[[int], dict[str, float]]) -> Arrays:
    """The summaries of many passes, each with another seed: float64[passes] by name."""
    rows = [one(seed) for seed in range(passes)]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}
