"""An original that is another function in float64: code that asks for a dtype, or takes a constant of one.

`if x.dtype == torch.float32:` is captured as the code of float32, and the float64 run of the original takes the other
way. Both sides in float32 then agree, far closer than the original agrees with itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from regauge.findings import Finding
from regauge.verify.evaluations import Evaluations, Mode
from regauge.verify.plan import step_id
from regauge.verify.result import Tier

# Relative distances in norm: of float32 to float64 that no rounding explains, and of two roundings to float32.
_APART, _ALIKE = 1e-3, 1e-5
_APART_FROM_PASSES = ("weights", "randomness")


def without_float64(
    tiers: Sequence[Tier], found: Evaluations, modes: Sequence[Mode]
) -> tuple[list[Tier], list[Finding]]:
    """The tiers, with those that float64 cannot judge *not checked*, and a finding that says so.

    Args:
        tiers: of a check.
        found: with the passes of both sides on the reference inputs.
        modes: that were judged.
    """
    differ = [tier for tier in tiers if tier.verdict == "different" and tier.name not in _APART_FROM_PASSES]
    apart = max((_of_float64(found, mode) for mode in modes), default=0.0) if differ else 0.0
    if not apart or any(not _alike(found, mode) for mode in modes):
        return list(tiers), []
    why = "the original is another function in float64 than in float32, which was converted"
    text = (
        f"The original computes another function in float64: its float32 outputs are {apart:.2g} away (relatively), "
        "where both sides agree in float32. Code that asks for a dtype (x.dtype == torch.float32, torch.finfo) was "
        "converted as it is in float32, and could not be compared in float64"
    )
    kept = [replace(tier, verdict="not checked", why=why) if tier in differ else tier for tier in tiers]
    return kept, [Finding("V151", "warning", "", text)]


def _of_float64(found: Evaluations, mode: Mode) -> float:
    """How far the original's float32 outputs are from its float64 outputs, if no rounding explains it; else 0."""
    one, other = (found.get(side, step_id(0, mode)) for side in ("M32", "M64"))
    if one is None or other is None or one.error or other.error:
        return 0.0
    apart = _distance(_outputs(one.arrays()), _outputs(other.arrays()))
    return apart if apart > _APART else 0.0


def _alike(found: Evaluations, mode: Mode) -> bool:
    """Whether both sides have the same outputs, gradients and state in float32."""
    task = step_id(0, mode)
    sides = [found.get("M32", task), found.get("C32", task)]
    if any(outcome is None or outcome.error for outcome in sides):
        return False
    original = found.original("M32", task)
    converted = found.converted("C32", task, original)
    return set(converted) >= set(original) and all(
        _distance({name: converted[name]}, {name: array}) <= _ALIKE for name, array in original.items()
    )


def _outputs(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: array for name, array in arrays.items() if name.partition(".")[0] == "outputs"}


def _distance(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> float:
    """In norm, relative to `other`; over arrays that both have in one shape, infinite without any."""
    pairs = [(_wide(one[n]), _wide(other[n])) for n in one if n in other]
    if not pairs or any(a.shape != b.shape for a, b in pairs):
        return float("inf")
    total = float(np.sqrt(sum(np.sum(np.abs(b) ** 2) for _, b in pairs)))
    apart = float(np.sqrt(sum(np.sum(np.abs(a - b) ** 2) for a, b in pairs)))
    return apart / total if total else apart


def _wide(array: np.ndarray) -> np.ndarray:
    return array.astype(np.result_type(array.dtype, np.float64))
