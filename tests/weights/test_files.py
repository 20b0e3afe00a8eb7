"""Weights on disk: the same bits after every way, readable by others, little memory, clear refusals."""

from __future__ import annotations

import json
import struct
import tracemalloc

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from regauge.dtypes import DTYPES
from regauge.errors import WeightMismatch
from regauge.weights.files import (
    WeightFile,
    convert_weights,
    dtype_name,
    load_restored,
    restore_weights,
    save_arrays,
    save_converted,
)
from regauge.weights.mapping import WeightEntry, WeightMap
from regauge.weights.pair_map import from_weight_map

SHAPE = (3, 5)
STORED = [*(dtype for dtype in DTYPES if dtype != "complex128"), "uint32", "uint64"]


def random_bits(dtype):
    """Every bit pattern is as likely as any other, so NaNs with payloads, infinities and subnormals are among them."""
    source = np.random.default_rng(3)
    if dtype == "bool":
        return source.integers(0, 2, SHAPE).astype(bool)
    kind = np.dtype(np.uint16 if dtype == "bfloat16" else dtype)
    return np.frombuffer(source.bytes(15 * kind.itemsize), kind).reshape(SHAPE)


SPECIAL = np.array([0x7FC12345, 0xFFA00001, 0x7F800001, 0x80000000, 0x00000001, 0xFF800000], np.uint32).view(np.float32)


@pytest.fixture
def tensors():
    special = {"special": SPECIAL, "scalar": np.array(2.5, np.float32), "empty": np.zeros((0, 4), np.float16)}
    return {**{f"of.{dtype}": random_bits(dtype) for dtype in STORED}, **special, "left": np.array([7], np.int64)}


@pytest.fixture
def weight_map(tensors):
    transposed = (("permute", (1, 0)), ("reshape", (15,)))
    entries = [
        WeightEntry(
            name, f"to.{name}", transposed if array.shape == SHAPE else (), array.shape, dtype_name(array), "buffer"
        )
        for name, array in tensors.items()
        if name != "left"
    ]
    return WeightMap(tuple(entries), {"twin": "of.float32"}, {"left": "a counter that nothing reads"})


def assert_same_bits(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].shape == array.shape, name
        assert found[name].dtype == array.dtype, name
        assert np.ascontiguousarray(found[name]).tobytes() == np.ascontiguousarray(array).tobytes(), name


def test_a_file_holds_the_same_bits(tensors, tmp_path):
    save_arrays(tmp_path / "w.safetensors", tensors)
    assert_same_bits(WeightFile(tmp_path / "w.safetensors"), tensors)


def test_others_read_the_file(tensors, tmp_path):
    save_arrays(tmp_path / "w.safetensors", tensors)
    found = load_file(tmp_path / "w.safetensors")
    assert_same_bits({k: v for k, v in found.items() if k != "of.bfloat16"},
                     {k: v for k, v in tensors.items() if k != "of.bfloat16"})  # fmt: skip
    assert found["of.bfloat16"].dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(found["of.bfloat16"].view(np.uint16), tensors["of.bfloat16"])


def test_we_read_the_files_of_others(tensors, tmp_path):
    given = {**tensors, "of.bfloat16": tensors["of.bfloat16"].view(ml_dtypes.bfloat16)}
    save_file(given, tmp_path / "w.safetensors", metadata={"format": "np"})
    assert_same_bits(WeightFile(tmp_path / "w.safetensors"), tensors)


def test_conversion_and_back_in_memory(tensors, weight_map):
    arrays = convert_weights(tensors, weight_map)
    np.testing.assert_array_equal(arrays["to.of.int32"], tensors["of.int32"].T.reshape(15))
    restored = restore_weights({**arrays, "unused.left": tensors["left"]}, weight_map)
    assert_same_bits(restored, {**tensors, "twin": tensors["of.float32"]})


def test_conversion_and_back_through_files(tensors, weight_map, tmp_path):
    save_arrays(tmp_path / "original.safetensors", tensors)
    save_converted(tmp_path / "original.safetensors", weight_map, tmp_path / "weights.safetensors")
    converted = WeightFile(tmp_path / "weights.safetensors")
    assert set(converted) == {*weight_map.by_target, "unused.left"}
    assert_same_bits(load_restored(tmp_path / "weights.safetensors", weight_map),
                     {**tensors, "twin": tensors["of.float32"]})  # fmt: skip


def test_tied_weights_may_be_stored_under_every_name(tensors, weight_map, tmp_path):
    save_arrays(tmp_path / "original.safetensors", {**tensors, "twin": tensors["of.float32"]})
    save_converted(tmp_path / "original.safetensors", weight_map, tmp_path / "weights.safetensors")
    assert "unused.twin" not in WeightFile(tmp_path / "weights.safetensors")


def test_bfloat16_with_its_own_dtype(tmp_path):
    bits = random_bits("bfloat16")
    save_arrays(tmp_path / "w.safetensors", {"x": bits.view(ml_dtypes.bfloat16).T})
    np.testing.assert_array_equal(WeightFile(tmp_path / "w.safetensors")["x"], bits.T)


