"""Emitted sources as files that review can read; REGAUGE_UPDATE_GOLDEN=1 writes them anew."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from same_names import SameNames
from tiny_vit import TinyViT

import regauge

GOLDEN = Path(__file__).parents[1] / "golden" / "models"


def tiny_vit() -> tuple[Any, tuple[torch.Tensor, ...]]:
    return TinyViT(), (torch.zeros(2, 3, 32, 32),)


def digits() -> tuple[Any, tuple[torch.Tensor, ...]]:
    from regauge.projects.vision.digits import DigitNet

    return DigitNet(), (torch.zeros(2, 1, 8, 8),)


def branches() -> tuple[Any, tuple[torch.Tensor, ...]]:
    from modes import Branches

    return Branches(), (torch.zeros(2, 8),)


def same_names() -> tuple[Any, tuple[torch.Tensor, ...]]:
    return SameNames(), (torch.zeros(2, 3, 8, 8),)


@pytest.mark.parametrize("make", [tiny_vit, digits, branches, same_names], ids=lambda make: make.__name__)
def test_emitted_source_is_the_golden_file(make: Any) -> None:
    torch.manual_seed(0)
    model, inputs = make()
    sources = regauge.to_jax(model, inputs, train=True).sources
    for name in ("model", "ops"):
        path = GOLDEN / f"{make.__name__}_{name}.py.txt"
        if os.environ.get("REGAUGE_UPDATE_GOLDEN") and name in sources:
            path.write_text(sources[name], encoding="utf-8")
        assert path.exists() == (name in sources), f"{path.name}: set REGAUGE_UPDATE_GOLDEN=1 if this is meant"
        if name in sources:
            assert sources[name] == path.read_text(encoding="utf-8")
