"""What ``reproduce.py`` runs: two models found anew, one question, one input, both values."""

from __future__ import annotations

import importlib.util
import math
import pickle
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from regauge.case import load_case
from regauge.cases import case_path
from regauge.errors import BadCase
from regauge.language import _, translate_message
from regauge.report.wording import MODES, distance_text, tier_label, word
from regauge.run.launch import Interpreters
from regauge.verify.asking import STEPS, Asking, Question
from regauge.verify.engine import judge, silent
from regauge.verify.evaluations import Mode
from regauge.verify.live import sides_of_models
from regauge.verify.pair import Sides, subject_of_pair
from regauge.verify.plan import CheckOptions
from regauge.verify.result import Distance, Tier
from regauge.verify.subjects import Subject, subject_of_folder
from regauge.verify.tolerance import rms, rounding_error
from regauge.verify.workers import sides_of_cases

_MOST_SHOWN = 6


@dataclass(frozen=True)
class Replay:
    """How one question was answered on one input.

    Attributes:
        question: the tier.
        mode: training or evaluation.
        tier: the answer.
        worst: the tensor that is furthest apart, if tensors were compared.
        original: its value in the original, in float64.
        converted: its value in the converted model, in float64; in its own precision if arithmetic was asked about.
        own: what each side's own precision is away from the original in float64, by side; empty if not run.
    """

    question: str
    mode: Mode
    tier: Tier
    worst: Distance | None = None
    original: np.ndarray | None = None
    converted: np.ndarray | None = None
    own: tuple[float, ...] = ()

    @property
    def passed(self) -> bool:
        return self.tier.verdict == "equal"

    def __str__(self) -> str:
        mode = word(MODES, self.mode if self.tier.mode else "")
        verdict = (
            _("equal") if self.passed else _("different") if self.tier.verdict == "different" else _("not checked")
        )
        lines = [_("{question}: {verdict}").format(question=tier_label(self.question), verdict=verdict)]
        lines[0] += f" ({mode})" if mode else ""
        if self.tier.why and not self.passed:
            lines.append(f"  {translate_message(self.tier.why)}")
        if self.worst is None:
            return "\n".join(lines)
        lines.append(_("  tensor {name}").format(name=self.worst.name))
        if self.original is not None and self.converted is not None:
            lines += _values(self.original, self.converted)
        text = _("  distance {distance}, limit {limit} (float64 against float64)")
        if _is_arithmetic(self.question):
            text = _("  distance {distance}, limit {limit} (own precision against float64)")
        lines.append(text.format(distance=distance_text(self.worst.norm), limit=distance_text(self.worst.limit)))
        if self.own:
            text = _("  away from float64 in its own precision: original {original}, converted {converted}")
            lines.append(text.format(original=distance_text(self.own[0]), converted=distance_text(self.own[1])))
        return "\n".join(lines)


def _is_arithmetic(question: str) -> bool:
    return question.startswith("tier 2")


def _values(original: np.ndarray, converted: np.ndarray) -> list[str]:
    """Both values, around the element that is furthest apart."""
    if original.shape != converted.shape or original.size <= 1:
        return [
            _("  original   {value}").format(value=_short(original)),
            _("  converted  {value}").format(value=_short(converted)),
        ]
    with np.errstate(invalid="ignore"):
        apart = np.abs(converted.astype(np.complex128) - original)
    at = np.unravel_index(int(np.argmax(np.where(np.isnan(apart), np.inf, apart))), original.shape)
    place = "[" + ", ".join(map(str, at)) + "]"
    return [
        _("  original   {value} at {place}").format(value=repr(original[at].item()), place=place),
        _("  converted  {value} at {place}").format(value=repr(converted[at].item()), place=place),
    ]


def _short(array: np.ndarray) -> str:
    text = np.array2string(array, threshold=_MOST_SHOWN, precision=17, separator=", ")
    return f"{' '.join(text.split())} {tuple(array.shape)}"


