"""Emitted code is not longer than what a person writes: lines of classes, without those that the file copies."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_vit_port
import torch
from tiny_vit import TinyViT

import regauge
from benchmarks import handwritten, originals


def lines(source: str, classes: list[str]) -> int:
    """Statements of the classes: lines of code without comments, docstrings and blank lines."""
    found = 0
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and node.name in classes:
            node.body = [part for part in node.body if not (isinstance(part, ast.Expr) and ast.get_docstring(node))]
            found += len([line for line in ast.unparse(node).splitlines() if line.strip()])
    return found


def encoder() -> tuple[Any, torch.Tensor, Any, list[str]]:
    return originals.Encoder(), torch.zeros(2, 64, dtype=torch.int64), handwritten, ["Attention", "Layer", "Encoder"]


def resnet() -> tuple[Any, torch.Tensor, Any, list[str]]:
    return originals.ResNet(), torch.zeros(2, 3, 32, 32), handwritten, ["Block", "ResNet"]


def tiny_vit() -> tuple[Any, torch.Tensor, Any, list[str]]:
    return TinyViT(), torch.zeros(2, 3, 32, 32), tiny_vit_port, ["Attention", "Block", "TinyViT"]


@pytest.mark.parametrize(
    ("make", "more"),
    # by hand three projections are one line
    [(encoder, 2), (resnet, 0), (tiny_vit, 0)],
    ids=lambda make: getattr(make, "__name__", ""),
)
def test_emitted_classes_are_as_short_as_those_written_by_hand(make: Callable[[], Any], more: int) -> None:
    torch.manual_seed(0)
    model, inputs, port, classes = make()
    source = regauge.to_jax(model, (inputs,), train=True).source
    own = [node.name for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    emitted = [name for name in own if name.rstrip("0123456789") in classes]
    by_hand = lines(Path(port.__file__).read_text(encoding="utf-8"), classes)
    assert lines(source, emitted) <= by_hand + more, (lines(source, emitted), by_hand)
