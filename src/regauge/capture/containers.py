"""Dataclasses that a model takes or returns: torch.export must know how to take them apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch.utils import _pytree as pytree


def register_dataclasses(*trees: Any) -> None:
    """Make the dataclasses in inputs and outputs known, as ``torch.export.register_dataclass`` does.

    They stay known for the life of the process: torch has no way back.
    """
    for tree in trees:
        for cls in _unknown(tree):
            if cls not in pytree.SUPPORTED_NODES:
                torch.export.register_dataclass(cls)


def _unknown(tree: Any) -> Iterator[type]:
    if isinstance(tree, Mapping):
        children = list(tree.values())
    elif isinstance(tree, tuple | list):
        children = list(tree)
    elif dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        children = [getattr(tree, field.name) for field in dataclasses.fields(tree)]
        yield type(tree)
    else:
        return
    for child in children:
        yield from _unknown(child)
