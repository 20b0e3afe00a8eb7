"""What a check judges: two sides, what links them, and how each is evaluated."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from safetensors.numpy import load_file

from regauge.findings import LOSS_OF_TRAINING, Finding
from regauge.run.launch import Framework, Interpreters, launch
from regauge.run.protocol import read_json
from regauge.saved_files import is_as_written
from regauge.verify.evaluations import Mode, Side
from regauge.weights.mapping import WeightMap
from regauge.weights.pair_map import PairMap, from_weight_map

Role = Literal["original", "converted"]
ROLES: tuple[Role, Role] = ("original", "converted")


def role_of(side: Side) -> Role:
    return "original" if side.startswith("M") else "converted"


class Execute(Protocol):
    """Evaluates one side: takes a job without its place, returns the reply of the evaluator."""

    def __call__(self, side: Side, job: Mapping[str, Any], out: Path, timeout: float | None) -> dict[str, Any]:
        """Run the tasks of `job`; arrays go to `out`."""


@dataclass(frozen=True)
class Subject:
    """Two sides to be judged.

    Attributes:
        case: what the result calls them.
        sides: what the two models of a pair are called; empty for a conversion.
        reference: ``inputs.*`` and ``targets.*`` of the original.
        symbols: symbolic sizes, as conversion.json has them; None where nothing is known about sizes.
        trees: skeletons of inputs and targets, by role.
        map: the weights of both sides.
        execute: evaluates a side.
        jobs: what else each side's jobs hold (names, weights to put in), by role.
        spec: JSON of the original's optimizer, where it has a spec.
        optimizer: what to call it; empty where there is no trajectory to compare.
        untrained: why there is none.
        modes: training and evaluation, or training alone where neither side knows the difference.
        loss_modes: in which the converted loss is the original's.
        constants: names of the map that are no buffers of the original.
        casts: whether the JAX side is looked through for casts to lower precision.
        own_weights: whether the converted side had weights of its own, beside which the original's were put in.
        keeps_failures: a side that crashes is a result, not an error.
        as_written: the converted side is a conversion in whose folder nothing was changed.
        separate: whether each side runs in a process of its own, so that both can run at once.
        findings: what was noticed while the sides were linked.
        known: names of input arrays whose values are part of the code: they are the same in every set.
    """

    case: str
    sides: tuple[str, ...]
    reference: Mapping[str, np.ndarray]
    symbols: list[dict[str, Any]] | None
    trees: Mapping[Role, Mapping[str, Any]]
    map: PairMap
    execute: Execute
    jobs: Mapping[Role, Mapping[str, Any]]
    frameworks: Mapping[Role, Framework]
    spec: dict[str, Any] | None = None
    optimizer: str = ""
    untrained: str = ""
    modes: tuple[Mode, ...] = ("train", "eval")
    loss_modes: tuple[Mode, ...] = ("train", "eval")
    constants: frozenset[str] = frozenset()
    own_weights: bool = False
    keeps_failures: bool = False
    as_written: bool = False
    separate: bool = False
    findings: tuple[Finding, ...] = field(default=())
    known: frozenset[str] = frozenset()


def environment_of(framework: Framework, side: Side) -> dict[str, str]:
    """Variables of a worker: float32 must really be float32 everywhere.

    Float64 in JAX is a setting of the process, which the worker makes itself once it has the case.
    """
    if framework == "torch":
        # a thread that waits for work leaves its core to the other side, or to whatever else the machine runs
        return {"OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "passive")}
    precision = {} if side.endswith("64") else {"JAX_DEFAULT_MATMUL_PRECISION": "highest"}
    return {"JAX_ENABLE_X64": "0", **precision}


def subject_of_folder(case: str, folder: Path, interpreters: Interpreters) -> Subject:
    """A case and the saved conversion that was made of it.

    Raises:
        BadResult: the folder is not a whole conversion.
    """
    conversion = read_json(folder / "conversion.json")
    weights = WeightMap.from_json(read_json(folder / "weights.json"))
    frameworks: dict[Role, Framework] = {"original": "torch", "converted": "jax"}
    if conversion.get("direction") == "jax->torch":
        frameworks = {"original": "jax", "converted": "torch"}
    # a module that was converted from JAX draws as JAX does: the original keeps its own draws
    own_draws = {"own_draws": True} if frameworks["original"] == "jax" else {}
    pair_map = from_weight_map(weights)
    fixed = [entry.source for entry in weights.entries if entry.role == "parameter" and not entry.trainable]
    names = {"map": pair_map.to_json(), "fixed": fixed}
    found = {finding["code"] for finding in conversion.get("findings", ())}
    loss_modes: tuple[Mode, ...] = ("train",) if found & set(LOSS_OF_TRAINING) else ("train", "eval")
    common = {"loss_modes": loss_modes}
    jobs: dict[Role, dict[str, Any]] = {
        "original": {"case": case, **own_draws, **common},
        "converted": {"folder": str(folder.resolve()), "names": names, **common},
    }

    def execute(side: Side, job: Mapping[str, Any], out: Path, timeout: float | None) -> dict[str, Any]:
        framework = frameworks[role_of(side)]
        return launch(
            framework,
            {**job, "out": str(out)},
            interpreters=interpreters,
            environment=environment_of(framework, side),
            timeout=timeout,
        )

    tree = {"inputs": conversion["inputs"], "targets": conversion.get("targets")}
    spec = conversion.get("optimizer")
    return Subject(
        case=case,
        sides=(),
        reference=load_file(folder / "reference.safetensors"),
        symbols=conversion.get("symbols", []),
        trees={"original": tree, "converted": tree},
        map=pair_map,
        execute=execute,
        jobs=jobs,
        frameworks=frameworks,
        spec=spec,
        optimizer=spec["type"] if spec else "",
        separate=True,
        loss_modes=loss_modes,
        untrained="the case has no optimizer" if conversion.get("has_loss") else "the case has no loss",
        constants=frozenset(entry.source for entry in weights.entries if entry.role == "constant"),
        known=frozenset(conversion.get("known", ())),
        as_written=is_as_written(folder),
    )
