"""One model of a zoo: captured, converted, and its outputs and all gradients compared with the original's.

One pass in float32 against the original's own rounding is enough for most models. It is no proof of a difference: the
rounding of one number can be small by luck, and a maximum or a kink turns rounding into another branch. So where it
fails, `regauge check`'s own judgement decides, on the same inputs: both in float64, and the original's rounding in
copies with noisy weights as well.
"""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
import torch
from networks.comparing import Arrays, Converted, Network, convert, original
from torch.utils import _pytree as pytree

from regauge.errors import CaptureError, RegaugeError, UnsupportedOps
from regauge.run.launch import Interpreters
from regauge.run.torch_subject import load_torch_subject
from regauge.verify import plan
from regauge.verify.engine import overall
from regauge.verify.evaluations import Evaluations, Mode, Side, of_kind
from regauge.verify.onestep import Pass, no_worse_tiers, same_function_tiers
from regauge.verify.result import Tier
from regauge.verify.subjects import Subject, role_of, subject_of_folder
from regauge.verify.tolerance import LIMITS, rounding_error

# Inputs whose values a refusal says can be made part of the code; words are never that.
_KNOWN = re.compile(r"known=\(([^)]*)\)")
_DATA = re.compile(r"input_ids$")
MODE: Mode = "eval"  # in which models are compared
Kind = Literal["equal", "different", "limit", "refused", "fails", "not built"]


@dataclass(frozen=True)
class Outcome:
    """What became of one model.

    Attributes:
        name: of the model.
        kind: equal; different; limit (operators that the rule table refuses); refused (torch.export cannot capture
            it); fails (an error that is no refusal); not built (the library asks for more than small settings).
        what: the message, or the tensors that differ.
        lines: of the emitted model.py.
        seconds: of processor time.
        versions: of Python, torch, jax and the zoo's library, by their names.
        known: inputs whose values had to be part of the code, because the model makes sizes of them.
    """

    name: str
    kind: Kind
    what: str = ""
    lines: int = 0
    seconds: float = 0.0
    versions: Mapping[str, str] = field(default_factory=dict)
    known: Sequence[str] = ()


def judge(name: str, reference: str) -> Outcome:
    """Convert the case `reference` and compare it in float32 with the original's own rounding as the measure.

    A model that is refused because it makes sizes of an input is judged again with that input known: the case that
    ``reference+NAME+NAME`` refers to.
    """
    began = time.process_time()
    known: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        while True:
            asked: list[str] = []
            with TemporaryDirectory() as directory:
                kind, what, lines = _judged("+".join([reference, *known]), Path(directory), asked)
            if kind != "refused" or not (more := [name for name in asked if name not in known]):
                break
            known += more
    if kind == "refused" and known:
        what, known = f"with {', '.join(known)} known: {what}", []
    return Outcome(name, kind, what, lines=lines, seconds=round(time.process_time() - began, 1), known=known)


def _judged(reference: str, directory: Path, asked: list[str]) -> tuple[Kind, str, int]:
    """Kind, message and lines; `asked` gets the inputs that a refusal says can be known."""
    lines = 0
    try:
        network = convert(reference, directory)
        lines = len((network.folder / "model.py").read_text(encoding="utf-8").splitlines())
        try:
            exact, own = original(network, "reference", widen=True), original(network, "reference", widen=False)
        except AssertionError:  # reversible layers refuse a gradient in evaluation
            return _verdict(checked(network, directory, "train"), "train", lines)
        found = Converted(network).everything("reference")
    except UnsupportedOps as error:
        return "limit", _short(error), lines
    except CaptureError as error:
        named = _KNOWN.search(error.next)
        asked += [name.strip('" ') for name in named[1].split(",") if name.strip()] if named else []
        asked[:] = [] if any(_DATA.search(name) for name in asked) else asked
        return "refused", _short(error), lines
    except Exception as error:  # the zoo goes on and shows it
        # by name, since the file of the cases is loaded as a module of its own
        return "not built" if type(error).__name__ == "NotBuilt" else "fails", _short(error), lines
    worse = _worse(exact, own, found)
    if not worse:
        return "equal", "", lines
    del exact, own, found
    try:
        tiers = checked(network, directory, MODE)
    except RegaugeError as error:
        return "fails", _short(error), lines
    kind, failed, _ = _verdict(tiers, MODE, lines)
    if kind == "equal":
        return "equal", f"one float32 pass alone said {'; '.join(worse[:1])}", lines
    drawn = ["it draws random numbers in evaluation, which are others in JAX"] if _draws(reference) else []
    return "different", "; ".join([*drawn, failed, *worse][:4]), lines


