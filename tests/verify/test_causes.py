"""The registry of causes: what is tried, in which order, and that each alternative does what it says."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from flax import nnx

import regauge
from regauge.run.torch_alternatives import ALTERNATIVES, WEIGHTS
from regauge.run.torch_calls import arguments_of, with_arguments
from regauge.verify.causes import REGISTRY, Call, Situation, load_families, trials_for
from regauge.verify.changes import as_written, given_at, library_of
from regauge.verify.result import Place


def call(number: int, function: str, **arguments: object) -> Call:
    return Call(number, function, "norm", arguments)


def test_the_other_sides_constants_are_tried_first_and_the_call_alone_before_all_alike() -> None:
    calls = [call(0, "layer_norm", eps=1e-5), call(1, "layer_norm", eps=1e-5), call(2, "layer_norm", eps=1e-3)]
    trials = trials_for(Situation(calls, [1], constants=(7e-6,), kinds=frozenset({"outputs"})))
    first, second = trials[:2]
    assert (first.cause, first.own_value, first.other_value) == ("eps", "1e-05", "7e-06")
    assert (first.edits[0]["calls"], second.edits[0]["calls"]) == ([1], [0, 1])


def test_the_change_is_spelled_as_the_other_framework_does() -> None:
    assert as_written("approximate", "none", "jax") == "approximate=False"
    assert as_written("approximate", "tanh", "jax") == "approximate=True"
    assert as_written("approximate", "none", "torch") == "approximate=none"
    assert as_written("momentum", "0.1", "jax") == "momentum=0.9"
    assert as_written("momentum", "0.1", "torch") == "momentum=0.1"
    assert as_written("eps", "1e-05", "jax") == "eps=1e-05"
    assert as_written("eps", "1e-05", "jax", "flax") == "epsilon=1e-05"


def test_an_argument_is_changed_where_the_layer_is_made(tmp_path: Path) -> None:
    file = tmp_path / "port.py"
    file.write_text(
        "from flax import nnx\n"
        "class Net(nnx.Module):\n"
        "    def __init__(self, rngs):\n"
        "        self.fc = nnx.Linear(4, 4, rngs=rngs)\n"
        "        self.norm: nnx.LayerNorm = nnx.LayerNorm(4, rngs=rngs)\n"
        "    def __call__(self, x):\n"
        "        return self.fc(self.norm(x))\n",
        encoding="utf-8",
    )
    place = Place("norm", "rsqrt", str(file), 7, "return self.fc(self.norm(x))", 1.0)
    assert [given_at(place, name) for name in ("eps", "approximate")] == [5, 7]
    assert library_of(place) == "flax"


def test_no_edit_is_tried_twice() -> None:
    calls = [call(0, "gelu"), call(1, "gelu")]
    edits = [repr(trial.edits) for trial in trials_for(Situation(calls, [0, 1], kinds=frozenset({"outputs"})))]
    assert len(edits) == len(set(edits)) > 10


def test_where_only_gradients_differ_nothing_that_changes_the_values_is_tried() -> None:
    calls = [call(0, "relu"), call(1, "embedding")]
    trials = trials_for(Situation(calls, [0, 1], kinds=frozenset({"gradients"})))
    assert {trial.cause for trial in trials} == {"kink", "padding-index"}


def test_every_alternative_that_a_cause_names_exists() -> None:
    load_families()
    shape = {"shape": [2, 3, 4, 4], "weight": "w", "float": True}
    named = {name for entry in REGISTRY for name in entry.functions}
    weights = {"w": (3, 3, 4, 4)}
    for function in named:
        one = Call(0, function, "m", {"input": shape, "weight": shape, "bias": shape, "query": shape, "kernel_size": 2})
        for kinds in ({"outputs", "loss"}, {"state"}, {"gradients"}):
            for trial in trials_for(Situation([one], [0], (0.5, 1e-6), weights, frozenset(kinds))):
                for edit in trial.edits:
                    assert edit["kind"] in ("argument", "replace", "weight")
                    assert edit.get("by", "left_out") in ALTERNATIVES
                    assert edit.get("how", "zero") in WEIGHTS


def test_arguments_are_named_by_signature_or_schema() -> None:
    x = torch.randn(2, 3)
    assert [*arguments_of(F.layer_norm, (x, (3,)), {"eps": 1e-3})] == ["input", "normalized_shape", "eps"]
    assert [*arguments_of(F.gelu, (x,), {"approximate": "tanh"})] == ["input", "approximate"]
    assert [*arguments_of(torch.Tensor.clamp, (x, -1.0, 1.0), {})] == ["input", "min", "max"]
    args, kwargs = with_arguments(torch.softmax, (x, 1), {}, {"dim": 0})
    torch.testing.assert_close(torch.softmax(*args, **kwargs), x.softmax(0))


def run(name: str, func: object, *args: object, options: dict[str, object] | None = None, **kwargs: object) -> object:
    return ALTERNATIVES[name](func, args, kwargs, arguments_of(func, args, kwargs), **(options or {}))


def test_attention_by_its_formula_is_attention() -> None:
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 2, 4, 3, dtype=torch.float64) for _ in range(3))
    usual = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    torch.testing.assert_close(run("attention", F.scaled_dot_product_attention, q, k, v, is_causal=True), usual)
    shifted = run("attention", F.scaled_dot_product_attention, q, k, v, is_causal=True, options={"offset": 1})
    mask = torch.ones(4, 4, dtype=torch.bool).tril(1)
    torch.testing.assert_close(shifted, F.scaled_dot_product_attention(q, k, v, attn_mask=mask))


@pytest.mark.parametrize("padding", [1, 2])
def test_output_padding_before_is_the_reflection_of_behind(padding: int) -> None:
    torch.manual_seed(0)
    x, w = torch.randn(1, 2, 4, 4), torch.randn(2, 3, 5, 5)
    options = {"stride": 2, "padding": padding, "output_padding": 1}
    behind = F.conv_transpose2d(x.flip(2, 3), w.flip(2, 3), **options)
    before = run("padded_before", F.conv_transpose2d, x, w, **options)
    torch.testing.assert_close(before, behind.flip(2, 3))


def test_a_gru_that_is_written_out_is_the_gru() -> None:
    torch.manual_seed(0)
    layer = torch.nn.GRU(3, 4, batch_first=True)
    x, h = torch.randn(2, 5, 3), torch.zeros(1, 2, 4)
    args = (x, h, list(layer.parameters()), True, 1, 0.0, False, False, True)
    func = torch._VF.gru
    same = ALTERNATIVES["recurrent"](func, args, {}, {}, activation="tanh", negated=None, order=(0, 1, 2))
    torch.testing.assert_close(same[0], layer(x)[0])
    written = ALTERNATIVES["recurrent"](func, args, {}, {}, negated=2)  # there is no such gate
    torch.testing.assert_close(written[0], layer(x)[0])


@pytest.mark.parametrize(("layers", "both"), [(1, False), (2, False), (2, True)])
def test_an_lstm_that_is_written_out_is_the_lstm(layers: int, both: bool) -> None:
    torch.manual_seed(0)
    layer = torch.nn.LSTM(3, 4, layers, batch_first=True, bidirectional=both)
    x, state = torch.randn(2, 5, 3), torch.randn(layers * (1 + both), 2, 4)
    args = (x, (state, state), [*layer._flat_weights], True, layers, 0.0, False, both, True)
    func, usual = torch._VF.lstm, layer(x, (state, state))
    for found, wanted in zip(
        ALTERNATIVES["recurrent"](func, args, {}, {}, cell="tanh"), (usual[0], *usual[1]), strict=True
    ):
        torch.testing.assert_close(found, wanted)
    other = ALTERNATIVES["recurrent"](func, args, {}, {}, cell="none")[0]
    assert (other - usual[0]).abs().max() > 1e-3


def test_a_cell_without_tanh_is_the_formula_without_it() -> None:
    torch.manual_seed(0)
    cell, x = torch.nn.LSTM(2, 3), torch.randn(1, 4, 2)
    args = (x, (torch.zeros(1, 4, 3), torch.zeros(1, 4, 3)), [*cell._flat_weights], True, 1, 0.0, False, False, False)
    i, _, g, o = (x[0] @ cell.weight_ih_l0.T + cell.bias_ih_l0 + cell.bias_hh_l0).chunk(4, -1)
    found = ALTERNATIVES["recurrent"](torch._VF.lstm, args, {}, {}, cell="none")[0]
    torch.testing.assert_close(found[0], o.sigmoid() * i.sigmoid() * g.tanh())


def test_heads_are_split_and_joined_in_another_order() -> None:
    x = torch.arange(2 * 3 * 24.0).reshape(2, 3, 24)
    split = torch.Tensor.unflatten
    found = run("split_in_order", split, x, -1, (3, 2, 4), options={"first": 2, "order": [1, 0, 2]})
    torch.testing.assert_close(found, x.reshape(2, 3, 2, 3, 4).transpose(2, 3))
    image = run("split_in_order", split, x, -1, (6, 2, 2), options={"first": 2, "order": [1, 2, 0]})
    torch.testing.assert_close(image, x.reshape(2, 3, 2, 2, 6).movedim(-1, 2))
    heads = torch.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)
    joined = run("transposed_merge", torch.flatten, heads, 2, options={"axis": 1})
    torch.testing.assert_close(joined, heads.transpose(1, 2).reshape(2, 3, 20))


def test_attention_can_take_its_softmax_over_the_queries() -> None:
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 2, 4, 3, dtype=torch.float64) for _ in range(3))
    found = run("attention", F.scaled_dot_product_attention, q, k, v, options={"axis": -2})
    torch.testing.assert_close(found, (q @ k.mT / 3**0.5).softmax(-2) @ v)


def test_targets_that_are_ignored_can_count_as_a_class() -> None:
    torch.manual_seed(0)
    x, target = torch.randn(4, 3), torch.tensor([0, -100, 2, -100])
    found = run("ignored_as", F.cross_entropy, x, target, options={"taken": 1})
    torch.testing.assert_close(found, F.cross_entropy(x, torch.tensor([0, 1, 2, 1])))
    other = torch.tensor([0, 1, 2, 1])
    kept = run("ignored_as", F.cross_entropy, x, other, ignore_index=2, options={"taken": 0})
    torch.testing.assert_close(kept, F.cross_entropy(x, torch.tensor([0, 1, 0, 1])))


def test_rows_of_query_and_key_alone_are_interleaved_in_a_joint_weight() -> None:
    joint = torch.arange(12.0).reshape(12, 1)
    found = WEIGHTS["interleaved"](joint, {}, {}, sizes=[1, 2, 2], parts=3, members=[0, 1])
    assert found.ravel().tolist() == [0, 2, 1, 3, 4, 6, 5, 7, 8, 9, 10, 11]


def test_the_loss_is_tried_times_a_factor_wherever_it_is_made() -> None:
    calls = [call(0, "mse_loss"), call(1, "mse_loss"), call(2, "__add__")]
    kinds = frozenset({"loss", "gradients"})
    trials = trials_for(Situation(calls, [2], kinds=kinds, loss=2))
    assert (trials[0].cause, trials[0].edits[0]["calls"], trials[0].other_value) == ("loss-scale", [2], "0.5")
    calls = [call(0, "mse_loss"), call(1, "__add__"), call(2, "__add__")]
    names = {trial.cause for trial in trials_for(Situation(calls, [1], kinds=kinds, loss=2))}
    assert "loss-scale" not in names


def test_a_number_between_a_product_and_a_softmax_is_the_scale_of_attention() -> None:
    calls = [call(0, "__matmul__"), call(1, "__truediv__", other=2.0), call(2, "masked_fill", value=-1e9)]
    calls += [call(3, "softmax", dim=-1)]
    trials = trials_for(Situation(calls, [1, 2], (4.0,), kinds=frozenset({"outputs"})))
    named = {(t.cause, t.other_value) for t in trials}
    assert {("attention-scale", "4"), ("mask-value", "-10000"), ("mask-left-out", "")} <= named
    alone = trials_for(Situation(calls[:2], [1], (4.0,), kinds=frozenset({"outputs"})))
    assert "attention-scale" not in {t.cause for t in alone}


def test_a_rounded_value_has_the_bits_of_its_dtype() -> None:
    x = torch.randn(1000, dtype=torch.float64)
    found = run("rounded", torch.mul, x, 1.0, options={"to": "bfloat16"})
    assert isinstance(found, torch.Tensor)
    torch.testing.assert_close(found, x.to(torch.bfloat16).to(torch.float64), rtol=0, atol=0)


def test_nothing_is_named_that_did_not_help() -> None:
    """A function of its own that no cause knows: the place is named, no cause is."""

    def original(x: torch.Tensor) -> torch.Tensor:
        return torch.sin(x) + x**3

    def converted(x: torch.Tensor) -> torch.Tensor:
        return torch.sin(x * x) + x**3

    x = torch.from_numpy(np.random.default_rng(0).standard_normal((4, 5)).astype(np.float32))
    check = regauge.check(original, converted, (x,), frameworks=("torch", "torch"), quick=True, float32=False)
    assert check.verdict == "different"
    assert not any(cause.proven for cause in check.causes)
    assert [place.code for place in check.places] == ["return torch.sin(x) + x**3", "return torch.sin(x * x) + x**3"]


class Port(nnx.Module):
    """Two layers with values of their own; the biases are zeros."""

    def __init__(self) -> None:
        rngs = nnx.Rngs(0)
        self.fc1 = nnx.Linear(4, 8, rngs=rngs)
        self.fc2 = nnx.Linear(8, 2, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.fc2(nnx.relu(self.fc1(x)))


def pair_of_layers() -> tuple[torch.nn.Module, Port]:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2)), Port()


def test_another_initialisation_is_one_cause_with_every_weight() -> None:
    original, port = pair_of_layers()
    (cause,) = regauge.check(original, port, (torch.ones(5, 4),), quick=True, float32=False).causes
    assert cause.name == "weight-values"
    assert "2 weights" in cause.text
    assert cause.change == "0.weight, 0.bias, 2.weight, 2.bias: load the original's values"
