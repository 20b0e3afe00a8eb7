"""The judge of any two models: each side is described, the two are linked, and the one engine judges them."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from regauge.errors import RegaugeError, WeightMismatch, WorkerFailed
from regauge.findings import Finding
from regauge.language import N_
from regauge.run.array_files import load_arrays, save_arrays
from regauge.run.describing import REFERENCE, WEIGHTS
from regauge.run.evaluation import array_file
from regauge.run.launch import Framework, at_once, one_by_one
from regauge.run.naming import Link
from regauge.run.protocol import read_json, write_json
from regauge.verify.assignments import Run, decide_by_outputs
from regauge.verify.engine import Progress, judge, silent
from regauge.verify.evaluations import WIDE, Arrays, Mode, Outcome, Side
from regauge.verify.obstacles import memory_findings
from regauge.verify.plan import MODES, CheckOptions
from regauge.verify.reproduction import Sources, with_reproduction
from regauge.verify.result import Check, Tier
from regauge.verify.structure import link_given, link_outputs
from regauge.verify.subjects import ROLES, Role, Subject
from regauge.verify.watching import TOTAL
from regauge.weights.pair_map import PairMap, merged_groups
from regauge.weights.pairing import Pairing, TensorInfo, infer

MAP_FILE = "weight_map.json"

_DESCRIBING = N_("loading both models")
_WORDS: dict[Role, str] = {"original": "original", "converted": "converted model"}

WeightMapGiven = Mapping[str, Any] | Callable[[str], Any] | PairMap | None


class Sides(Protocol):
    """Two models, in workers or in this process.

    Attributes:
        label: what the result calls them.
        names: of the original and of the converted model.
        frameworks: by role.
        jobs: what names each side in its jobs, by role.
        symbols: sizes that the converted model leaves open, as conversion.json has them; None where that is not known.
        separate: whether each runs in a process of its own.
    """

    @property
    def label(self) -> str: ...

    @property
    def names(self) -> tuple[str, str]: ...

    @property
    def frameworks(self) -> Mapping[Role, Framework]: ...

    @property
    def jobs(self) -> Mapping[Role, Mapping[str, Any]]: ...

    @property
    def symbols(self) -> list[dict[str, Any]] | None: ...

    @property
    def separate(self) -> bool: ...

    def describe(self, role: Role, out: Path, timeout: float | None) -> dict[str, Any]:
        """What `run/describing.py` says of a side; its arrays go to `out`."""

    @property
    def sources(self) -> Sources:
        """What names the two to somebody who starts anew."""

    def execute(self, side: Side, job: Mapping[str, Any], out: Path, timeout: float | None) -> dict[str, Any]:
        """Run the tasks of a job."""


@dataclass(frozen=True)
class _Described:
    """One side as it described itself."""

    info: Mapping[str, Any]
    out: Path

    def tensors(self) -> list[TensorInfo]:
        values = load_arrays(self.out / WEIGHTS)
        return [
            TensorInfo(
                name,
                tuple(item["shape"]),
                item["dtype"],
                "buffer" if item["role"] == "buffer" else "parameter",
                item["role"] == "parameter",
                values[name],
            )
            for name, item in self.info["weights"].items()
        ]

    @property
    def fixed(self) -> list[str]:
        return [name for name, item in self.info["weights"].items() if item["role"] == "frozen"]


def check_pair(
    sides: Sides,
    work: Path,
    *,
    weight_map: WeightMapGiven = None,
    options: CheckOptions | None = None,
    progress: Progress | None = None,
) -> Check:
    """Judge whether two models are the same function, with the original's weights in both.

    Args:
        sides: the two models.
        work: directory for arrays and logs; ``check.json`` and ``weight_map.json`` are written there.
        weight_map: names of the original to names of the converted model, a function of a name, or a whole map;
            what it leaves open is inferred.
        options: how thorough.
        progress: called with what runs now, how many of the parts are done, and how many there are.

    Raises:
        BadCase: a side rejects its own inputs, or the inputs of the two cannot be brought together.
        WeightMismatch: the weights cannot be paired; the text says what is missing or open.
    """
    options, progress = options or CheckOptions(), progress or silent
    started = time.monotonic()
    progress(_DESCRIBING, 0, TOTAL)
    described, failures = _describe(sides, work, options.timeout)
    if failures:
        return _failed(sides, work, described, failures, time.monotonic() - started)
    subject = _subject(sides, described, weight_map, work, options.timeout)
    check = judge(subject, work, options, progress)
    return with_reproduction(check, subject, work, options, sides.sources, progress)


def subject_of_pair(sides: Sides, work: Path, weight_map: WeightMapGiven = None) -> Subject:
    """Two models, linked and with their weights paired, to be asked single questions.

    Raises:
        BadCase: a side rejects its own inputs, or the inputs of the two cannot be brought together.
        WeightMismatch: the weights cannot be paired.
        WorkerFailed: a side cannot even be loaded.
    """
    described, failures = _describe(sides, work, None)
    for error in failures.values():
        raise error
    return _subject(sides, described, read_map(weight_map), work, None)


def _describe(
    sides: Sides, work: Path, timeout: float | None
) -> tuple[dict[Role, _Described], dict[Role, RegaugeError]]:
    """What each side says of itself, and the error of one that failed."""
    described: dict[Role, _Described] = {}
    failures: dict[Role, RegaugeError] = {}
    outs = {role: work / f"describe_{role}" for role in ROLES}
    calls = [partial(_describe_one, sides, role, outs[role], timeout) for role in ROLES]
    for role, found in zip(ROLES, at_once(calls) if sides.separate else one_by_one(calls), strict=True):
        if isinstance(found, WorkerFailed):
            failures[role] = found
        else:
            described[role] = _Described(found, outs[role])
    return described, failures


def _describe_one(sides: Sides, role: Role, out: Path, timeout: float | None) -> dict[str, Any]:
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    try:
        return sides.describe(role, out, timeout)
    except WorkerFailed:
        raise
    except RegaugeError as error:
        error.where = error.where or f"the {_WORDS[role]}, {sides.jobs[role].get('case', sides.label)}"
        raise


def read_map(given: Any) -> WeightMapGiven:
    """A weight map as a person gives it: the path of a saved one or of a JSON object of names, or the map itself.

    Raises:
        WeightMismatch: the file is no map.
    """
    if not isinstance(given, str | Path):
        return given
    try:
        data = read_json(Path(given))
    except (OSError, ValueError) as error:
        raise WeightMismatch(
            f"the weight map cannot be read: {error}",
            where=str(given),
            next="give a file that --save-map wrote, or a JSON object of names",
        ) from error
    return PairMap.from_json(data) if isinstance(data, dict) and "entries" in data else data


def _failed(
    sides: Sides,
    work: Path,
    described: Mapping[Role, _Described],
    failures: Mapping[Role, RegaugeError],
    seconds: float,
) -> Check:
    """A side could not even be loaded: nothing is judged, and what the other one gave is kept."""
    findings = []
    for role, error in failures.items():
        said = "; ".join([error.what, *error.details])
        text = f"The original failed: {said}" if role == "original" else f"The converted model failed: {said}"
        findings.append(Finding("V140", "error", str(work / f"describe_{role}"), text))
    for side in described.values():
        text = f"{side.info['name']} ran: its inputs, outputs and weights are kept"
        findings.append(Finding("V141", "info", str(side.out), text))
    why = "; ".join(f"the {_WORDS[role]}: {error.what}" for role, error in failures.items())
    tier = Tier("tier 1 outputs", "not checked", why=why)
    check = Check(sides.label, "not checked", (tier,), findings=tuple(findings), seconds=seconds, sides=sides.names)
    write_json(work / "check.json", check.to_json())
    return check


def _paired(ours: _Described, theirs: _Described, given: WeightMapGiven, run: Run, work: Path) -> Pairing:
    """The weight map; what names and values leave open is decided by outputs, if they decide."""
    mine, other = ours.tensors(), theirs.tensors()
    pairing = infer(mine, other, given=given)
    if not pairing.ambiguities or pairing.missing or pairing.mistakes:
        return pairing
    again = partial(infer, mine, other, given=given)
    return decide_by_outputs(pairing, lambda decide: again(decide=decide), run, ours.out / WEIGHTS, work)


def _runner(
    sides: Sides,
    described: Mapping[Role, _Described],
    reference: Mapping[str, np.ndarray],
    links: Mapping[str, Any],
    work: Path,
    timeout: float | None,
) -> Run:
    """Runs tasks on the reference inputs, in float64, on both sides before their weights are paired."""

    def run(*tasks: list[dict[str, Any]]) -> list[list[Arrays]]:
        file = work / "reference.safetensors"
        save_arrays(file, reference)
        found = []
        for role, side, own in zip(ROLES, WIDE, tasks, strict=True):
            out = work / f"assign_{role}"
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir(parents=True)
            sets = {**_trees(described[role].info, False), "files": {"reference": str(file.resolve())}}
            job = {"job": "evaluate", **sides.jobs[role], "widen": True, "use_loss": False, "sets": sets, "tasks": own}
            reply = sides.execute(side, {**job, "names": links if role == "converted" else None}, out, timeout)
            outcomes = [Outcome(reply["tasks"][task["id"]], array_file(out / task["id"])) for task in own]
            found.append([outcome.arrays() for outcome in outcomes])
        return found

    return run


def _subject(
    sides: Sides,
    described: Mapping[Role, _Described],
    weight_map: WeightMapGiven,
    work: Path,
    timeout: float | None,
) -> Subject:
    ours, theirs = described["original"], described["converted"]
    one, other = ours.info, theirs.info
    reference, candidate = load_arrays(ours.out / REFERENCE), load_arrays(theirs.out / REFERENCE)
    inputs, findings = link_given("inputs", one["inputs"], other["inputs"], reference, candidate)
    use_loss = one["has_loss"] and other["has_loss"]
    if use_loss:
        targets, more = link_given("targets", one["targets"], other["targets"], reference, candidate)
        inputs, findings = [*inputs, *targets], [*findings, *more]
    outputs, more = link_outputs(one["outputs"], other["outputs"], reference, candidate)
    linked = {"inputs": [link.to_json() for link in inputs], "outputs": [link.to_json() for link in outputs]}
    run = _runner(sides, described, _given(reference, inputs), linked, work, timeout)
    pairing = _paired(ours, theirs, weight_map, run, work)
    pair_map = pairing.require()
    write_json(work / MAP_FILE, pair_map.to_json())
    modes, about_modes = _modes(one, other)
    names = {
        "map": pair_map.to_json(),
        "fixed": ours.fixed,
        **linked,
    }
    trains = use_loss and bool(one["optimizer"] and other["optimizer"])
    about_training = [*_about_losses(one, other), *(_about_sums(pair_map) if trains else [])]
    noticed = (*_about_inputs(reference), *findings, *more, *about_modes, *about_training)
    shared: dict[str, Any] = {role: described[role].info.get("shared", []) for role in ROLES}
    common = {"use_loss": use_loss}
    return Subject(
        case=sides.label,
        sides=sides.names,
        reference=_given(reference, inputs),
        symbols=sides.symbols,  # no size of a model that was not captured is known to be free: they are tried
        trees={role: _trees(described[role].info, use_loss) for role in ROLES},
        map=pair_map,
        execute=sides.execute,
        jobs={
            "original": {**sides.jobs["original"], **common},
            "converted": {
                **sides.jobs["converted"],
                **common,
                "names": names,
                "transplant": str((ours.out / WEIGHTS).resolve()),
            },
        },
        frameworks=sides.frameworks,
        spec=one["spec"] if trains else None,
        optimizer=one["optimizer"] if trains else "",
        untrained=_untrained(one, other),
        modes=modes,
        own_weights=True,
        keeps_failures=True,
        separate=sides.separate,
        findings=(*noticed, *pairing.findings, *memory_findings(shared)),
        known=frozenset(one.get("known", ())),
    )


def _given(reference: Mapping[str, Any], links: list[Link]) -> dict[str, Any]:
    return {link.source: reference[link.source] for link in links}


def _trees(info: Mapping[str, Any], use_loss: bool) -> dict[str, Any]:
    return {"inputs": info["inputs"], "targets": info["targets"] if use_loss else None}


def _modes(one: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[tuple[Mode, ...], list[Finding]]:
    if not one["knows_mode"] and not other["knows_mode"]:
        text = "Neither side knows training from evaluation: they are judged once, as in training"
        return ("train",), [Finding("V124", "info", "", text)]
    if one["knows_mode"] != other["knows_mode"]:
        text = (
            "The converted model does not know training from evaluation: it is the same function in both"
            if one["knows_mode"]
            else "The original does not know training from evaluation: it is the same function in both"
        )
        return MODES, [Finding("V125", "info", "", text)]
    return MODES, []


def _about_inputs(reference: Mapping[str, np.ndarray]) -> list[Finding]:
    """Constant inputs: the sets that are made of them hold little else."""
    constant = [
        name
        for name, array in reference.items()
        if name.startswith("inputs") and array.dtype.kind == "f" and array.size > 1 and len(np.unique(array)) == 1
    ]
    if not constant:
        return []
    text = f"The values of {', '.join(constant)} are all the same, so little is tried: give typical ones"
    return [Finding("V127", "warning", "", text)]


def _about_losses(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[Finding]:
    if one["has_loss"] == other["has_loss"]:
        return []
    text = (
        "Only the original has a loss: it is left out, and gradients are those of a probe of the outputs"
        if one["has_loss"]
        else "Only the converted model has a loss: it is left out, and gradients are those of a probe of the outputs"
    )
    return [Finding("V126", "warning", "", text)]


def _about_sums(pair_map: PairMap) -> list[Finding]:
    """Sums train otherwise than their terms: every optimizer moves each term as far as it moves the sum."""
    if not pair_map.merged_sources:
        return []
    groups = [parts for parts in merged_groups(pair_map).values() if len(parts) > 1]
    sums = dict.fromkeys(" + ".join(part.source for part in parts) for parts in groups)
    text = (
        f"The converted model trains sums ({'; '.join(sums)}) whose terms the original trains each: "
        "the same optimizer moves them half as far, so training differs although the function does not. "
        "Keep both terms in the converted model, or train the sum at a learning rate of its own"
    )
    return [Finding("V129", "warning", "", text)]


def _untrained(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    for what, key in (("loss", "has_loss"), ("optimizer", "optimizer")):
        lacking = [_WORDS[role] for role, info in zip(ROLES, (one, other), strict=True) if not info[key]]
        if lacking:
            return f"no {what}: {' and '.join(lacking)}"
    return ""
