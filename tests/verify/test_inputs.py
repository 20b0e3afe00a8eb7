"""Generated inputs reach branches and stay in the range of the case."""

from __future__ import annotations

import numpy as np

from regauge.verify.inputs import InputSet, make_input_sets

BATCH = [{"name": "batch", "hint": 4, "low": 1, "high": None}]


def by_name(reference: dict[str, np.ndarray], symbols: list = (), quick: bool = False) -> dict[str, InputSet]:
    return {item.name: item for item in make_input_sets(reference, list(symbols), quick)}


def images() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {
        "inputs.0": random.standard_normal((4, 3)).astype(np.float32),
        "targets": np.array([0, 1, 2, -100]),
        "outputs": np.zeros((4, 2), np.float32),
    }


def test_only_inputs_and_targets_are_kept_with_their_dtypes() -> None:
    for item in by_name(images(), BATCH).values():
        assert {name: array.dtype for name, array in item.arrays.items()} == {
            "inputs.0": np.float32,
            "targets": np.int64,
        }


def test_floats() -> None:
    sets = by_name(images())
    x = images()["inputs.0"]
    assert not np.array_equal(sets["random 1"].arrays["inputs.0"], sets["random 2"].arrays["inputs.0"])
    assert sorted(sets["random 1"].arrays["targets"]) == sorted(images()["targets"])
    ties = sets["kinks and ties"].arrays["inputs.0"]
    assert np.array_equal(2 * ties, np.round(2 * ties))
    assert np.any(ties == 0)
    assert not sets["zeros"].arrays["inputs.0"].any()
    np.testing.assert_allclose(sets["large"].arrays["inputs.0"], x * 1e3, rtol=1e-6)
    np.testing.assert_allclose(sets["offset"].arrays["inputs.0"], x + 100 * x.std(), rtol=1e-4)
    assert np.all(sets["all targets ignored"].arrays["targets"] == -100)


def test_other_batches_only_where_the_batch_is_symbolic() -> None:
    assert by_name(images(), BATCH)["batch of 1"].arrays["inputs.0"].shape == (1, 3)
    assert by_name(images(), BATCH)["another batch size"].arrays["targets"].shape == (3,)
    assert not [item for item in by_name(images()).values() if item.purpose == "shape"]
    bounded = [{"name": "batch", "hint": 4, "low": 2, "high": 4}]
    assert [s.name for s in by_name(images(), bounded).values() if s.purpose == "shape"] == ["another batch size"]


def test_integers_stay_in_range_and_masks_stay_masks() -> None:
    ids = np.array([[5, 9, 7], [6, 5, 9]])
    sets = by_name({"inputs.ids": ids, "inputs.mask": np.ones((2, 3), np.int64)})
    for item in sets.values():
        assert 5 <= item.arrays["inputs.ids"].min() <= item.arrays["inputs.ids"].max() <= 9
        assert set(np.unique(item.arrays["inputs.mask"])) <= {0, 1}
    assert sets["padding"].arrays["inputs.mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert sets["fully masked row"].arrays["inputs.mask"].tolist() == [[1, 1, 1], [0, 0, 0]]
    assert np.all(sets["repeated index"].arrays["inputs.ids"] == 9)
    assert "zeros" not in sets


def test_a_boolean_mask_that_marks_what_is_dropped() -> None:
    dropped = np.zeros((2, 4), bool)
    sets = by_name({"inputs.key_padding_mask": dropped})
    assert sets["fully masked row"].arrays["inputs.key_padding_mask"].tolist() == [[False] * 4, [True] * 4]


def test_a_float_mask_keeps_its_values() -> None:
    mask = np.array([[0.0, -np.inf], [0.0, 0.0]], np.float32)
    for item in by_name({"inputs.0": images()["inputs.0"], "inputs.1": mask}).values():
        np.testing.assert_array_equal(item.arrays["inputs.1"], mask)


def test_quick_has_no_other_shapes() -> None:
    names = list(by_name(images(), BATCH, quick=True))
    assert names == ["reference", "random 1", "random 2", "kinks and ties"]
