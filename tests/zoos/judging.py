"""One model of a zoo: captured, converted, and its outputs and all gradients compared with the original's."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
from networks.comparing import Converted, convert, original

from regauge.errors import CaptureError, RegaugeError, UnsupportedOps
from regauge.verify.evaluations import of_kind
from regauge.verify.tolerance import LIMITS, rounding_error

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
    """

    name: str
    kind: Kind
    what: str = ""
    lines: int = 0
    seconds: float = 0.0
    versions: Mapping[str, str] = field(default_factory=dict)


def judge(name: str, reference: str) -> Outcome:
    """Convert the case `reference` and compare it in float32 with the original's own rounding as the measure."""
    began = time.process_time()
    with TemporaryDirectory() as directory, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kind, what, lines = _judged(reference, Path(directory))
    return Outcome(name, kind, what, lines=lines, seconds=round(time.process_time() - began, 1))


def _judged(reference: str, directory: Path) -> tuple[Kind, str, int]:
    lines = 0
    try:
        network = convert(reference, directory)
        lines = len((network.folder / "model.py").read_text(encoding="utf-8").splitlines())
        found = Converted(network).everything("reference")
        exact, own = original(network, "reference", widen=True), original(network, "reference", widen=False)
    except UnsupportedOps as error:
        return "limit", _short(error), lines
    except CaptureError as error:
        return "refused", _short(error), lines
    except Exception as error:  # the zoo goes on and shows it
        # by name, since the file of the cases is loaded as a module of its own
        return "not built" if type(error).__name__ == "NotBuilt" else "fails", _short(error), lines
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
    return ("different", "; ".join(worse[:4]), lines) if worse else ("equal", "", lines)


def _short(error: BaseException) -> str:
    text = str(error) if isinstance(error, RegaugeError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())[:400]
