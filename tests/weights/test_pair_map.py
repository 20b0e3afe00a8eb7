"""The map itself: parts in both directions, what is wrong with one, JSON, sums, other maps made from it."""

from __future__ import annotations

import json
from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regauge.errors import WeightMismatch
from regauge.weights import steps as moves
from regauge.weights.casting import added, as_float64, bits, narrower
from regauge.weights.mapping import WeightEntry, WeightMap
from regauge.weights.pair_map import Kind, PairMap, Part, from_weight_map, merged_groups, reversed_map


def kinds(**shapes):
    return {name: Kind(shape, "float32") for name, shape in shapes.items()}


QKV = PairMap(
    (
        Part("qkv", "q", (("permute", (1, 0)),), take=((0, 0, 2),)),
        Part("qkv", "kv", (("permute", (1, 0)), ("reshape", (1, 3, 2))), take=((0, 2, 4),), put=((0, 0, 1),)),
        Part("qkv", "kv", (("permute", (1, 0)), ("reshape", (1, 3, 2))), take=((0, 4, 6),), put=((0, 1, 2),)),
        Part("other", "flipped", (("flip", (0,)),)),
    ),
    kinds(qkv=(6, 3), other=(4,), twin=(4,), counter=()),
    kinds(q=(3, 2), kv=(2, 3, 2), flipped=(4,), again=(4,), table=(5,)),
    tied_sources={"twin": "other"},
    tied_targets={"again": "flipped"},
    absent_sources={"counter": "nothing reads it"},
    absent_targets={"table": "computed"},
    evidence={"q": "value"},
)
ARRAYS = {"qkv": np.arange(18, dtype=np.float32).reshape(6, 3), "other": np.arange(4, dtype=np.float32)}


def test_parts_are_put_where_they_belong():
    found = QKV.to_targets(ARRAYS)
    np.testing.assert_array_equal(found["q"], ARRAYS["qkv"][:2].T)
    np.testing.assert_array_equal(found["kv"], [ARRAYS["qkv"][2:4].T, ARRAYS["qkv"][4:].T])
    assert found["flipped"].tolist() == found["again"].tolist() == [3, 2, 1, 0]
    assert set(found) == {"q", "kv", "flipped", "again"}


def test_the_way_back_gives_the_same_bits():
    back = QKV.to_sources(QKV.to_targets(ARRAYS))
    assert set(back) == {"qkv", "other", "twin"}
    for name, array in (ARRAYS | {"twin": ARRAYS["other"]}).items():
        assert back[name].tobytes() == array.tobytes()
    reverse = reversed_map(QKV)
    reverse.validate()
    np.testing.assert_array_equal(reverse.to_target("qkv", QKV.to_targets(ARRAYS)), ARRAYS["qkv"])
    assert reversed_map(reverse).parts == QKV.parts
    assert reverse.tied_targets == QKV.tied_sources


def test_views_are_given_where_no_copy_is_needed():
    assert np.shares_memory(QKV.to_target("flipped", ARRAYS), ARRAYS["other"])


def test_a_whole_map_is_valid_and_survives_json():
    QKV.validate()
    QKV.validate({n: k.shape for n, k in QKV.sources.items()}, {n: k.shape for n, k in QKV.targets.items()})
    text = json.dumps(QKV.to_json())
    read = PairMap.from_json(json.loads(text))
    assert json.dumps(read.to_json()) == text
    assert set(read.parts) == set(QKV.parts)


