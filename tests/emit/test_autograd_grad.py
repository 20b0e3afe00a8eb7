"""Models that take derivatives in their forward: forces, gradient penalties, residuals of equations, inner steps."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from like_torch import assert_like_torch
from torch import Tensor, nn

import regauge
from regauge.errors import BadCase, CaptureError


def points(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


class Residual(nn.Module):
    """Burgers' equation: first derivatives by two inputs, and a second one."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
        self.nu = nn.Parameter(torch.tensor(0.1))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        x.requires_grad_(True)
        t.requires_grad_(True)
        u = self.net(torch.cat([x, t], 1))
        u_x, u_t = torch.autograd.grad(u, (x, t), torch.ones_like(u), create_graph=True)
        u_xx = torch.autograd.grad(u_x.sum(), x, create_graph=True)[0]
        return u_t + u * u_x - self.nu * u_xx


class Forces(nn.Module):
    """An energy of positions, and its negative gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 8), nn.SiLU(), nn.Linear(8, 1))

    def forward(self, positions: Tensor) -> dict[str, Tensor]:
        positions.requires_grad_(True)
        distances = positions[:, None] - positions[None]
        energy = self.net(distances).sum()
        forces = -torch.autograd.grad(energy, positions, create_graph=True)[0]
        return {"energy": energy, "forces": forces}


class Penalty(nn.Module):
    """The gradient penalty of a critic, by points between two samples."""

    def __init__(self) -> None:
        super().__init__()
        self.critic = nn.Sequential(nn.Linear(4, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1))

    def forward(self, real: Tensor, fake: Tensor, weight: Tensor) -> Tensor:
        mixed = (weight * real + (1 - weight) * fake).requires_grad_(True)
        score = self.critic(mixed)
        (gradient,) = torch.autograd.grad(score.sum(), mixed, create_graph=True, retain_graph=True)
        return self.critic(fake).mean() + 10 * ((gradient.norm(2, dim=1) - 1) ** 2).mean()


class InnerStep(nn.Module):
    """One step of a learner inside the model, which the outer gradient goes through."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(points(3, 2))
        self.b = nn.Parameter(torch.zeros(2))

    def forward(self, xs: Tensor, ys: Tensor, queries: Tensor) -> Tensor:
        with torch.enable_grad():
            loss = F.mse_loss(xs @ self.w + self.b, ys)
            by_w, by_b = torch.autograd.grad(loss, [self.w, self.b], create_graph=True)
        return queries @ (self.w - 0.1 * by_w) + self.b - 0.1 * by_b


class Jacobian(nn.Module):
    """Row by row, of values that are written in place."""

    def forward(self, x: Tensor) -> Tensor:
        x.requires_grad_(True)
        u = torch.zeros_like(x)
        u[:, 0] = x[:, 0] * x[:, 1]
        u[:, 1] = x[:, 1] ** 2
        return torch.stack([torch.autograd.grad(u[:, i].sum(), x, create_graph=True)[0] for i in range(2)], 1)


@pytest.mark.parametrize(
    ("model", "inputs"),
    [
        (Residual(), (points(5, 1), points(5, 1))),
        (Forces(), (points(5, 3),)),
        (Penalty(), (points(5, 4), points(5, 4) + 1, torch.rand(5, 1))),
        (InnerStep(), (points(5, 3), points(5, 2), points(4, 3))),
        (Jacobian(), (points(5, 2),)),
    ],
    ids=lambda item: type(item).__name__ if isinstance(item, nn.Module) else "",
)
def test_a_derivative_inside_a_model_and_its_own_gradients(model, inputs):
    for train in (False, True):
        model.zero_grad()
        assert_like_torch(model, inputs, train=train)


def test_it_reads_as_a_person_writes_it():
    source = regauge.to_jax(Residual(), (points(5, 1), points(5, 1))).source
    assert "u_x, u_t = jax.vjp(lambda x, t: self.net(jnp.concatenate((x, t), axis=1)), x, t)" in source
    assert "u_xx = jax.grad(" in source


def test_without_a_graph_the_gradient_is_a_constant():
    class Step(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y = x * 2
            y.requires_grad_(True)
            gradient = torch.autograd.grad((y**3).sum(), y, retain_graph=True)[0]
            return y * gradient

    assert_like_torch(Step(), (points(4),))


def test_the_inputs_stay_as_they_were():
    x = points(5, 3)
    regauge.to_jax(Forces(), (x,))
    assert not x.requires_grad


def test_an_input_that_requires_a_gradient_has_been_asked_for():
    class Slope(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.autograd.grad((x**2).sum(), x, create_graph=True)[0]

    assert_like_torch(Slope(), (points(4).requires_grad_(True),))
    with pytest.raises(BadCase, match=r"B117[\s\S]*test_autograd_grad.py[\s\S]*torch\.func\.grad"):
        regauge.to_jax(Slope(), (points(4),))


class ByClone(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        copy = x.clone().requires_grad_(True)
        return torch.autograd.grad((copy * x).sum(), copy, create_graph=True)[0]


class Unused(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        other = torch.zeros(3, requires_grad=True)
        x.requires_grad_(True)
        return torch.autograd.grad((x**2).sum(), (x, other), create_graph=True, allow_unused=True)[0]


class Batched(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        x.requires_grad_(True)
        return torch.autograd.grad(x**2, x, torch.eye(4), is_grads_batched=True)[0]


class Statistics(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3)

    def forward(self, x: Tensor) -> Tensor:
        x.requires_grad_(True)
        return torch.autograd.grad((self.norm(x) ** 3).sum(), x, create_graph=True)[0]


@pytest.mark.parametrize(
    ("model", "x", "train", "reason"),
    [
        (ByClone(), points(4), False, "by a copy of a tensor"),
        (Unused(), points(4), False, "that was not used"),
        (Batched(), points(4), False, "is_grads_batched"),
        (Statistics(), points(4, 3), True, "a batch norm in training"),
    ],
    ids=lambda item: type(item).__name__ if isinstance(item, nn.Module) else "",
)
def test_what_has_no_counterpart_is_refused(model, x, train, reason):
    with pytest.raises(CaptureError, match=rf"C147[\s\S]*{reason}[\s\S]*test_autograd_grad.py"):
        regauge.to_jax(model, (x,), train=train)


def test_in_evaluation_a_batch_norm_is_differentiated():
    assert_like_torch(Statistics(), (points(4, 3),))
