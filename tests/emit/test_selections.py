"""Elements that a mask selects, written back by the same mask or reduced: outputs, gradients, what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from like_torch import assert_like_torch
from torch import Tensor, nn

import regauge
from regauge.errors import CaptureError

torch.manual_seed(0)
X, Y = torch.randn(2, 4, 5), torch.randn(2, 4, 5)
X[0, 1, 2] = X[1, 2, 0] = 0.0
X[1, 3] = 0.0
MASK = torch.tensor([[True, False, True, True], [True, True, False, False]])
IDS = torch.randint(0, 5, (2, 4))


def farthest(points: Tensor, count: int) -> Tensor:
    """Farthest point sampling as it is usually written."""
    nearest = torch.full(points.shape[:2], 1e10)
    last = torch.zeros(points.shape[0], dtype=torch.long)
    found = []
    for _ in range(count):
        found.append(last)
        distance = (points - points[torch.arange(points.shape[0]), last][:, None]).square().sum(-1)
        closer = distance < nearest
        nearest[closer] = distance[closer]
        last = nearest.max(-1)[1]
    return torch.stack(found, 1)


def ball(points: Tensor, radius: float, count: int) -> Tensor:
    """The first neighbours within a radius; the first of all in the place of those that are missing."""
    size = points.shape[1]
    group = torch.arange(size).repeat(points.shape[0], size, 1)
    group[torch.cdist(points, points) > radius] = size
    group = group.sort(-1)[0][:, :, :count]
    first = group[:, :, :1].repeat(1, 1, count)
    missing = group == size
    group[missing] = first[missing]
    return group


def neighbours(shift: Tensor) -> tuple[Tensor, Tensor]:
    """Places on both sides of a number on a grid, which are two different ones, as in distributional learning."""
    low, high = shift.floor().long(), shift.ceil().long()
    low[(high > 0) * (low == high)] -= 1
    high[(low < 4) * (low == high)] += 1
    return low, high


def written(change: Callable[[Tensor, Tensor], Any]) -> Callable[[Tensor, Tensor], Tensor]:
    """A model that copies its second input and changes the copy."""

    def model(x: Tensor, y: Tensor) -> Tensor:
        y = y.clone()
        change(x, y)
        return y

    return model


def put(x: Tensor, y: Tensor, mask: Any, values: Tensor) -> None:
    y[mask] = values


def twice(x: Tensor, y: Tensor) -> None:
    kept = x > 0
    y[kept] += 1
    y[kept] = y[kept] * 2 + x[kept]
    y[~kept] *= 0.5


def add_rows(x: Tensor, y: Tensor) -> None:
    y[MASK] += x[MASK].norm(dim=-1, keepdim=True) * torch.arange(5.0)


def other_rows(x: Tensor, y: Tensor) -> None:
    """The mask of the rows is turned around before it gets its axis, and behind."""
    kept = x[..., 0] > 0
    y.masked_scatter_(~kept[..., None], x[~kept].softmax(-1))
    y.masked_scatter_((~~kept).unsqueeze(-1), x[kept] * 2)


WRITES: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "in place": twice,
    "rows": add_rows,
    "rows of softmax": lambda x, y: put(x, y, MASK, x[MASK].softmax(-1)),
    "a mask written twice": lambda x, y: put(x, y, x == 0, 1 / (1 + x[x == 0])),
    "columns": lambda x, y: put(x, y, (slice(None), MASK[0]), x[:, MASK[0]].exp()),
    "a view": lambda x, y: put(x, y[..., 0], MASK, x[..., 1][MASK] * x[MASK][:, 2]),
    "masked_scatter_": lambda x, y: y.masked_scatter_(x > 0, x[x > 0] ** 2),
    "masked_scatter_ of rows": lambda x, y: y.masked_scatter_(MASK[..., None], x[MASK].softmax(-1)),
    "masked_scatter_ of other rows": other_rows,
    "masked_select": lambda x, y: put(x, y, x > 0, torch.masked_select(x, x > 0).neg()),
}


@pytest.mark.parametrize("name", WRITES)
def test_written_back_by_the_same_mask(name: str) -> None:
    assert_like_torch(Function(written(WRITES[name])), (X, Y))


class Function(nn.Module):
    """A function of several inputs as a module."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Any) -> Any:
        return self.function(*inputs)


