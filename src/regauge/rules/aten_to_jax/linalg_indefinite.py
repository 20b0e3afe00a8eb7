"""Indefinite symmetric and Hermitian matrices: LDL factors with the pivots of Bunch and Kaufman."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array, lax

from regauge.rules.table import RuleTable

TABLE = RuleTable("linalg_indefinite")


def bunch_kaufman(matrix: Array, hermitian: bool) -> tuple[Array, Array]:
    """Packed factors and pivots of one matrix, of which the lower triangle is read, as LAPACK's sytrf gives them.

    Steps eliminate one column, or two with a block of 2 on the diagonal, after the choice of Bunch and Kaufman (1977):
    Some stable methods for calculating inertia and solving symmetric linear systems.
    """
    size, places, ratio = matrix.shape[-1], jnp.arange(matrix.shape[-1]), (1 + 17**0.5) / 8
    rows, columns = places[:, None], places[None, :]

    def mirrored(x: Array) -> Array:
        return x.T.conj() if hermitian else x.T

    def amount(x: Array) -> Array:
        return jnp.abs(x.real) + jnp.abs(x.imag)

    def eliminate(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        k, work, pivots = state
        below = jnp.where(places > k, amount(work[:, k]), 0)
        largest, highest = jnp.argmax(below), jnp.max(below)
        beside = jnp.max(jnp.where((places >= k) & (places != largest), amount(work[:, largest]), 0))
        own = amount(work[k, k])
        stays = (own >= ratio * highest) | (own * beside >= ratio * highest * highest)
        pair = ~stays & (amount(work[largest, largest]) < ratio * beside)
        pivot, place = jnp.where(stays, k, largest), k + pair
        order = places.at[place].set(pivot).at[pivot].set(place)
        work = jnp.where((rows >= k) & (columns >= k), work[order][:, order], work)
        last = jnp.minimum(k + 1, size - 1)
        first, second = (jnp.where(places > place, work[:, at], 0) for at in (k, last))
        corner, side, end = work[k, k], work[last, k], work[last, last]
        other = side.conj() if hermitian else side
        determinant = jnp.where(pair, corner * end - side * other, 1)
        single = first / jnp.where(corner == 0, 1, corner)
        left = jnp.where(pair, (first * end - second * side) / determinant, single)
        right = jnp.where(pair, (second * corner - first * other) / determinant, 0)
        change = left[:, None] * mirrored(first[:, None]) + right[:, None] * mirrored(second[:, None])
        work = jnp.where((rows > place) & (columns > place), work - change, work)
        work = jnp.where((rows > place) & (columns == k), left[:, None], work)
        work = jnp.where((rows > place) & (columns == last) & pair, right[:, None], work)
        number = jnp.where(pair, -pivot - 1, pivot + 1).astype(pivots.dtype)
        pivots = pivots.at[k].set(number)
        return k + 1 + pair, work, jnp.where(pair, pivots.at[last].set(number), pivots)

    full = jnp.tril(matrix) + mirrored(jnp.tril(matrix, -1))
    state = lax.while_loop(lambda state: state[0] < size, eliminate, (jnp.asarray(0), full, jnp.zeros(size, jnp.int32)))
    return jnp.tril(state[1]), state[2]


def from_factors(packed: Array, pivots: Array, hermitian: bool) -> Array:
    """The matrix of which these are the packed factors and pivots."""
    size, places = packed.shape[-1], jnp.arange(packed.shape[-1])

    def mirrored(x: Array) -> Array:
        return x.T.conj() if hermitian else x.T

    # negative pivots come in pairs
    first = (pivots < 0) & (jnp.cumsum(pivots < 0) % 2 == 1)
    beside = jnp.eye(size, k=-1, dtype=bool) & first[None, :]
    blocks = jnp.where(beside, packed, 0)
    unit = jnp.where(beside, 0, jnp.tril(packed, -1))
    middle = jnp.diag(jnp.diagonal(packed)) + blocks + mirrored(blocks)

    def expand(step: Array, matrix: Array) -> Array:
        k = size - 1 - step
        factor = jnp.eye(size, dtype=packed.dtype) + jnp.where(places == k, unit[:, k, None], 0)
        matrix = factor @ matrix @ mirrored(factor)
        place = jnp.where(first[k], k + 1, k)
        pivot = jnp.where(first[k] | (pivots[k] > 0), jnp.abs(pivots[k]) - 1, k)
        order = places.at[place].set(pivot).at[pivot].set(place)
        return matrix[order][:, order]

    return lax.fori_loop(0, size, expand, middle)


def over_batch(matrices: Array, hermitian: bool) -> tuple[Array, Array]:
    """Factors and pivots of every matrix of a batch."""
    size = matrices.shape[-1]
    if matrices.size == 0:
        return matrices, jnp.zeros(matrices.shape[:-1], jnp.int32)
    packed, pivots = jax.vmap(lambda matrix: bunch_kaufman(matrix, hermitian))(matrices.reshape(-1, size, size))
    return packed.reshape(matrices.shape), pivots.reshape(matrices.shape[:-1])


@TABLE.rule("aten.linalg_ldl_factor.default")
def indefinite_factors(self: Array, hermitian: bool = False) -> tuple[Array, Array]:
    """linalg_ldl_factor(Tensor self, *, bool hermitian=False) -> (Tensor LD, Tensor pivots)"""
    return over_batch(self, hermitian)


@TABLE.rule("aten.linalg_ldl_factor_ex.default")
def indefinite_factors_with_status(
    self: Array, hermitian: bool = False, check_errors: bool = False
) -> tuple[Array, Array, Array]:
    """linalg_ldl_factor_ex(Tensor self, *, bool hermitian=False, bool check_errors=False) -> (Tensor LD, Tensor pivots,
    Tensor info)
    """
    packed, pivots = over_batch(self, hermitian)
    zero = (jnp.diagonal(packed, axis1=-2, axis2=-1) == 0) & (pivots > 0)
    found = jnp.where(jnp.any(zero, axis=-1), jnp.sum(jnp.cumsum(zero, axis=-1) == 0, axis=-1) + 1, 0)
    return packed, pivots, found.astype(jnp.int32)


@TABLE.rule("aten.linalg_ldl_solve.default")
def solve_indefinite(LD: Array, pivots: Array, B: Array, hermitian: bool = False) -> Array:
    """linalg_ldl_solve(Tensor LD, Tensor pivots, Tensor B, *, bool hermitian=False) -> Tensor"""
    if LD.size == 0:
        return jnp.zeros((*jnp.broadcast_shapes(LD.shape[:-2], B.shape[:-2]), *B.shape[-2:]), B.dtype)
    size, held = LD.shape[-1], lax.stop_gradient(LD)
    whole = jax.vmap(lambda packed, order: from_factors(packed, order, hermitian))
    matrices = whole(held.reshape(-1, size, size), pivots.reshape(-1, size)).reshape(LD.shape)
    return jnp.linalg.solve(matrices, B)
