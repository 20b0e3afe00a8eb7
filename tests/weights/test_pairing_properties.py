"""Any renaming and relayout of any tree with random values is found exactly, or left open; it is never wrong."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from regauge.weights.pair_map import PairMap
from regauge.weights.pairing import TensorInfo, infer

SIZES = st.sampled_from([1, 2, 3, 4, 4, 6, 8])
SHAPES = st.one_of(
    st.tuples(SIZES),
    st.tuples(st.sampled_from([3, 4, 8]), st.sampled_from([4, 8])),
    st.sampled_from([(4, 4), (8, 8), (6, 6)]),
    st.tuples(st.sampled_from([4, 8]), st.sampled_from([1, 4]), st.just(3), st.just(3)),
    st.tuples(st.sampled_from([4, 8]), st.just(4), st.sampled_from([3, 4])),
)
WORDS = st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=6)
CHANGES = st.sampled_from(["as it is", "transposed", "flipped", "heads", "rolled axes", "gates"])


def changed(array: np.ndarray, change: str) -> np.ndarray:
    if change == "transposed":
        return array.transpose((*range(2, array.ndim), 1, 0)) if array.ndim > 1 else array
    if change == "flipped" and array.ndim == 4:
        return array.transpose(2, 3, 0, 1)[::-1, ::-1]
    if change == "heads" and array.shape in ((8, 8), (4, 8), (4, 4)):
        return array.T.reshape(array.shape[1], 2, array.shape[0] // 2)
    if change == "rolled axes" and array.ndim > 1:
        return np.moveaxis(array, 0, -1)
    if change == "gates" and array.ndim == 2 and array.shape[0] % 4 == 0:
        i, f, g, o = np.split(array, 4)
        return np.concatenate([i, g, f, o]).T
    return array


@st.composite
def twins(draw):
    """(shapes of the original, recipe of the converted model): renamed, laid out anew, some fused and stacked."""
    count = draw(st.integers(1, 9))
    names = draw(st.lists(WORDS, min_size=count, max_size=count, unique=True))
    shapes = {f"{name}.{draw(st.sampled_from(['weight', 'bias', 'x']))}": draw(SHAPES) for name in names}
    if draw(st.booleans()):
        shape = draw(SHAPES)
        shapes |= {f"stack{n}.weight": shape for n in range(draw(st.integers(2, 5)))}
    renamed = draw(st.lists(WORDS, min_size=len(shapes), max_size=len(shapes), unique=True))
    changes = draw(st.lists(CHANGES, min_size=len(shapes), max_size=len(shapes)))
    grouped = draw(st.sampled_from(["apart", "stacked", "concatenated"]))
    leaf = draw(st.sampled_from(["kernel", "w", "thing"]))

    def recipe(arrays):
        made = {}
        for name, other, change in zip(shapes, renamed, changes, strict=True):
            if not name.startswith("stack") or grouped == "apart":
                made[f"{other}/{leaf}"] = changed(arrays[name], change)
        members = [arrays[name] for name in shapes if name.startswith("stack")]
        if members and grouped == "stacked":
            made["all/kernel"] = np.stack([changed(member, "transposed") for member in members])
        if members and grouped == "concatenated" and len(members) <= 4:
            made["all/kernel"] = changed(np.concatenate(members), "transposed")
        elif members and grouped == "concatenated":
            made |= {f"all{n}/kernel": member for n, member in enumerate(members)}
        return made

    return shapes, recipe


def values(shapes, seed):
    random = np.random.default_rng(seed)
    return {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def infos(arrays):
    return [TensorInfo(name, array.shape, array.dtype.name, values=array) for name, array in arrays.items()]


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].shape == array.shape, name
        assert np.ascontiguousarray(found[name]).tobytes() == np.ascontiguousarray(array).tobytes(), name


EASY = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@EASY
@given(twins(), st.integers(0, 1000))
def test_random_values_are_paired_exactly(twin, seed):
    shapes, recipe = twin
    arrays = values(shapes, seed)
    pairing = infer(infos(arrays), infos(recipe(arrays)))
    assert pairing.problems == ()
    found = pairing.require()
    others = values(shapes, seed + 1)  # a layout that fits by chance does not fit other values
    converted = recipe(others)
    assert_same(found.to_targets(others), converted)
    assert_same(found.to_sources(converted), others)


@EASY
@given(twins(), st.randoms(use_true_random=False))
def test_the_order_of_the_lists_changes_nothing(twin, random):
    shapes, recipe = twin
    arrays = values(shapes, 3)
    original, converted = infos(arrays), infos(recipe(arrays))
    first = infer(original, converted)
    random.shuffle(original)
    random.shuffle(converted)
    again = infer(original, converted)
    assert again.to_json() == first.to_json()


@EASY
@given(twins())
def test_a_map_given_back_from_json_gives_the_same(twin):
    shapes, recipe = twin
    arrays = values(shapes, 3)
    original, converted = infos(arrays), infos(recipe(arrays))
    found = infer(original, converted).require()
    read = PairMap.from_json(json.loads(json.dumps(found.to_json())))
    assert read.to_json() == found.to_json()
    assert infer(original, converted, given=read).require().to_json() == found.to_json()


@EASY
@given(twins(), st.data())
def test_with_zeros_the_map_is_right_or_open(twin, data):
    """Tensors without telling values: what is settled is right, what cannot be known is said."""
    shapes, recipe = twin
    arrays = values(shapes, 5)
    zeros = data.draw(st.sets(st.sampled_from(sorted(shapes)), max_size=3))
    arrays |= {name: np.zeros_like(arrays[name]) for name in zeros}
    pairing = infer(infos(arrays), infos(recipe(arrays)))
    assert not pairing.missing or pairing.map is None
    if pairing.map is not None:
        assert_same(pairing.map.to_targets(arrays), recipe(arrays))
    others = values(shapes, 6)
    truth = recipe(others)
    for name, parts in pairing.partial.by_target.items():
        if all(part.source not in zeros for part in parts):
            np.testing.assert_array_equal(pairing.partial.to_target(name, others), truth[name], err_msg=name)


@EASY
@given(twins(), st.data())
def test_a_missing_tensor_is_never_replaced_by_another(twin, data):
    shapes, recipe = twin
    assume(len(shapes) > 2)  # of two, one that is left does not show that the values belong together
    arrays = values(shapes, 7)
    converted = recipe(arrays)
    lost = data.draw(st.sampled_from(sorted(converted)))
    random = np.random.default_rng(8)
    fake = {"other/kernel": random.standard_normal(converted[lost].shape).astype(np.float32)}
    rest = {name: array for name, array in converted.items() if name != lost} | fake
    pairing = infer(infos(arrays), infos(rest))
    assert pairing.map is None
    assert "other/kernel" in {found.name.partition("[")[0] for found in pairing.missing}


@st.composite
def networks(draw):
    """(original, converted, fresh original, fresh converted): layers renamed module by module, their biases zero."""
    names = draw(st.lists(WORDS, min_size=2, max_size=6, unique=True))
    others = draw(st.lists(WORDS, min_size=len(names), max_size=len(names), unique=True))
    fused = draw(st.booleans())
    sizes = draw(st.lists(st.sampled_from([4, 6]), min_size=len(names), max_size=len(names)))
    transposed = draw(st.booleans())

    def sides(seed, zero):
        random = np.random.default_rng(seed)
        original, converted = {}, {}
        for name, other, size in zip(names, others, sizes, strict=True):
            weight = random.standard_normal((size, size)).astype(np.float32)
            bias = np.zeros(size, np.float32) if zero else random.standard_normal(size).astype(np.float32)
            original |= {f"{name}.weight": weight, f"{name}.bias": bias}
            kernel = weight.T if transposed else weight
            if fused and size == 4:
                for n, (w, b) in enumerate(zip(np.split(weight, 2), np.split(bias, 2), strict=True)):
                    part = f"part_{other}_{'ab'[n]}"
                    converted |= {f"{part}.kernel": w.T if transposed else w, f"{part}.bias": b}
            else:
                converted |= {f"{other}.kernel": kernel, f"{other}.bias": bias}
        return original, converted

    return sides(0, True), sides(1, False)


@EASY
@given(networks())
def test_zero_biases_go_with_the_kernels_of_their_modules(network):
    (original, converted), (fresh, expected) = network
    pairing = infer(infos(original), infos(converted))
    assert pairing.problems == ()
    assert_same(pairing.require().to_targets(fresh), expected)


def test_a_bias_has_the_gates_where_the_values_of_its_kernel_have_them():
    random = np.random.default_rng(0)
    kernels = [random.standard_normal((4, 4)).astype(np.float32) for _ in range(2)]
    zeros = np.zeros(4, np.float32)
    original = {"g.weight": kernels[0], "g.bias": zeros, "hh.weight": kernels[1], "hh.bias": zeros}
    converted = {"a.kernel": kernels[0], "a.bias": zeros, "aa.kernel": kernels[1], "aa.bias": zeros}
    pairing = infer(infos(original), infos(converted))
    assert pairing.problems == ()
    marked = {name: np.arange(4, dtype=np.float32) if name == "hh.bias" else array for name, array in original.items()}
    assert_same(pairing.require().to_targets(marked), {**converted, "aa.bias": marked["hh.bias"]})
