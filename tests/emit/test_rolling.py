"""Loops of the person's own that torch.export unrolls: emitted as the loops that they were."""

from __future__ import annotations

import jax
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from like_torch import assert_like_torch
from torch import Tensor, nn

import regauge


def tensor(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


class Scan(nn.Module):
    """A selective state space model, step by step."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.project = nn.Parameter(tensor(4, 3)), nn.Linear(4, 6)

    def forward(self, x: Tensor) -> Tensor:
        b, c = self.project(x).chunk(2, dim=-1)
        decay = torch.exp(x[..., None] * self.a)
        h = torch.zeros(x.shape[0], 4, 3)
        ys = []
        for t in range(x.shape[1]):
            h = decay[:, t] * h + b[:, t, None] * x[:, t, :, None]
            ys.append((h * c[:, t, None]).sum(-1))
        return torch.stack(ys, 1)


class Cell(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell, self.out = nn.GRUCell(4, 5), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(x.shape[0], 5)
        ys = []
        for x_t in x.unbind(1):
            h = self.cell(x_t, h)
            ys.append(self.out(h))
        return torch.stack(ys, 1)


class Greedy(nn.Module):
    """A decoder that reads its own best guess: the last one is read by nobody."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.cell, self.out = nn.Embedding(7, 4), nn.GRUCell(4, 5), nn.Linear(5, 7)

    def forward(self, h: Tensor) -> Tensor:
        token = torch.zeros(h.shape[0], dtype=torch.long)
        scores = []
        for _ in range(5):
            h = self.cell(self.embed(token), h)
            score = self.out(h)
            token = score.argmax(-1)
            scores.append(score)
        return torch.stack(scores, 1)


class Teacher(nn.Module):
    """Steps that write to a part of what they return."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.out = nn.GRUCell(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = x[:, 0]
        outputs = torch.zeros(x.shape[0], x.shape[1], 3)
        for t in range(1, x.shape[1]):
            h = self.cell(x[:, t - 1], h)
            outputs[:, t] = self.out(h)
        return outputs


class Diffusion(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(5, 4)
        self.register_buffer("betas", torch.linspace(0.1, 0.2, 5))

    def forward(self, x: Tensor) -> Tensor:
        for i in reversed(range(5)):
            time = torch.full((x.shape[0], 1), i / 5)
            noise = self.net(torch.cat([x, time], 1))
            x = (x - self.betas[i] * noise) / torch.sqrt(1 - self.betas[i])
        return x


class Layers(nn.Module):
    """Two lists side by side, one of pairs."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)]) for _ in range(3))
        self.norms = nn.ModuleList(nn.LayerNorm(4) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        for (mix, feed), norm in zip(self.layers, self.norms, strict=True):
            x = mix(norm(x)) + x
            x = F.gelu(feed(x)) + x
        return x


class Swapped(nn.Module):
    """A flow whose halves change places in every step, with a sum that begins with 0."""

    def __init__(self) -> None:
        super().__init__()
        self.scales = nn.ModuleList(nn.Linear(2, 2) for _ in range(4))
        self.shifts = nn.ModuleList(nn.Linear(2, 2) for _ in range(4))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        a, b = x.chunk(2, -1)
        logarithm = 0
        for s, t in zip(self.scales, self.shifts, strict=True):
            scale = torch.tanh(s(a))
            b = b * scale.exp() + t(a)
            logarithm = logarithm + scale.sum(-1)
            a, b = b, a
        return torch.cat([a, b], -1), logarithm


class Heads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.heads, self.gate = nn.ModuleList(nn.Linear(4, 2) for _ in range(3)), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        gates = self.gate(x).softmax(-1)
        mixed = sum(gates[:, i, None] * head(x) for i, head in enumerate(self.heads))
        return torch.cat([torch.relu(head(x)) for head in self.heads], -1), mixed


class Nested(nn.Module):
    """Layers within each step of time, each with a state of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.mix, self.layers = nn.Linear(8, 4), nn.ModuleList(nn.Linear(4, 4) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(x.shape[0], 4)
        for t in range(x.shape[1]):
            h = self.mix(torch.cat([x[:, t], h], 1))
            for layer in self.layers:
                h = torch.tanh(layer(h)) + h
        return h


class FirstApart(nn.Module):
    """A first step that has nothing to go on with."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = None
        for t in range(x.shape[1]):
            z = self.inner(x[:, t])
            if h is not None:
                z = z + self.outer(h)
            h = torch.tanh(z)
        return h


class FixedPoint(nn.Module):
    """An equilibrium, found without gradients: the iteration stops once it is near."""

    def __init__(self) -> None:
        super().__init__()
        self.mix, self.read = nn.Linear(4, 4), nn.Linear(4, 4)
        with torch.no_grad():
            self.mix.weight.mul_(0.3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.read(x)
        with torch.no_grad():
            z = torch.zeros_like(x)
            for _ in range(8):
                z_new = torch.tanh(self.mix(z) + x)
                if (z_new - z).norm() < 1e-2:
                    break
                z = z_new
        return torch.tanh(self.mix(z) + x)


CASES = [
    (Scan, (tensor(2, 6, 4),), ["for t in range(6):", "ys.append(", "jnp.stack(ys, axis=1)"]),
    (Cell, (tensor(2, 6, 4),), ["for x_t in jnp.unstack(x, axis=1):", "ys.append(self.out(h))"]),
    (Greedy, (tensor(2, 5),), ["for _ in range(5):", "token = jnp.argmax(score, axis=-1)"]),
    (Teacher, (tensor(2, 5, 4),), ["for t in range(4):", "outputs = outputs.at[:, t + 1].set(self.out(h))"]),
    (Diffusion, (tensor(2, 4),), ["for i in reversed(range(5)):", "i / 5", "self.betas[i]"]),
    (Layers, (tensor(2, 4),), ["for (mix, feed), norm in zip(self.layers, self.norms):"]),
    (Swapped, (tensor(2, 4),), ["for s, t in zip(self.scales, self.shifts):", "logarithm = 0"]),
    (Heads, (tensor(2, 4),), ["[jax.nn.relu(head(x)) for head in self.heads]", "sum(gates[:, i]"]),
    (Nested, (tensor(2, 5, 4),), ["for t in range(5):", "for layer in self.layers:"]),
    (FirstApart, (tensor(2, 5, 4),), ["for t in range(1, 5):"]),
    (
        FixedPoint,
        (tensor(2, 4),),
        ["for _ in range(", "value, done, z = jax.lax.cond("],
    ),
]


@pytest.mark.parametrize(("kind", "inputs", "texts"), CASES, ids=[case[0].__name__ for case in CASES])
def test_a_loop_is_a_loop(kind: type[nn.Module], inputs: tuple[Tensor, ...], texts: list[str]) -> None:
    torch.manual_seed(0)
    source = assert_like_torch(kind(), inputs, train=True).source
    for text in texts:
        assert text in source


class Widened(nn.Module):
    """Each step is a function of several lines, or none."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = x[:, 0]
        for t in range(x.shape[1]):
            if (h + t).sum() > 0:
                wide = torch.cat([h, x[:, t]], 1)
                wide = wide * wide.amax(1, keepdim=True)
                h = torch.tanh(self.mix(wide))
        return h


def test_shapes_stand_beside_their_own_lines() -> None:
    torch.manual_seed(0)
    source = assert_like_torch(Widened(), (tensor(2, 5, 4),)).source
    body = source.partition("        for ")[2].partition("        return h\n")[0]
    lines = [line.strip() for line in body.splitlines()]
    assert "wide = jnp.concatenate((h, x[:, t]), axis=1)  # [batch, 8]" in lines, body
    assert not [line for line in lines if line.startswith(("def ", "for ")) and "#" in line]


def test_a_loop_serves_other_batches() -> None:
    torch.manual_seed(0)
    model = Cell()
    converted = regauge.to_jax(model, (tensor(2, 6, 4),))
    x = tensor(5, 6, 4)
    assert np.allclose(converted(x.numpy()), model(x).detach().numpy(), atol=1e-6)


class Products(nn.Module):
    """Parts of one statement that look like steps, in no loop."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(x[0]) * 2 + torch.sin(x[1]) * 2


def test_one_statement_is_no_loop() -> None:
    source = assert_like_torch(Products(), (tensor(2, 3),)).source
    assert "for " not in source.partition("def __call__")[2].partition("def load")[0]
    assert "return jnp.sin(x[0]) * 2 + jnp.sin(x[1]) * 2" in source


class Dropped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers, self.drop = nn.ModuleList(nn.Linear(50, 50) for _ in range(3)), nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
            x = self.drop(x) + 1
        return x


def test_every_step_draws_for_itself() -> None:
    torch.manual_seed(0)
    model = Dropped()
    with torch.no_grad():
        for layer in model.layers:
            layer.weight.copy_(torch.eye(50))
            layer.bias.zero_()
    converted = regauge.to_jax(model, (torch.ones(20, 50),), train=True)
    assert "for layer in self.layers:" in converted.source
    out = np.asarray(jax.jit(converted)(np.ones((20, 50), np.float32)))
    assert len(np.unique(out)) == 4  # 1, 3, 7 and 15: each step keeps or drops what those before left
