"""The estimator, its intervals and verdicts: against published tables, scipy, examples by hand and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from regauge.measure.result import Measurement, MeasurementPlan, Variant
from regauge.measure.statistics import (
    PAIRED_T,
    SIGNED_RANK,
    blocks_needed,
    compute_effects,
    holm,
    log_median,
    one_sided_p,
    paired_differences,
    paired_effect,
    signed_rank_distribution,
    signed_rank_index,
    signed_rank_interval,
    t_interval,
    tukey_outliers,
    walsh_averages,
)

EAGER, JIT, COMPILE = Variant("torch", "eager"), Variant("jax", "jit"), Variant("torch", "compile")


def plan(*variants: Variant, margin: float = 0.03) -> MeasurementPlan:
    return MeasurementPlan(
        case="c", tasks=("infer",), variants=variants, reference=EAGER, blocks=8, steps=5, threads=1,
        precision="strict32", seed=0, margin=margin,
    )  # fmt: skip


def launch(variant: Variant, block: int, *times: float, **changes: object) -> Measurement:
    known = {"status": "ok", "environment": {"device": {"kind": "cpu"}, "steal": 0.0}}
    return Measurement("r", "infer", variant.name, "time", block, 0, samples=times, **{**known, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("n", "index95", "level95", "index90", "level90"),
    [
        (6, 1, 0.969, 3, 0.906),
        (7, 3, 0.953, 4, 0.922),
        (8, 4, 0.961, 6, 0.922),
        (10, 9, 0.951, 11, 0.916),
        (12, 14, 0.958, 18, 0.908),
        (15, 26, 0.952, 31, 0.905),
        (20, 53, 0.952, 61, 0.903),
    ],
)
def test_index_of_the_interval_equals_the_table(
    n: int, index95: int, level95: float, index90: int, level90: float
) -> None:
    assert signed_rank_index(n, 0.95) == index95
    assert signed_rank_index(n, 0.90) == index90
    below = np.cumsum(signed_rank_distribution(n))
    assert 1 - 2 * below[index95 - 1] == pytest.approx(level95, abs=6e-4)
    assert 1 - 2 * below[index90 - 1] == pytest.approx(level90, abs=6e-4)


def test_five_pairs_have_no_interval_at_95_percent() -> None:
    assert signed_rank_index(5, 0.95) == 0
    assert signed_rank_interval([0.1, 0.2, 0.3, 0.4, 0.5]) is None
    assert signed_rank_index(5, 0.90) == 1


def test_distribution_counts_the_subsets_of_the_ranks() -> None:
    # of {1, 2, 3} the subsets sum to 0 1 2 3 3 4 5 6
    np.testing.assert_array_equal(signed_rank_distribution(3) * 8, [1, 1, 1, 2, 1, 1, 1])


def test_hodges_lehmann_of_an_example_by_hand() -> None:
    differences = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    np.testing.assert_array_equal(walsh_averages([1.0, 2.0, 4.0]), [1.0, 1.5, 2.0, 2.5, 3.0, 4.0])
    interval = signed_rank_interval(differences)
    assert interval is not None
    # twice the 21 averages: 2 3 4 5 6 8 9 10 12 16 17 18 20 24 32 33 34 36 40 48 64; the middle one is 17
    assert interval.estimate == 8.5
    assert (interval.low, interval.high) == (1.0, 32.0)


def test_p_value_agrees_with_scipys_exact_test() -> None:
    differences = np.random.default_rng(3).normal(0.02, 0.05, 11)
    for bound in (-0.03, 0.0, 0.03):
        expected = stats.wilcoxon(differences - bound, alternative="greater", method="exact").pvalue
        assert one_sided_p(differences.tolist(), bound) == pytest.approx(expected, rel=1e-9)


def test_interval_inverts_the_test() -> None:
    differences = np.random.default_rng(4).normal(0.0, 1.0, 9).tolist()
    interval = signed_rank_interval(differences)
    assert interval is not None
    assert one_sided_p(differences, interval.low - 1e-9) <= 0.025
    assert one_sided_p(differences, interval.low + 1e-9) > 0.025


def test_t_interval_agrees_with_scipy() -> None:
    differences = [0.1, 0.3, 0.2, 0.5]
    expected = stats.ttest_1samp(differences, 0.0).confidence_interval(0.95)
    interval = t_interval(differences)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))
    assert t_interval([0.1]).high == math.inf


@pytest.mark.parametrize(("size", "noise"), [(6, "normal"), (10, "normal"), (10, "heavy"), (20, "heavy")])
def test_simulated_coverage_is_the_exact_level(size: int, noise: str) -> None:
    """4000 simulated comparisons with symmetric noise: hits within the 99.9 % binomial bounds of the exact level."""
    source = np.random.default_rng([size, len(noise)])
    draws, truth, hits = 4000, 0.2, 0
    for _ in range(draws):
        errors = source.normal(size=size) if noise == "normal" else source.standard_t(2, size)
        interval = signed_rank_interval((truth + errors).tolist())
        assert interval is not None
        hits += interval.low <= truth <= interval.high
    level = 1 - 2 * float(signed_rank_distribution(size)[: signed_rank_index(size, 0.95)].sum())
    low, high = stats.binom.ppf([0.0005, 0.9995], draws, level)
    assert low <= hits <= high


def test_coverage_of_pairs_under_drift_launch_effects_and_spikes() -> None:
    """The whole way from step times to the interval, as launches behave: pairing removes the drift."""
    source = np.random.default_rng(11)
    draws, blocks, hits = 1000, 10, 0
    for _ in range(draws):
        drift = np.cumsum(source.normal(0, 0.1, 2 * blocks))
        steps = source.normal(0, 0.05, (2 * blocks, 30)) + (source.random((2 * blocks, 30)) < 0.03) * 1.5
        times = np.exp(drift[:, None] + source.normal(0, 0.1, (2 * blocks, 1)) + steps).reshape(blocks, 2, 30)
        order = source.integers(0, 2, blocks)
        found = []
        for b in range(blocks):
            variant, reference = times[b, order[b]], times[b, 1 - order[b]]
            found += [launch(JIT, b, *variant), launch(EAGER, b, *reference)]
        interval = signed_rank_interval(paired_differences(found, "infer", JIT.name, EAGER.name))
        assert interval is not None
        hits += interval.low <= 0.0 <= interval.high
    low, high = stats.binom.ppf([0.0005, 0.9995], draws, 0.951)
    assert low <= hits <= high


@pytest.mark.parametrize(
    ("shift", "spread", "verdict"),
    [(0.2, 0.01, "slower"), (-0.2, 0.01, "faster"), (0.0, 0.005, "equivalent"), (0.0, 0.1, "inconclusive")],
)
def test_verdicts(shift: float, spread: float, verdict: str) -> None:
    differences = shift + spread * np.array([-1.3, -0.9, -0.4, -0.1, 0.2, 0.5, 0.8, 1.2])
    effect = paired_effect(differences.tolist(), 0.03)
    assert (effect.verdict, effect.method, effect.blocks) == (verdict, SIGNED_RANK, 8)
    assert effect.low < effect.ratio < effect.high
    assert effect.low <= effect.low90 <= effect.high90 <= effect.high
    assert effect.t_low < effect.ratio < effect.t_high


def test_a_difference_within_the_margin_is_not_called_slower() -> None:
    effect = paired_effect([0.020, 0.021, 0.019, 0.022, 0.018, 0.020, 0.0205, 0.0195], 0.03)
    assert effect.low > 1
    assert effect.verdict == "equivalent"


def test_few_blocks() -> None:
    three = paired_effect([0.5, 0.51, 0.49], 0.03)
    assert (three.method, three.verdict) == (PAIRED_T, "slower")
    assert "preliminary: 3 blocks" in three.note
    two = paired_effect([0.5, 0.51], 0.03)
    assert two.verdict == "inconclusive"
    assert "2 blocks are too few" in two.note
    none = paired_effect([], 0.03)
    assert none.verdict == "not comparable"
    assert math.isnan(none.ratio)


def test_blocks_needed_would_have_been_enough() -> None:
    source = np.random.default_rng(5)
    differences = source.normal(0.0, 0.05, 8)
    needed = blocks_needed(differences.tolist(), 0.03)
    assert needed > 8
    more = source.normal(differences.mean(), differences.std(ddof=1), (400, needed))
    decided = [paired_effect(row.tolist(), 0.03).verdict != "inconclusive" for row in more]
    assert np.mean(decided) > 0.5


def test_outliers_are_labelled_and_kept() -> None:
    differences = [0.0, 0.01, -0.01, 0.02, -0.02, 0.0, 0.01, 5.0]
    assert tukey_outliers(differences) == [7]
    effect = paired_effect(differences, 0.03)
    assert effect.blocks == 8
    assert "1 of 8 blocks lie outside" in effect.note


def test_holm_rejects_step_by_step() -> None:
    assert holm([0.01, 0.04, 0.03]) == [True, False, False]
    assert holm([0.01, 0.02, 0.03]) == [True, True, True]
    assert holm([]) == []


def test_verdicts_of_several_variants_hold_together() -> None:
    # Six blocks give a two-sided p of 2/64, enough for one comparison, too little for two.
    found = []
    for block in range(6):
        found += [
            launch(EAGER, block, 1.0),
            launch(JIT, block, 2.0 + block / 100),
            launch(COMPILE, block, 2.0 + block / 50),
        ]
    (alone,) = compute_effects(plan(EAGER, JIT), found)
    assert alone.verdict == "slower"
    together = compute_effects(plan(EAGER, JIT, COMPILE), found)
    assert {effect.verdict for effect in together} == {"inconclusive"}
    assert all("Holm, 2 comparisons" in effect.note for effect in together)


def test_pairs_are_made_within_blocks_and_failed_launches_break_them() -> None:
    found = [
        launch(EAGER, 0, 1.0), launch(JIT, 0, 2.0),
        launch(EAGER, 1, 1.0), launch(JIT, 1, status="failed"),
        launch(EAGER, 2, 4.0), launch(JIT, 2, 2.0, 2.0, 9.0),
        launch(JIT, 3, 7.0),
    ]  # fmt: skip
    assert paired_differences(found, "infer", JIT.name, EAGER.name) == [math.log(2), -math.log(2)]


def test_an_observation_is_the_log_of_the_median_step() -> None:
    assert log_median(launch(JIT, 0, 1.0, 100.0, 3.0)) == pytest.approx(math.log(3.0))
    assert log_median(launch(JIT, 0)) is None
    assert log_median(launch(JIT, 0, 1.0, math.nan)) is None
    assert log_median(launch(JIT, 0, 1.0, environment={"steal": 0.2})) is None


def test_devices_of_different_kinds_are_not_compared() -> None:
    found = [launch(EAGER, b, 1.0 + b / 100) for b in range(7)]
    found += [launch(JIT, b, 0.5, environment={"device": {"kind": "gpu"}}) for b in range(7)]
    (effect,) = compute_effects(plan(EAGER, JIT), found)
    assert effect.verdict == "not comparable"
    assert effect.note == "jax jit ran on gpu, torch eager on cpu"


@pytest.mark.parametrize(("load", "busy"), [(2.5, False), (13.0, True)])
def test_a_busy_machine_is_told(load: float, busy: bool) -> None:
    environment = {"device": {"kind": "cpu"}, "load": load, "cpus": 2}
    found = [launch(v, b, 1.0 + b / 100, environment=environment) for b in range(7) for v in (EAGER, JIT)]
    (effect,) = compute_effects(plan(EAGER, JIT), found)
    assert ("load of 6.5 on each CPU" in effect.note) == busy
