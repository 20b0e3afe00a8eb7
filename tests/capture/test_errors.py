"""What cannot be captured is refused with the person's own line, the reason and what to write instead."""

from __future__ import annotations

import inspect
import math
from pathlib import Path

import jax
import numpy as np
import pytest
import torch
from torch import nn

import regauge
from regauge.capture.torch_export import capture_function, capture_module
from regauge.errors import BadCase, CaptureError

SOURCE = Path(__file__).read_text(encoding="utf-8").splitlines()
X = torch.randn(3, 4)


class Decides(nn.Module):
    def forward(self, x):
        for i in range(3):
            x = x - i
            if x.sum() > 0:  # line: Decides
                break
        return x * i


class Asks(nn.Module):
    def forward(self, x):
        return x * math.sqrt(x.abs().max())  # line: Asks


class Joins(nn.Module):
    """Concatenates a tensor whose size depends on values: whether it is empty cannot be asked."""

    def forward(self, x):
        y = x[0][x[0] > 0]  # line: Joins
        return torch.cat([y, x[1]])


class Selects(nn.Module):
    def forward(self, x):
        y = x[x > 0]  # line: Selects
        return y.cumsum(0)


class Reshapes(nn.Module):
    def forward(self, x):
        return x.view(7, 7)  # line: Reshapes


class TransposesInput(nn.Module):
    def forward(self, x):
        x.t_()  # line: TransposesInput
        return x + 1


class WritesAttribute(nn.Module):
    def __init__(self):
        super().__init__()
        self.total = torch.zeros(())

    def forward(self, x):
        self.total += x.mean()  # line: WritesAttribute
        return x + self.total


class WritesParameter(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(4))

    def forward(self, x):
        with torch.no_grad():
            self.scale.clamp_(max=1.0)  # line: WritesParameter
        return x * self.scale


