"""Scales, distances and limits, against values computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from regauge.verify.tolerance import LIMITS, alone, compare, is_null, kind_scale, rms, rounding_error, same_function


def test_rms_is_over_all_finite_elements_of_a_kind() -> None:
    assert rms([np.array([3.0, 4.0]), np.array([[0.0], [np.nan]])]) == pytest.approx(5 / math.sqrt(3))
    assert rms([]) == 0.0


def test_null_means_ten_orders_below_the_kind() -> None:
    # ||x|| = 2e-10 with n = 4, so the bound is 1e-10 * G * 2
    tensor = np.full(4, 1e-10)
    assert is_null(tensor, kind_rms=1.0)
    assert not is_null(tensor, kind_rms=0.99)
    assert not is_null(tensor, kind_rms=0.0)


def test_distance_is_relative_to_the_tensor() -> None:
    reference = np.array([3.0, 4.0])  # norm 5, largest 4
    distance = same_function("x", reference + np.array([0.0, 2e-10]), reference, kind_rms=1.0)
    assert distance.norm == pytest.approx(4e-11)
    assert distance.largest == pytest.approx(5e-11)
    assert distance.passed
    assert not same_function("x", reference + np.array([0.0, 6e-10]), reference, kind_rms=1.0).passed


def test_one_wrong_element_of_many_fails_although_the_norm_passes() -> None:
    reference = np.full(1_000_000, 1e-6)
    reference[0] = 1e3  # the norm
    candidate = reference.copy()
    candidate[1] += 5e-8
    assert same_function("x", candidate, reference, 1.0).passed
    reference[0] = candidate[0] = 1.0
    distance = same_function("x", candidate, reference, 1.0)
    assert distance.largest == pytest.approx(5e-8)
    assert not distance.passed


def test_a_null_tensor_is_measured_by_its_kind() -> None:
    reference, candidate = np.array([1e-17, 0.0]), np.array([0.0, 2e-17])
    distance = same_function("bias", candidate, reference, kind_rms=0.5)
    assert distance.null
    assert distance.norm == pytest.approx(math.sqrt(5) * 1e-17 / (0.5 * math.sqrt(2)))
    assert distance.passed


def test_integers_and_booleans_must_be_equal() -> None:
    reference = np.array([1, 2, 3])
    assert same_function("i", reference.astype(np.int32), reference, 0.0).passed
    distance = same_function("i", np.array([1, 2, 4]), reference, 0.0)
    assert (distance.passed, distance.norm, distance.note) == (False, math.inf, "1 of 3 elements differ")
    assert not same_function("b", np.array([True]), np.array([1]), 0.0).passed


@pytest.mark.parametrize(
    ("candidate", "note"),
    [
        (np.array([1.0, 2.0, 3.0]), "shape (3,)"),
        (np.array([1, 2]), "dtype int64"),
        (np.array([np.nan, 2.0]), "NaN at other places: 1 of 2"),
        (np.array([np.inf, 2.0]), "+inf at other places"),
        (np.array([-np.inf, 2.0]), "-inf at other places"),
    ],
)
def test_what_cannot_be_compared_differs_with_a_reason(candidate: np.ndarray, note: str) -> None:
    distance = same_function("x", candidate, np.array([1.0, 2.0]), 1.0)
    assert not distance.passed
    assert note in distance.note


def test_nan_and_inf_at_the_same_places_are_equal() -> None:
    reference = np.array([np.nan, np.inf, 1.0])
    assert same_function("x", reference.copy(), reference, 1.0).passed
    assert not same_function("x", np.array([np.nan, -np.inf, 1.0]), reference, 1.0).passed


def test_float32_inside_a_float64_run_is_no_float64() -> None:
    distance = same_function("x", np.array([1.0], np.float32), np.array([1.0]), 1.0)
    assert not distance.passed
    assert distance.note == "computed in float32"


def test_rounding_error_of_a_kind() -> None:
    reference = {"a": np.array([3.0, 4.0]), "b": np.zeros(2), "i": np.array([1, 2])}
    result = {"a": np.array([3.0, 4.5]), "b": np.array([0.0, 0.1]), "i": np.array([1, 2])}
    error = rounding_error(result, reference)
    scale = 2.5  # G: sqrt((9 + 16) / 4)
    assert error.norms["a"] == pytest.approx(0.1)
    assert error.largest["a"] == pytest.approx(0.125)
    assert error.norms["b"] == pytest.approx(0.1 / (scale * math.sqrt(2)))  # null: scale of its kind
    assert error.together == pytest.approx(math.sqrt(0.26) / 5)
    assert (error.norms["i"], dict(error.notes)) == (0.0, {})


def test_a_small_tensor_is_not_judged_by_its_own_size_alone() -> None:
    reference = {"large": np.full(4, 1.0), "small": np.full(4, 1e-6)}
    error = rounding_error({"large": np.full(4, 1.0), "small": np.full(4, 2e-6)}, reference)
    assert error.norms["small"] == pytest.approx(1e-6 / (LIMITS.smallest_share * rms(reference.values())))


def test_what_is_missing_has_no_distance() -> None:
    error = rounding_error({}, {"a": np.array([1.0])})
    assert (error.norms["a"], error.notes["a"]) == (math.inf, "missing")


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_one_pass_gives_what_the_formulas_give(dtype: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regauge.verify.tolerance._PIECE", 7)
    random = np.random.default_rng(0)
    reference = random.standard_normal((6, 9)).astype(dtype)
    candidate = reference * (1 + 1e-3 * random.standard_normal((6, 9))).astype(dtype)
    reference[1, 2] = candidate[1, 2] = np.nan
    if dtype is not np.complex128:
        reference[4, 4] = candidate[4, 4] = np.inf
    finite = np.isfinite(reference)
    difference = candidate[finite].astype(np.complex128) - reference[finite]
    found = compare(candidate, reference)
    assert found.note == ""
    assert found.finite == finite.sum()
    assert found.difference == pytest.approx(np.linalg.norm(difference))
    assert found.largest_difference == pytest.approx(np.abs(difference).max())
    assert found.reference == pytest.approx(np.linalg.norm(reference[finite]))
    assert found.largest_reference == pytest.approx(np.abs(reference[finite]).max())
    assert kind_scale([found, alone(reference), compare(np.array([1]), np.array([2]))]) == pytest.approx(
        rms([reference, reference])
    )


def test_places_that_are_not_finite_are_found_in_any_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regauge.verify.tolerance._PIECE", 4)
    reference = np.arange(1.0, 12.0)
    for place in range(11):
        candidate = reference.copy()
        candidate[place] = np.nan
        assert compare(candidate, reference).note == "NaN at other places: 1 of 11 elements"
        assert compare(reference, candidate).note == "NaN at other places: 1 of 11 elements"
