"""Models with control flow, as people write them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch._higher_order_ops import associative_scan, map, scan, while_loop


class Gate(nn.Module):
    """A branch that calls a layer, and one that gives back what it got."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.scale = nn.Parameter(torch.tensor([1.5, 2.0, 0.5, 1.0]))

    def forward(self, x: Tensor) -> Tensor:
        def positive(x):
            return torch.sin(self.layer(x)) * self.scale

        def negative(x):
            return x.clone()

        return torch.cond(x.sum() > 0, positive, negative, (x,))


class Gates(nn.Module):
    """The same code with other weights, and once more with the same weights."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Gate() for _ in range(2)])

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return self.blocks[0](-x)


class Modules(nn.Module):
    """Modules as branches, lambdas with several operands, and branches without operands."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 4)
        self.b = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.cond(x.mean() > 10, self.a, self.b, (x,))
        z = torch.cond((x.mean() < 10).reshape(1), lambda x, y: x * y, lambda x, y: x - y, (x, y))
        return torch.cond(z.sum() > 0, lambda: z * x, lambda: z.sin())


class Recurrence(nn.Module):
    """A scan along another axis, backwards, with a dict as its carry, sizes inside, and a value from outside."""

    def __init__(self) -> None:
        super().__init__()
        self.input = nn.Linear(4, 12)
        self.hidden = nn.Linear(3, 12, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        bias = x.mean() * 0.1

        def step(carry, x):
            i, f, g, o = (self.input(x) + self.hidden(carry["h"])).chunk(4, dim=-1)
            c = torch.sigmoid(f) * carry["c"] + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c) + bias
            place = torch.arange(x.shape[0], dtype=x.dtype)[:, None]
            return {"h": h, "c": c}, h + place

        zero = x.new_zeros(x.shape[0], 3)
        carry, rows = scan(step, {"h": zero, "c": zero.clone()}, x, dim=1, reverse=True)
        return rows, carry["c"]


class Iterations(nn.Module):
    """More steps than states are kept for the gradient."""

    def __init__(self, steps: int = 150) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.steps = steps

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        def more(i, x):
            return (i < self.steps) & (x.abs().max() < 100)

        def step(i, x):
            return i + 1, x + 0.01 * torch.tanh(self.layer(x))

        i, x = while_loop(more, step, (torch.zeros((), dtype=torch.int64), x))
        return x, i


class Counts(nn.Module):
    """A loop over integers has no gradient, and needs none."""

    def forward(self, n: Tensor) -> Tensor:
        def more(n, steps):
            return n > 1

        def halve(n, steps):
            return n // 2, steps + 1

        return while_loop(more, halve, (n, torch.zeros_like(n)))[1]


class Rows(nn.Module):
    """A function of pairs of rows, with an argument that is the same for all."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x: Tensor, y: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        def each(pair, w):
            a, b = pair
            return torch.relu(self.layer(a)) @ w + b, a.sum()

        return map(each, (x, y), w)


class Linear(nn.Module):
    """A linear recurrence as an associative scan."""

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        def combine(left, right):
            return left[0] * right[0], left[1] * right[0] + right[1]

        return associative_scan(combine, (a, b), dim=1, combine_mode="generic")


class Nested(nn.Module):
    """A branch inside a scan, in a module that is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Steps()
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        h, rows = self.inner(x)
        again, more = self.inner(rows)
        return self.head(more + h) + again.sum()


class Steps(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(4, 4)
        self.scale = nn.Parameter(torch.tensor([1.0, 0.5, -1.0, 2.0]))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        bias = x.mean(0)

        def step(h, row):
            def up(h):
                return torch.sigmoid(self.gate(h)) * self.scale

            def down(h):
                return h - bias

            h = torch.cond(row.sum() > 0, up, down, (h,))
            return h.clone(), h + row

        return scan(step, torch.zeros_like(bias), x)


class Writes(nn.Module):
    """Functions that change what they made themselves."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        def on(x):
            y = torch.zeros_like(x)
            first = y[:, 0]
            y[:, 1] = x[:, 1]
            y.add_(x.mean())
            return first.clone(), y

        def off(x):
            return x[:, 0] * 2, x * 3

        return torch.cond(x.sum() > 0, on, off, (x,))
