"""Resizing of images."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from regauge.rules.table import RuleTable

TABLE = RuleTable("lax_to_torch.images")


@TABLE.rule("jax.image.resize")
def resize(image: Tensor, axes: tuple[int, ...], sizes: tuple[int, ...], mode: str, antialias: bool = False) -> Tensor:
    """resize(image, axes, sizes, mode, antialias=False): `axes` are all but the first and the second, or but the last

    The mode is torch's; `regauge.capture.jaxpr_images` says when it computes what JAX does.
    """
    if axes[0] == 1:
        if antialias:
            return F.interpolate(image.movedim(-1, 1), size=sizes, mode=mode, antialias=True).movedim(1, -1)
        return F.interpolate(image.movedim(-1, 1), size=sizes, mode=mode).movedim(1, -1)
    if antialias:
        return F.interpolate(image, size=sizes, mode=mode, antialias=True)
    return F.interpolate(image, size=sizes, mode=mode)
