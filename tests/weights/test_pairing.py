"""The map between two models: known networks in the words of two libraries, and everything that can be wrong."""

from __future__ import annotations

import json
import time

import ml_dtypes
import numpy as np
import pytest
from named_networks import TWINS, bert, gpt2, interleaved, layer_shapes, mixer, scanned

from regauge.errors import WeightMismatch
from regauge.weights.pair_map import PairMap
from regauge.weights.pairing import TensorInfo, infer


def info(name, values, **more):
    return TensorInfo(name, values.shape, values.dtype.name, values=values, **more)


def infos(arrays):
    return [info(name, array) for name, array in arrays.items()]


def normal(*shape, seed=0):
    return np.random.default_rng((seed, *shape)).standard_normal(shape).astype(np.float32)


def assert_right(pair_map, twin):
    """The map turns any arrays of the original into those of the recipe, and back."""
    fresh = twin.arrays(seed=11)
    expected = twin.recipe(fresh)
    found = pair_map.to_targets(fresh)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    for name, array in pair_map.to_sources(expected).items():
        np.testing.assert_array_equal(array, fresh[name], err_msg=name)
    given_back = set(pair_map.to_sources(expected))
    assert given_back | set(pair_map.merged_sources) | set(pair_map.absent_sources) == set(fresh)


@pytest.mark.parametrize("initial", [False, True], ids=["trained", "initial"])
@pytest.mark.parametrize("name", TWINS)
def test_known_networks_are_paired_by_their_values(name, initial):
    """`initial`: biases zero, scales one, so that only names and modules can place them."""
    twin = TWINS[name]()
    pairing = infer(*twin.infos(twin.arrays(initial=initial)))
    assert pairing.problems == ()
    assert pairing.findings == ()
    assert_right(pairing.require(), twin)


@pytest.mark.parametrize("name", [name for name, make in TWINS.items() if make().nameless])
def test_known_networks_are_paired_by_their_names(name):
    twin = TWINS[name]()
    pairing = infer(*twin.infos(twin.arrays(), values=False))
    assert pairing.problems == ()
    assert_right(pairing.require(), twin)
    assert set(pairing.evidence.values()) <= {"name", "only shape that fits"}


@pytest.mark.parametrize("make", [scanned, interleaved])
def test_the_order_of_fused_parts_is_open_without_values(make):
    twin = make()
    pairing = infer(*twin.infos(twin.arrays(), values=False))
    assert pairing.map is None
    assert {"qkv" in a.name or "query_key_value" in a.name for a in pairing.ambiguities} == {True}
    answers = infer(*twin.infos(twin.arrays(), values=False), decide=lambda question: question.candidates[0])
    assert answers.map is not None


def test_what_is_settled_says_why():
    twin = gpt2()
    pairing = infer(*twin.infos(twin.arrays(initial=True)))
    assert pairing.evidence["transformer.h.0.attn.c_attn.kernel"] == "value"
    assert pairing.evidence["transformer.h.0.attn.c_attn.bias"] == "name"
    found = pairing.require()
    assert found.tied_sources == {"lm_head.weight": "transformer.wte.weight"}
    assert found.absent_sources["transformer.h.0.attn.bias"] == "a causal mask that the other side computes"


def test_tied_without_values_is_missing_until_it_is_given():
    twin = gpt2()
    original, converted = twin.infos(twin.arrays(), values=False)
    pairing = infer(original, converted)
    assert [m.name for m in pairing.missing] == ["lm_head.weight"]
    assert pairing.missing[0].near[0] == ("transformer.wte.embedding", "belongs to transformer.wte.weight")
    given = {"lm_head.weight": "transformer.wte.embedding", "transformer.wte.weight": "transformer.wte.embedding"}
    found = infer(original, converted, given=given).require()
    assert found.tied_sources == {"transformer.wte.weight": "lm_head.weight"}