def _draws(reference: str) -> bool:
    """Whether the outputs of a case's model in evaluation follow from the seed of torch's random numbers."""
    subject = load_torch_subject(reference)
    found = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        with torch.no_grad():
            outputs = pytree.tree_leaves(subject.call(subject.model.eval(), subject.inputs))
        found.append([leaf for leaf in outputs if isinstance(leaf, torch.Tensor)])
    return not all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def _verdict(tiers: list[Tier], mode: Mode, lines: int) -> tuple[Kind, str, int]:
    failed = [f"{tier.name}: {tier.why}" for tier in tiers if tier.verdict == "different"]
    kind: Kind = "equal" if overall(tiers, (mode,)) == "equal" else "different"
    return kind, "; ".join(failed), lines


def _worse(exact: Arrays, own: Arrays, found: Arrays) -> list[str]:
    """What is further from float64 in one float32 pass than the original's own rounding allows."""
    worse = []
    for group in ("outputs", "loss", "gradients"):
        expected, candidate = of_kind(exact, group), of_kind(found, group)
        if missing := set(expected) - set(candidate):
            worse.append(f"missing {sorted(missing)[:3]}")
            continue
        allowed, distance = rounding_error(of_kind(own, group), expected), rounding_error(candidate, expected)
        worse += [f"{name}: {note}" for name, note in list(distance.notes.items())[:3]] if distance.notes else []
        worse += [
            f"{tensor}: {norm:.1e}, the original's own {allowed.norms[tensor]:.1e}"
            for tensor, norm in distance.norms.items()
            if not np.isfinite(norm) or norm > LIMITS.alone * max(allowed.norms[tensor], LIMITS.floor)
        ]
    return worse


def checked(network: Network, directory: Path, mode: Mode) -> list[Tier]:
    """The tiers of `regauge check` for one pass, each side in a process of its own.

    Args:
        network: a converted one.
        directory: what it was converted in.
        mode: in which both run.

    Raises:
        WorkerFailed: a side crashed or ran out of memory.
    """
    subject = subject_of_folder(network.case, network.folder, Interpreters())
    step = {**plan.reference_step(plan.CheckOptions(modes=(mode,))), "dropout": "off"}
    noisy = plan.noisy_ids(step["id"])
    copies = {"64": noisy[: plan.NOISE_STEPS["64"]], "32": noisy[: plan.NOISE_STEPS["32"]]}
    found = Evaluations(subject.map, subject.constants)
    sides: tuple[Side, ...] = ("M64", "C64", "M32", "C32")
    for side in sides:
        names = copies[side[1:]] if role_of(side) == "original" else ()
        noise = [{**step, "id": name, "noise": number} for number, name in enumerate(names, 1)]
        _evaluate(found, subject, side, [step, *noise], directory)
    passes = [Pass(step["id"], "reference", True, noisy)]
    tiers = same_function_tiers(found, passes, mode)
    narrow = no_worse_tiers(found, passes, mode)
    if overall(tiers, (mode,)) == "equal" and any(tier.verdict == "different" for tier in narrow):
        _evaluate(found, subject, "M32", plan.further(step), directory)
        narrow = no_worse_tiers(found, passes, mode)
    return [*tiers, *narrow]


def _evaluate(found: Evaluations, subject: Subject, side: Side, tasks: list[plan.Task], directory: Path) -> None:
    """Run tasks on the reference inputs in a process of its own."""
    role, out = role_of(side), directory / "check" / f"{side}-{tasks[0]['id']}"
    out.mkdir(parents=True, exist_ok=True)
    sets = {**subject.trees[role], "files": {"reference": str(directory / "reference.safetensors")}}
    job = {"job": "evaluate", **subject.jobs[role], "widen": side.endswith("64"), "sets": sets, "tasks": tasks}
    found.add(side, out, subject.execute(side, job, out, None)["tasks"])


def _short(error: BaseException) -> str:
    text = str(error) if isinstance(error, RegaugeError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())[:400]


def without_paths(text: str) -> str:
    """Paths of one machine say nothing to a reader: the file in its package and its line stay."""
    return " ".join(word.rsplit("site-packages/", 1)[-1] for word in text.split(" "))
