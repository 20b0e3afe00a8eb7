"""The registry of causes: what is tried, in which order, and that each alternative does what it says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import regauge
from regauge.run.torch_alternatives import ALTERNATIVES, WEIGHTS
from regauge.run.torch_calls import arguments_of, with_arguments
from regauge.verify.causes import REGISTRY, Call, Situation, load_families, trials_for


def call(number: int, function: str, **arguments: object) -> Call:
    return Call(number, function, "norm", arguments)


def test_the_other_sides_constants_are_tried_first_and_the_call_alone_before_all_alike() -> None:
    calls = [call(0, "layer_norm", eps=1e-5), call(1, "layer_norm", eps=1e-5), call(2, "layer_norm", eps=1e-3)]
    trials = trials_for(Situation(calls, [1], constants=(7e-6,), kinds=frozenset({"outputs"})))
    first, second = trials[:2]
    assert (first.cause, first.torch_value, first.other_value) == ("eps", "1e-05", "7e-06")
    assert (first.edits[0]["calls"], second.edits[0]["calls"]) == ([1], [0, 1])


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