def test_tied_on_the_other_side():
    table = normal(9, 4)
    found = infer(infos({"embed.weight": table}), infos({"embed.embedding": table, "head.embedding": table})).require()
    assert found.tied_targets == {"head.embedding": "embed.embedding"}
    np.testing.assert_array_equal(found.to_target("head.embedding", {"embed.weight": table}), table)


def test_copies_that_do_not_share_memory_are_told():
    table = normal(9, 4)
    pairing = infer(infos({"a.weight": table, "b.weight": table.copy()}), infos({"a.embedding": table}))
    assert pairing.require().tied_sources == {"b.weight": "a.weight"}
    assert [finding.code for finding in pairing.findings] == ["W152"]


def test_names_that_lie_lose_against_values():
    """Two layers alike in shape, whose names are exchanged in the port: the values decide, and it is said."""
    first, second = normal(6, 6, seed=1), normal(6, 6, seed=2)
    other = {"layer0/kernel": second.T, "layer1/kernel": first.T}
    pairing = infer(infos({"layer0.weight": first, "layer1.weight": second}), infos(other))
    found = pairing.require()
    assert {part.source: part.target for part in found.parts} == {
        "layer0.weight": "layer1/kernel",
        "layer1.weight": "layer0/kernel",
    }
    assert {finding.code for finding in pairing.findings} == {"W150"}


def test_a_square_matrix_that_is_not_transposed_is_remarkable():
    arrays = {f"layers.{n}.weight": normal(6, 6, seed=n) for n in range(5)}
    converted = {f"layers_{n}.kernel": arrays[f"layers.{n}.weight"].T for n in range(5)}
    converted["layers_3.kernel"] = arrays["layers.3.weight"]
    pairing = infer(infos(arrays), infos(converted))
    assert pairing.require().by_target["layers_3.kernel"][0].layout == ()
    assert [(finding.code, finding.where) for finding in pairing.findings] == [("W151", "layers_3.kernel")]


def test_rounded_weights_are_paired_and_told():
    arrays = {f"layers.{n}.weight": normal(6, 6, seed=n) for n in range(4)}
    rounded = {f"x{n}.kernel": arrays[f"layers.{n}.weight"].T for n in range(4)}
    rounded["x2.kernel"] = rounded["x2.kernel"].astype(ml_dtypes.bfloat16).astype(np.float32)
    pairing = infer(infos(arrays), infos(rounded))
    part = pairing.require().by_target["x2.kernel"][0]
    assert (part.source, part.layout) == ("layers.2.weight", (("permute", (1, 0)),))
    assert [(finding.code, finding.where) for finding in pairing.findings] == [("W154", "x2.kernel")]


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.float16, np.float64])
def test_a_cast_on_one_side_does_not_hide_the_values(dtype):
    arrays = {f"layers.{n}.weight": normal(6, 6, seed=n) for n in range(4)}
    cast = {f"x{n}.kernel": arrays[f"layers.{3 - n}.weight"].T.astype(dtype) for n in range(4)}
    pairing = infer(infos(arrays), infos(cast))
    assert {part.source[7]: part.target[1] for part in pairing.require().parts} == {
        "0": "3",
        "1": "2",
        "2": "1",
        "3": "0",
    }
    assert {finding.code for finding in pairing.findings} == {"W150", "W155"}, "the dtype, and that the numbers lie"


def test_bits_of_bfloat16_are_read_too():
    arrays = {f"layers.{n}.weight": normal(6, 6, seed=n) for n in range(2)}
    bits = [
        TensorInfo(f"x{n}.kernel", (6, 6), "bfloat16",
                   values=arrays[f"layers.{1 - n}.weight"].T.astype(ml_dtypes.bfloat16).view(np.uint16))
        for n in range(2)
    ]  # fmt: skip
    found = infer(infos(arrays), bits).require()
    assert found.by_target["x0.kernel"][0].source == "layers.1.weight"


