"""What both describing workers share: inputs, targets and outputs of a side, written beside its weights.

A *describe* job says what a side is before it is judged: ``{"job": "describe", "out", "case"}``. Its files are
``reference.safetensors`` (``inputs.*``, ``targets.*``, ``outputs.*`` in evaluation mode) and ``weights.safetensors``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from regauge.errors import BadCase
from regauge.run.array_files import save_arrays
from regauge.run.protocol import Skeleton, flatten_tree

REFERENCE, WEIGHTS = "reference.safetensors", "weights.safetensors"


def flatten(tree: Any, prefix: str, is_array: Callable[[Any], bool]) -> tuple[Skeleton, dict[str, Any]]:
    """A person's tree of arrays, by leaf name.

    Raises:
        BadCase: it holds something that is neither an array nor a container of arrays.
    """
    try:
        return flatten_tree(tree, is_array, prefix)
    except TypeError as error:
        raise BadCase(
            f"the {prefix} hold something that is no array",
            received=str(error),
            next="give arrays in tuples, lists and dicts; an argument named key or rng is given a random key",
        ) from error


def write_description(
    out: Path, reference: Mapping[str, np.ndarray], weights: Mapping[str, np.ndarray], roles: Mapping[str, str]
) -> dict[str, Any]:
    """Write both files, and say what the weights are.

    Args:
        out: directory.
        reference: arrays of inputs, targets and outputs.
        weights: by name.
        roles: by name, ``parameter``, ``frozen`` or ``buffer``.
    """
    save_arrays(out / REFERENCE, reference)
    save_arrays(out / WEIGHTS, weights)
    return {
        name: {"shape": list(array.shape), "dtype": str(array.dtype), "role": roles[name]}
        for name, array in weights.items()
    }


def rejects(error: Exception) -> BadCase:
    """The model does not take its own inputs."""
    return BadCase(
        f"the model rejects its own inputs: {type(error).__name__}: {error}",
        next="call the model with the case's inputs in evaluation mode",
    )