REDUCED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mean": lambda x, y: ((x - y)[MASK] ** 2).mean(),
    "sum of rows": lambda x, y: (x[MASK] * y[MASK]).sum(0),
    "mean of rows": lambda x, y: x[MASK].mean(dim=0),
    "mse": lambda x, y: F.mse_loss(x[MASK], y[MASK]),
    "l1": lambda x, y: F.l1_loss(x[MASK], y[MASK], reduction="sum"),
    "binary cross entropy": lambda x, y: F.binary_cross_entropy(x.sigmoid()[MASK], y.sigmoid()[MASK]),
    "cross entropy": lambda x, y: F.cross_entropy(x[MASK], IDS[MASK]),
    "smoothed": lambda x, y: F.cross_entropy(y[MASK], IDS[MASK], label_smoothing=0.1, weight=torch.arange(1.0, 6.0)),
    "summed": lambda x, y: F.cross_entropy(y[0][MASK[0]], IDS[0][MASK[0]], reduction="sum"),
    "accuracy": lambda x, y: (x[MASK].argmax(-1) == IDS[MASK]).float().mean(),
    "nothing chosen": lambda x, y: x[x > 100].sum(),
}


@pytest.mark.parametrize("name", REDUCED)
def test_reduced(name: str) -> None:
    assert_like_torch(Function(REDUCED[name]), (X, Y))


def test_what_the_mask_leaves_out_gives_no_gradient() -> None:
    """Square roots, logarithms and quotients are finite where they are not asked for."""

    def model(x: Tensor, y: Tensor) -> Tensor:
        y = y.clone()
        kept = x > 0
        y[kept] = x[kept].sqrt() * x[kept].log() / (x[kept].rsqrt() + 1 / x[kept])
        return y

    assert_like_torch(Function(model), (X, Y))
    broken = X.clone()
    broken[~MASK] = torch.inf
    assert_like_torch(Function(lambda x, y: (x[MASK] * y[MASK]).sum()), (broken, Y))