class Autocast(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(4, 4)

    def forward(self, x):
        with torch.autocast("cpu", torch.bfloat16):
            return self.lstm(x)[0].float()  # line: Autocast


class Resizes(nn.Module):
    def forward(self, x):
        y = x + 1
        y.resize_(2, 2)  # line: Resizes
        return y


class WritesData(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        self.layer.weight.data.clamp_(-0.1, 0.1)  # line: WritesData
        return self.layer(x)


class ReadsData(nn.Module):
    def forward(self, x):
        y = x * 2
        return y - y.data.min()


class TransposesBuffer(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("table", torch.ones(4, 4))

    def forward(self, x):
        self.table.t_()  # line: TransposesBuffer
        return x @ self.table


class Diagonal(nn.Module):
    def forward(self, x):
        y = x.clone()
        torch.einsum("ii->i", y[:, : x.shape[0]]).mul_(2)  # line: Diagonal
        return y


class Strides(nn.Module):
    def forward(self, x):
        y = x + 1
        y.as_strided((2, 2), (4, 1)).zero_()  # line: Strides
        return y


class GivesOut(nn.Module):
    def forward(self, x):
        values, places = torch.empty(3), torch.empty(3, dtype=torch.int64)
        torch.max(x, 1, out=(values, places))  # line: GivesOut
        return values


class WritesWithoutGradient(nn.Module):
    def forward(self, x):
        y = x * 2
        with torch.no_grad():
            y.mul_(3)  # line: WritesWithoutGradient
        return y


class Loops(nn.Module):
    def forward(self, x):
        for _ in range(int(x.abs().sum())):  # line: Loops
            x = x + 1
        return x


class Finds(nn.Module):
    def forward(self, x):
        rows = torch.nonzero(x[:, 0] > 0)  # line: Finds
        return x[rows[:, 0]]


class Lists(nn.Module):
    def forward(self, x):
        return x * x.sum(0).tolist()[0]  # line: Lists


class FillsList(nn.Module):
    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x):
        self.seen.append(x.mean())  # line: FillsList
        return x * torch.stack(self.seen).sum()


class CountsCalls(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1  # line: CountsCalls
        return x * self.calls


class Accumulates(nn.Module):
    def __init__(self):
        super().__init__()
        self.memory = None

    def forward(self, x):
        past = x if self.memory is None else self.memory
        self.memory = past + x  # line: Accumulates
        return self.memory


class ExchangesParameter(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(4, 4)

    def forward(self, x):
        y = self.inner(x)
        self.inner.weight = nn.Parameter(self.inner.weight.detach() * 0.5)  # line: ExchangesParameter
        return y


class AsksForExport(nn.Module):
    def forward(self, x):
        if torch.compiler.is_exporting():  # line: AsksForExport
            return x.tril()
        return x


CASES = [
    (AsksForExport(), (X,), CaptureError, "C168", "both paths are the same"),
    (Loops(), (X,), CaptureError, "C104", "torch.where"),
    (Finds(), (X,), CaptureError, "C104", "torch.where"),
    (Lists(), (X,), CaptureError, "C104", "torch.where"),
    (FillsList(), (X,), CaptureError, "C149", "register_buffer"),
    (CountsCalls(), (X,), CaptureError, "C149", "register_buffer"),
    (Accumulates(), (X,), CaptureError, "C149", "register_buffer"),
    (ExchangesParameter(), (X,), CaptureError, "C217", "copy_"),
    (Decides(), (X,), CaptureError, "C104", "torch.where"),
    (Asks(), (X,), CaptureError, "C104", "torch.where"),
    (Selects(), (X,), CaptureError, "C104", "torch.where"),
    (Joins(), (X,), CaptureError, "C104", "torch.where"),
    (Reshapes(), (X,), BadCase, "B110", "model(*inputs)"),
    (TransposesInput(), (X.clone(),), CaptureError, "C109", "x.clone()"),
    (WritesData(), (X,), CaptureError, "C109", "x.clone()"),
    (WritesAttribute(), (X,), CaptureError, "C109", "register_buffer"),
    (WritesParameter(), (X,), CaptureError, "C109", "register_buffer"),
    (Autocast(), (X,), CaptureError, "C132", ".to("),
    (Resizes(), (X,), CaptureError, "C130", "y = x.resize("),
    (TransposesBuffer(), (X,), CaptureError, "C109", "x.clone()"),
    (Strides(), (X,), CaptureError, "C130", "torch.where"),
    (Diagonal(), (X,), CaptureError, "C130", "without the view"),
    (GivesOut(), (X,), CaptureError, "C130", "without in-place"),
    (WritesWithoutGradient(), (X,), CaptureError, "C133", "new name"),
]


def test_a_model_has_its_parameters_after_it_exchanged_them():
    model = ExchangesParameter()
    weight = model.inner.weight
    with pytest.raises(CaptureError):
        capture_module(model, (X,), train=True)
    assert model.inner.weight is weight


def test_what_data_reads_has_no_gradient():
    model = regauge.to_jax(ReadsData(), (X,))
    x = X.numpy()
    np.testing.assert_allclose(model(x), 2 * x - 2 * x.min(), rtol=1e-6)
    np.testing.assert_array_equal(jax.grad(lambda x: model(x).sum())(x), np.full_like(x, 2))


@pytest.mark.parametrize("case", CASES, ids=lambda case: type(case[0]).__name__)
def test_the_own_line_and_a_way_out(case):
    model, inputs, kind, code, following = case
    with pytest.raises(kind) as caught:
        capture_module(model, inputs, train=True)
    error = caught.value
    name = type(model).__name__
    line = next(i for i, text in enumerate(SOURCE, start=1) if text.endswith(f"# line: {name}"))
    assert error.code == code
    assert error.where.endswith(f"test_errors.py:{line}"), str(error)
    assert following in error.next
    assert error.why or kind is BadCase or code == "C130"


def test_the_same_function_by_another_path_is_captured():
    def spelled(x):
        return x.mul(2).sum(-1) if torch.compiler.is_compiling() else (x + x).sum(-1)

    assert next(node.op for node in capture_module(spelled, (X,), train=False).graph.nodes) == "aten.mul.Tensor"


def test_a_question_under_its_own_name_is_answered_too():
    asked = torch.compiler.is_exporting

    with pytest.raises(CaptureError, match="computes something else while it is exported"):
        capture_module(lambda x: x.tril() if asked() else x, (X,), train=False)


def test_numbers_that_differ_between_calls_are_no_other_path():
    generator = np.random.default_rng(0)

    def scaled(x):
        return x * generator.standard_normal()

    assert capture_module(scaled, (X,), train=False).graph.nodes


def test_a_refusal_prints_no_graph(capsys):
    with pytest.raises(CaptureError):
        capture_module(lambda x: torch.nn.functional.one_hot(x.argmax(1)), (X,), train=False)
    assert capsys.readouterr() == ("", "")


def test_all_places_that_depend_on_values_are_listed():
    def several(x):
        y = torch.nonzero(x)
        return (2 * y).sum() + x[: x.argmax().item()].sum() + torch.unique(x).sum()

    with pytest.raises(CaptureError) as caught:
        capture_module(several, (X,), train=False)
    assert [line.split()[0] for line in caught.value.details] == [
        "aten.nonzero.default",
        "aten.item.default",
        "aten.slice.Tensor",
        "aten._unique2.default",
    ]


def test_weights_that_are_not_finite():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.BatchNorm1d(4))
    with torch.no_grad():
        model[1].weight[0] = torch.nan
        model[1].bias[1] = torch.inf
        model[2].running_mean[0] = torch.nan
    with pytest.raises(BadCase) as caught:
        capture_module(model, (X,), train=False)
    assert caught.value.code == "B120"
    assert caught.value.details == (
        "1.weight: 4 NaN, 0 infinite of 16",
        "1.bias: 0 NaN, 1 infinite of 4",
        "2.running_mean: 1 NaN, 0 infinite of 4",
    )


def test_masks_of_minus_infinity_are_no_broken_weights():
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("mask", torch.full((4, 4), -torch.inf).triu(1))

        def forward(self, x):
            return (x + self.mask).softmax(-1)

    assert capture_module(Masked(), (torch.randn(2, 4, 4),), train=False).graph.nodes


def test_outputs_that_are_not_finite():
    with pytest.raises(BadCase) as caught:
        capture_module(lambda x: {"good": x, "bad": x.log()}, (torch.tensor([1.0, 0.0, -1.0]),), train=False)
    assert caught.value.code == "B121"
    assert caught.value.details == ("bad: 1 NaN, 1 infinite of 3",)


def test_outputs_that_are_infinite():
    given = (torch.tensor([1.0, 0.0]),)
    captured = capture_module(lambda x: (x, x.masked_fill(x > 0.5, -torch.inf)), given, train=False)
    (finding,) = [finding for finding in captured.findings if finding.code == "C169"]
    assert "1 (0 NaN, 1 infinite of 2)" in finding.text


def test_inputs_of_another_framework():
    with pytest.raises(BadCase, match=r"inputs\.0 holds a ndarray") as caught:
        capture_module(nn.Linear(2, 2), (np.ones((3, 2)),), train=False)
    assert "torch.from_numpy" in caught.value.next


def test_outputs_of_an_own_class():
    class Box:
        pass

    with pytest.raises(CaptureError, match="Box") as caught:
        capture_module(lambda x: (x, Box()), (X,), train=False)
    assert caught.value.code == "C103"


def test_outputs_without_tensors_and_with_sizes():
    with pytest.raises(BadCase, match="returns no tensor"):
        capture_module(lambda x: 3, (X,), train=False)
    sizes = capture_module(lambda x: (x, x.shape[0], x.shape[1]), (X,), train=False).graph.out_tree["tuple"][1:]
    assert sizes == [{"size": "batch"}, {"value": 4}]


def test_weights_without_numbers_and_sparse_ones():
    with pytest.raises(CaptureError, match="meta device"):
        capture_module(nn.Linear(2, 2, device="meta"), (torch.ones(1, 2, device="meta"),), train=False)
    sparse = nn.Module()
    sparse.register_buffer("table", torch.eye(3).to_sparse())
    with pytest.raises(CaptureError, match="table is sparse"):
        capture_module(sparse, (X,), train=False)


@pytest.mark.parametrize(
    ("tensor", "kind"),
    [
        (torch.eye(3).to_sparse(), "sparse"),
        (torch.eye(3).to_sparse_csr(), "sparse_csr"),
        (torch.quantize_per_tensor(torch.eye(3), 0.1, 0, torch.qint8), "quantized"),
        (torch.zeros(3, dtype=torch.complex32), "complex32"),
    ],
    ids=lambda value: value if isinstance(value, str) else "tensor",
)
def test_inputs_that_arrays_cannot_hold(tensor, kind):
    with pytest.raises(CaptureError, match=f"an input is {kind}") as refused:
        capture_module(nn.Identity(), (tensor,), train=False)
    assert refused.value.code == "C106"


@pytest.mark.parametrize("view", [lambda x: x[:, 1:], lambda x: x[:, ::2], lambda x: x[:1].expand(3, 4)])
def test_strides_that_look_behind_a_view(view):
    class Strided(nn.Module):
        def forward(self, x):
            return torch.as_strided(view(x), (2, 2), (1, 2))

    with pytest.raises(CaptureError, match="looks behind a view") as refused:
        capture_module(Strided(), (torch.randn(3, 4),), train=False, dynamic=None)
    assert refused.value.code == "C134"


class PrintsValue(nn.Module):
    def forward(self, x):
        print(f"mean {x.mean():.3f}")
        return x


class Numpy(nn.Module):
    def forward(self, x):
        return torch.from_numpy(np.sin(x.detach().numpy()))


@pytest.mark.parametrize(("model", "hint"), [(PrintsValue(), "no values to print"), (Numpy(), "numpy is not followed")])
def test_what_to_write_instead(model, hint):
    with pytest.raises(CaptureError) as refused:
        capture_module(model, (X,), train=False)
    assert hint in refused.value.why
    assert "test_errors.py" in refused.value.where


LAYERS = nn.Sequential(nn.Linear(4, 4), nn.ReLU())


class Prints(nn.Module):
    def forward(self, x):
        print(x)
        return x * 2


def test_a_print_is_left_out_and_said(capsys):
    captured = capture_module(Prints(), (X,), train=False)
    (finding,) = [finding for finding in captured.graph.findings if finding.code == "C167"]
    assert finding.where.startswith("test_errors.py:")
    assert "FakeTensor" not in capsys.readouterr().out


class HasPart(nn.Module):
    """A person's model with a part that has no Python code to follow."""

    def __init__(self, part):
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(4, 4)])
        self.part = part

    def forward(self, x):
        return self.part(self.blocks[0](x))


@pytest.mark.parametrize("script", [torch.jit.script(LAYERS), torch.jit.trace(LAYERS, X)], ids=["script", "trace"])
def test_torchscript(script):
    with pytest.raises(CaptureError, match="is TorchScript") as refused:
        capture_module(nn.Sequential(script), (X,), train=False)
    assert refused.value.code == "C136"
    with pytest.raises(CaptureError, match="part is TorchScript") as refused:
        capture_module(HasPart(script), (X,), train=False)
    assert refused.value.where == line_that_sets("part")


def line_that_sets(name):
    lines, first = inspect.getsourcelines(HasPart)
    return f"test_errors.py:{first + next(i for i, line in enumerate(lines) if f'self.{name} =' in line)}"


def test_quantized_layers():
    quantized = torch.ao.quantization.quantize_dynamic(LAYERS, {nn.Linear}, dtype=torch.qint8)
    with pytest.raises(CaptureError, match="0 is quantized") as refused:
        capture_module(quantized, (X,), train=False)
    assert refused.value.code == "C106"
    with pytest.raises(CaptureError, match=r"part\.0 is quantized") as refused:
        capture_module(HasPart(quantized), (X,), train=False)
    assert refused.value.where == line_that_sets("part")


def test_what_changes_nothing():
    """Wrappers, hooks of the forward, texts without values and Python lists are followed."""
    hooked = nn.Linear(4, 4)
    hooked.register_forward_hook(lambda module, args, output: output * 2)

    class Remembers(nn.Module):
        def __init__(self):
            super().__init__()
            self.seen = []

        def forward(self, x):
            self.seen.append(x)
            print("shape", x.shape)
            return self.seen[-1] * 2

    remembers = Remembers()
    for model in (nn.DataParallel(LAYERS), torch.compile(LAYERS), hooked, remembers):
        assert capture_module(model, (X,), train=False).graph.nodes
    assert remembers.seen == [], "capture changed the original"


class StraightThrough(torch.autograd.Function):
    """Its backward cannot be traced: it decides on values."""

    @staticmethod
    def forward(ctx, x):
        return x.round()

    @staticmethod
    def backward(ctx, grad):
        return grad if grad.sum() > 0 else 2 * grad


class Rounds(nn.Module):
    def forward(self, x):
        return StraightThrough.apply(x)


class StopsGradient(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x):
        y = self.fc(x)
        if y.requires_grad:
            y.register_hook(lambda gradient: gradient * 0)
        return y


def _parameter_hook():
    layer = nn.Linear(4, 4)
    layer.weight.register_hook(lambda gradient: gradient * 2)
    return layer


def _accumulation_hook():
    layer = nn.Linear(4, 4)
    layer.bias.register_post_accumulate_grad_hook(lambda parameter: None)
    return layer


def _backward_hook():
    layer = nn.Linear(4, 4)
    layer.register_full_backward_hook(lambda module, inputs, outputs: None)
    return layer


@pytest.mark.parametrize(
    ("model", "what"),
    [
        (Rounds(), "the backward of StraightThrough"),
        (StopsGradient(), "a hook of a tensor"),
        (_backward_hook(), "a backward hook of the model"),
        (_parameter_hook(), "a hook of the parameter weight"),
        (_accumulation_hook(), "a hook of the parameter bias"),
    ],
    ids=["function", "tensor hook", "module hook", "parameter hook", "accumulation hook"],
)
def test_gradients_by_hand_are_never_lost_in_silence(model, what):
    found = capture_module(model, (X,), train=False).findings
    assert any(finding.code == "C135" and what in finding.text for finding in found)
    with pytest.raises(CaptureError, match=what):
        capture_module(model.train(), (X,), train=True)


def test_lazy_weights():
    with pytest.raises(BadCase, match="has no shape yet"):
        capture_module(nn.LazyLinear(3), (X,), train=False)


def test_a_loss_that_reads_the_model():
    model = nn.Linear(4, 4)

    def decayed(output, target):
        return (output - target).square().mean() + model.weight.square().sum()

    with pytest.raises(CaptureError) as caught:
        capture_function(decayed, (X, X), model=model)
    assert caught.value.code == "C108"
    assert "weight" in caught.value.what


def test_a_loss_with_parameters_of_its_own():
    with pytest.raises(CaptureError) as caught:
        capture_function(nn.Bilinear(4, 4, 1), (X, X))
    assert caught.value.code == "C108"


def test_a_plain_tensor_that_wants_a_gradient():
    class Loose(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = torch.ones(4, requires_grad=True)

        def forward(self, x):
            return x * self.scale

    with pytest.raises(CaptureError) as caught:
        capture_module(Loose(), (X,), train=True)
    assert caught.value.code == "C108"
    assert "nn.Parameter" in caught.value.next
