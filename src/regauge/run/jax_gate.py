"""The gate's reference for an original of JAX."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import jax
import numpy as np

from regauge.run.gate_reference import write_gate
from regauge.run.jax_case import JaxCase, load_jax_case
from regauge.run.jax_precision import wide_names
from regauge.run.protocol import flatten_tree


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Write gate.json and outputs.safetensors into ``job["out"]``.

    Args:
        job: case, folder, tasks, threads, precision.
    """
    jax.config.update("jax_default_matmul_precision", "highest")
    original = JaxOriginal(job["case"], Path(job["folder"]))
    return write_gate(lambda: original, job["tasks"], job["precision"], Path(job["out"]))


class JaxOriginal:
    """`regauge.run.gate_reference.Original` for JAX; float64 is a setting of the process, so each run loads anew."""

    def __init__(self, case: str, folder: Path) -> None:
        self.case = case
        self.folder = folder

    def outputs(self, wide: bool) -> dict[str, np.ndarray]:
        def run(case: JaxCase) -> dict[str, np.ndarray]:
            program = case.side.program
            return output_arrays(jax.jit(case.infer())(program.params, program.state, case.inputs))

        return self._run(run, wide)

    def first_step(self, seed: int, wide: bool) -> tuple[float, float]:
        def run(case: JaxCase) -> tuple[float, float]:
            before = {name: np.array(array) for name, array in case.side.program.params.items()}
            carry = case.start(seed)
            trainer = case.side.trainer
            if trainer is None:
                raise RuntimeError("start has checked this")
            carry, loss = trainer.step(carry, case.inputs, case.targets)
            return float(loss), update_norm(before, trainer.arrays(carry)[0])

        return self._run(run, wide)

    def _run(self, run: Callable[[JaxCase], Any], wide: bool) -> Any:
        try:
            case = load_jax_case(self.case, self.folder, wide)
            with wide_names() if wide else nullcontext():
                return run(case)
        finally:
            jax.config.update("jax_enable_x64", False)


def output_arrays(outputs: Any) -> dict[str, np.ndarray]:
    """Outputs by leaf name, as reference.safetensors names them."""
    _, leaves = flatten_tree(outputs, lambda leaf: isinstance(leaf, jax.Array), "outputs")
    return {name: _numpy(leaf) for name, leaf in leaves.items()}


def _numpy(array: jax.Array) -> np.ndarray:
    return np.asarray(array.astype(np.float32) if array.dtype == jax.numpy.bfloat16 else array)


def update_norm(before: dict[str, np.ndarray], after: dict[str, Any]) -> float:
    """The 2-norm, over all parameters together, of what a step changed."""
    moved = [np.asarray(after[name], np.float64) - np.asarray(array, np.float64) for name, array in before.items()]
    return math.sqrt(sum(float(np.sum(part**2)) for part in moved))
