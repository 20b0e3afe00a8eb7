"""What Python asks of tensors that no input changes is computed while a model is captured."""

from __future__ import annotations

import pytest
import torch
from comparing import assert_captures, ops
from torch import Tensor, nn

from regauge.capture.torch_export import capture_module
from regauge.errors import CaptureError

X = torch.randn(3, 6, generator=torch.Generator().manual_seed(0))


class Positions(nn.Module):
    """The table is cut to the largest position, which follows from a size."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(9, 4))

    def forward(self, x: Tensor) -> Tensor:
        positions = torch.arange(x.shape[1])
        columns = positions.max().item() + 1
        return self.table[:columns][positions] * x[..., None]


class OwnMask(nn.Module):
    """Pairs above the diagonal, by a mask and by places that are asked for."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        pairs = x[:, :, None] * x[:, None]
        above = torch.ones(x.shape[1], x.shape[1]).triu(1) > 0
        rows, columns = above.nonzero(as_tuple=True)
        return pairs[:, above], x[:, rows] - x[:, columns], pairs[:, above, None]


class Padded(nn.Module):
    """Lengths of a convolution as tensors, which are buffers, and a list of them."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("stride", torch.tensor(4))
        self.register_buffer("parts", torch.tensor([1, 3, 4]))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        length = torch.ceil(x.shape[-1] / self.stride).long() * self.stride
        padded = nn.functional.pad(x, (0, length - x.shape[-1]))
        return padded.split(self.parts.tolist(), dim=1)


class Begun(nn.Module):
    """Layers that look at the data once: a flag in a buffer says whether they have."""

    def __init__(self, begun: bool) -> None:
        super().__init__()
        self.register_buffer("begun", torch.tensor(begun))
        self.register_buffer("mean", torch.zeros(6))

    def forward(self, x: Tensor) -> Tensor:
        if not self.begun:
            self.mean.copy_(x.detach().mean(0))
            self.begun.fill_(True)
        return x - self.mean


class Filled(nn.Module):
    """Positions that are written to, of which Python asks for what they were and what they are."""

    def forward(self, x: Tensor) -> Tensor:
        positions = torch.arange(4)
        last = positions.max()
        part = positions[1:]
        part[part == 3] = 1
        return x[:, : int(last)] * part.max().item()


class LikeInputs(nn.Module):
    """Lengths of a batch without padding, which have the shapes of inputs and no values of them."""

    def forward(self, x: Tensor) -> Tensor:
        lengths = x.shape[1] * x.new_ones(x.shape[0], dtype=torch.long)
        kept = torch.full_like(x[0], True).bool() & ~torch.zeros_like(x[0]).bool() & (x.new_full((6,), 2.0) > 1)
        if (lengths == x.shape[1]).all():
            return x[:, kept].sin()
        return x


class FilledOneWay(nn.Module):
    """What a value decides is written, so that nobody knows it."""

    def forward(self, x: Tensor) -> Tensor:
        positions = torch.arange(4)
        if x.sum() > 0:
            positions += 1
        return x[:, : int(positions[0])]


class Written(nn.Module):
    """A view of positions that are changed afterwards."""

    def forward(self, x: Tensor) -> Tensor:
        positions = torch.arange(4)
        last = positions[3:]
        positions += 1
        return x[:, : int(last)]


class Drawn(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:, : int(torch.randint(1, 4, (1,)))]


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("model", [Positions, OwnMask, Padded, Filled], ids=lambda model: model.__name__)
def test_python_gets_the_value(model: type[nn.Module], train: bool) -> None:
    captured = assert_captures(model(), (X,), train=train, others=((X[:2],),))
    assert not {"aten.item.default", "aten.nonzero.default"} & {*ops(captured.graph)}


def test_what_has_the_shape_of_an_input_alone_has_a_value() -> None:
    captured = assert_captures(LikeInputs(), (X,), train=False)
    assert "regauge.cond.default" not in ops(captured.graph)


def test_a_size_that_goes_into_a_value_is_fixed_and_it_is_said() -> None:
    tokens = torch.zeros(2, 5, dtype=torch.long)
    found = [finding.text for finding in capture_module(Positions(), (tokens,), train=True).findings]
    assert len(found) == 1
    assert found[0].startswith("Size 1 of x is fixed at 5 in the converted model: test_known_values.py:")


def test_buffers_that_are_read_are_said() -> None:
    findings = capture_module(Padded(), (X,), train=False).findings
    assert [finding.text.partition(":")[0] for finding in findings if finding.code == "C172"] == [
        "Python reads the buffer stride",
        "Python reads the buffer parts",
    ]
    assert all(finding.where.startswith("test_known_values.py:") for finding in findings if finding.code == "C172")


def test_a_flag_is_as_it_is_unless_the_model_changes_it() -> None:
    captured = assert_captures(Begun(True), (X,), train=True)
    assert "regauge.cond" not in [node.op for node in captured.graph.nodes]
    captured = capture_module(Begun(False), (X,), train=True)
    assert "regauge.cond" in [node.op for node in captured.graph.nodes]


@pytest.mark.parametrize("model", [Written, FilledOneWay, Drawn], ids=lambda model: model.__name__)
def test_what_was_written_or_drawn_has_no_value(model: type[nn.Module]) -> None:
    with pytest.raises(CaptureError) as caught:
        capture_module(model(), (X,), train=False)
    assert caught.value.code == "C104"


class Shaped(nn.Module):
    """Numbers of repeats, places to cut and a mask that stand in tensors which no input changes."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("repeats", torch.tensor([1, 3, 2]))
        self.register_buffer("cuts", torch.tensor([1, 2]))
        self.register_buffer("kept", torch.tensor([True, False, True]))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = x[:, :3]
        first, *rest = x.tensor_split(self.cuts, dim=1)
        halves = torch.tensor_split(x, torch.tensor(2), dim=1)
        return (
            x.repeat_interleave(self.repeats, dim=1),
            torch.repeat_interleave(x, torch.tensor([2, 0, 1]), dim=-1),
            torch.cat([*rest, first], 1),
            halves[0] * halves[1].sum(),
            x.masked_select(self.kept),
            x.masked_select(self.kept[:, None] & torch.tensor([True, True, False])) if len(x.shape) > 2 else x,
        )


