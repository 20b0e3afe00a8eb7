"""The weight map: total and one-to-one, every breach named, and the same after JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from regauge.errors import WeightMismatch
from regauge.weights.mapping import WeightEntry, WeightMap
from regauge.weights.pair_map import from_weight_map, reversed_map

KERNEL = WeightEntry("fc.weight", "fc.kernel", (("permute", (1, 0)),), (4, 3))
BIAS = WeightEntry("fc.bias", "fc.bias", (), (4,))
TABLE = WeightEntry("wte.weight", "wte.embedding", (), (9, 3), trainable=False)
MAP = WeightMap((KERNEL, BIAS, TABLE), {"head.weight": "wte.weight"}, {"bn.count": "a counter that nothing reads"})
SOURCES = {"fc.weight": (4, 3), "fc.bias": (4,), "wte.weight": (9, 3), "head.weight": (9, 3), "bn.count": ()}
TARGETS = {"fc.kernel": (3, 4), "fc.bias": (4,), "wte.embedding": (9, 3)}


def test_a_total_map_passes():
    MAP.validate(SOURCES, TARGETS)


def test_the_same_after_json():
    data = json.loads(json.dumps(MAP.to_json()))
    assert WeightMap.from_json(data) == MAP
    assert data["entries"][0] == {
        "source": "fc.weight",
        "target": "fc.kernel",
        "layout": [["permute", [1, 0]]],
        "shape": [4, 3],
        "dtype": "float32",
        "role": "parameter",
        "trainable": True,
    }


def test_entries_carry_arrays_there_and_back():
    array = np.arange(12).reshape(4, 3)
    np.testing.assert_array_equal(KERNEL.to_target(array), array.T)
    np.testing.assert_array_equal(KERNEL.to_source(KERNEL.to_target(array)), array)


def without(names, name):
    return {key: shape for key, shape in names.items() if key != name}


BREACHES = {
    "source not mapped": (MAP, {**SOURCES, "more": (1,)}, TARGETS, "original more: not mapped"),
    "source unknown": (MAP, without(SOURCES, "fc.bias"), TARGETS, "original fc.bias: no such weight"),
    "tied name unknown": (MAP, without(SOURCES, "head.weight"), TARGETS, "original head.weight: no such weight"),
    "unused name unknown": (MAP, without(SOURCES, "bn.count"), TARGETS, "original bn.count: no such weight"),
    "source shape": (MAP, {**SOURCES, "fc.bias": (5,)}, TARGETS, "fc.bias: has shape (5,), the map says (4,)"),
    "target not mapped": (MAP, SOURCES, {**TARGETS, "more": (1,)}, "converted more: not mapped"),
    "target unknown": (MAP, SOURCES, without(TARGETS, "fc.bias"), "converted fc.bias: no such variable"),
    "target shape": (
        MAP,
        SOURCES,
        {**TARGETS, "fc.kernel": (4, 3)},
        "fc.kernel: has shape (4, 3), the map gives (3, 4)",
    ),
    "source twice": (
        replace(MAP, entries=(*MAP.entries, replace(BIAS, target="other"))),
        SOURCES,
        {**TARGETS, "other": (4,)},
        "original fc.bias: mapped 2 times",
    ),
    "entry and unused": (
        replace(MAP, unused={**MAP.unused, "fc.bias": "x"}),
        SOURCES,
        TARGETS,
        "fc.bias: mapped 2 times",
    ),
    "target twice": (
        replace(MAP, entries=(*MAP.entries, replace(BIAS, source="b2"))),
        {**SOURCES, "b2": (4,)},
        TARGETS,
        "converted fc.bias: mapped 2 times",
    ),
    "tied to nothing": (
        replace(MAP, tied={"head.weight": "lost"}),
        SOURCES,
        TARGETS,
        "head.weight: tied to lost, which is not mapped itself",
    ),
    "layout does not fit": (
        replace(MAP, entries=(replace(KERNEL, layout=(("permute", (0,)),)), BIAS, TABLE)),
        SOURCES,
        TARGETS,
        "converted fc.kernel: permute [0] does not fit the shape [4, 3]",
    ),
}


@pytest.mark.parametrize("name", BREACHES)
def test_every_breach_is_named(name):
    weight_map, sources, targets, said = BREACHES[name]
    with pytest.raises(WeightMismatch, match="not total and one-to-one") as caught:
        weight_map.validate(sources, targets)
    assert any(said in line for line in caught.value.details)


STACK = tuple(
    WeightEntry(f"h.{i}.fc.weight", "h.fc.kernel", (("permute", (1, 0)),), (4, 3), stacked=(i, 3)) for i in range(3)
)
STACKED = {entry.source: (4, 3) for entry in STACK}


def test_slices_of_a_stacked_weight_are_total_and_one_to_one():
    weight_map = WeightMap(STACK[::-1])
    weight_map.validate(STACKED, {"h.fc.kernel": (3, 3, 4)})
    assert WeightMap.from_json(json.loads(json.dumps(weight_map.to_json()))) == weight_map
    assert [entry.source for entry in weight_map.by_target["h.fc.kernel"]] == list(STACKED)
    tensors = {name: np.random.default_rng(i).random((4, 3)) for i, name in enumerate(STACKED)}
    whole = weight_map.to_target("h.fc.kernel", tensors)
    assert whole.shape == STACK[0].target_shape == (3, 3, 4)
    for entry in STACK:
        np.testing.assert_array_equal(whole[entry.stacked[0]], tensors[entry.source].T)
        np.testing.assert_array_equal(entry.to_source(whole), tensors[entry.source])


SLICE_BREACHES = {
    "one is missing": (STACK[:2], "h.fc.kernel: its 3 slices are mapped as 0, 1"),
    "one is there twice": ((*STACK[:2], replace(STACK[2], stacked=(1, 3))), "its 3 slices are mapped as 0, 1, 1"),
    "another number": ((*STACK[:2], replace(STACK[2], stacked=(2, 4))), "its 4 slices are mapped as 0, 1, 2"),
    "a whole one beside": ((*STACK[:2], replace(STACK[2], stacked=None)), "h.fc.kernel: mapped 3 times"),
    "one is frozen": ((*STACK[:2], replace(STACK[2], trainable=False)), "its slices differ in dtype, in role or"),
    "one is wider": ((*STACK[:2], replace(STACK[2], shape=(5, 3))), "h.fc.kernel: has shape (3, 3, 4), the map gives"),
}


@pytest.mark.parametrize("name", SLICE_BREACHES)
def test_every_breach_of_a_stack_is_named(name):
    entries, said = SLICE_BREACHES[name]
    with pytest.raises(WeightMismatch) as caught:
        WeightMap(entries).validate({e.source: e.shape for e in entries}, {"h.fc.kernel": (3, 3, 4)})
    assert any(said in line for line in caught.value.details)


def test_all_breaches_at_once():
    with pytest.raises(WeightMismatch, match="6 problems") as caught:
        MAP.validate({"fc.weight": (4, 3)}, {"fc.kernel": (3, 4)})
    assert len(caught.value.details) == 6


LAYERS = tuple(
    WeightEntry("h.kernel", f"h.{i}.weight", (("permute", (1, 0)),), (4, 2, 3), sliced=((1, i, 2),)) for i in range(2)
)
NESTED = tuple(
    WeightEntry("h.bias", f"h.{i}.{j}.bias", (), (2, 3, 4), sliced=((0, i, 2), (0, j, 3)))
    for i in range(2)
    for j in range(3)
)


@pytest.mark.parametrize("entries", [LAYERS, NESTED])
def test_slices_of_a_stacked_source_are_total_and_one_to_one(entries):
    weight_map = WeightMap(entries[::-1])
    (source, shape) = (entries[0].source, entries[0].shape)
    targets = {entry.target: entry.target_shape for entry in entries}
    weight_map.validate({source: shape}, targets)
    assert WeightMap.from_json(json.loads(json.dumps(weight_map.to_json()))) == weight_map
    whole = np.random.default_rng(0).random(shape)
    made = {target: weight_map.to_target(target, {source: whole}) for target in targets}
    assert {target: array.shape for target, array in made.items()} == targets
    np.testing.assert_array_equal(weight_map.to_source(source, made), whole)
    pairs = from_weight_map(weight_map)
    for target, array in made.items():
        np.testing.assert_array_equal(pairs.to_target(target, {source: whole}), array)
    np.testing.assert_array_equal(pairs.to_source(source, made), whole)
    back = reversed_map(pairs)
    np.testing.assert_array_equal(back.to_target(source, made), whole)


SLICES = {
    "one missing": (LAYERS[:1], "original h.kernel: its slices are mapped as [(0,)]"),
    "one twice": (
        (*LAYERS, replace(LAYERS[0], target="other")),
        "h.kernel: its slices are mapped as [(0,), (0,), (1,)]",
    ),
    "another axis": ((LAYERS[0], replace(LAYERS[1], sliced=((0, 1, 2),))), "its slices are not those of one array"),
    "whole besides": (
        (*LAYERS, replace(LAYERS[0], target="other", layout=(), sliced=())),
        "its slices are not those of one array",
    ),
}


@pytest.mark.parametrize("name", SLICES)
def test_slices_that_are_not_the_whole_source_are_named(name):
    entries, said = SLICES[name]
    with pytest.raises(WeightMismatch) as caught:
        WeightMap(entries).validate({"h.kernel": (4, 2, 3)}, {entry.target: entry.target_shape for entry in entries})
    assert any(said in line for line in caught.value.details)


def test_what_a_slice_is_called():
    assert LAYERS[1].label == "h.kernel[1]"
    assert NESTED[4].label == "h.bias[1, 1]"
    assert KERNEL.label == "fc.weight"
