"""Which sizes are symbolic, what is proved about them, and what is said about the others."""

from __future__ import annotations

import math

import pytest
import torch
from comparing import assert_captures
from torch import nn
from torch.export import Dim

from regauge.capture.torch_export import capture_module
from regauge.errors import CaptureError
from regauge.ir.graph import Sym, Symbol


def codes(captured):
    return [(finding.code, finding.where) for finding in captured.graph.findings]


class Flatten(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(12, 2)

    def forward(self, x):
        return self.fc(x.reshape(x.shape[0], -1))


def test_the_batch_is_symbolic_and_other_batches_work():
    x = torch.randn(4, 3, 4)
    captured = assert_captures(Flatten(), (x,), train=False, others=((torch.randn(9, 3, 4),), (torch.randn(2, 3, 4),)))
    assert captured.graph.symbols == (Symbol("batch", 4, 2, None),)
    assert captured.graph.inputs[0].spec.shape == (Sym("batch"), 3, 4)  # the 4 at the end is no batch
    assert codes(captured) == []


def test_a_batch_of_one_is_symbolic_too():
    captured = assert_captures(Flatten(), (torch.randn(1, 3, 4),), train=False, others=((torch.randn(5, 3, 4),),))
    assert captured.graph.inputs[0].spec.shape[0] == Sym("batch")
    assert captured.outputs.shape == (1, 2)  # of the person's own inputs


def test_a_model_for_batches_of_one_keeps_its_one():
    class One(nn.Module):
        def forward(self, x):
            return x.reshape(1, 6) * 2

    captured = assert_captures(One(), (torch.randn(1, 6),), train=False)
    assert captured.graph.symbols == ()
    assert codes(captured) == [("C110", "x")]
    assert "0 and 1" in captured.graph.findings[0].text


def test_tokens_have_a_length():
    class Mean(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(9, 4)

        def forward(self, ids, mask):
            x = self.table(ids) * mask.unsqueeze(-1)
            return x.sum(1) / mask.sum(1, keepdim=True), x.new_ones(ids.shape[1] * 2 - 1)

    def tokens(batch, length):
        return {"ids": torch.randint(0, 9, (batch, length)), "mask": torch.ones(batch, length, dtype=torch.int64)}

    captured = assert_captures(Mean(), tokens(5, 5), train=False, others=(tokens(2, 7),))
    assert [s.name for s in captured.graph.symbols] == ["batch", "sequence"]
    assert captured.graph.inputs[1].spec.shape == (Sym("batch"), Sym("sequence"))
    ones = [n for n in captured.graph.nodes if n.op == "aten.new_ones.default"]
    assert ones[0].outputs[0].spec.shape == (Sym("2 * sequence - 1"),)


def test_two_inputs_with_two_batches_are_kept_apart():
    class Pairs(nn.Module):
        def forward(self, queries, keys):
            return queries @ keys.T

    captured = assert_captures(
        Pairs(), (torch.randn(3, 4), torch.randn(3, 4)), train=False, others=((torch.randn(2, 4), torch.randn(6, 4)),)
    )
    assert [s.name for s in captured.graph.symbols] == ["batch", "batch_2"]


def test_one_tensor_given_twice_is_two_inputs():
    class Attention(nn.Module):
        def forward(self, query, key):
            return query - 2 * key

    x = torch.randn(3, 4)
    graph = assert_captures(Attention(), (x, x), train=False, others=((x, x + 1),)).graph
    assert [value.name for value in graph.inputs] == ["query", "key"]


class Rows(nn.Module):
    """Rows of tokens with positions of the model's own."""

    def __init__(self):
        super().__init__()
        self.register_buffer("rows", torch.randint(0, 9, (4, 6)))
        self.scale = nn.Parameter(torch.rand(4, 6))

    def forward(self, x):
        rows = self.rows[1:2, : x.shape[1]] * self.rows.shape[0]
        return x * self.scale.view(4, -1)[:1, : x.shape[1]] + rows


@pytest.mark.parametrize(
    "view",
    [
        lambda model: model.rows,
        lambda model: model.rows[1:2],
        lambda model: model.rows[1:, 2:],
        lambda model: model.rows[::2],
        lambda model: model.rows[:1].expand(3, 6),
        lambda model: model.scale.detach()[1:2],
    ],
)
def test_an_input_that_looks_at_a_weight_leaves_the_weight_its_sizes(view):
    model = Rows()
    x = view(model)
    captured = assert_captures(model, (x,), train=False, others=((torch.cat([x, x, x]).detach(),),))
    assert [weight.spec.shape for weight in captured.graph.weights] == [(4, 6), (4, 6)]
    assert captured.graph.inputs[0].spec.shape[0] == Sym("batch")


def test_an_input_with_a_gradient_may_look_at_a_weight():
    model = Rows()
    graph = capture_module(model, (model.scale[1:3],), train=True).graph
    assert graph.inputs[0].spec.shape == (Sym("batch"), 6)
    assert [weight.spec.shape for weight in graph.weights] == [(4, 6), (4, 6)]


def test_an_input_that_changes_with_a_buffer_is_refused():
    class Counts(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("seen", torch.zeros(2, 3))

        def forward(self, x):
            self.seen.add_(1)
            return x * 2

    model = Counts()
    with pytest.raises(CaptureError, match=r"C262.* changes its buffer seen in place, and with it its input x"):
        capture_module(model, (model.seen[:1],), train=False)
    assert_captures(model, (model.seen[:1].clone(),), train=False)


def test_a_size_that_the_code_fixes_is_a_finding():
    class Three(nn.Module):
        def forward(self, x):
            return x + torch.ones(3, 4)

    captured = capture_module(Three(), (torch.randn(3, 4),), train=False)
    assert captured.graph.inputs[0].spec.shape == (3, 4)
    assert codes(captured) == [("C110", "x")]


def test_bounds_that_the_code_sets_are_kept():
    class Table(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("positions", torch.randn(16, 4))

        def forward(self, ids):
            return self.positions[: ids.shape[1]] + ids.unsqueeze(-1)

    captured = assert_captures(Table(), (torch.ones(2, 5).long(),), train=False, others=((torch.ones(3, 16).long(),),))
    bounds = {s.name: (s.low, s.high) for s in captured.graph.symbols}
    assert bounds == {"batch": (2, None), "sequence": (2, 16)}


def test_inputs_through_double_star_have_symbolic_sizes():
    class Anything(nn.Module):
        def forward(self, x, *, scale=2, **inputs):
            return inputs["y"] * scale + inputs["z"][0][:, None] + x

    inputs = {"x": torch.randn(3, 4), "y": torch.randn(3, 4), "z": [torch.randn(3)]}
    more = {"x": torch.randn(5, 4), "y": torch.randn(5, 4), "z": [torch.randn(5)]}
    captured = assert_captures(Anything(), inputs, train=False, others=(more,))
    assert codes(captured) == []
    assert [str(value.spec) for value in captured.graph.inputs][1:] == ["float32[batch, 4]", "float32[batch]"]


def test_functions_keep_the_names_of_their_parameters():
    captured = capture_module(
        lambda left, right: left + right, {"left": torch.ones(3), "right": torch.ones(3)}, train=False
    )
    assert [value.name for value in captured.graph.inputs] == ["left", "right"]
    assert captured.graph.inputs[0].spec.shape == (Sym("batch"),)
    assert [value.name for value in capture_module(torch.sin, (torch.ones(3),), train=False).graph.inputs] == ["args_0"]


def test_none_fixes_all_sizes():
    captured = capture_module(Flatten(), (torch.randn(4, 3, 4),), train=False, dynamic=None)
    assert captured.graph.symbols == ()
    assert captured.graph.inputs[0].spec.shape == (4, 3, 4)
    assert codes(captured) == []


def test_torchs_own_notation_is_passed_on():
    class Sum(nn.Module):
        def forward(self, x):
            return x.sum(1)

    dims = {"x": {1: torch.export.Dim("columns", min=3, max=50)}}
    captured = capture_module(Sum(), (torch.randn(4, 6),), train=False, dynamic=dims)
    assert captured.graph.inputs[0].spec.shape == (4, Sym("sequence"))
    assert captured.graph.symbols == (Symbol("sequence", 6, 3, 50),)


def test_sizes_that_are_multiples_of_a_symbol():
    """torch.export asks for them where sizes are halved and doubled again, or have to be odd."""

    class Sum(torch.nn.Module):
        def forward(self, x):
            return x.sum(0).new_zeros(x.shape[0] // 2, x.shape[1])

    half, step = torch.export.Dim("half", min=2, max=9), torch.export.Dim("step", min=2)
    captured = capture_module(Sum(), (torch.randn(4, 7),), train=False, dynamic={"x": {0: 2 * half, 1: 3 * step + 1}})
    assert captured.graph.inputs[0].spec.shape == (Sym("2 * batch_part"), Sym("3 * sequence_part + 1"))
    assert captured.graph.symbols == (Symbol("batch_part", 2, 2, 9), Symbol("sequence_part", 2, 2, None))


def test_sizes_that_must_have_another_form_are_refused_with_what_torch_suggests():
    class Halves(torch.nn.Module):
        def forward(self, x):
            first, second = x.view(2, -1, 3)
            return first + second

    with pytest.raises(CaptureError, match="C263 Halves cannot have the symbolic sizes") as error:
        capture_module(Halves(), (torch.randn(8, 3),), train=False, dynamic={"x": {0: torch.export.Dim("rows")}})
    assert "rows = 2*_rows" in error.value.details
    captured = capture_module(
        Halves(), (torch.randn(8, 3),), train=False, dynamic={"x": {0: 2 * torch.export.Dim("_rows")}}
    )
    assert captured.graph.outputs


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (lambda b, s: b * s, "batch * sequence"),
        (lambda b, s: (b + 1) * 3, "3 * batch + 3"),
        (lambda b, s: s // 2 + b, "batch + sequence // 2"),
        (lambda b, s: (s + b) // 2, "(batch + sequence) // 2"),
        (lambda b, s: s % 3 + 1, "sequence % 3 + 1"),
        (lambda b, s: b * b - s + 20, "20 - sequence + batch ** 2"),
        (lambda b, s: torch.sym_max(b, s - 4), "max(batch, sequence - 4)"),
        (lambda b, s: math.ceil(s / 3), "(sequence + 2) // 3"),
        (lambda b, s: math.floor(s * 1.5) + b, "batch + 3 * sequence // 2"),
        (lambda b, s: math.trunc((s + b) / 4 * 0.5), "(batch + sequence) // 8"),
    ],
)
def test_sizes_are_python_expressions(expression, text):
    class Sized(nn.Module):
        def forward(self, ids):
            return ids.new_zeros(expression(ids.shape[0], ids.shape[1])), ids * 2

    captured = assert_captures(Sized(), (torch.ones(3, 8).long(),), train=False, others=((torch.ones(4, 13).long(),),))
    shape = captured.graph.nodes[0].outputs[0].spec.shape
    names = {"max": max, "batch": 5, "sequence": 11}
    assert eval(shape[0].text, names) == eval(text, names)
    assert set(shape[0].text) == set(text)


@pytest.mark.parametrize("factor", [0.3, 1.5 / 7])
def test_sizes_that_floats_may_round_otherwise_are_fixed(factor):
    class Rounded(nn.Module):
        def forward(self, ids):
            return ids.new_zeros(math.ceil(ids.shape[1] * factor)), ids * 2

    captured = assert_captures(Rounded(), (torch.ones(3, 8).long(),), train=False, others=((torch.ones(5, 8).long(),),))
    assert captured.graph.inputs[0].spec.shape == (Sym("batch"), 8)
    assert "test_dynamic.py:" in captured.graph.findings[0].text


# what Python decides on a size -----------------------------------------------------------------------------------


class Capacity(nn.Module):
    """The rows that a mixture of experts keeps: a number of Python, rounded from a size."""

    def forward(self, x):
        kept = int(0.3 * x.shape[0])
        return x[:kept].sum(0) * kept


class Halves(nn.Module):
    """Folds an even batch; another one is given back."""

    def forward(self, *, scale, x):
        if x.shape[0] % 2 == 0:
            x = x.reshape(2, -1, 3).sum(0)
        return x, scale.exp()


def test_a_size_that_the_code_makes_a_number_of_is_named_with_its_line():
    class Steps(nn.Module):
        def forward(self, x):
            return torch.stack([row * 2 for row in x])

    captured = assert_captures(Steps(), (torch.randn(4, 3),), train=False)
    assert codes(captured) == [("C110", "x")]
    assert "test_dynamic.py:" in captured.graph.findings[0].text


def test_a_size_that_becomes_a_number_of_python_is_fixed():
    captured = assert_captures(Capacity(), (torch.randn(4, 3),), train=False)
    assert captured.graph.symbols == ()
    assert codes(captured) == [("C110", "x")]
    assert "is fixed at 4" in captured.graph.findings[0].text
    assert "test_dynamic.py:" in captured.graph.findings[0].text


def test_a_size_that_python_branches_on_is_fixed_and_no_other():
    inputs = {"x": torch.randn(4, 3), "scale": torch.randn(6, 2)}
    captured = assert_captures(Halves(), inputs, train=False, others=({**inputs, "scale": torch.randn(5, 2)},))
    assert [symbol.hint for symbol in captured.graph.symbols] == [6]
    assert codes(captured) == [("C110", "x")]


def test_a_condition_that_must_hold_fixes_no_size():
    class Windows(nn.Module):
        def forward(self, x, y):
            assert x.shape[0] % 2 == 0, "whole windows only"
            if y.shape[0] % 3:
                raise ValueError("whole windows only")
            return x.reshape(-1, 2, 3).sum(1), y * 2

    captured = assert_captures(
        Windows(),
        (torch.randn(4, 3), torch.randn(6, 3)),
        train=False,
        others=((torch.randn(8, 3), torch.randn(9, 3)),),
    )
    assert [symbol.hint for symbol in captured.graph.symbols] == [4, 6]
    assert codes(captured) == []


def test_a_bound_that_python_asks_for_is_said():
    class Cut(nn.Module):
        def forward(self, x):
            if x.shape[0] > 100:
                return x[:100]
            return x * 2

    captured = assert_captures(Cut(), (torch.randn(4, 3),), train=False, others=((torch.randn(7, 3),),))
    assert captured.graph.symbols == (Symbol("batch", 4, 2, 100),)
    assert [code for code, _ in codes(captured)] == ["C177"]
    assert "2 <= batch <= 100" in captured.graph.findings[0].text


# sizes that are asked for in torch's notation -----------------------------------------------------------------------


@pytest.mark.parametrize("model", [Capacity(), Halves()])
def test_a_size_that_may_stay_symbolic_is_fixed_where_python_decides_on_it(model):
    x = torch.randn(4, 3)
    inputs = {"scale": torch.randn(6, 2), "x": x} if isinstance(model, Halves) else (x,)
    asked = {"x": {0: Dim.AUTO, 1: Dim.AUTO}} | ({"scale": {0: Dim.AUTO}} if isinstance(model, Halves) else {})
    captured = capture_module(model, inputs, train=False, dynamic=asked)
    assert captured.graph.inputs[-1].spec.shape[0] == 4
    assert ("C110", "x") in codes(captured)
    assert "test_dynamic.py:" in captured.graph.findings[0].text


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (({0: Dim.DYNAMIC},), "C260"),
        ({"x": (Dim.DYNAMIC, None)}, "C260"),
        ([(Dim("n", max=100), None)], "C261"),
    ],
)
def test_a_size_that_has_to_stay_symbolic_is_refused_where_python_decides_on_it(asked, code):
    class Even(nn.Module):
        def forward(self, x):
            if x.shape[0] % 2 == 0:
                x = x * 2
            return x.exp()

    with pytest.raises(CaptureError, match=f"{code}.* symbolic") as error:
        capture_module(Even(), (torch.randn(4, 3),), train=False, dynamic=asked)
    assert "test_dynamic.py:" in str(error.value)


def test_a_number_where_a_size_has_to_stay_symbolic_is_refused_with_its_line():
    class Steps(nn.Module):
        def forward(self, x):
            return torch.stack([row * 2 for row in x])

    with pytest.raises(CaptureError, match="C261") as error:
        capture_module(Steps(), (torch.randn(4, 3),), train=False, dynamic={"x": {0: Dim.DYNAMIC}})
    assert "test_dynamic.py:" in str(error.value)


def test_a_size_that_torch_rounds_in_a_way_of_its_own_is_fixed_or_refused():
    class Steps(nn.Module):
        def forward(self, x):
            return x[:, :1] + torch.arange(0, x.shape[1] * 0.3), x.sum(1)

    tokens = torch.ones(4, 10).long()
    captured = assert_captures(Steps(), (tokens,), train=False, others=((tokens[:2],),))
    assert captured.graph.inputs[0].spec.shape == (Sym("batch"), 10)
    assert "test_dynamic.py:" in captured.graph.findings[0].text
    with pytest.raises(CaptureError, match=r"C105.* no counterpart"):
        capture_module(Steps(), (tokens,), train=False, dynamic={"x": {1: Dim.DYNAMIC}})