def test_one_tensor_at_a_time_is_in_memory(tmp_path):
    count, size = 8, 1 << 18
    arrays = {f"w{i}": np.full((512, 512), i, np.float32) for i in range(count)}
    entries = [WeightEntry(name, name, (("permute", (1, 0)),), (512, 512)) for name in arrays]
    save_arrays(tmp_path / "original.safetensors", arrays)
    tracemalloc.start()
    save_converted(tmp_path / "original.safetensors", WeightMap(tuple(entries)), tmp_path / "weights.safetensors")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size * 4 <= peak < 1.5 * size * 4


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "w.safetensors"
    save_arrays(path, {"x": np.ones(3, np.float32)})
    original = tmp_path / "original.safetensors"
    save_arrays(original, {"x": np.ones(3, np.float32)})
    with pytest.raises(WeightMismatch):
        save_converted(original, WeightMap((WeightEntry("x", "x", (("permute", (1, 0)),), (3,)),)), path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["original.safetensors", "w.safetensors"]
    np.testing.assert_array_equal(WeightFile(path)["x"], np.ones(3))


ENTRY = WeightEntry("a", "b", (), (2,), "float32")


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({}, "a: missing"),
        ({"a": np.ones(3, np.float32)}, "a: has shape (3,), the map says (2,)"),
        ({"a": np.ones(2, np.float64)}, "a: is float64, the map says float32"),
        ({"a": np.ones(2, np.float32), "c": np.ones(1)}, "c: not in the weight map"),
    ],
)
def test_what_differs_from_the_map(arrays, said):
    with pytest.raises(WeightMismatch, match="W140") as caught:
        convert_weights(arrays, WeightMap((ENTRY,)))
    assert caught.value.details == (said,)
    renamed = {{"a": "b"}.get(name, name): array for name, array in arrays.items()}
    with pytest.raises(WeightMismatch, match="W140") as caught:
        restore_weights(renamed, WeightMap((ENTRY,)))
    assert caught.value.details == (said.replace("a: ", "b: ", 1),)


def test_all_differences_at_once(tmp_path):
    save_arrays(tmp_path / "o.safetensors", {"a": np.ones((1, 3), np.int8), "z": np.ones(1)})
    with pytest.raises(WeightMismatch) as caught:
        save_converted(tmp_path / "o.safetensors", WeightMap((ENTRY,)), tmp_path / "w.safetensors")
    assert len(caught.value.details) == 3


def test_a_dtype_that_the_format_lacks(tmp_path):
    with pytest.raises(WeightMismatch, match="no such dtype") as caught:
        save_arrays(tmp_path / "w.safetensors", {"x": np.ones(2, np.complex128)})
    assert caught.value.details == ("x: complex128",)


def header(**entries):
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text


WHOLE = header(x={"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}) + bytes(8)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is not a safetensors file, or is cut off"),
        (b"PK\x03\x04", "is not a safetensors file, or is cut off"),
        (struct.pack("<Q", 1 << 60), "is not a safetensors file, or is cut off"),
        (struct.pack("<Q", 4) + b"nope", "is not a safetensors file"),
        (struct.pack("<Q", 4) + b"[12]", "is not a safetensors file"),
        (WHOLE[:-1], "is cut off or damaged at x"),
        (header(x={"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}) + bytes(8), "damaged at x"),
        (header(x={"dtype": "F32"}) + bytes(8), "damaged at x"),
        (header(x={"dtype": "F6_E2M3", "shape": [1], "data_offsets": [0, 1]}) + bytes(1), "dtype F6_E2M3"),
    ],
)
def test_damaged_files(content, said, tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightMismatch, match="W120") as caught:
        WeightFile(path)
    assert said in caught.value.what
    assert caught.value.where == str(path)


@pytest.mark.parametrize("dtype", STORED)
def test_stacked_weights_come_back_bit_for_bit(tmp_path, dtype):
    layout = (("permute", (1, 0)),)
    arrays = {f"h.{i}.weight": np.roll(random_bits(dtype), i, axis=0) for i in range(4)}
    entries = tuple(
        WeightEntry(name, "h.kernel", layout, SHAPE, dtype, "buffer", stacked=(i, 4)) for i, name in enumerate(arrays)
    )
    weight_map = WeightMap(entries)
    save_converted(arrays, weight_map, tmp_path / "w.safetensors")
    whole = WeightFile(tmp_path / "w.safetensors")["h.kernel"]
    assert whole.tobytes() == np.ascontiguousarray(convert_weights(arrays, weight_map)["h.kernel"]).tobytes()
    for name, array in load_restored(tmp_path / "w.safetensors", weight_map).items():
        assert np.ascontiguousarray(array).tobytes() == arrays[name].tobytes()
    pair_map = from_weight_map(weight_map)
    pair_map.validate()
    for name, array in pair_map.to_sources(pair_map.to_targets(arrays)).items():
        assert np.ascontiguousarray(array).tobytes() == arrays[name].tobytes()
