"""State that training changes: steps of both sides in training, then both in evaluation, from one conversion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from flax import nnx
from torch import Tensor, nn
from torch.nn.utils import parametrizations

import regauge
from regauge.weights import layout

STEPS = 3
TOLERANCE = 1e-10  # of float64, as in docs/equivalence.md; gradients that cancel are 0 within it


def close(found: Any, expected: Tensor, what: str) -> None:
    reference = expected.detach().numpy()
    assert found.shape == reference.shape, f"{what}: shape {found.shape} instead of {reference.shape}"
    scale = max(float(np.abs(reference).max(initial=0.0)), 1e-3)
    distance = float(np.abs(np.asarray(found) - reference).max(initial=0.0)) / scale
    assert distance <= TOLERANCE, f"{what}: {distance:.1e}"


def assert_trains_like_torch(model: nn.Module, shape: tuple[int, ...]) -> Any:
    """Outputs, gradients and buffers of three calls in training, then outputs in evaluation, of one conversion.

    Returns:
        The converted model, in evaluation mode, after the three calls.
    """
    torch.manual_seed(1)
    batches = [torch.randn(shape, dtype=torch.float64) * (1 + step) + step for step in range(STEPS)]
    converted = regauge.to_jax(model, (batches[0],), train=True)
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    cotangent = torch.randn(model(batches[0]).shape, dtype=torch.float64)
    for name, buffer in model.named_buffers():
        buffer.copy_(before[name])
    state = converted.state

    @jax.jit
    def step(params: Any, state: Any, x: jax.Array) -> Any:
        def loss(params: Any, x: jax.Array) -> Any:
            outputs, new = converted.apply(params, state, x)
            return (outputs * cotangent.numpy()).sum(), (outputs, new)

        return jax.grad(loss, argnums=(0, 1), has_aux=True)(params, x)

    for number, batch in enumerate(batches):
        x = batch.clone().requires_grad_()
        model.zero_grad()
        expected = model(x)
        (expected * cotangent).sum().backward()
        (by_params, by_input), (outputs, state) = step(converted.params, state, jnp.asarray(batch.numpy()))
        close(outputs, expected, f"output of step {number}")
        close(by_input, x.grad, f"gradient of the input in step {number}")
        gradients = {
            name: p.grad if p.grad is not None else torch.zeros_like(p) for name, p in model.named_parameters()
        }
        compare(converted, by_params, gradients, f"gradients of step {number}")
        compare(converted, state, dict(model.named_buffers()), f"state after step {number}")
    nnx.update(converted.module, state)
    converted.module.eval()
    close(converted.module(jnp.asarray(batches[0].numpy())), model.eval()(batches[0]), "in evaluation")
    return converted


def compare(converted: Any, found: Any, expected: dict[str, Tensor], what: str) -> None:
    """Every tensor that the converted model holds, in its layout."""
    arrays = {".".join(map(str, path)): variable[...] for path, variable in nnx.to_flat_state(found)}
    for entry in converted._conversion.weight_map.entries:
        if entry.source in expected and entry.target in arrays:
            wanted = layout.apply(expected[entry.source].detach().numpy(), entry.layout)
            close(arrays[entry.target], torch.tensor(np.array(wanted)), f"{what}: {entry.source}")


def around(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers)


def made(lazy: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    """A lazy module after the call that gives it its shapes."""
    lazy(torch.randn(shape))
    return lazy


class Ema(nn.Module):
    """A running average that the model keeps itself, and a copy of weights that follows them."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.register_buffer("average", torch.zeros(3))
        self.register_buffer("slow", self.layer.weight.detach().clone())
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x)
        if self.training:
            with torch.no_grad():
                self.average.mul_(0.9).add_(y.mean(0), alpha=0.1)
                self.slow.lerp_(self.layer.weight, 0.05)
                self.steps += 1
        return y - self.average + F.linear(x, self.slow)