def test_models_that_never_shared_weights_are_paired_by_name_and_told():
    twin = bert()
    original, _ = twin.infos(twin.arrays(seed=1))
    _, converted = twin.infos(twin.arrays(seed=2))
    pairing = infer(original, converted)
    assert_right(pairing.require(), twin)
    assert [finding.code for finding in pairing.findings] == ["W153"]


def test_twins_of_zeros_are_never_settled():
    original = {"left.weight": normal(3, 4), "a.scale": np.zeros(5, np.float32), "b.scale": np.zeros(5, np.float32)}
    converted = {"l.kernel": original["left.weight"].T, "p.scale": np.zeros(5, np.float32),
                 "q.scale": np.zeros(5, np.float32)}  # fmt: skip
    pairing = infer(infos(original), infos(converted))
    assert pairing.map is None
    assert [(a.name, a.candidates, a.alike) for a in pairing.ambiguities] == [
        ("a.scale", ("p.scale", "q.scale"), ("b.scale",)),
        ("b.scale", ("p.scale", "q.scale"), ("a.scale",)),
    ]
    assert "activation" in pairing.ambiguities[0].decides
    with pytest.raises(WeightMismatch, match=r"a\.scale: may be p\.scale or q\.scale"):
        pairing.require()


def test_someone_else_decides():
    zeros = np.zeros(5, np.float32)
    questions = []

    def decide(question):
        questions.append(question.name)
        return "q.scale" if question.name == "a.scale" else None

    pairing = infer(infos({"a.scale": zeros, "b.scale": zeros}), infos({"p.scale": zeros, "q.scale": zeros}),
                    decide=decide)  # fmt: skip
    assert {p.source: p.target for p in pairing.require().parts} == {"a.scale": "q.scale", "b.scale": "p.scale"}
    assert pairing.evidence == {"q.scale": "given", "p.scale": "only shape that fits"}
    assert questions == ["a.scale"], "what follows is not asked again"


def test_a_decision_for_what_was_not_offered_is_refused():
    zeros = np.zeros(5, np.float32)
    with pytest.raises(WeightMismatch, match="the answer for a is not among the candidates"):
        infer(infos({"a": zeros, "b": zeros}), infos({"p": zeros, "q": zeros}), decide=lambda question: "other")


def test_a_missing_tensor_is_named_with_what_comes_near():
    twin = bert()
    arrays = twin.arrays()
    original, converted = twin.infos(arrays)
    lost = "params.encoder.layer.1.output.dense.kernel"
    pairing = infer(original, [found for found in converted if found.name != lost])
    assert [(m.side, m.name) for m in pairing.missing] == [("original", "encoder.layer.1.output.dense.weight")]
    assert pairing.missing[0].near
    with pytest.raises(WeightMismatch, match=r"original encoder\.layer\.1\.output\.dense\.weight"):
        pairing.require()


def test_an_extra_tensor_is_named():
    twin = bert()
    original, converted = twin.infos(twin.arrays())
    pairing = infer(original, [*converted, info("params.encoder.layer.1.gate.kernel", normal(16, 7))])
    assert [(m.side, m.name) for m in pairing.missing] == [("converted", "params.encoder.layer.1.gate.kernel")]


@pytest.mark.parametrize("values", [True, False])
def test_a_wrong_shape_is_named_on_both_sides(values):
    twin = bert()
    original, converted = twin.infos(twin.arrays(), values)
    name = "params.encoder.layer.1.intermediate.dense.kernel"
    wrong = normal(16, 31)
    converted = [TensorInfo(name, wrong.shape, values=wrong if values else None) if c.name == name else c
                 for c in converted]  # fmt: skip
    pairing = infer(original, converted)
    assert {m.name for m in pairing.missing} == {name, "encoder.layer.1.intermediate.dense.weight"}
    near = {m.side: dict(m.near) for m in pairing.missing}
    assert near["original"][name] == "has shape [16, 31], 496 elements and not 512"