@pytest.mark.parametrize("shape", [(2, 4), (2, 4, 3)])
def test_shapes_that_known_values_give(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape)
    captured = assert_captures(Shaped(), (x,), train=False, others=((torch.cat([x, x]),),))
    assert [symbol.name for symbol in captured.graph.symbols] == ["batch"]
    assert {"Python reads the buffer repeats", "Python reads the buffer kept"} <= {
        finding.text.partition(":")[0] for finding in captured.findings
    }


class Grid(nn.Module):
    """Patches of images whose rows and columns are known: one number of repeats stands for all elements."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("grid", torch.tensor([[1, 4, 4]]))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        counts = self.grid[:, 1] * self.grid[:, 2]
        ends = torch.repeat_interleave(counts, self.grid[:, 0]).cumsum(0)
        (window,) = x.split(ends.tolist())
        rows = torch.repeat_interleave(self.grid[:, 1], counts)
        return window * rows[:, None], x.repeat_interleave(self.grid[0, 0] + 1, dim=1)


class Permuted(nn.Module):
    """Patches in another order: 4 * (size // (size // 4)) of them, which is 16 where torch does not find it out."""

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[0]
        (window,) = x.reshape(size // 4, 4, -1)[torch.tensor([2, 0, 3, 1])].reshape(size, -1).split([16])
        return window * 2


def test_one_number_of_repeats_gives_a_known_size() -> None:
    assert_captures(Grid(), (torch.randn(16, 3),), train=False)


def test_a_split_into_all_there_is_where_torch_spells_the_size_otherwise() -> None:
    assert "aten.select.int" not in ops(assert_captures(Permuted(), (torch.randn(16, 3),), train=False).graph)


def test_repeats_of_an_input_are_still_unknown() -> None:
    with pytest.raises(CaptureError, match=r"aten\.repeat_interleave"):
        capture_module(
            lambda x, n: x.repeat_interleave(n, dim=0), (torch.ones(3, 2), torch.tensor([1, 2, 1])), train=False
        )