def test_a_linear_layer_of_selected_rows() -> None:
    class Head(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(5, 3)

        def forward(self, x: Tensor, mask: Tensor) -> Tensor:
            return F.cross_entropy(self.head(x[mask]).tanh(), IDS[mask] % 3)

    assert_like_torch(Head(), (X, MASK))


class Root(nn.Module):
    """Each row by its root mean square."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(5))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True)))


class TwoNorms(nn.Module):
    """A norm of its own for the rows of each kind; a row of zeros would have no derivative."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.sounds = Root(), Root()

    def forward(self, x: Tensor, sound: Tensor) -> Tensor:
        x = x.masked_scatter(sound.unsqueeze(-1), self.sounds(x[sound]))
        return x.masked_scatter(~sound.unsqueeze(-1), self.words(x[~sound]))


def test_a_norm_of_selected_rows_is_called_with_one_array() -> None:
    source = assert_like_torch(TwoNorms(), (torch.randn(2, 4, 5), MASK)).source
    assert source.count("class ") == 2
    assert source.count("self.sounds(jnp.where(") == source.count("self.words(jnp.where(") == 1


class Thinned(nn.Module):
    """Drops elements of selected rows."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.dropout = nn.Linear(4, 64), nn.Dropout(0.25)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        found = torch.zeros(*x.shape[:2], 64)
        found[mask] = self.dropout(self.linear(x[mask]))
        return found


def test_elements_of_selected_rows_are_dropped() -> None:
    torch.manual_seed(0)
    x, mask = torch.randn(50, 40, 4), torch.rand(50, 40) < 0.5
    model = Thinned()
    assert_like_torch(model.eval(), (x, mask))
    trained = np.asarray(regauge.to_jax(model, (x, mask), train=True)(x.numpy(), mask.numpy()))
    selected = trained[mask.numpy()]
    assert not trained[~mask.numpy()].any()
    assert abs(np.mean(selected == 0) - 0.25) < 5 * math.sqrt(0.25 * 0.75 / selected.size)
    kept = selected != 0
    assert np.allclose(selected[kept] * 0.75, model(x, mask).detach().numpy()[mask.numpy()][kept], atol=1e-5)


def test_point_clouds() -> None:
    points = torch.rand(2, 12, 3)
    assert_like_torch(Function(lambda p: (farthest(p, 5), ball(p, 0.5, 4))), (points,))


def test_places_on_a_grid() -> None:
    converted = assert_like_torch(Function(neighbours), (torch.tensor([0.0, 0.4, 1.0, 3.6, 4.0]),))
    assert ", low - 1, low)" in converted.source


class Experts(nn.Module):
    """A mixture of experts by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(5, 4)
        self.experts = nn.ModuleList(nn.Sequential(nn.Linear(5, 7), nn.SiLU(), nn.Linear(7, 5)) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        weights, selected = self.gate(x).softmax(-1).topk(2)
        out = torch.zeros_like(x)
        for i, expert in enumerate(self.experts):
            hit = selected == i
            mask, share = hit.any(-1), (weights * hit).sum(-1, keepdim=True)
            out[mask] += share[mask] * expert(x[mask])
        return out


class ExpertsByPlaces(Experts):
    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(0, 1)
        weights, selected = self.gate(flat).softmax(-1).topk(2)
        out = torch.zeros_like(flat)
        for i, expert in enumerate(self.experts):
            rows, nth = torch.where(selected == i)
            out[rows] += weights[rows, nth, None] * expert(flat[rows])
        return out.view_as(x)


class ExpertsByCounts(Experts):
    """With a mask for each expert, as transformers had it."""

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(0, 1)
        weights, selected = self.gate(flat).softmax(-1).topk(2)
        hits = F.one_hot(selected, 4).permute(2, 1, 0)
        out = torch.zeros_like(flat)
        for i, expert in enumerate(self.experts):
            nth, rows = torch.where(hits[i])
            tokens = flat[None, rows].reshape(-1, 5)
            out.index_add_(0, rows, expert(tokens) * weights[rows, nth, None])
        return out.view_as(x)


class ExpertsByFlatMasks(Experts):
    """Read by a mask that is flattened, and written by the mask itself."""

    def forward(self, x: Tensor) -> Tensor:
        weights, selected = self.gate(x).softmax(-1).topk(2)
        gating = torch.zeros(*x.shape[:2], 4).scatter(-1, selected, weights)
        out = torch.zeros_like(x)
        flat, flat_gating = x.view(-1, 5), gating.view(-1, 4)
        for i, expert in enumerate(self.experts):
            mask = (selected == i).any(dim=-1)
            flat_mask = mask.view(-1)
            if flat_mask.any():
                share = flat_gating[flat_mask, i].unsqueeze(1)
                out[mask] += (expert(flat[flat_mask]) * share).squeeze(1)
        return out


@pytest.mark.parametrize("make", [Experts, ExpertsByPlaces, ExpertsByCounts, ExpertsByFlatMasks])
def test_tokens_of_experts(make: type[nn.Module]) -> None:
    name = "expert_2" if make is ExpertsByFlatMasks else "expert"  # a function in its step has an `expert` of its own
    assert f"for i, {name} in enumerate(self.experts):" in assert_like_torch(make(), (X,)).source


def at_rows(x: Tensor, y: Tensor) -> Tensor:
    rows = torch.where(x[0, :, 0] > 0)[0]
    y = y[1].clone()
    y[rows] = x[0, rows].exp() * y[rows, :1]
    return y


def at_places_of_a_table(x: Tensor, y: Tensor) -> Tensor:
    rows = (x[0].sum(-1) > 0).nonzero().squeeze(-1)
    first, _ = (x > 0).nonzero().unbind(1)[:2]
    return y[0].index_add(0, rows, x[0].index_select(0, rows) ** 2) + x.index_add(0, first, x[first]).sum(0)


def at_swapped_places(x: Tensor, y: Tensor) -> Tensor:
    rows, columns = (x[0] > 0).nonzero(as_tuple=True)
    across = y[0].t().clone()
    across[columns, rows] += x[0][rows, columns].log()
    return across.index_put((columns,), x[0][rows, columns, None], accumulate=True)


def at_a_middle_axis(x: Tensor, y: Tensor) -> Tensor:
    rows, columns = torch.where(x[0] > 0.5)
    y = y[:, None].repeat(1, 2, 1, 1)
    y[:, :, rows, columns] = y[:, :, rows, columns] * 2
    return y[:, 0].index_add(1, rows, y[:, 0][:, rows])


def several_of_a_row(x: Tensor, y: Tensor) -> Tensor:
    """The gradient goes to all that are put there, the value from the last alone."""
    rows, columns = torch.where(x[0] > 0)
    y = y[0].clone()
    y[rows] = y[rows] * x[0][rows, columns, None]
    return y


def by_flat_masks(x: Tensor, y: Tensor) -> Tensor:
    mask = x[..., 0] > 0
    flat = mask.flatten()
    y = y.reshape(-1, 5).clone()
    y[flat] = y[flat] * x[mask] + x.exp().reshape(-1, 5)[flat]
    y[:, 1][flat] = x[mask].sum(-1, keepdim=True).squeeze(-1)
    z = F.linear(y + 1, torch.eye(5))[flat].square().sum(0)  # of what was flat all the time
    return y + z + y.view(8, 5).sum(1)[flat].unsqueeze(-1).squeeze(-1).sum()


def by_a_mask_of_columns(x: Tensor, y: Tensor) -> Tensor:
    mask = x[0] > 0
    flat = y.reshape(y.shape[0], 20).clone()
    flat[:, mask.view(-1)] = y[:, mask] * 2
    return flat


AT_PLACES = (by_flat_masks, by_a_mask_of_columns, at_rows, at_places_of_a_table, at_swapped_places, at_a_middle_axis)


@pytest.mark.parametrize("function", AT_PLACES, ids=lambda function: function.__name__)
def test_places_of_a_mask(function: Callable[[Tensor, Tensor], Tensor]) -> None:
    converted = assert_like_torch(Function(function), (X, Y))
    assert "nonzero" not in converted.source


def test_a_selection_is_read_as_a_choice() -> None:
    converted = regauge.to_jax(Function(written(WRITES["in place"])), (X, Y))
    assert "nonzero" not in converted.source
    assert "jnp.where(" in converted.source
    assert "ops" not in converted.sources


def test_a_buffer_that_is_changed_where_a_mask_is() -> None:
    class Counts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("count", torch.zeros(4))

        def forward(self, x: Tensor) -> Tensor:
            self.count[x[0, :, 0] > 0] += 1
            return x * self.count[:, None]

    model = Counts()
    converted = regauge.to_jax(model, (X,), train=True)
    for step in (X, Y):
        found = converted(step.numpy())
        assert torch.allclose(torch.tensor(found.tolist()), model(step))


def changed_between(x: Tensor, y: Tensor) -> Tensor:
    mask, y = MASK.clone() & (x[..., 0] != 7), y.clone()
    values = y[mask]
    mask[0] = False
    others = y[~mask]
    others[: len(values)] = values
    return others.sum()


LEFT: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "along the selection": lambda x, y: x[x > 0].cumsum(0).sum(),
    "returned": lambda x, y: x[x > 0],
    "its number": lambda x, y: x[x > 0].sum() / x[x > 0].shape[0],
    "rows of another width": lambda x, y: y[..., :3].masked_scatter((x[..., 0] > 0)[..., None], x[x[..., 0] > 0]).sum(),
    "two masks": lambda x, y: (x[x > 0] * y[x > 0].roll(1)).sum(),
    "chance": lambda x, y: torch.randn_like(x[x > 0]).sum(),
    "another mask": changed_between,
    "places": lambda x, y: x.nonzero().sum(),
    "several for one place": several_of_a_row,
    "the first place": lambda x, y: y[torch.where(x[0, :, 0] > 0)[0][0] * 0],
    "places in a longer array": lambda x, y: y[0, torch.where(x[0, :2, 0] > -9)[0]].sum(),
}


@pytest.mark.parametrize("name", LEFT)
def test_other_uses_are_refused(name: str) -> None:
    with pytest.raises(CaptureError) as caught:
        regauge.to_jax(Function(LEFT[name]), (X, Y))
    assert caught.value.code == "C104"
    assert "test_selections.py" in caught.value.where
