"""`jax.image.resize` is `F.interpolate` where both compute the same, and keeps its formula elsewhere."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from flax import nnx

import regauge
from regauge.capture.jaxpr_images import _takes_the_same

LARGER, SMALLER, MIXED, ODD = (16, 12), (4, 3), (3, 9), (5, 7)


def resized(x: Any, sizes: tuple[int, ...], last: bool, method: str, antialias: bool = True) -> Any:
    shape = (*x.shape[:2], *sizes) if last else (x.shape[0], *sizes, x.shape[-1])
    return jax.image.resize(x, shape, method, antialias=antialias)


def assert_same(function: Any, shape: tuple[int, ...], wide: bool) -> str:
    """Outputs and gradients of both sides; gives the source."""
    with jax.enable_x64(wide):
        dtype = np.float64 if wide else np.float32
        x = np.random.default_rng(0).normal(size=shape).astype(dtype)
        made: Any = regauge.to_torch(function, (x[:2],))
        expected, back = jax.vjp(function, jnp.asarray(x))
        slopes = np.random.default_rng(1).normal(size=expected.shape).astype(dtype)
        given = torch.from_numpy(x).requires_grad_()
        found = made(given)
        found.backward(torch.from_numpy(slopes))
        within = 1e-13 if wide else 1e-5
        np.testing.assert_allclose(found.detach().numpy(), expected, rtol=0, atol=within)
        np.testing.assert_allclose(given.grad.numpy(), back(jnp.asarray(slopes))[0], rtol=0, atol=5 * within)
    return str(made.source)


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("sizes", [LARGER, SMALLER, MIXED, ODD])
@pytest.mark.parametrize(
    ("method", "antialias", "mode"),
    [
        ("bilinear", True, "bilinear"),
        ("bilinear", False, "bilinear"),
        ("cubic", True, "bicubic"),
        ("cubic-pytorch", False, "bicubic"),
        ("nearest", True, "nearest"),
    ],
)
def test_images(method: str, antialias: bool, mode: str, sizes: tuple[int, int], wide: bool) -> None:
    last = sizes in (LARGER, MIXED)
    shape = (3, 4, 8, 6) if last else (3, 8, 6, 4)
    source = assert_same(partial(resized, sizes=sizes, last=last, method=method, antialias=antialias), shape, wide)
    assert f'mode="{mode}' in source
    shrinks = sizes[0] < 8 or sizes[1] < 6
    filtered = antialias and (mode == "bicubic" or (shrinks and mode == "bilinear"))
    assert ("antialias=True" in source) == filtered
    assert ("movedim" in source) != last


@pytest.mark.parametrize(
    ("shape", "sizes", "mode"), [((3, 8, 2), (13,), "linear"), ((3, 2, 4, 5, 3), (8, 5, 4), "trilinear")]
)
def test_signals_and_volumes(shape: tuple[int, ...], sizes: tuple[int, ...], mode: str) -> None:
    last = len(sizes) == 3
    larger = tuple(max(sizes[n], shape[2:][n] + 1) if last else sizes[n] for n in range(len(sizes)))
    source = assert_same(partial(resized, sizes=larger, last=last, method="linear"), shape, True)
    assert f'mode="{mode}"' in source


@pytest.mark.parametrize(
    ("shape", "sizes", "method", "antialias"),
    [
        ((3, 8, 6, 4), SMALLER, "cubic", False),  # a = -0.5 here, -0.75 in torch
        ((3, 8, 2), (5,), "linear", True),  # torch antialiases images of two axes alone
        ((3, 8, 6, 4), LARGER, "lanczos3", True),
        # what the installed JAX has of these: 0.10.0 has no areas
        *(((3, 8, 6, 4), SMALLER, m.name.lower(), True) for m in jax.image.ResizeMethod if m.name == "AREA"),
    ],
)
def test_what_torch_does_not_compute(shape: Any, sizes: Any, method: str, antialias: bool) -> None:
    function = partial(resized, sizes=sizes, last=False, method=method, antialias=antialias)
    assert "interpolate" not in assert_same(function, shape, True)


def test_pixels_that_torch_might_round_otherwise_are_chosen_by_their_numbers() -> None:
    found = {0.0: 0, 0.5: 0}
    for before in range(1, 50):
        x = torch.arange(float(before)).reshape(1, 1, before, 1)
        for after in range(1, 50):
            places = np.arange(after, dtype=np.float32)
            expected = np.floor((places + np.float32(0.5)) * np.float32(before) / np.float32(after))
            for mode, offset in (("nearest", 0.0), ("nearest-exact", 0.5)):
                if not _takes_the_same(before, after, offset):
                    continue
                found[offset] += 1
                for image in (x, x.double(), x.contiguous(memory_format=torch.channels_last)):
                    ours = F.interpolate(image, size=(after, 1), mode=mode)[0, 0, :, 0].numpy()
                    np.testing.assert_array_equal(ours, expected, err_msg=f"{before}, {after}, {mode}")
    assert found[0.0] > 100
    assert found[0.5] > 2000


class Upsampling(nnx.Module):
    def __init__(self) -> None:
        self.first, self.second = (nnx.Conv(3, 3, (3, 3), rngs=nnx.Rngs(n)) for n in range(2))

    def __call__(self, x: Any) -> Any:
        x = self.first(x)
        return self.second(jax.image.resize(x, (x.shape[0], 2 * x.shape[1], 2 * x.shape[2], 3), "nearest"))


def test_a_network_of_images_has_its_transposes_at_the_border() -> None:
    source = str(regauge.to_torch(Upsampling(), (jnp.ones((2, 4, 5, 3)),)).source)
    assert 'F.interpolate(x, size=(8, 10), mode="nearest")' in source
    assert source.count("permute") == 2
    assert "movedim" not in source
