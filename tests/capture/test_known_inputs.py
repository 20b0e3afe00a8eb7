"""Inputs that a person names as known: their values decide sizes, and are part of the graph."""

from __future__ import annotations

import case_file
import pytest
import torch
from comparing import assert_same, run_graph
from torch import Tensor, nn

from regauge.capture.torch_export import capture_module
from regauge.errors import BadCase, CaptureError
from regauge.run import torch_capture
from regauge.run.protocol import read_json

IMAGES = torch.randn(10, 3, generator=torch.Generator().manual_seed(0))
GRIDS = torch.tensor([[2, 3], [1, 4]])


class Patches(nn.Module):
    """Rows of patches, images behind each other: means of their columns, as many as the grids say."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, patches: Tensor, grids: Tensor) -> Tensor:
        lengths = (grids[:, 0] * grids[:, 1]).tolist()
        images = patches.split(lengths)
        means = [image.reshape(h, w, -1).mean(0) for image, (h, w) in zip(images, grids.tolist(), strict=True)]
        return torch.cat(means) * self.scale * grids.sum()


class Shortened(nn.Module):
    """Steps of each sequence up to one of which the number is an input."""

    def forward(self, x: Tensor, options: dict[str, Tensor]) -> Tensor:
        return x[:, : int(options["steps"])] * 2 + options["offset"]


class Decides(nn.Module):
    """A length that follows from two inputs, and values of data."""

    def forward(self, x: Tensor, start: Tensor, stop: Tensor, ids: Tensor) -> Tensor:
        return x[:, : int(stop.max() - start.max())] + ids


class Masks(nn.Module):
    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return x[mask]


@pytest.mark.parametrize("by_name", [True, False])
def test_a_known_input_gives_sizes_and_stays_an_argument(by_name: bool) -> None:
    inputs = {"patches": IMAGES, "grids": GRIDS} if by_name else (IMAGES, GRIDS)
    model = Patches()
    captured = capture_module(model, inputs, train=False, known=("grids",))
    assert_same(run_graph(captured.graph, captured.tensors, inputs).outputs, model(IMAGES, GRIDS))
    assert [value.spec.shape for value in captured.graph.inputs] == [(10, 3), (2, 2)]
    assert captured.known == ("inputs.grids" if by_name else "inputs.1",)
    (finding,) = [finding for finding in captured.findings if finding.code == "C191"]
    assert finding.where == "grids"
    assert "grids = [[2, 3], [1, 4]]" in finding.text
    assert not any(f.where == "grids" for f in captured.findings if f.code == "C110")  # no size of it was offered
    # nothing reads the argument: other values change nothing
    other = {"patches": IMAGES, "grids": 0 * GRIDS} if by_name else (IMAGES, 0 * GRIDS)
    assert_same(run_graph(captured.graph, captured.tensors, other).outputs, model(IMAGES, GRIDS))


@pytest.mark.parametrize("batch", [1, 3])
def test_sizes_of_the_other_inputs_stay_symbolic(batch: int) -> None:
    options = {"steps": torch.tensor(4), "offset": torch.tensor([1])}
    captured = capture_module(Shortened(), (torch.randn(batch, 6), options), train=False, known=("options",))
    assert [symbol.name for symbol in captured.graph.symbols] == ["batch"]
    assert captured.known == ("inputs.1.steps", "inputs.1.offset")
    x = torch.randn(5, 6)
    assert_same(run_graph(captured.graph, captured.tensors, (x, options)).outputs, Shortened()(x, options))


def test_the_model_keeps_its_forward() -> None:
    def forward(x: Tensor, n: Tensor) -> Tensor:
        return x[: int(n)]

    for model in (Patches(), nn.Module()):
        if not isinstance(model, Patches):
            model.forward = forward
        before = dict(vars(model))
        inputs = (IMAGES, GRIDS) if isinstance(model, Patches) else (IMAGES, torch.tensor(4))
        capture_module(model, inputs, train=False, known=("grids" if isinstance(model, Patches) else "n",))
        assert vars(model).get("forward") is before.get("forward")


def test_a_decision_on_inputs_names_them() -> None:
    inputs = (torch.randn(2, 6), torch.tensor([0, 1]), torch.tensor([5, 4]), torch.tensor([1, 0])[:, None])
    with pytest.raises(CaptureError) as caught:
        capture_module(Decides(), inputs, train=False)
    assert caught.value.code == "C104"
    assert 'known=("start", "stop")' in caught.value.next
    with pytest.raises(CaptureError) as caught:
        capture_module(Masks(), (torch.randn(3), torch.tensor([True, False, True])), train=False)
    assert 'known=("mask",)' in caught.value.next


def test_a_decision_on_data_names_nothing() -> None:
    def decides(x: Tensor, n: Tensor) -> Tensor:
        return x[: int((x * n).sum())]

    with pytest.raises(CaptureError) as caught:
        capture_module(decides, (torch.ones(3), torch.tensor(2)), train=False)
    assert "known=" not in caught.value.next


@pytest.mark.parametrize(
    ("name", "received"),
    [("patches", "an input of floats"), ("grid", "no input of this name")],
)
def test_what_cannot_be_known_is_refused(name: str, received: str) -> None:
    with pytest.raises(BadCase) as caught:
        capture_module(Patches(), (IMAGES, GRIDS), train=False, known=(name,))
    assert (caught.value.code, caught.value.received) == ("C190", received)
    assert "grids" in caught.value.next


def test_the_job_writes_which_arrays_are_known(tmp_path) -> None:
    torch_capture.run({"job": "capture", "case": f"{case_file.__file__}:known", "out": str(tmp_path)})
    about = read_json(tmp_path / "capture.json")
    assert about["known"] == ["inputs.1"]
    assert [finding["code"] for finding in about["findings"] if finding["code"] == "C191"] == ["C191"]


class Bounds(nn.Module):
    """Ends of windows, as a tensor that is made of numbers and of tensors of one number."""

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        ends = torch.tensor([0, *lengths], dtype=torch.int32).cumsum(0)
        mixed = torch.tensor([[lengths[0], 1], [2, x.sum()]])
        return x[: lengths.shape[0] + 1] * ends[:, None], mixed, torch.tensor([True, lengths[1] > 3])


@pytest.mark.parametrize("known", [(), ("lengths",)])
def test_a_tensor_is_made_of_tensors_in_a_list(known: tuple[str, ...]) -> None:
    inputs = (IMAGES, torch.tensor([2, 5]))
    captured = capture_module(Bounds(), inputs, train=False, known=known)
    assert_same(run_graph(captured.graph, captured.tensors, inputs).outputs, Bounds()(*inputs))


class Chosen(nn.Module):
    """Rows by a mask, copies by numbers, a branch by a flag; another function in training."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor, mask: Tensor, copies: Tensor) -> Tensor:
        x = x[mask].repeat_interleave(copies, dim=0) * self.scale
        if self.training:
            x = x[:, 1:] * mask.sum()
        return x if mask.all() else x + copies.max()


def test_known_masks_and_numbers_in_both_modes() -> None:
    inputs = (torch.randn(3, 3), torch.tensor([True, False, True]), torch.tensor([2, 1]))
    captured = capture_module(Chosen(), inputs, train=True, known=("mask", "copies"))
    assert captured.graph_eval is not None
    for graph, training in ((captured.graph, True), (captured.graph_eval, False)):
        expected = Chosen().train(training)(*inputs)
        assert_same(run_graph(graph, captured.tensors, inputs).outputs, expected)


def test_a_known_input_that_is_written_is_refused() -> None:
    def moves(x: Tensor, places: Tensor) -> Tensor:
        places += 1
        return x[0] + places[:, None]

    with pytest.raises(CaptureError, match="in place") as caught:
        capture_module(moves, (IMAGES, torch.tensor([1, 4])), train=False, known=("places",))
    assert caught.value.code == "C109"
