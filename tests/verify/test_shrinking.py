"""Smaller and plainer inputs."""

from __future__ import annotations

import numpy as np

from regauge.verify.shrinking import plainer, size_of, smaller


def leaves() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {
        "inputs.ids": random.integers(3, 90, (6, 5)),
        "inputs.mask": np.tril(np.ones((5, 5), bool)),
        "inputs.x": random.standard_normal((6, 5, 4)).astype(np.float32),
        "targets": random.integers(0, 2, (6,)),
    }


def test_rows_are_cut_in_every_leaf_that_has_them() -> None:
    found = dict(smaller(leaves()))
    shapes = {name: array.shape for name, array in found["row 0"].items()}
    assert shapes == {"inputs.ids": (1, 5), "inputs.mask": (5, 5), "inputs.x": (1, 5, 4), "targets": (1,)}
    np.testing.assert_array_equal(found["row 5"]["inputs.x"][0], leaves()["inputs.x"][5])
    assert found["two rows"]["targets"].shape == (2,)


def test_an_axis_is_cut_wherever_it_has_that_length_but_the_first() -> None:
    found = dict(smaller(leaves()))
    short = found["5 to 2"]
    assert short["inputs.ids"].shape == (6, 2)
    assert short["inputs.mask"].shape == (5, 2)
    assert found["row 0, 5 to 1"]["inputs.x"].shape == (1, 1, 4)
    assert min(map(size_of, found.values())) < size_of(leaves()) / 10


def test_a_length_of_the_targets_alone_is_not_cut() -> None:
    given = {"inputs.0": np.zeros((4, 7), np.float32), "targets": np.zeros((4, 3), np.float32)}
    assert all(made["targets"].shape[1:] == (3,) for _, made in smaller(given))


def test_values_become_plain_and_keep_dtype_shape_and_meaning() -> None:
    made = dict(plainer(leaves()))
    names = list(made)
    assert names.index("zeros") < names.index("counting") < names.index("one digit")
    for arrays in made.values():
        for name, array in leaves().items():
            assert (arrays[name].shape, arrays[name].dtype) == (array.shape, array.dtype)
        np.testing.assert_array_equal(arrays["targets"], leaves()["targets"])
        np.testing.assert_array_equal(arrays["inputs.mask"], leaves()["inputs.mask"])
    assert set(np.unique(made["zeros, one index"]["inputs.ids"])) == {leaves()["inputs.ids"].min()}
    assert made["one hot"]["inputs.x"].sum() == 1
    large = {"inputs.0": np.array([1234.0, -0.0567, 0.0])}
    np.testing.assert_allclose(dict(plainer(large))["one digit"]["inputs.0"], [1000.0, -0.06, 0.0])


def test_nothing_is_left_to_cut() -> None:
    assert dict(smaller({"inputs.0": np.float32(1.0).reshape(())})) == {}
    assert dict(smaller({"inputs.0": np.zeros((1, 1))})) == {}
