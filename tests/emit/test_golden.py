"""Emitted sources as files that review can read; REGAUGE_UPDATE_GOLDEN=1 writes them anew."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from networks import own_cases, transformers_cases
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
    judge(make.__name__, regauge.to_jax(model, inputs, train=True).sources)


KNOWN = ("resnet", "efficientnet", "convnext", "vit", "swin", "bert", "gpt2", "llama", "t5", "unet", "lstm")


@pytest.mark.parametrize("name", KNOWN)
def test_emitted_source_of_a_known_model_is_the_golden_file(name: str) -> None:
    case = getattr(own_cases if name in ("unet", "lstm") else transformers_cases, name)()
    args, kwargs = (case.inputs, {}) if isinstance(case.inputs, tuple) else ((), case.inputs)
    judge(name, regauge.to_jax(case.model, args, kwargs, train=True).sources)


def judge(title: str, sources: Mapping[str, str]) -> None:
    """Compare what was emitted with the golden files of this title, or write them."""
    for name in ("model", "ops"):
        path = GOLDEN / f"{title}_{name}.py.txt"
        if os.environ.get("REGAUGE_UPDATE_GOLDEN") and name in sources:
            path.write_text(sources[name], encoding="utf-8")
        assert path.exists() == (name in sources), f"{path.name}: set REGAUGE_UPDATE_GOLDEN=1 if this is meant"
        if name in sources:
            assert sources[name] == path.read_text(encoding="utf-8")
