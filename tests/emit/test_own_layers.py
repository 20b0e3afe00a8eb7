"""Classes of a person's own that compute a layer: they are the layer, or a subclass of it where they compute more."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from like_torch import assert_like_torch
from torch import Tensor, nn

import regauge

X = torch.randn(3, 4, 6, 6, generator=torch.Generator().manual_seed(0))


class ChannelNorm(nn.LayerNorm):
    """Of the channels of images."""

    def forward(self, x: Tensor) -> Tensor:
        x = F.layer_norm(x.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


class PlainLinear(nn.Module):
    def __init__(self, given: int, made: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(made, given)), nn.Parameter(torch.randn(made))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class NormAct(nn.BatchNorm2d):
    """A batch norm and an activation, with a forward of its own."""

    def __init__(self, features: int, act: bool = True, *, always: bool | None = None) -> None:
        super().__init__(features)
        self.act = nn.ReLU() if act else nn.Identity()
        self.always = always

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.num_batches_tracked.add_(1)
        training = self.training if self.always is None else self.always
        x = F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, training, 0.1, self.eps)
        return self.act(x)


class SameConv(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(F.pad(x, (0, 1, 0, 1)), self.weight, self.bias)


class Doubled(nn.Linear):
    """It reads its weight twice: no layer does."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(F.linear(x, self.weight, self.bias), self.weight)


def images(*norms: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, bias=False), *norms, nn.Conv2d(4, 2, 1))


def test_a_class_that_is_a_layer_is_one() -> None:
    model = nn.Sequential(images(ChannelNorm(4)), nn.Flatten(), PlainLinear(72, 5))
    source = assert_like_torch(model, (X,)).source
    assert "LayerNorm(4, epsilon=1e-05, rngs=rngs)" in source
    assert "nnx.Linear(72, 5, rngs=rngs)" in source
    assert "class ChannelNorm" not in source
    assert "class PlainLinear" not in source
    assert source.count("transpose") == 2  # of what goes in, and of what is flattened


def moved(model: nn.Module, train: bool) -> tuple[list[np.ndarray], str]:
    """The statistics that two calls leave, of the converted model and of torch one after the other; and the source."""
    converted = regauge.to_jax(model, (X,), train=train)
    model.train(train)
    with torch.no_grad():
        for x in (X, 2 * X + 1):
            expected = model(x)
            np.testing.assert_allclose(np.asarray(converted(x.numpy())), expected, atol=2e-5)
    found = converted._conversion.weight_map
    state = {".".join(map(str, path)): value[...] for path, value in converted.state.flat_state()}
    named = dict(model.named_buffers())
    pairs = [(np.asarray(state[e.target]), named[e.source]) for e in found.entries if e.source in named]
    assert pairs
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    return [np.asarray(theirs) for _, theirs in pairs], converted.source


def test_a_class_that_computes_more_is_a_subclass() -> None:
    source = moved(images(NormAct(4), NormAct(4)), train=True)[1]
    assert "class NormAct(BatchNorm):" in source
    assert source.count("return jax.nn.relu(x)") == 1
    assert source.count("NormAct(4, epsilon=1e-05, momentum=0.1)") == 2
    assert_like_torch(images(NormAct(4)), (X,), train=True)
    assert "class NormAct2" not in source


def test_without_more_to_compute_it_is_the_layer() -> None:
    source = moved(images(NormAct(4, act=False)), train=True)[1]
    assert "BatchNorm(4, epsilon=1e-05, momentum=0.1)" in source
    assert "class NormAct" not in source


@pytest.mark.parametrize("always", [True, False])
@pytest.mark.parametrize("act", [True, False])
def test_a_norm_that_does_not_follow_the_mode_is_no_layer(always: bool, act: bool) -> None:
    for train in (True, False):
        after, source = moved(images(NormAct(4, act, always=always)), train)
        statistics = [a for a in after if a.dtype == np.float32]
        assert len(statistics) == 2
        assert any(not np.isin(a, (0, 1)).all() for a in statistics) == always  # zeros and ones at first
        assert "class NormAct(BatchNorm)" not in source


class Either(nn.Module):
    """One class that is two layers."""

    def __init__(self, conv: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 4, 1) if conv else torch.randn(4, 4))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(F.conv1d(x, self.weight) if self.weight.ndim == 3 else F.linear(x, self.weight))


def test_one_class_that_extends_two_layers_is_two() -> None:
    x = torch.randn(2, 4, 4, generator=torch.Generator().manual_seed(0))
    source = assert_like_torch(nn.Sequential(Either(False), Either(True), Either(False)), (x,)).source
    assert "(nnx.Linear):" in source
    assert "(nnx.Conv):" in source


def test_what_comes_before_the_layer_stays_in_the_class() -> None:
    model = nn.Sequential(SameConv(4, 4, 2), nn.ReLU(), SameConv(4, 4, 2), nn.ReLU(), SameConv(4, 8, 2))
    source = assert_like_torch(model, (X,)).source
    assert "class SameConv(nnx.Conv):" in source
    assert "return super().__call__(jnp.pad(" in source
    assert source.count("class SameConv") == 1
    assert 'SameConv(4, 8, kernel_size=(2, 2), padding="VALID", rngs=rngs)' in source


def test_widths_of_subclasses_become_arguments_under_their_names() -> None:
    class Block(nn.Module):
        def __init__(self, given: int, made: int) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(given, made, 1, bias=False), NormAct(made)

        def forward(self, x: Tensor) -> Tensor:
            return self.norm(self.conv(x))

    source = assert_like_torch(nn.Sequential(Block(4, 8), Block(8, 6)), (X,), train=True).source
    assert "NormAct(features, epsilon=1e-05, momentum=0.1)" in source
    assert "Block(in_features=4, features=8, rngs=rngs)" in source


def test_a_class_that_reads_its_weight_twice_is_itself() -> None:
    source = assert_like_torch(nn.Sequential(nn.Linear(6, 6), Doubled(6, 6)), (X,)).source
    assert "class Doubled(nnx.Module):" in source


class Noisy(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(F.linear(x, self.weight, self.bias), 0.5) + 0 * torch.rand_like(x)


def test_what_draws_numbers_is_a_class_with_its_stream() -> None:
    source = regauge.to_jax(nn.Sequential(Noisy(6, 6), nn.ReLU()), (X,)).source
    assert "class Noisy(nnx.Module):" in source
    assert "rngs.dropout.fork()" in source


def test_one_module_called_twice_is_one_subclass() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = SameConv(4, 4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(torch.tanh(self.conv(x)))

    source = assert_like_torch(Twice(), (X,)).source
    assert "class SameConv(nnx.Conv):" in source
    assert source.count("self.conv(") == 2


def test_a_weight_that_other_code_reads_is_found_in_the_subclass() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = SameConv(4, 4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x) + self.conv.weight.sum()

    source = assert_like_torch(Tied(), (X,)).source
    assert "self.conv.kernel[...]" in source


class CausalConv1d(nn.Conv1d):
    """A convolution that sees the past alone: what its padding adds behind is cut off."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[:, :, : -self.padding[0]]


class Dilated(nn.Module):
    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.conv = CausalConv1d(4, 4, 2, padding=dilation, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.conv(x)) + x


def test_what_a_layer_keeps_is_read_from_it() -> None:
    model = nn.Sequential(*(Dilated(2**n) for n in range(4)))
    source = assert_like_torch(model, (torch.randn(2, 4, 16, generator=torch.Generator().manual_seed(0)),)).source
    assert source.count("class CausalConv1d") == source.count("class Dilated") == 1
    assert ": -self.padding]" in source
