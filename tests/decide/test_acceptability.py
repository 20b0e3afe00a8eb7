"""SMAA-2 against closed forms, against the figures of another implementation, and against TOPSIS."""

from __future__ import annotations

import numpy as np
import pytest
from pymcdm.methods import TOPSIS
from scipy.special import ndtri

from regauge.decide.acceptability import STATED_SHAPE, UNKNOWN_SHAPE, analyse, draw, first_shares
from regauge.decide.assess import FIRM

DRAWS = 2**14


def weights(criteria: int, seed: int = 0, stated: list[float] | None = None) -> np.ndarray:
    points = draw(seed, 1, criteria, DRAWS)
    shape = UNKNOWN_SHAPE if stated is None else STATED_SHAPE
    return points.weights(np.ones(criteria) if stated is None else np.array(stated), shape)


def exact(rows: list[list[float]]) -> np.ndarray:
    return np.broadcast_to(np.array(rows), (DRAWS, len(rows), len(rows[0])))


def test_two_criteria_exact_values() -> None:
    """The first wins where 0.6 w - 0.2 (1 - w) >= 0: for w in [1/4, 1], whose middle is 5/8."""
    found = analyse(exact([[0.8, 0.3], [0.2, 0.5]]), weights(2))
    assert found.first == pytest.approx([0.75, 0.25], abs=0.003)
    assert found.central[0] == pytest.approx([0.625, 0.375], abs=0.003)
    assert found.central[1] == pytest.approx([0.125, 0.875], abs=0.003)
    assert found.confidence == pytest.approx([1.0, 1.0])


def test_three_specialists_share_the_simplex() -> None:
    """By symmetry a third each; the largest of three uniform weights has mean (1 + 1/2 + 1/3) / 3 = 11/18."""
    found = analyse(exact(np.eye(3).tolist()), weights(3))
    assert found.ranks == pytest.approx(np.full((3, 3), 1 / 3), abs=0.01)
    assert found.central == pytest.approx(np.full((3, 3), 7 / 36) + np.eye(3) * (11 / 18 - 7 / 36), abs=0.01)


@pytest.mark.parametrize(("low", "high", "share"), [(0.25, 0.25, 0.75), (0.0, 0.5, 0.75), (0.0, 1.0, 0.5)])
def test_uncertain_values(low: float, high: float, share: float) -> None:
    """One criterion: a value uniform in [0, 1] exceeds 1/4, or one uniform in [0, 1/2], with probability 3/4."""
    points = draw(1, 2, 1, DRAWS)
    values = points.values(np.array([[0.0], [low]]), np.array([[1.0], [high]]))
    found = analyse(values, points.weights(np.ones(1), UNKNOWN_SHAPE))
    assert found.first[0] == pytest.approx(share, abs=0.003)
    assert found.confidence[0] == pytest.approx(share, abs=0.003)  # one criterion: every weight is the central one


