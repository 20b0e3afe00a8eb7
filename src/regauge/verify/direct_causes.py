"""Causes that need no run: weights that are the original's in another form, and the rates of dropout."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from regauge.verify.evaluations import WIDE, Evaluations
from regauge.verify.plan import step_id
from regauge.verify.result import Cause, Tier

_NAMED = 6  # weights that a sentence names


def weight_causes(found: Evaluations, tier: Tier) -> list[Cause]:
    """What turns the original's weights into those of the converted model.

    Args:
        found: the weights of both sides.
        tier: of the weights, which differ.
    """
    original = found.outcomes["M64"]["weights"].arrays()
    converted = found.outcomes["C64"]["weights"].arrays()
    names = [d.name for d in tier.distances if not d.passed and d.name in original and d.name in converted]
    explained: dict[str, list[tuple[str, Cause]]] = {}
    others: dict[str, float] = {}
    for name in names:
        before = _away(converted[name], original[name])
        change = next((c for c in _changes(name, original) if _away(converted[name], c[2]) == 0 < before), None)
        if change is None:
            others[name] = before
            continue
        key, what, _ = change
        text = f"{name} is the original's {what}: that takes away the whole distance of {before:.2g}"
        cause = Cause(key, text, before, 0.0, f"{name}: load the original's values", True)
        explained.setdefault(key, []).append((name, cause))
    causes = [_together(found) for found in explained.values()]
    if not others:
        return causes
    # values of their own, as after another initialisation: a bias of zeros says no more than they do
    causes = [cause for cause in causes if cause.name != "weight-zero"]
    worst = max(others.values())
    text = f"{len(others)} weights hold values that are not the original's in any form: {_shown(others)}"
    return [Cause("weight-values", text, worst, 0.0, f"{_shown(names)}: load the original's values", True), *causes]


def _together(found: Sequence[tuple[str, Cause]]) -> Cause:
    """One cause of several weights: the text of the first, and every name in the line to change."""
    first = found[0][1]
    return replace(first, change=f"{_shown([name for name, _ in found])}: load the original's values")


def _shown(names: Collection[str]) -> str:
    few = list(names)[:_NAMED]
    return ", ".join(few) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def _changes(name: str, original: Mapping[str, np.ndarray]) -> Iterator[tuple[str, str, np.ndarray]]:
    own = original[name]
    if own.dtype.kind == "f":
        yield "weight-precision", "rounded to bfloat16", _rounded(own, 8)
        yield "weight-precision", "rounded to float16", own.astype(np.float16).astype(own.dtype)
        yield "weight-sign", "with the other sign", -own
        yield "weight-zero", "set to zero", np.zeros_like(own)
    if own.ndim >= 2 and own.shape[0] == own.shape[1]:
        yield "weight-transposed", "not transposed", own.swapaxes(0, 1)
    if own.ndim >= 3:
        yield "kernel-flipped", "turned around in space", np.flip(own, tuple(range(2, own.ndim)))
    for other, array in original.items():
        if other != name and array.shape == own.shape:
            yield "weights-exchanged", f"with the values of {other}", array


def _rounded(array: np.ndarray, bits: int) -> np.ndarray:
    """To so many significant bits, halves to even, as a float of lower precision is."""
    mantissa, exponent = np.frexp(array)
    return np.ldexp(np.round(mantissa * 2.0**bits), exponent - bits).astype(array.dtype)


def _away(one: np.ndarray, other: np.ndarray) -> float:
    if one.shape != other.shape:
        return np.inf
    scale = float(np.linalg.norm(other.astype(np.float64).ravel())) or 1.0
    return float(np.linalg.norm((one.astype(np.float64) - other).ravel())) / scale


def dropout_causes(found: Evaluations, tier: Tier) -> list[Cause]:
    """The rates of dropout where they differ, as both sides report them; in evaluation, how often it runs."""
    if tier.mode == "eval":
        one, other = (len(found.outcomes[side][step_id(0, "eval")].info.get("calls", ())) for side in WIDE)
        text = f"dropout runs {other} times in evaluation in the converted model, {one} times in the original"
        return [Cause("dropout-rate", text, float(abs(one - other)), 0.0, "dropout", False)] if one != other else []
    ours = [1 - call["keep"] for call in found.outcomes["M64"][step_id(0, "train", "masks")].info.get("calls", ())]
    theirs = found.outcomes["C64"]["randomness"].info.get("rates", [])
    if tier.verdict != "different":
        return []
    if len(ours) != len(theirs):
        text = f"dropout runs {len(theirs)} times in the converted model, {len(ours)} times in the original"
        return [Cause("dropout-rate", text, float(abs(len(ours) - len(theirs))), 0.0, "dropout", False)]
    wrong = [i for i, (one, other) in enumerate(zip(ours, theirs, strict=True)) if abs(one - other) > 1e-12]
    if not wrong:
        return []
    index = wrong[0]
    one, other = ours[index], theirs[index]
    text = (
        f"the rate of dropout: {other:.6g} in the converted model, {one:.6g} in the original, as both sides report it"
    )
    return [Cause("dropout-rate", text, abs(one - other), 0.0, f"dropout call {index}: rate={one:.6g}", True)]
