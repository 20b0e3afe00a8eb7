"""Random numbers of a person's file, the same in every process that loads it.

A case is loaded anew by each process that converts, checks or measures it. A model that is built with random weights
and no seed would be another model in each of them.
"""

from __future__ import annotations

import importlib
import importlib.util
import random
import sys
from collections.abc import Iterable
from pathlib import Path


def seed(number: int, files: Iterable[Path] = ()) -> None:
    """Seed the global generators of Python, NumPy and torch, from which Keras takes its own.

    Args:
        number: the seed.
        files: of which one may import torch, whose generator begins anywhere.
    """
    random.seed(number)
    if importlib.util.find_spec("numpy") is not None:
        importlib.import_module("numpy.random").seed(number)
    if "torch" in sys.modules or (any(map(_names_torch, files)) and importlib.util.find_spec("torch") is not None):
        importlib.import_module("torch").manual_seed(number)


def _names_torch(file: Path) -> bool:
    try:
        return "torch" in file.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False
