"""One conversion for several batches, lengths and image sizes, of models that are written with sizes in odd ways."""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.nn import functional as F

import regauge


class Patches(nn.Module):
    """Patches by hand, a class token, and a table of positions that is resized to the grid."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(3 * 16, 8)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.places = nn.Parameter(torch.randn(1, 8, 4, 4))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        batch, channels, height, width = image.size()
        assert height % 4 == 0 and width % 4 == 0, f"{height} x {width} is no multiple of 4"  # noqa: PT018
        rows, columns = int(height / 4), width // 4
        x = (
            image.view(batch, channels, rows, 4, columns, 4)
            .permute(0, 2, 4, 1, 3, 5)
            .reshape(batch, rows * columns, -1)
        )
        places = F.interpolate(self.places, size=(rows, columns), mode="bilinear", align_corners=False)
        x = self.embed(x) + places.flatten(2).transpose(1, 2)
        x = torch.cat((self.token.expand(batch, -1, -1), x), dim=1)
        return x[:, 0], x[:, 1:].mean(1) / math.sqrt(x.shape[1])


class Padded(nn.Module):
    """Rolled windows of an image that is padded to whole windows, and cut again."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        batch, height, width, channels = x.shape
        x = F.pad(x, (0, 0, 0, (4 - width % 4) % 4, 0, -height % 4)).roll((-2, -2), dims=(1, 2))
        _, rows, columns, _ = x.shape
        x = x.view(batch, rows // 4, 4, columns // 4, 4, channels).permute(0, 1, 3, 2, 4, 5).reshape(-1, 16, channels)
        x = self.mix(x).view(-1, rows // 4, columns // 4, 4, 4, channels)
        x = x.permute(0, 1, 3, 2, 4, 5).reshape(-1, rows, columns, channels)
        return x.roll((2, 2), dims=(1, 2))[:, :height, :width].contiguous()


class Skip(nn.Module):
    """A pooled path that is padded to the size of the path beside it, and pools of fixed and of free size."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 4, 3, padding=1)
        self.up = nn.Conv2d(8, 2, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        left = F.relu(self.down(x))
        right = F.interpolate(F.max_pool2d(left, 2), scale_factor=2, mode="nearest")
        rows, columns = left.size(2) - right.size(2), left.size(3) - right.size(3)
        right = F.pad(right, [columns // 2, columns - columns // 2, rows // 2, rows - rows // 2])
        y = self.up(torch.cat([left, right], 1))
        thirds = [y[:, :, i * y.size(2) // 3 : (i + 1) * y.size(2) // 3].mean((2, 3)) for i in range(3)]
        return y, F.adaptive_avg_pool2d(y, (2, 2)).view(y.size(0), -1), torch.stack(thirds, 1)


class Shuffled(nn.Module):
    """Pixels shuffled by hand, sampled on a grid that the sizes make, with coordinates as channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(5, 12, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        height, width = x.shape[-2:]
        down, across = torch.linspace(-1, 1, height), torch.linspace(0.5, width - 0.5, width)
        places = torch.stack(torch.meshgrid(down, across / width, indexing="ij")).repeat(len(x), 1, 1, 1)
        x = self.conv(torch.cat([x, places], 1))
        batch, channels, height, width = x.size()
        x = x.view(batch, channels // 4, 2, 2, height, width).permute(0, 1, 4, 2, 5, 3)
        x = x.reshape(batch, channels // 4, 2 * height, 2 * width)
        rows, columns = torch.meshgrid(torch.arange(2 * height), torch.arange(2 * width), indexing="ij")
        grid = torch.stack((columns, rows), -1).float() / torch.as_tensor([2 * width - 1, 2 * height - 1]) * 2 - 1
        return F.grid_sample(x, 0.9 * grid.expand(batch, -1, -1, -1), align_corners=True), x.unfold(2, 2, 2).mean(-1)


class Blocks(nn.Module):
    """Attention within blocks of a text that is padded to whole blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(9, 6)
        self.parts = nn.Linear(6, 18)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        batch, length = tokens.shape
        count = math.ceil(length / 4)
        x = F.pad(self.table(tokens), (0, 0, 0, 4 * count - length))
        query, key, value = self.parts(x).view(batch, count, 4, 3, -1).unbind(3)
        inside = (torch.arange(4 * count) < length).view(1, count, 1, 4)
        scores = (query @ key.mT / math.sqrt(6)).masked_fill(~inside, torch.finfo(x.dtype).min)
        first, second = torch.cat([x, 2 * x]).chunk(2)
        return (scores.softmax(-1) @ value).reshape(batch, 4 * count, -1)[:, :length], first - second


def image(*shape: int) -> Tensor:
    return torch.randn(shape)


def text(*shape: int) -> Tensor:
    return torch.randint(0, 9, shape)


FREE = {name: dict.fromkeys(axes, Dim.AUTO) for name, axes in (("first", (0, 2, 3)), ("last", (0, 1, 2)))}
MODELS: dict[str, tuple[nn.Module, Any, list[Tensor]]] = {
    "patches": (Patches(), {"image": FREE["first"]}, [image(2, 3, 8, 12), image(3, 3, 8, 12), image(5, 3, 16, 8)]),
    "padded": (Padded(), {"x": FREE["last"]}, [image(2, 6, 7, 4), image(3, 8, 8, 4), image(4, 5, 9, 4)]),
    "skip": (Skip(), {"x": FREE["first"]}, [image(2, 3, 9, 12), image(4, 3, 9, 12), image(3, 3, 10, 11)]),
    "shuffled": (Shuffled(), {"x": FREE["first"]}, [image(2, 3, 5, 6), image(4, 3, 5, 6), image(3, 3, 7, 4)]),
    "blocks": (Blocks(), "auto", [text(2, 6), text(3, 9), text(4, 8)]),
}


@pytest.mark.parametrize("name", MODELS)
def test_one_conversion_takes_all_sizes(name: str) -> None:
    model, dynamic, given = MODELS[name]
    converted = regauge.to_jax(model, (given[0],), dynamic=dynamic)
    assert converted.findings == ()
    for x in given:
        expected = model(x)
        found = jax.tree.leaves(converted(x.numpy()))
        for actual, wanted in zip(found, expected if isinstance(expected, tuple) else [expected], strict=True):
            np.testing.assert_allclose(actual, wanted.detach().numpy(), rtol=1e-4, atol=1e-5)
