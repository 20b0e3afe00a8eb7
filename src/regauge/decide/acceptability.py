"""SMAA-2: which share of the possible weights and criteria values puts each candidate first.

Stochastic multicriteria acceptability analysis after R. Lahdelma and P. Salminen, "SMAA-2: Stochastic Multicriteria
Acceptability Analysis for Group Decision Making", Operations Research 49(3), 444-454, 2001: rank acceptability indices,
central weight vectors and confidence factors of an additive value function, by simulation as described by T. Tervonen
and R. Lahdelma, "Implementing stochastic multicriteria acceptability analysis", European Journal of Operational
Research 178(2), 500-513, 2007.

Own code, because pymcdm and scikit-criteria have no SMAA-2 with uncertain criteria values; `tests/decide` holds it
against closed forms, against the published figures of another implementation and against pymcdm's TOPSIS.

    alternatives m, criteria n, draws N
    values  (N, m, n)   in [0, 1], 1 is best
    weights (N, n)      on the simplex
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv
from scipy.stats import qmc

Floats = NDArray[np.float64]

# Draws of one analysis, a power of two as Sobol points need it. Between seeds shares differ by less than 0.01
# (`tests/decide/test_acceptability.py`): far less than separates the thresholds that are read.
DRAWS = 8192

# Shape of the gamma variables that weights are made of. 1 gives the uniform distribution on the simplex. 16 spreads a
# stated weight by a quarter of itself (1/sqrt(16)) either way: a person's 3 is somewhere between 2 and 4.
UNKNOWN_SHAPE = 1.0
STATED_SHAPE = 16.0


@dataclass(frozen=True)
class Acceptability:
    """Result of one analysis.

    Attributes:
        ranks: (m, m), or only its first column; row i, column r is the share of draws in which candidate i has rank r.
            Candidates that tie share their ranks equally, so that rows and columns each sum to 1.
        central: (m, n); mean of the weights with which candidate i ranks first, NaN where it never does.
        confidence: (m,); share of the draws of the criteria values in which candidate i ranks first with its central
            weights, NaN where it has none.
        scores: (m,); mean of the additive value.
    """

    ranks: Floats
    central: Floats
    confidence: Floats
    scores: Floats

    @property
    def first(self) -> Floats:
        """(m,); first-rank acceptability index of each candidate."""
        first: Floats = self.ranks[:, 0]
        return first


def analyse(values: Floats, weights: Floats, full: bool = True) -> Acceptability:
    """SMAA-2 of given draws.

    Args:
        values: (N, m, n), greater is better on every criterion.
        weights: (N, n), non-negative, each row sums to 1.
        full: all ranks; otherwise only the first, which is much faster, with `ranks` of one column.
    """
    totals = np.einsum("ijk,ik->ij", values, weights)
    first = first_shares(totals)
    ranks = _rank_shares(totals) if full else first.mean(axis=0)[:, None]
    mass = first.sum(axis=0)
    known = mass > 0
    central = np.full((values.shape[1], values.shape[2]), np.nan)
    central[known] = (first.T @ weights)[known] / mass[known, None]
    confidence = np.full(values.shape[1], np.nan)
    for index in np.flatnonzero(known):
        confidence[index] = first_shares(values @ central[index])[:, index].mean()
    return Acceptability(ranks, central, confidence, totals.mean(axis=0))


def first_shares(totals: Floats) -> Floats:
    """(N, m): 1 for the best candidate of each draw; candidates that tie for it share the 1 equally."""
    best = _equal(totals, totals.max(axis=1, keepdims=True)).astype(np.float64)
    shares: Floats = best / best.sum(axis=1, keepdims=True)
    return shares


def _rank_shares(totals: Floats) -> Floats:
    """(m, m) mean rank shares; a group of g equal candidates takes g ranks, each with 1/g of each."""
    m = totals.shape[1]
    shares = np.zeros((m, m))
    above = np.stack([(totals > totals[:, [i]]) & ~_equal(totals, totals[:, [i]]) for i in range(m)], axis=1).sum(
        axis=2
    )
    level = np.stack([_equal(totals, totals[:, [i]]) for i in range(m)], axis=1).sum(axis=2)
    for rank in range(m):
        covers = (above <= rank) & (rank < above + level)
        shares[:, rank] = (covers / level).mean(axis=0)
    return shares


def _equal(left: Floats, right: Floats) -> NDArray[np.bool_]:
    """Equal up to rounding: the same facts give the same value whatever order they were added in."""
    return np.abs(left - right) <= 1e-12


@dataclass(frozen=True)
class Draws:
    """Points of the unit cube that an analysis is made from, the same for every question that is asked of one seed.

    Common random numbers: raising one weight changes nothing but that weight, so that answers can be compared draw by
    draw and an index moves only for a reason.
    """

    weight_points: Floats  # (N, n)
    value_points: Floats  # (N, m, n)
    gammas: dict[float, Floats] = field(default_factory=dict, compare=False, repr=False)

    def weights(self, stated: Floats, shape: float) -> Floats:
        """(N, n) weights: `stated` times a gamma variable of this shape, scaled to sum 1.

        With shape 1 and equal `stated` this is the uniform distribution on the simplex; in general a Dirichlet
        distribution, perturbed (scaled) by the stated weights. A weight of 0 stays 0.
        """
        if shape not in self.gammas:
            self.gammas[shape] = gammaincinv(shape, self.weight_points)
        raw = stated[None, :] * self.gammas[shape]
        scaled: Floats = raw / raw.sum(axis=1, keepdims=True)
        return scaled

    def values(self, low: Floats, high: Floats) -> Floats:
        """(N, m, n) values, uniform between `low` and `high`, both (m, n)."""
        drawn: Floats = low[None] + self.value_points * (high - low)[None]
        return drawn


@lru_cache(maxsize=4)
def draw(seed: int, alternatives: int, criteria: int, count: int = DRAWS) -> Draws:
    """Scrambled Sobol points (Owen 1995) of a seed: equidistributed, so that a few thousand are enough."""
    sampler = qmc.Sobol(criteria + alternatives * criteria, scramble=True, rng=np.random.default_rng(seed))
    points = sampler.random(count)
    # A point exactly on the border would make a weight 0 or infinite.
    points = np.clip(points, 1e-12, 1 - 1e-12)
    return Draws(points[:, :criteria], points[:, criteria:].reshape(count, alternatives, criteria))
