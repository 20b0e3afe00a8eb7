"""Python that decides on values: both ways are converted, and each is torch's, values and gradients."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from like_torch import assert_like_torch, leaves
from torch import Tensor, nn

import regauge
from regauge.capture.torch_export import capture_module
from regauge.emit.gradients import left_out_by_conditions
from regauge.errors import CaptureError
from regauge.ir.captured import CapturedModel
from regauge.optimizers import SGD, AdamW, Group, Optimizer

X = torch.linspace(-1, 1.1, 20).reshape(5, 4)
WAYS = (X, 4 * X.abs() + 0.1, -4 * X.abs() - 0.1)


class Layers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)


class Sets(Layers):
    """A guard against overflow, as models that were trained in half precision have it."""

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        if h.max() > 1:
            limit = 0.5
            h = torch.clamp(h, min=-limit, max=limit)
        return h * 2


class SetsSeveral(Layers):
    def forward(self, x: Tensor) -> Tensor:
        scale, shift = 1.0, None
        if x.max() > 1 and x.shape[0] > 1:
            x = x / x.max()
            scale = x.min()
        elif not (x.min() > -2):
            x, scale = -x, 0.5
        return self.first(x) * scale if shift is None else shift


class NumbersFirst(Layers):
    """The first way gives a number where the other gives a tensor."""

    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            scale = 2.0
            steps = 1
        else:
            scale = x.min()
            steps = 3
        return self.first(x) * scale + steps


class Returns(Layers):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.first(x)
        if x.mean() > 1:
            return x, x.sum()
        if x.mean() < -1:
            x = -x
            if x.max() > 2:
                return x, x.max()
        x = self.second(x)
        return x + 1, x.sum()


class Within(Layers):
    """In a function inside forward, in a loop, in the middle of a comparison, and in expressions."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        def layer(h: Tensor) -> Tensor:
            if 0.1 < h.norm() < 3:
                return self.first(h)
            return self.second(h)

        for _ in range(2):
            x = layer(x)
            if bool((x > 1).any()) or x.mean().item() < -1:
                x = x * 0.5
        if mask is not None and mask.any():
            x = x.masked_fill(mask, 0.0)
        return x if float(x.mean()) > 0 else -x


