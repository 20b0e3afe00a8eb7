"""Models that write to their inputs: converted, with a warning; the caller's tensors and arrays stay as they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from like_torch import assert_like_torch
from torch import Tensor, nn

import regauge
from regauge.capture.torch_export import capture_module
from regauge.errors import CaptureError
from regauge.run.torch_capture import run
from regauge.run.torch_subject import TorchSubject

torch.manual_seed(0)
X = torch.randn(3, 4)
SOURCE = Path(__file__).read_text(encoding="utf-8").splitlines()


class Scales(nn.Module):
    """A part that changes what it is given, which its caller reads afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.randn(4))

    def forward(self, x: Tensor) -> Tensor:
        x *= self.scale
        return x.sum(-1, keepdim=True)


class Inner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scales = Scales()

    def forward(self, x: Tensor) -> Tensor:
        return self.scales(x) + x


def whole(x: Tensor) -> Tensor:
    x.relu_()
    return x.sin()


def column(x: Tensor) -> Tensor:
    x[:, 0] = x[:, 1] * 2
    return x * 2


def through_a_view(x: Tensor) -> Tensor:
    x.view(-1)[::2].mul_(3)
    return x.sin()


def written_and_returned(x: Tensor) -> tuple[Tensor, Tensor]:
    first = x.sum(0)
    return x.add_(first), first


def under_a_condition(x: Tensor) -> Tensor:
    if x.max() > 1:
        x[0] = 0
    return x * 2


def masked(x: Tensor) -> Tensor:
    x[x > 0] = 0.5
    return x.cumsum(0)


def text_of(converted: Any) -> list[tuple[str, str]]:
    return [(finding.severity, finding.text) for finding in converted.findings if finding.code == "C240"]


@pytest.mark.parametrize(
    "model", [Inner(), whole, column, through_a_view, written_and_returned, under_a_condition, masked]
)
def test_it_computes_with_what_it_wrote_and_changes_nothing(model: Any) -> None:
    module = model if isinstance(model, nn.Module) else Calls(model)
    given = X.clone()
    converted = assert_like_torch(module, (given,))
    assert torch.equal(given, X)
    array = X.numpy().copy()
    converted(array)
    assert np.array_equal(array, X)
    ((severity, text),) = text_of(converted)
    assert severity == "warning"
    assert text.startswith("The original changes its input x in place")


class Calls(nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


def test_the_warning_has_the_persons_line() -> None:
    captured = capture_module(column, (X.clone(),), train=False)
    (finding,) = [finding for finding in captured.findings if finding.code == "C240"]
    line = next(i for i, text in enumerate(SOURCE, start=1) if text.startswith("    x[:, 0] ="))
    assert finding.where == f"test_written_inputs.py:{line}"


# what shares memory -------------------------------------------------------------------------------------------------


def two(x: Tensor, y: Tensor) -> Tensor:
    x.relu_()
    return x + y


def reads_twice(x: Tensor, y: Tensor) -> Tensor:
    return x.relu() + y


ROWS = torch.randn(6, 4)


def test_an_input_that_is_given_twice() -> None:
    assert_like_torch(Two(reads_twice), (X, X))
    with pytest.raises(CaptureError, match="changes its input x in place, and with it its input y") as caught:
        capture_module(two, (X, X), train=False)
    assert caught.value.code == "C241"
    assert "test_written_inputs.py" in caught.value.where
    assert "x.clone()" in caught.value.next


class Two(nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor, y: Tensor) -> Any:
        return self.function(x, y)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (ROWS[:4], ROWS[2:]),
        (ROWS[:, :3], ROWS[:, 1:]),
        (ROWS[:4].view(torch.int32), ROWS[:4]),
        (ROWS[:3], ROWS[2].expand(3, 4)),
    ],
)
def test_inputs_that_overlap(x: Tensor, y: Tensor) -> None:
    with pytest.raises(CaptureError, match="and with it its input y"):
        capture_module(two, (x, y), train=False)


@pytest.mark.parametrize(("x", "y"), [(ROWS[:3], ROWS[3:]), (ROWS[:, :2], ROWS[:, 2:]), (ROWS[::2], ROWS[1::2])])
def test_parts_of_one_tensor_that_do_not_overlap(x: Tensor, y: Tensor) -> None:
    converted = regauge.to_jax(two, (x, y))
    expected = (x.relu() + y).numpy()
    np.testing.assert_allclose(np.asarray(converted(x.numpy(), y.numpy())), expected, rtol=1e-6)


def test_an_input_that_is_a_buffer_of_the_model() -> None:
    class Holds(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("rows", X.clone())

        def forward(self, x: Tensor) -> Tensor:
            x += 1
            return x * self.rows

    model = Holds()
    with pytest.raises(CaptureError, match="and with it its rows"):
        capture_module(model, (model.rows[:],), train=False)


# the loss, and the original in a check ------------------------------------------------------------------------------


class Noises(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x[:, 0] = 0
        return self.layer(x)


def of_itself() -> regauge.Case:
    x = X.clone()
    return regauge.Case(Noises(), (x,), targets=x, loss=nn.functional.mse_loss)


def of_another() -> regauge.Case:
    torch.manual_seed(0)
    model = Noises()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return regauge.Case(model, (X.clone(),), targets=X.clone(), loss=nn.functional.mse_loss, optimizer=optimizer)


def test_targets_that_are_a_written_input(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="changes its input x in place, and with it the case's targets") as caught:
        run({"case": f"{__file__}:of_itself", "out": str(tmp_path)})
    assert caught.value.code == "C241"
    assert "targets=x.clone()" in caught.value.next


def test_the_original_is_called_on_copies() -> None:
    calls = [X.clone(), X.clone().requires_grad_(), X[:, ::2], X[:1].expand(3, 4)]
    for given in calls:
        before = given.detach().clone()
        seen: list[Tensor] = []

        def model(x: Tensor, y: Tensor, seen: list[Tensor] = seen) -> Tensor:
            seen += [x, y]
            return x if 0 in x.stride() or x.requires_grad else x.mul_(2)

        with torch.no_grad():
            TorchSubject.call(model, (given, given))  # type: ignore[arg-type]
        assert torch.equal(given, before)
        assert seen[0] is seen[1]
        assert seen[0].stride() == given.stride()


def test_gradients_go_through_the_copies() -> None:
    x = X.clone().requires_grad_()
    TorchSubject.call(whole, (x,)).sum().backward()  # type: ignore[arg-type]
    assert torch.equal(x.grad, torch.where(X > 0, X.cos(), 0))  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_check_trains_it(tmp_path: Path) -> None:
    assert regauge.check(f"{__file__}:of_another", out=tmp_path).equal
