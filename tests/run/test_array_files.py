"""Arrays through files: every dtype and shape, by mapping, and readable for the library whose format it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from regauge.run.array_files import load_arrays, save_arrays

ARRAYS = {
    "bool": np.array([True, False, True]),
    "empty": np.zeros((0, 3), np.float32),
    "number": np.float64(2.5) * np.ones(()),
    "half": np.arange(5, dtype=np.float16),
    "turned": np.arange(12, dtype=np.int64).reshape(3, 4).T,
    "repeated": np.broadcast_to(np.arange(3.0), (2, 3)),
}


def test_what_is_written_is_read_also_by_the_library(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_arrays(path, ARRAYS)
    for found in (load_arrays(path), load_file(path)):
        assert set(found) == set(ARRAYS)
        for name, array in ARRAYS.items():
            assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
            np.testing.assert_array_equal(found[name], array)


def test_what_the_library_writes_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"x": np.arange(3.0)}, path, metadata={"made": "elsewhere"})
    np.testing.assert_array_equal(load_arrays(path)["x"], np.arange(3.0))


def test_complex_numbers_and_nothing_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_arrays(path, {"z": np.array([1 + 2j])})
    assert load_arrays(path)["z"] == 1 + 2j
    save_arrays(path, {})
    assert load_arrays(path) == {}


def test_a_mapped_file_survives_being_written_again(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_arrays(path, {"x": np.arange(3.0)})
    before = load_arrays(path)["x"]
    save_arrays(path, {"x": np.zeros(1)})
    np.testing.assert_array_equal(before, np.arange(3.0))
    assert not before.flags.writeable


def test_text_is_no_array(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="words is of dtype"):
        save_arrays(tmp_path / "a.safetensors", {"words": np.array(["a"])})