class Numbers(nn.Module):
    """`.item()`, of which no gradient flows."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        top = x.abs().max().item()
        if top > 1.0:
            x = x / top
        return x * top, (x > top * 0.5).sum()


class Aliases(nn.Module):
    """Numbers are changed by new ones: neither what they were read of nor other names for them change."""

    def forward(self, x: Tensor) -> Tensor:
        top = x.max()
        count = top.item()
        before = count
        count += 2
        scaled = count * 3
        kept = scaled
        scaled -= 1.0
        steps = 1 if top > 1 else 2
        first = steps
        steps *= 4
        return x * top + before * count + kept * scaled + first * steps


class Checks(Layers):
    def forward(self, x: Tensor) -> Tensor:
        assert torch.isfinite(x).all(), "not finite"
        if x.abs().max() > 1e6:
            raise ValueError("too large")
        return self.first(x)


class Inherits(Sets):
    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            return super().forward(x)
        return self.__private(x)

    def __private(self, x: Tensor) -> Tensor:
        return self.second(x)


class Halves(Layers):
    """A condition on values, in a function that makes numbers of sizes as well."""

    def forward(self, x: Tensor) -> Tensor:
        half = int(x.shape[0] / 2)
        if x.sum() > 0:
            return self.first(x[half:]) / float(len(x))
        return self.second(x[half:]) * int(x.shape[0] / 3)


class Repeats(Layers):
    """A fixed point, until it is one: the first step is taken for a number of Python."""

    def forward(self, x: Tensor) -> Tensor:
        h, error, steps = torch.zeros_like(x), 1.0, 0
        while error > 1e-2 and steps < 20:
            new = torch.tanh(0.3 * self.first(h) + x)
            error = (new - h).abs().max()
            h = new
            steps += 1
        return h + steps


class Breaks(Layers):
    """Leaves a loop as soon as it is sure enough."""

    def forward(self, x: Tensor) -> Tensor:
        for layer in (self.first, self.second, self.first):
            x = x + torch.tanh(layer(x))
            if x.abs().mean() > 1:
                break
        return x


class BreaksAmidAStep(Layers):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        taken = 0
        for i, layer in enumerate((self.first, self.second, self.first)):
            if i == 2 and taken == 9:
                continue
            h = layer(x)
            if h.mean() > 0.5:
                x = x - 1
                break
            x = x + h * (i + 1)
            taken = taken + 1
        return x, torch.as_tensor(taken)


class Skips(Layers):
    def forward(self, x: Tensor) -> Tensor:
        out = x * 0.1
        for layer in (self.first, self.second):
            h = layer(x)
            if h.mean() < 0:
                continue
            out = out + h
            if not h.max() > 1.5:
                out = out * 2
            else:
                out = out - 1
                continue
            out = out + 0.1
        return out


class SkipsOrBreaks(Layers):
    def forward(self, x: Tensor) -> Tensor:
        for layer in (self.first, self.second, self.second):
            h = layer(x)
            if h.mean() < 0:
                continue
            x = x + h
            if x.norm() > 9:
                break
        return x


class Endless(Layers):
    def forward(self, x: Tensor) -> Tensor:
        steps = 0
        while True:
            x = x * 0.5 + self.first(x) * 0.1
            steps = steps + 1
            if x.norm() < 3 or steps > 9:
                break
        return x + steps


class Shrinks(Layers):
    def forward(self, x: Tensor) -> Tensor:
        i = 0
        while i < 6:
            i += 1
            x = x * 0.8 + self.first(x) * 0.1
            if x.norm() < 3:
                break
            x = x - 0.01
        return x


LOOPS = (Breaks, BreaksAmidAStep, Skips, SkipsOrBreaks, Endless, Shrinks)
MODELS = (Repeats, Sets, SetsSeveral, NumbersFirst, Returns, Within, Numbers, Aliases, Checks, Inherits, Halves, *LOOPS)


@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_one_conversion_has_both_ways(make: type[nn.Module]) -> None:
    """Outputs for inputs of each way and of other sizes, gradients for one that the example does not take."""
    torch.manual_seed(0)
    model = make()
    converted = regauge.to_jax(model, (X,), train=True)
    assert not [f for f in converted.findings if f.code == "C110"]
    for x in (*WAYS, torch.cat([3 * X, X])):
        given = x.clone().requires_grad_()
        expected = [t for t in leaves(model(given)) if t.is_floating_point()]
        gradients = torch.autograd.grad(
            sum((t * t).sum() for t in expected), [given, *model.parameters()], allow_unused=True
        )

        def loss(params, array):
            outputs, _ = converted.apply(params, converted.state, array)
            found = [t for t in leaves(outputs) if jnp.issubdtype(t.dtype, jnp.floating)]
            return sum((t * t).sum() for t in found), found

        (_, found), (by_params, by_input) = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(
            converted.params, x.numpy()
        )
        for a, b in zip(expected, found, strict=True):
            assert np.allclose(a.detach().numpy(), b, rtol=1e-5, atol=1e-5)
        assert np.allclose(gradients[0], by_input, rtol=1e-4, atol=1e-5)
        total = sum(float((g * g).sum()) for g in gradients[1:] if g is not None)
        assert np.isclose(sum(float((g * g).sum()) for g in jax.tree.leaves(by_params)), total, rtol=1e-4)


def test_a_mask_among_the_inputs() -> None:
    torch.manual_seed(0)
    assert_like_torch(Within(), (X, X > 0.5))


def test_a_condition_reads_as_it_was_written() -> None:
    source = regauge.to_jax(Sets(), (X,)).source
    body = source[source.index("def __call__") : source.index("def load")].strip()
    assert body == (
        "def __call__(self, x):  # [batch, 4]\n"
        "        h = self.first(x)  # [batch, 4]\n"
        "\n"
        "        def when_true():\n"
        "            return jnp.where(h < -0.5, -0.5, jnp.where(h > 0.5, 0.5, h))\n"
        "\n"
        "        h = jax.lax.cond(h.max() > 1, when_true, lambda: h)  # [batch, 4]\n"
        "        return h * 2"
    )


def test_a_loop_that_is_left_reads_as_a_flag() -> None:
    source = regauge.to_jax(Breaks(), (X,)).source
    assert "x, done = jax.lax.cond(jnp.logical_not(gt), when_true, lambda: (x, gt))" in source


def test_what_is_decided_and_what_is_left_out_is_said() -> None:
    found = regauge.to_jax(Checks(), (X,)).findings
    assert [(f.code, f.where.rpartition(":")[0]) for f in found] == [("C179", "test_value_branches.py")] * 2
    (decided,) = regauge.to_jax(Sets(), (X,)).findings
    assert decided.code == "C178"


def test_a_loop_reads_as_it_was_written() -> None:
    source = regauge.to_jax(Repeats(), (X,)).source
    assert (
        "        def step(carry):\n"
        "            error, h, steps = carry\n"
        "            new = jnp.tanh(self.first(h) * 0.3 + x)  # [batch, 4]\n"
    ) in source
    assert "return jnp.logical_and(error > 0.01, steps < 20)" in source
    assert "_, h, steps = ops.while_loop(" in source


class ReadsTheLast(nn.Module):
    """How far a loop came, in a number that a trace does not have."""

    def forward(self, x: Tensor) -> Tensor:
        for i in range(3):
            x = x * 2 + i
            if x.max() > 3:
                break
        return x * i


class Else(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        for _ in range(3):
            x = x * 2
            if x.max() > 3:
                break
        else:
            x = -x
        return x


class Text(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        kind = "large" if x.max() > 3 else "small"
        return x * len(kind)


class Optional(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        shift = x.mean() if x.max() > 3 else None
        return x if shift is None else x - shift


class OneName(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.max() > 0:
            shift = x.mean()
        return x - shift


class Keeps(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        rows = [x]
        if x.max() > 3:
            rows.append(x)
        return sum(rows)


class KeepsInExpression(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        rows = [x]
        rows.append(x) if x.max() > 3 else None
        return sum(rows)


class Attribute(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        self.scale = 1.0
        if x.max() > 3:
            self.scale = 2.0
        return x * self.scale


class WritesInALoop(nn.Module):
    """What a loop on values carries are names."""

    def forward(self, x: Tensor) -> Tensor:
        out, size = torch.zeros_like(x), x.norm()
        while size > 1:
            out[0] += 1
            size = size / 2
        return out


class Shapes(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.max() > 3:
            x = x[:, :2]
        return x


class Exponential(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * math.exp(x.max().item())


class Length(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[: x[:, 0].argmax().item()]


REFUSED = {
    ReadsTheLast: ("C104", "decides in Python on the values"),
    Else: ("C104", "decides in Python on the values"),
    Text: ("C104", "'small'"),
    Optional: ("C104", "a tensor of [] or None"),
    OneName: ("C104", "set in one way"),
    Keeps: ("C145", "changes rows"),
    KeepsInExpression: ("C145", "changes rows"),
    Attribute: ("C145", "changes self"),
    WritesInALoop: ("C145", "changes a tensor in place"),
    Shapes: ("C145", "other shapes"),
    Exponential: ("C104", "decides in Python on the values"),
    Length: ("C104", "computes sizes or Python numbers"),
}


@pytest.mark.parametrize("make", REFUSED, ids=lambda make: make.__name__)
def test_what_cannot_be_joined_is_refused(make: type[nn.Module]) -> None:
    code, text = REFUSED[make]
    before = make.forward.__code__
    with pytest.raises(CaptureError, match=re.escape(text)) as caught:
        capture_module(make(), (X,), train=True)
    assert caught.value.code == code
    assert "test_value_branches.py" in caught.value.where
    assert make.forward.__code__ is before


class WritesOne(Layers):
    """Whole tensors and parts, one of which both ways write to, and a copy."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        out, rest = torch.zeros_like(x), x * 2
        if x.max() > 1:
            out[:, 1] = self.first(x)[:, 0]
            rest += out
            out += 1
        else:
            out[0] = x[0]
            copy = rest.clone()
            copy.zero_()
        return out * 2, rest