class Codebook(nn.Module):
    """Vector quantisation whose codes move with the data, as in VQ-VAE, and a buffer that is assigned anew."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("codes", torch.randn(5, 4))
        self.register_buffer("counts", torch.ones(5))

    def forward(self, x: Tensor) -> Tensor:
        chosen = torch.cdist(x, self.codes).argmin(1)
        hot = F.one_hot(chosen, 5).to(x.dtype)
        if self.training:
            self.counts = self.counts * 0.9 + hot.sum(0).detach() * 0.1
            self.codes = self.codes + 0.1 * (hot.T @ x).detach() / self.counts[:, None]
        quantised = self.codes[chosen]
        return x + (quantised - x).detach()


class Twice(nn.Module):
    """One batch norm that two branches share: its statistics move twice in a call."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.norm(x) * 2 + 1)


class NormAndActivation(nn.BatchNorm2d):
    """A batch norm with what follows it in one module, as timm has them."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        x = F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, self.training, self.momentum, self.eps
        )
        return F.silu(x)


class NormAndGain(NormAndActivation):
    """It has a weight that no batch norm has, so that it is no subclass of one."""

    def __init__(self, features: int) -> None:
        super().__init__(features)
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * super().forward(x)


class SubclassedNorm(nn.BatchNorm1d):
    """Statistics by hand, as people write it who need another formula."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            mean, var = x.mean(0), x.var(0, unbiased=False)
            with torch.no_grad():
                self.running_mean.copy_(0.8 * self.running_mean + 0.2 * mean)
                self.running_var.copy_(0.8 * self.running_var + 0.2 * var)
        else:
            mean, var = self.running_mean, self.running_var
        return (x - mean) / (var + self.eps).sqrt() * self.weight + self.bias


class Shifted(nn.Module):
    """Two arguments of one statement, the first of which has another name there than in the signature."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Scaled() for _ in range(2))

    def forward(self, given: Tensor, by: Tensor) -> Tensor:
        values = given
        for layer in self.layers:
            values = layer(values, by)
        return values


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, values: Tensor, by: Tensor) -> Tensor:
        return torch.tanh(self.fc(values)) * by


class OneStepMore(nn.Module):
    """What evaluation leaves out shifts the names of all values behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Shifted()

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            x = x + 1
        values = x + 2
        return self.inner(values, x.exp())


CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "two arguments in two modes": (OneStepMore, (6, 4)),
    "batch norm": (lambda: around(nn.Linear(4, 5), nn.BatchNorm1d(5)), (6, 4)),
    "batch norm, sequences": (lambda: nn.BatchNorm1d(4), (6, 4, 5)),
    "batch norm 2d": (lambda: around(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, momentum=0.3, eps=1e-3)), (4, 3, 6, 6)),
    "batch norm 3d": (lambda: nn.BatchNorm3d(2), (3, 2, 3, 4, 3)),
    "batch norm, cumulative": (lambda: nn.BatchNorm1d(4, momentum=None), (6, 4)),
    "batch norm 2d, cumulative": (lambda: nn.BatchNorm2d(3, momentum=None), (6, 3, 4, 4)),
    "batch norm, plain": (lambda: nn.BatchNorm1d(4, affine=False), (6, 4)),
    "batch norm without statistics": (lambda: nn.BatchNorm1d(4, track_running_stats=False), (6, 4)),
    "batch norm left in evaluation": (lambda: around(nn.BatchNorm1d(4).eval(), nn.BatchNorm1d(4)), (6, 4)),
    "batch norm, shared": (Twice, (6, 4)),
    "batch norm by hand": (lambda: SubclassedNorm(4), (6, 4)),
    "batch norm with its activation": (lambda: around(nn.Conv2d(3, 4, 3), NormAndActivation(4)), (4, 3, 6, 6)),
    "batch norm with a gain": (lambda: around(nn.Conv2d(3, 4, 3), NormAndGain(4)), (4, 3, 6, 6)),
    "sync batch norm": (lambda: nn.SyncBatchNorm(3), (4, 3, 5)),
    "sync batch norm, converted": (
        lambda: nn.SyncBatchNorm.convert_sync_batchnorm(around(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())),
        (4, 3, 6, 6),
    ),
    "sync batch norm, cumulative": (lambda: nn.SyncBatchNorm(3, momentum=None), (4, 3, 5)),
    "instance norm": (lambda: nn.InstanceNorm1d(4), (3, 4, 5)),
    "instance norm, affine": (lambda: nn.InstanceNorm2d(4, affine=True), (3, 4, 5, 5)),
    "instance norm with statistics": (lambda: nn.InstanceNorm2d(4, track_running_stats=True), (3, 4, 5, 5)),
    "instance norm with all": (lambda: nn.InstanceNorm1d(4, affine=True, track_running_stats=True), (3, 4, 5)),
    "group norm": (lambda: nn.GroupNorm(2, 4), (3, 4, 5)),
    "lazy linear": (lambda: made(nn.LazyLinear(3), (6, 4)), (6, 4)),
    "lazy convolution": (lambda: made(around(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d()), (4, 3, 6, 6)), (4, 3, 6, 6)),
    "lazy transposed convolution": (lambda: made(nn.LazyConvTranspose1d(4, 3), (4, 3, 6)), (4, 3, 6)),
    "lazy norms": (
        lambda: made(around(nn.LazyBatchNorm1d(), nn.LazyInstanceNorm1d(track_running_stats=True)), (4, 3, 6)),
        (4, 3, 6),
    ),
    "spectral norm": (lambda: around(parametrizations.spectral_norm(nn.Linear(4, 5)), nn.ReLU()), (6, 4)),
    "spectral norm, several iterations": (
        lambda: parametrizations.spectral_norm(nn.Linear(4, 5), n_power_iterations=3, eps=1e-6),
        (6, 4),
    ),
    "spectral norm of a convolution": (lambda: parametrizations.spectral_norm(nn.Conv2d(3, 4, 3)), (4, 3, 6, 6)),
    "spectral norm of a transposed convolution": (
        lambda: parametrizations.spectral_norm(nn.ConvTranspose1d(3, 4, 3), dim=1),
        (4, 3, 6),
    ),
    "spectral norm of an earlier kind": (lambda: nn.utils.spectral_norm(nn.Linear(4, 5)), (6, 4)),
    "weight norm": (lambda: parametrizations.weight_norm(nn.Linear(4, 5)), (6, 4)),
    "weight norm as a whole": (lambda: parametrizations.weight_norm(nn.Linear(4, 5), dim=None), (6, 4)),
    "weight norm of a convolution": (lambda: parametrizations.weight_norm(nn.Conv1d(4, 5, 3), dim=1), (3, 4, 6)),
    "weight norm of an earlier kind": (lambda: nn.utils.weight_norm(nn.Linear(4, 5)), (6, 4)),
    "orthogonal": (lambda: parametrizations.orthogonal(nn.Linear(4, 4)), (6, 4)),
    "averages": (Ema, (6, 4)),
    "codebook": (Codebook, (6, 4)),
}


@pytest.mark.parametrize("name", CASES)
def test_three_steps_and_evaluation(name: str) -> None:
    make, shape = CASES[name]
    torch.manual_seed(0)
    model = make().double()
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape)
    with jax.enable_x64(True):
        assert_trains_like_torch(model, shape)


def test_a_batch_norm_of_another_module_is_read_once() -> None:
    """Not one expression for each of its results, with the moments again in each of them."""
    torch.manual_seed(0)
    source = regauge.to_jax(around(nn.Conv2d(3, 4, 3), NormAndGain(4)), (torch.randn(4, 3, 6, 6),), train=True).source
    assert source.count("batch_norm_step(") == 1
    assert "batch_norm, running_mean, running_var = ops.batch_norm_step(" in source
    assert "self.running_mean[...] = running_mean\n" in source
    for noise in (".mean(", ".reshape(", ".astype("):
        assert noise not in source
