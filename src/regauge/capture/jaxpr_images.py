"""Resizing of images: `jax.image.resize`, of which JAX leaves the matrices of weights, or the rows that it takes.

Only what `torch.nn.functional.interpolate` computes too becomes one node. Both have centres at half pixels, and where
images shrink both widen the filter if they antialias; torch does that for images of two axes, and its cubic filter has
a = -0.5 then, as JAX's always has, and -0.75 else. The nearest pixel is taken where both round to the same one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from regauge.capture.jaxpr_functions import Candidate, Function, Place, probe
from regauge.ir.graph import Node, node_inputs

_FAR = 160  # more nodes than a resizing of three axes has
_LINEAR = ("linear", "bilinear", "trilinear")
Modes = Callable[[Sequence[int], Sequence[int]], Iterator[tuple[str, bool]]]
_FLOATS = (jnp.float32, jnp.float64)  # narrower ones round the weights in JAX


def _resized(place: Place, filtered: bool) -> Iterator[Candidate]:
    """The image is what a product or a choice of rows takes besides what is made of counts."""
    nodes = place.nodes[place.position : place.position + _FAR]
    if len(nodes) < 3 or nodes[1].op != "lax.add" or nodes[1].argument("y") != 0.5:
        return
    made = {value.name for node in nodes for value in node.outputs}
    for node in nodes:
        image = next((place.aval(name) for name in node_inputs(node) if name not in made), None)
        if node.op in ("lax.dot_general", "lax.gather") and image is not None:
            modes = _nearest if node.op == "lax.gather" else _filtered if filtered else _unfiltered
            yield from _of_image(image, nodes, place, modes)
            return


def _of_image(image: Any, nodes: Sequence[Node], place: Place, modes: Modes) -> Iterator[Candidate]:
    rank = len(image.shape)
    if rank not in (3, 4, 5) or image.dtype not in _FLOATS:
        return
    shapes = dict.fromkeys(place.aval(v.name).shape for node in nodes for v in node.outputs if v.spec.ndim == rank)
    for shape in shapes:
        axes = tuple(axis for axis in range(rank) if image.shape[axis] != shape[axis])
        before, after = ([s[axis] for axis in axes] for s in (image.shape, shape))
        if axes not in (tuple(range(1, rank - 1)), tuple(range(2, rank))):
            continue
        if not all(isinstance(size, int) for size in (*before, *after)):
            continue
        for mode, antialias in modes(before, after):
            static = (("axes", axes), ("sizes", tuple(after)), ("mode", mode), ("antialias", antialias))
            yield Candidate((("image", image),), static)


def _filtered(before: Sequence[int], after: Sequence[int]) -> Iterator[tuple[str, bool]]:
    """Modes of torch for `antialias=True`, JAX's default, and whether they antialias: a linear one where it shrinks."""
    shrinks = any(a < b for b, a in zip(before, after, strict=True))
    if len(before) == 2 or not shrinks:
        yield _LINEAR[len(before) - 1], shrinks
    if len(before) == 2:
        yield "bicubic", True


def _unfiltered(before: Sequence[int], after: Sequence[int]) -> Iterator[tuple[str, bool]]:
    """The same for `antialias=False`."""
    yield _LINEAR[len(before) - 1], False
    if len(before) == 2:
        yield "bicubic", False


def _nearest(before: Sequence[int], after: Sequence[int]) -> Iterator[tuple[str, bool]]:
    """The mode of torch that takes the pixels that JAX takes, if one does."""
    for mode, offset in (("nearest", 0.0), ("nearest-exact", 0.5)):
        if all(_takes_the_same(*sizes, offset) for sizes in zip(before, after, strict=True)):
            yield mode, False
            return


def _takes_the_same(before: int, after: int, offset: float) -> bool:
    """Whether pixels are the same by JAX's formula and by each of torch's kernels, which round in different places."""
    places = np.arange(after, dtype=np.float32)
    half, single = np.float32(0.5), np.float32(before) / np.float32(after)
    ours = np.floor((places + half) * np.float32(before) / np.float32(after))
    moved = places + np.float32(offset)
    centred = np.maximum(single * moved - np.float32(offset), 0).astype(np.float64) + offset
    products = [single * moved, moved * (before / after), (moved * np.float64(single)).astype(np.float32), centred]
    return all(np.array_equal(ours, np.minimum(np.floor(found), before - 1)) for found in products)


def _call(method: str, filtered: bool) -> Callable[..., Any]:
    """`jax.image.resize` with the cubic filter of this name."""

    def resize(image: Any, axes: tuple[int, ...], sizes: tuple[int, ...], mode: str, antialias: bool) -> Any:
        shape = [sizes[axes.index(axis)] if axis in axes else size for axis, size in enumerate(image.shape)]
        chosen = method if mode == "bicubic" else mode.partition("-")[0]
        return jax.image.resize(image, shape, chosen if chosen in (method, "nearest") else "linear", filtered)

    return resize


RESIZES = tuple(
    Function(
        "jax.image.resize",
        _call(method, filtered),
        partial(_resized, filtered=filtered),
        probe(("image", (1, 4, 4, 1)), axes=(1, 2), sizes=(8, 8), mode="bilinear", antialias=False),
    )
    for method, filtered in (("cubic", True), ("cubic-pytorch", False))
)