class WritesThroughViews(Layers):
    """Views made before and in the ways, read after them; what the first way writes the second does not see."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        out = self.first(x)
        column, square = out[:, 0], out[:4].view(2, 2, 4)
        if x.max() > 1:
            column *= 2
            square[0, 1] = column[0]
            last = column[1] + out[1, 2]
        else:
            square.transpose(0, 1)[0] = 3
            last = square.sum() + column[0]
        column += last
        return out, square, column


class WritesElsewhere(Layers):
    """In functions that get the tensor, one condition in another, one way of which returns what it got."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        out = torch.ones_like(x)
        again = out
        total = self.changed(out, x)
        again += 1
        return out, total

    def changed(self, out: Tensor, x: Tensor) -> Tensor:
        if x.max() > 1:
            out += self.second(x)
            if out.mean() > 1:
                out.mul_(2)
                return out[0] * 1
            out -= x
        return out[1] * 2


class Selects(Layers):
    """Elements by masks that are made in a way, and before it."""

    def forward(self, x: Tensor) -> Tensor:
        out = torch.zeros_like(x)
        mask = x[:, 0] > 1
        if mask.any():
            out[mask] = self.first(x[mask])
        rows = torch.where(x[:, 0] < 0)[0]
        chosen = x[rows]
        if x.min() < -1:
            out.index_add_(0, rows, self.second(chosen).exp())
            out[x > 2] = 0
        return out


