"""What both sides are given, as numpy arrays: in a project of one's own, the files of a checkpoint and of a batch."""

import numpy as np


def weights() -> dict[str, np.ndarray]:
    """By the names and in the layouts of the PyTorch model."""
    random = np.random.default_rng(0)
    shapes = {
        "first.weight": (64, 32),
        "first.bias": (64,),
        "norm.weight": (64,),
        "norm.bias": (64,),
        "second.weight": (10, 64),
        "second.bias": (10,),
    }
    return {name: (0.2 * random.standard_normal(shape)).astype(np.float32) for name, shape in shapes.items()}


def batch() -> tuple[np.ndarray, np.ndarray]:
    """Eight vectors and their classes."""
    random = np.random.default_rng(1)
    return random.standard_normal((8, 32)).astype(np.float32), random.integers(0, 10, 8)
