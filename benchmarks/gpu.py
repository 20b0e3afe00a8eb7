"""The GPU that both frameworks see, as a line of JSON: ``python -m benchmarks.gpu``."""

from __future__ import annotations

import json
import platform
from importlib.metadata import version

import jax
import torch


def main() -> None:
    """Raises: RuntimeError: torch or JAX sees no GPU."""
    if not torch.cuda.is_available() or jax.default_backend() != "gpu":
        raise RuntimeError("torch or JAX sees no GPU here")
    packages = ("jax", "flax", "optax")
    versions = [f"Python {platform.python_version()}", f"torch {torch.__version__}"]
    versions += [f"{name} {version(name)}" for name in packages]
    print(json.dumps({"device": torch.cuda.get_device_name(), "versions": ", ".join(versions)}))


if __name__ == "__main__":
    main()