def without(part):
    return replace(QKV, parts=tuple(p for p in QKV.parts if p is not part))


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (without(QKV.parts[0]), "converted q: not mapped"),
        (without(QKV.parts[0]), "original qkv: 6 of 18 elements are not mapped"),
        (without(QKV.parts[2]), "converted kv: 6 of 12 elements are not mapped"),
        (replace(QKV, parts=(*QKV.parts, QKV.parts[3])), "original other: 4 of 4 elements are mapped more than once"),
        (replace(QKV, parts=(*QKV.parts, Part("no", "q"))), "original no: no such tensor"),
        (replace(QKV, tied_sources={"twin": "counter"}), "original twin: tied to counter, which is not mapped itself"),
        (replace(QKV, tied_sources={}), "original twin: not mapped"),
        (replace(QKV, absent_sources={"counter": ""}), "original counter: absent without a reason"),
        (replace(QKV, absent_targets={"table": "x", "q": "y"}), "converted q: mapped, tied and absent at once"),
        (replace(QKV, parts=(*QKV.parts[:3], Part("other", "flipped", (("flip", (1,)),)))),
         r"converted flipped: from other, flip \[1\] does not fit the shape \[4\]"),
        (replace(QKV, parts=(*QKV.parts[:3], Part("other", "flipped", take=((0, 1, 3),)))),
         r"has shape \(2,\), the place has \(4,\)"),
        (replace(QKV, parts=(*QKV.parts[:3], Part("other", "flipped", take=((0, 1, 9),)))),
         r"the range \(0, 1, 9\) does not fit the shape \(4,\)"),
        (replace(QKV, parts=(*QKV.parts[:3], Part("other", "flipped", view=(5,)))), r"the view \(5,\) does not fit"),
        (replace(QKV, parts=(*QKV.parts[:3], replace(QKV.parts[3], merged=True))),
         "converted flipped: 1 merged parts at one place, must be 2"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(broken, message):
    with pytest.raises(WeightMismatch, match=message):
        broken.validate()


def test_all_problems_come_at_once():
    broken = replace(QKV, tied_sources={}, absent_targets={}, parts=QKV.parts[1:])
    with pytest.raises(WeightMismatch) as caught:
        broken.validate()
    assert len(caught.value.details) == 4


def test_a_model_that_has_changed_since_is_told():
    sources = {name: kind.shape for name, kind in QKV.sources.items()}
    with pytest.raises(WeightMismatch, match=r"original qkv: has shape \(6, 4\), the map says \(6, 3\)"):
        QKV.validate(sources | {"qkv": (6, 4)})
    with pytest.raises(WeightMismatch, match="original new: not mapped"):
        QKV.validate(sources | {"new": (1,)})
    with pytest.raises(WeightMismatch, match="original other: no such tensor"):
        QKV.validate({name: shape for name, shape in sources.items() if name != "other"})


def test_arrays_that_do_not_fit_are_refused():
    with pytest.raises(WeightMismatch, match="other: missing"):
        QKV.to_target("flipped", {})
    with pytest.raises(WeightMismatch, match=r"other: has shape \(5,\), the map says \(4,\)"):
        QKV.to_target("flipped", {"other": np.zeros(5)})
    with pytest.raises(WeightMismatch, match="nothing is mapped to table"):
        QKV.to_target("table", ARRAYS)
    with pytest.raises(WeightMismatch, match="counter is not mapped"):
        QKV.to_source("counter", {})


SUM = PairMap(
    (Part("b_ih", "bias", merged=True), Part("b_hh", "bias", merged=True)),
    kinds(b_ih=(3,), b_hh=(3,)),
    kinds(bias=(3,)),
)


def test_sums_go_forward_only():
    SUM.validate()
    one, two = np.array([1, 2, 3], np.float32), np.array([10, 20, 0.1], np.float32)
    np.testing.assert_array_equal(SUM.to_target("bias", {"b_ih": one, "b_hh": two}), one + two)
    assert SUM.merged_sources == ("b_hh", "b_ih")
    assert SUM.to_sources({"bias": one}) == {}
    with pytest.raises(WeightMismatch, match="b_ih cannot be given back: it is added to another"):
        SUM.to_source("b_ih", {"bias": one})
    with pytest.raises(WeightMismatch, match="no way back"):
        reversed_map(SUM)
    assert PairMap.from_json(SUM.to_json()).parts == tuple(sorted(SUM.parts, key=lambda part: part.source))


def test_sums_of_several_places_have_a_name_each():
    """The gates r and z of a GRU are sums, n is not; fused in one tensor the ranges tell them apart."""
    rows = [((0, 3 * k, 3 * k + 3),) for k in range(3)]
    apart = [
        *(
            Part(f"b_{side}", f"{gate}.bias", take=rows[k], merged=True)
            for k, gate in enumerate("rz")
            for side in ("ih", "hh")
        ),
        *(Part(f"b_{side}", f"{side}_n.bias", take=rows[2]) for side in ("ih", "hh")),
    ]
    targets = {f"{name}.bias": (3,) for name in ("r", "z", "ih_n", "hh_n")}
    found = PairMap(tuple(apart), kinds(b_ih=(9,), b_hh=(9,)), kinds(**targets))
    found.validate()
    groups = merged_groups(found)
    assert {name: [part.source for part in parts] for name, parts in groups.items()} == {
        "b_hh + b_ih in r.bias": ["b_hh", "b_ih"],
        "b_hh + b_ih in z.bias": ["b_hh", "b_ih"],
        "b_ih in ih_n.bias": ["b_ih"],
        "b_hh in hh_n.bias": ["b_hh"],
    }
    fused = [
        Part(f"b_{side}", "bias", take=rows[k], put=rows[k], merged=True) for k in range(2) for side in ("ih", "hh")
    ]
    assert [*merged_groups(PairMap(tuple(fused), kinds(b_ih=(6,), b_hh=(6,)), kinds(bias=(6,))))] == [
        "b_hh + b_ih in bias[0:3]",
        "b_hh + b_ih in bias[3:6]",
    ]


def test_bfloat16_is_added_as_the_frameworks_do():
    random = np.random.default_rng(0)
    a, b = (random.standard_normal(200).astype(ml_dtypes.bfloat16) for _ in range(2))
    found = added(a.view(np.uint16), b.view(np.uint16), "bfloat16")
    np.testing.assert_array_equal(found, (a + b).view(np.uint16))


@pytest.mark.parametrize("wanted", ["bfloat16", "float16", "float32"])
def test_a_cast_gives_the_bits_of_that_dtype(wanted):
    special = np.array(
        [0.0, -0.0, 1.0, 1 / 3, np.inf, -np.inf, 1e-40, 65519, 3.4e38, 1.00390625, 1.01171875], np.float32
    )
    with np.errstate(over="ignore"):
        expected = special.astype(ml_dtypes.bfloat16 if wanted == "bfloat16" else wanted)
    np.testing.assert_array_equal(bits(special, "float32", wanted), expected.view(f"u{expected.itemsize}"))
    np.testing.assert_array_equal(as_float64(expected, wanted), expected.astype(np.float64))


def test_the_narrower_of_two_dtypes():
    assert narrower("float32", "bfloat16") == "bfloat16"
    assert narrower("int64", "int32") == "int32"
    assert narrower("float32", "int32") is None
    assert narrower("float8_e4m3", "float32") is None


def test_a_map_of_a_conversion_becomes_a_pair_map():
    entries = (WeightEntry("a.weight", "a.kernel", (("permute", (1, 0)),), (2, 3)), WeightEntry("t", "t", (), (2,)))
    converted = WeightMap(entries, {"tied": "t"}, {"count": "a counter that nothing reads"})
    found = from_weight_map(converted)
    found.validate()
    arrays = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "t": np.zeros(2, np.float32)}
    np.testing.assert_array_equal(found.to_target("a.kernel", arrays), entries[0].to_target(arrays["a.weight"]))
    assert found.tied_sources == {"tied": "t"}
    assert found.sources["tied"] == Kind((2,), "float32")
    assert found.absent_sources == converted.unused


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"schema": 2},
        {**QKV.to_json(), "entries": [{"target": "q"}]},
        {**QKV.to_json(), "entries": [{"target": "q", "from": [{"source": "qkv", "tkae": []}]}]},
        {**QKV.to_json(), "entries": [{"target": "q", "from": [{"source": "qkv", "take": [[0, 1]]}]}]},
        {**QKV.to_json(), "tied": []},
    ],
)
def test_json_of_another_form_is_refused(data):
    with pytest.raises(WeightMismatch, match="the weight map"):
        PairMap.from_json(data)


def test_a_step_that_is_none_is_refused():
    with pytest.raises(WeightMismatch, match="a step must be"):
        moves.parse([["rotate", [1]]])


@given(st.lists(st.sampled_from(["permute", "reshape", "flip"]), max_size=5), st.randoms(use_true_random=False))
def test_steps_are_undone_by_their_inverse(names, random):
    shape, steps = (2, 3, 4), []
    for name in names:
        if name == "reshape":
            sizes = random.choice([(24,), (6, 4), (2, 3, 4), (4, 1, 6)])
        else:
            axes = random.sample(range(len(shape)), len(shape))
            sizes = tuple(axes if name == "permute" else axes[:1])
        steps.append((name, sizes))
        shape = moves.result_shape(((name, sizes),), shape)
    array = np.arange(24).reshape(2, 3, 4)
    made = moves.apply(array, tuple(steps))
    assert made.shape == moves.result_shape(tuple(steps), (2, 3, 4))
    np.testing.assert_array_equal(moves.apply(made, moves.inverse(tuple(steps), (2, 3, 4))), array)
    np.testing.assert_array_equal(moves.apply(array, moves.simplified(tuple(steps), (2, 3, 4))), made)