def test_ties_share_the_rank() -> None:
    found = analyse(exact([[0.5, 0.5], [0.5, 0.5], [0.1, 0.1]]), weights(2))
    assert found.ranks.tolist() == [[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]
    assert first_shares(np.array([[1.0, 1.0 + 1e-15]])).tolist() == [[0.5, 0.5]]


def test_a_dominated_candidate_has_no_central_weights() -> None:
    found = analyse(exact([[1.0, 1.0], [0.0, 0.5]]), weights(2))
    assert found.first.tolist() == [1.0, 0.0]
    assert np.isnan(found.central[1]).all()
    assert np.isnan(found.confidence[1])


def test_uniform_weights_have_the_moments_of_the_uniform_distribution() -> None:
    """On the simplex of n weights: mean 1/n, variance (n - 1) / (n^2 (n + 1))."""
    drawn = weights(5)
    assert drawn.sum(axis=1) == pytest.approx(np.ones(DRAWS))
    assert drawn.mean(axis=0) == pytest.approx(np.full(5, 1 / 5), abs=0.002)
    assert drawn.var(axis=0) == pytest.approx(np.full(5, 4 / 150), rel=0.03)


def test_stated_weights_are_drawn_around_them() -> None:
    drawn = weights(3, stated=[3.0, 2.0, 0.0])
    assert drawn[:, 2].max() == 0.0
    assert np.median(drawn[:, 0] / drawn[:, 1]) == pytest.approx(1.5, rel=0.02)
    assert weights(3, stated=[30.0, 20.0, 0.0]) == pytest.approx(drawn)  # only relations count


# Two drugs on three criteria: means and standard deviations of the 10,000 draws that the R package smaa 0.3-2 ships
# as its example (thrombo-meas), and the figures that its own example output gives for them with weights that are
# uniform on the simplex: acceptability, central weights, confidence factors. Heparin first, enoxaparin second.
MEANS = [[0.4117, 0.4249, 0.9258], [0.7514, 0.6084, 0.6151]]
DEVIATIONS = [[0.1218, 0.1565, 0.0728], [0.0838, 0.1525, 0.1655]]
PUBLISHED_FIRST = [0.3504, 0.6496]
PUBLISHED_CENTRAL = [[0.1865097, 0.2772205, 0.5362698], [0.4073100, 0.3641477, 0.2285423]]
PUBLISHED_CONFIDENCE = [0.6682, 0.8956]


def test_the_example_of_another_implementation() -> None:
    """Within 0.02: the values are drawn from normal distributions of the same moments, not from its very draws."""
    points = draw(3, 2, 3, DRAWS)
    values = np.array(MEANS) + ndtri(points.value_points) * np.array(DEVIATIONS)
    found = analyse(values, points.weights(np.ones(3), UNKNOWN_SHAPE))
    assert found.first == pytest.approx(PUBLISHED_FIRST, abs=0.02)
    assert found.central == pytest.approx(np.array(PUBLISHED_CENTRAL), abs=0.02)
    assert found.confidence == pytest.approx(PUBLISHED_CONFIDENCE, abs=0.02)


def test_topsis_agrees_where_the_answer_is_firm() -> None:
    """TOPSIS ranks by distances, not by sums: it may differ in close cases, not where one is first nearly always."""
    random = np.random.default_rng(5)
    drawn = weights(5)
    agreed = []
    for _ in range(150):
        values = random.uniform(0.05, 1.0, (4, 5))
        first = analyse(np.broadcast_to(values, (DRAWS, 4, 5)), drawn, full=False).first
        if first.max() >= FIRM:
            by_distance = TOPSIS()(values, np.full(5, 1 / 5), np.ones(5))
            agreed.append(int(by_distance.argmax()) == int(first.argmax()))
    assert len(agreed) >= 20
    assert np.mean(agreed) >= 0.95


def test_shares_differ_little_between_seeds() -> None:
    low = np.array([[0.0, 0.8, 0.88, 1.0, 0.6], [0.0, 0.7, 0.5, 1.0, 0.8], [0.0, 0.0, 0.3, 0.0, 0.2]])
    high = np.array([[1.0, 0.9, 0.88, 1.0, 0.6], [1.0, 0.7, 0.6, 1.0, 0.8], [1.0, 1.0, 0.8, 1.0, 0.2]])
    shares = []
    for seed in range(12):
        points = draw(seed, 3, 5)
        shares.append(analyse(points.values(low, high), points.weights(np.ones(5), UNKNOWN_SHAPE)).first)
    assert np.ptp(np.array(shares), axis=0).max() < 0.01


def test_the_same_seed_gives_the_same_points() -> None:
    draw.cache_clear()
    first = draw(7, 4, 5).weight_points
    draw.cache_clear()
    assert np.array_equal(draw(7, 4, 5).weight_points, first)
    assert not np.array_equal(draw(8, 4, 5).weight_points, first)
