"""What a pair of models by hand needs beside the tiers: float64 that code inside narrows, NaN, weights that differ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from regauge.findings import Finding
from regauge.verify.evaluations import Evaluations, Side, of_kind
from regauge.verify.inputs import SILENT
from regauge.verify.plan import MODES, step_id
from regauge.verify.result import Tier

# relative spacing of the dtypes that code may narrow to
_EPS = {"float32": 2.0**-23, "complex64": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
_ROUNDINGS = 100  # this many roundings may add up before a distance can no longer be rounding alone
_QUOTIENT = 0.5  # a difference quotient of rounded losses may be this far from the slope

_WIDE_TIERS = ("tier 1", "trajectory", "optimizer slot", "finite difference")


def after_precision(tiers: Sequence[Tier], casts: Mapping[Side, Sequence[Mapping[str, str]]]) -> list[Tier]:
    """The tiers, with those *not checked* whose difference may be the rounding of code that narrows inside.

    Float64 tells bugs from rounding only if everything is float64. A difference larger than such roundings can add up
    to stays a difference.

    Args:
        tiers: of the check.
        casts: where each side's code computes in less than float64, as `capture.jaxpr_casts` found it.
    """
    found = [(side, cast) for side, lines in casts.items() for cast in lines]
    if not found:
        return list(tiers)
    side, first = found[0]
    largest = max(_EPS.get(cast["dtype"], 1.0) for _, cast in found)
    dtype, where = first["dtype"], first["where"]
    if side.startswith("M"):
        why = f"the code of the original computes in {dtype} at {where}: float64 cannot judge it"
    else:
        why = f"the code of the converted model computes in {dtype} at {where}: float64 cannot judge it"
    return [
        replace(tier, verdict="not checked", why=why) if _may_be_rounding(tier, _ROUNDINGS * largest) else tier
        for tier in tiers
    ]


def _may_be_rounding(tier: Tier, bound: float) -> bool:
    judged_wide = tier.name.startswith(_WIDE_TIERS) and not tier.name.endswith("float32")
    if tier.verdict != "different" or not judged_wide:
        return False
    if tier.name == "finite difference":  # a quotient: rounding is divided by the step
        bound = _QUOTIENT
    failed = [distance for distance in tier.distances if not distance.passed]
    return bool(failed) and all(math.isfinite(d.norm) and d.norm <= bound for d in failed)


def pair_findings(tiers: Sequence[Tier], found: Evaluations, inputs: Mapping[int, str]) -> list[Finding]:
    """What a person should know about the two: equal NaN, weights that differ while the functions do not.

    Args:
        tiers: of the check.
        found: the evaluations.
        inputs: names of the sets that were judged, by their number.
    """
    findings = []
    for index, name in inputs.items():
        if name == SILENT:
            continue
        for mode in MODES:
            outcome = found.get("M64", step_id(index, mode))
            outputs = of_kind(outcome.arrays(), "outputs") if outcome else {}
            count = sum(int(np.isnan(a).sum()) for a in outputs.values() if a.dtype.kind in "fc")
            if count:
                text = (
                    f"The original's outputs hold {count} NaN on {name!r} in {mode} mode; equal places count as equal"
                )
                findings.append(Finding("V150", "warning", "", text))
    weights = next((tier for tier in tiers if tier.name == "weights"), None)
    functions = [tier for tier in tiers if tier.name != "weights"]
    if weights and weights.verdict == "different" and not any(t.verdict == "different" for t in functions):
        text = (
            "Only the weights differ: with the original's weights in their places the converted model computes the same"
        )
        findings.append(Finding("V160", "info", "", text))
    return findings