def replay(
    original: str,
    converted: str,
    inputs: Mapping[str, np.ndarray] | None = None,
    *,
    question: str = "tier 1 outputs",
    mode: Mode = "eval",
    steps: int = STEPS,
    typical: bool = True,
    weight_map: Any = None,
    pythons: Mapping[str, str] | None = None,
    here: str = "",
) -> Replay:
    """Ask one question of a check on one input, with the original's weights in both models.

    Both sides run in this process if it has their frameworks, so that a debugger reaches them; in worker processes if
    an interpreter is named, if the two files stand beside modules of the same names, or for a saved conversion.

    Args:
        original: case reference; a path is relative to `here`. Or a pickled model that a check stored.
        converted: the same, or the folder of a conversion that regauge made.
        inputs: arrays by leaf name of the original, ``inputs.0``, ``targets``; the original's own when None.
        question: a tier of the check.
        mode: training or evaluation.
        steps: optimizer steps, where training is asked about.
        typical: whether the input is like the case's own, where arithmetic is asked about.
        weight_map: as `regauge.check` takes it; a path is relative to `here`.
        pythons: executables by role (``original``, ``converted``).
        here: a file; its directory is where relative paths begin. The working directory when empty.

    Raises:
        BadCase: a case cannot be read, or the original rejects the inputs.
        WeightMismatch: the weights cannot be paired.
        WorkerFailed: a worker crashed, was killed or ran out of time.
    """
    base = Path(here).resolve().parent if here else Path.cwd()
    given = base / weight_map if isinstance(weight_map, str | Path) else weight_map
    with tempfile.TemporaryDirectory(prefix="regauge-") as directory:
        work = Path(directory)
        subject = _subject(_absolute(original, base), _absolute(converted, base), work, given, pythons or {})
        asked = Question(question, mode, steps, typical)
        try:
            whole = not asked.asked
        except BadCase:
            whole = True
        if whole:
            return _whole(subject, work, asked)
        arrays = {name: np.asarray(array) for name, array in (inputs or subject.reference).items()}
        asking = Asking(subject, asked, work / "replay", own_precision=True)
        tier = asking.ask({"reference": arrays}).get("reference")
        if tier is None:
            raise BadCase(
                "the question cannot be asked on these inputs",
                received=question,
                why=asking.rejection or "the original has no such tensors",
                next="run regauge check again: it writes a new file",
            )
        return _answer(asking, tier)


def _whole(subject: Subject, work: Path, asked: Question) -> Replay:
    """A question that only a whole check answers."""
    check = judge(subject, work, CheckOptions(quick=True, locate=False), silent)
    named = [tier for tier in check.tiers if tier.name == asked.tier]
    tier = next((t for t in named if t.mode in (asked.mode, "")), named[0] if named else None)
    if tier is None:
        raise BadCase("the check has no such question", received=asked.tier)
    return Replay(asked.tier, asked.mode, tier, _worst(tier))


def _answer(asking: Asking, tier: Tier) -> Replay:
    question, worst = asking.question, _worst(tier)
    if worst is None:
        return Replay(question.tier, question.mode, tier)
    exact, candidate = asking.tensors("M64"), asking.tensors("C32" if _is_arithmetic(question.tier) else "C64")
    name = worst.name
    own: tuple[float, ...] = ()
    sides = [asking.tensors(side) for side in ("M32", "C32")]
    if name in exact and all(name in arrays and arrays[name].shape == exact[name].shape for arrays in sides):
        whole = {name: exact[name]}
        if rms(whole.values()):
            own = tuple(rounding_error({name: arrays[name]}, whole).norms[name] for arrays in sides)
    return Replay(question.tier, question.mode, tier, worst, exact.get(name), candidate.get(name), own)


def _worst(tier: Tier) -> Distance | None:
    def rank(distance: Distance) -> tuple[bool, bool, float]:
        return not distance.passed, not distance.name.startswith("all together"), _share(distance)

    return max(tier.distances, key=rank, default=None)


def _share(distance: Distance) -> float:
    return math.inf if math.isnan(distance.norm) else distance.norm / (distance.limit or 1.0)


def _subject(original: str, converted: str, work: Path, weight_map: Any, pythons: Mapping[str, str]) -> Subject:
    if Path(converted).is_dir():
        own = Interpreters()
        chosen = Interpreters(pythons.get("original", own.torch), pythons.get("converted", own.jax))
        return subject_of_folder(original, Path(converted), chosen)
    sides: Sides
    models = [_model(reference) for reference in (original, converted)]
    if all(model is not None for model in models):
        sides = sides_of_models(models[0], models[1], None, None, None, None)
    elif pythons or not fit_one_process(original, converted):
        sides = sides_of_cases(original, converted, work, Interpreters(), dict(pythons))  # type: ignore[arg-type]
    else:
        sides = sides_of_models(load_case(original), load_case(converted), None, None, None, None)
    return subject_of_pair(sides, work, weight_map)


def _model(reference: str) -> Any:
    """A model that a check stored beside the file; None for a reference. The person who runs the file asks for it."""
    return pickle.loads(Path(reference).read_bytes()) if reference.endswith(".pickle") else None


def fit_one_process(original: str, converted: str) -> bool:
    """Whether one process can import both: both frameworks are there, and no module of one hides one of the other."""
    if not all(importlib.util.find_spec(name) for name in ("torch", "jax", "flax")):
        return False
    folders = [path.resolve().parent for path in map(case_path, (original, converted)) if path is not None]
    if len(folders) < 2 or folders[0] == folders[1]:
        return True
    names = [{path.name for path in folder.glob("*.py")} for folder in folders]
    return not names[0] & names[1] - {"__init__.py", "reproduce.py"}


def _absolute(reference: str, base: Path) -> str:
    target, colon, name = reference.rpartition(":")
    if colon and target.endswith(".py"):
        return f"{base / target}:{name}"
    path = base / reference
    return str(path) if path.is_dir() or reference.endswith(".pickle") else reference