def test_two_tensors_of_one_name_are_refused():
    with pytest.raises(WeightMismatch, match="two tensors of one model have the same name"):
        infer([info("a", normal(2)), info("a", normal(3))], [])


def test_empty_models_have_an_empty_map():
    assert infer([], []).require().parts == ()


ZEROS = np.zeros(5, np.float32)


@pytest.mark.parametrize(
    "given",
    [{"a.scale": "q.scale"}, lambda name: "q.scale" if name == "a.scale" else None],
    ids=["dict", "function"],
)
def test_what_is_given_is_believed_and_settles_the_rest(given):
    pairing = infer(
        infos({"a.scale": ZEROS, "b.scale": ZEROS}), infos({"p.scale": ZEROS, "q.scale": ZEROS}), given=given
    )
    assert {p.source: p.target for p in pairing.require().parts} == {"a.scale": "q.scale", "b.scale": "p.scale"}
    assert pairing.evidence["q.scale"] == "given"


def test_names_that_belong_together_are_given_in_groups():
    parts = {word: normal(4, 6, seed=n) for n, word in enumerate("abc")}
    original = {"zz.weight": np.concatenate(list(parts.values()))}
    converted = {f"{word}/kernel": array.T for word, array in parts.items()}
    pairing = infer(infos(original), infos(converted), given={"zz.weight": ["a/kernel", "b/kernel", "c/kernel"]})
    np.testing.assert_array_equal(pairing.require().to_target("b/kernel", original), converted["b/kernel"])
    assert set(pairing.evidence.values()) == {"given"}


def test_a_tensor_can_be_said_to_have_no_counterpart():
    pairing = infer(infos({"a.weight": normal(3, 4), "table": normal(7)}), infos({"a.kernel": normal(3, 4).T}),
                    given={"table": None})  # fmt: skip
    assert pairing.require().absent_sources == {"table": "a person says that the other side has none"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"nothing": "a.kernel"}, "given: the original has no tensor nothing"),
        ({"a.weight": "nothing"}, "given: the converted model has no tensor nothing, named for a.weight"),
        ({"a.weight": "b.kernel"}, "the number of elements differs"),
    ],
)
def test_what_is_given_wrongly_is_refused(given, message):
    original = {"a.weight": normal(3, 4), "b.weight": normal(5, 2)}
    converted = {"a.kernel": normal(3, 4).T, "b.kernel": normal(5, 2).T}
    with pytest.raises(WeightMismatch, match=message):
        infer(infos(original), infos(converted), given=given).require()


def test_a_map_is_saved_edited_and_given_back():
    twin = mixer()
    original, converted = twin.infos(twin.arrays())
    found = infer(original, converted).require()
    data = json.loads(json.dumps(found.to_json()))
    entry = next(entry for entry in data["entries"] if entry["target"] == "MixerBlock_1.token_mixing.Dense_0.kernel")
    assert entry["from"] == [{"source": "blocks.1.mlp_tokens.fc1.weight", "layout": [["permute", [1, 0]]]}]
    assert infer(original, converted, given=PairMap.from_json(data)).require().to_json() == found.to_json()
    entry["from"][0]["layout"] = []  # a person says otherwise
    edited = infer(original, converted, given=PairMap.from_json(data)).require()
    assert edited.by_target[entry["target"]][0].layout == ()
    data["entries"].remove(entry)  # what a person takes out is inferred again
    again = infer(original, converted, given=PairMap.from_json(data))
    assert again.require().by_target[entry["target"]][0].layout == (("permute", (1, 0)),)


def test_a_thousand_tensors_within_seconds():
    twin = bert(60, 48, 96)
    original, converted = twin.infos(twin.arrays(initial=True))
    assert len(original) > 950
    begin = time.perf_counter()
    assert infer(original, converted).map is not None
    assert time.perf_counter() - begin < 30  # 3 s on an idle core; others may use this one