WRITING = (WritesOne, WritesThroughViews, WritesElsewhere, Selects)


@pytest.mark.parametrize("make", WRITING, ids=lambda make: make.__name__)
def test_what_a_way_writes_to_is_a_result_of_the_condition(make: type[nn.Module]) -> None:
    torch.manual_seed(0)
    for x in WAYS:
        assert_like_torch(make(), (x,))


def test_a_tensor_that_a_way_writes_to_keeps_its_name() -> None:
    source = regauge.to_jax(Selects(), (X,)).source
    assert "out = jax.lax.cond(mask.any(), when_true, lambda: out)" in source
    assert "nonzero" not in source


class Sees(nn.Module):
    """A buffer that one way changes."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        if x.max() > 1:
            self.seen += 1
        return x + self.seen


class Ranges(nn.Module):
    """Buffers that the ways assign, in a module within too: the first call sets what later ones follow."""

    def __init__(self, inner: nn.Module | None = None) -> None:
        super().__init__()
        self.register_buffer("low", torch.zeros(1))
        self.register_buffer("high", torch.zeros(1))
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        if self.low.min() > -1e-5 and self.high.max() < 1e-5:
            self.low = self.low + x.min()
            self.high = self.high + x.max()
            if self.inner is not None:
                x = self.inner(x)
        else:
            self.low = self.low * 0.9 + x.min() * 0.1
        return x.clamp(self.low, self.high)


class Assigns(nn.Module):
    """Buffers that a module assigns whenever it is called, which one way does."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("last", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.last = x.max()
        return x / self.last


CHANGING = (Sees, Ranges, lambda: Ranges(Assigns()), lambda: Ranges(Ranges()))


@pytest.mark.parametrize("make", CHANGING)
def test_a_buffer_that_a_way_changes_is_state(make: Callable[[], nn.Module]) -> None:
    model = make()
    before = {name: (buffer, buffer.clone()) for name, buffer in model.named_buffers()}
    converted = regauge.to_jax(model, (X,), train=True)
    assert all(buffer is before[name][0] and buffer.equal(before[name][1]) for name, buffer in model.named_buffers())
    for x in (X, -X, X / 2, 3 * X):
        assert np.allclose(model(x).numpy(), converted.module(x.numpy()), atol=1e-6)
    state = {".".join(map(str, path)): variable for path, variable in nnx.to_flat_state(nnx.state(converted.module))}
    for name, buffer in model.named_buffers():
        assert np.allclose(state[name][...], buffer, atol=1e-6)


class Counts(Layers):
    """A step counter of its own, which decides."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        self.steps += 1
        if self.steps > 2:
            return self.second(x)
        return self.first(x)


class CountsAfter(Counts):
    """The counter is read before it changes: it is the buffer itself that decides."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(x) if self.steps > 2 else self.first(x)
        self.steps += 1
        return x


@pytest.mark.parametrize("make", [Counts, CountsAfter])
def test_a_condition_on_a_buffer_that_changes_follows_it(make: type[nn.Module]) -> None:
    torch.manual_seed(0)
    model = make()
    converted = regauge.to_jax(model, (X,), train=True)
    for _ in range(5):
        assert np.allclose(model(X).detach().numpy(), converted.module(X.numpy()), atol=1e-6)


class ReadsSome(Layers):
    """Reads one layer in both ways, in nested conditions too, and two in one way each."""

    def __init__(self) -> None:
        super().__init__()
        self.third = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        if x.max() > 1:
            h = self.second(self.first(x))
        elif x.min() > -2:
            h = self.first(-x)
        else:
            h = self.first(x) + self.third(x)
        return h


@pytest.mark.parametrize(
    "optimizer", [AdamW(), SGD(momentum=0.9), SGD(groups=[Group(("third*",), {"weight_decay": 0.1})])]
)
def test_parameters_that_a_step_may_leave_out_are_named(optimizer: Optimizer) -> None:
    graph = capture_module(ReadsSome(), (X,), train=True).graph
    (finding,) = left_out_by_conditions(CapturedModel("ReadsSome", graph, {}, optimizer=optimizer))
    assert finding.code == "E122"
    assert "reads second.weight, second.bias, third.weight, third.bias only if" in finding.text


def test_without_decay_or_memory_a_gradient_of_zero_is_none() -> None:
    graph = capture_module(ReadsSome(), (X,), train=True).graph
    assert left_out_by_conditions(CapturedModel("ReadsSome", graph, {}, optimizer=SGD(clip_norm=1.0))) == []