def test_layers_beyond_nine_are_counted_as_numbers():
    shapes = {}
    for n in range(12):
        shapes |= layer_shapes(f"layers.{n}.", {"fc": (6, 6)})
    bare = [TensorInfo(name, shape) for name, shape in shapes.items()]
    other = [TensorInfo(name.replace("layers.", "Dense_").replace("fc.weight", "kernel").replace("fc.", ""), shape)
             for name, shape in shapes.items()]  # fmt: skip
    found = infer(bare, other).require()
    assert {p.source: p.target for p in found.parts if "bias" in p.source} == {
        f"layers.{n}.fc.bias": f"Dense_{n}.bias" for n in range(12)
    }


def test_numbers_that_begin_at_one_are_places():
    original = [TensorInfo(f"layers.{n}.weight", (4, 3)) for n in range(3)]
    converted = [TensorInfo(f"layer_{n}.kernel", (3, 4)) for n in range(1, 4)]
    found = infer(original, converted).require()
    assert [found.by_source[f"layers.{n}.weight"][0].target for n in range(3)] == [
        f"layer_{n}.kernel" for n in (1, 2, 3)
    ]


def test_a_square_kernel_follows_its_like_or_stays_open():
    """Without values: the layout of the rectangular ones, else what the last words mean, else open."""
    original = [TensorInfo("a.w1", (3, 4)), TensorInfo("b.w1", (5, 5))]
    same = infer(original, [TensorInfo("a.w1", (3, 4)), TensorInfo("b.w1", (5, 5))]).require()
    assert same.by_target["b.w1"][0].layout == ()
    turned = infer(original, [TensorInfo("a.w1", (4, 3)), TensorInfo("b.w1", (5, 5))]).require()
    assert turned.by_target["b.w1"][0].layout == (("permute", (1, 0)),)
    custom = infer([TensorInfo("b.weight", (5, 5))], [TensorInfo("b.kernel", (5, 5))]).require()
    assert custom.by_target["b.kernel"][0].layout == (("permute", (1, 0)),)
    alone = infer([TensorInfo("b.weight", (5, 5))], [TensorInfo("b.weight", (5, 5))])
    assert [(a.kind, a.candidates) for a in alone.ambiguities] == [("layout", ("as it is", "permute [1, 0]"))]
    chosen = infer([TensorInfo("b.weight", (5, 5))], [TensorInfo("b.weight", (5, 5))], decide=lambda q: q.candidates[1])
    assert chosen.require().by_target["b.weight"][0].layout == (("permute", (1, 0)),)


def test_a_zero_bias_beside_reordered_gates_is_reordered_too():
    kernel = normal(8, 3)
    i, f, g, o = np.split(kernel, 4)
    original = {"cell.weight": kernel, "cell.bias": np.zeros(8, np.float32)}
    converted = {"cell.kernel": np.concatenate([i, g, f, o]).T, "cell.bias": np.zeros(8, np.float32)}
    found = infer(infos(original), infos(converted)).require()
    bias = found.to_target("cell.bias", original | {"cell.bias": np.arange(8, dtype=np.float32)})
    assert bias.tolist() == [0, 1, 4, 5, 2, 3, 6, 7]


def test_the_order_of_gates_is_open_without_values():
    shapes = {"cell.weight_ih": (28, 5), "cell.weight_hh": (28, 7)}
    original = [TensorInfo(name, shape) for name, shape in shapes.items()]
    converted = [TensorInfo("cell.dense_i.kernel", (5, 28)), TensorInfo("cell.dense_h.kernel", (7, 28))]
    pairing = infer(original, converted)
    assert [(a.name, a.target) for a in pairing.ambiguities] == [
        ("cell.weight_hh", "cell.dense_h.kernel"),
        ("cell.weight_ih", "cell.dense_i.kernel"),
    ]
    infer(original, converted, decide=lambda question: "gates in the same order").require()
    infer(original, [TensorInfo(name, shape) for name, shape in shapes.items()]).require()


def test_values_of_another_shape_are_refused():
    with pytest.raises(WeightMismatch, match=r"original a: is said to be \(2, 3\), its values are \(3,\)"):
        infer([TensorInfo("a", (2, 3), values=normal(3))], [])


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((0, 4), np.float32),
        np.array(2.5, np.float32),
        np.array(True),
        np.tri(5, dtype=bool),
        np.arange(7),
        np.array([1 + 2j, 3 - 1j], np.complex64),
        np.array([1 + 2j, 3 - 1j], np.complex128),
        np.array([np.nan, -0.0, np.inf], np.float32),
        normal(2, 1, 3, 1, 2, 2),
        np.asfortranarray(normal(4, 5)),
    ],
    ids=lambda array: f"{array.dtype}{list(array.shape)}",
)
def test_arrays_of_every_kind(array):
    original = {"a.table": array, "b.weight": normal(3, 5), "c.weight": normal(6, 7)}
    converted = {"x/table": array, "y/kernel": original["b.weight"].T, "z/kernel": original["c.weight"].T}
    found = infer(infos(original), infos(converted)).require()
    assert found.by_target["x/table"][0].source == "a.table"
    assert np.ascontiguousarray(found.to_target("x/table", original)).tobytes() == array.tobytes()


def test_layers_with_the_same_table_are_told_apart_by_name():
    mask = np.tri(4, dtype=np.float32)
    original = {f"layers.{n}.{name}": mask if name == "mask" else normal(4, 5, seed=n)
                for n in range(3) for name in ("mask", "weight")}  # fmt: skip
    converted = {f"block_{n}.{name}": mask if name == "mask" else normal(4, 5, seed=n).T
                 for n in range(3) for name in ("mask", "kernel")}  # fmt: skip
    found = infer(infos(original), infos(converted)).require()
    assert [found.by_target[f"block_{n}.mask"][0].source for n in range(3)] == [f"layers.{n}.mask" for n in range(3)]


def test_one_table_for_all_layers_is_tied():
    mask = np.tri(4, dtype=np.float32)
    original = {f"layers.{n}.mask": mask for n in range(3)} | {"head.weight": normal(4, 5)}
    found = infer(infos(original), infos({"mask": mask, "head.kernel": normal(4, 5).T})).require()
    assert len(found.tied_sources) == 2


def scrambled(twin, arrays, level, seed):
    """(tensors of the converted model under other names, the old name of each)"""
    random = np.random.default_rng(seed)
    made = twin.recipe(arrays)
    letters = lambda: "".join(random.choice(list("abcdefghijklmnop"), 5))  # noqa: E731
    modules = {name.rpartition(".")[0]: letters() for name in made}
    other = {
        "all": lambda n, name: f"t{n}",
        "modules": lambda n, name: f"{modules[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}",
        "half": lambda n, name: name if random.random() < 0.5 else f"zz{n}.q",
    }[level]
    renamed = {other(int(n), name): name for n, name in zip(random.permutation(len(made)), made, strict=True)}
    tensors = [
        info(new, made[old], role="buffer" if old in twin.buffers else "parameter") for new, old in renamed.items()
    ]
    return tensors, renamed


@pytest.mark.parametrize("level", ["all", "modules", "half"])
@pytest.mark.parametrize("name", TWINS)
def test_a_map_under_scrambled_names_is_right_or_there_is_none(name, level):
    """Trained values need no names; where zeros and ones leave it to names that fail elsewhere, it stays open."""
    twin = TWINS[name]()
    fresh = twin.arrays(seed=4)
    expected = twin.recipe(fresh)
    for initial in (False, True):
        arrays = twin.arrays(initial=initial)
        original, _ = twin.infos(arrays)
        for seed in range(2):
            converted, renamed = scrambled(twin, arrays, level, seed)
            found = infer(original, converted).map
            assert found is not None or initial
            for target, array in (found.to_targets(fresh) if found else {}).items():
                np.testing.assert_array_equal(array, expected[renamed[target]], err_msg=target)
