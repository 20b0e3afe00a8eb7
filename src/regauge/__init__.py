"""regauge: convert a model between PyTorch and JAX, check that both are the same function, measure both, choose.

Public names are loaded on first use: importing regauge imports neither torch nor jax.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Case": "regauge.case",
    "to_jax": "regauge.api",
    "to_torch": "regauge.api",
    "check": "regauge.api",
    "check_optimizers": "regauge.verify.optimizer_pair",
    "compare": "regauge.api",
    "choose": "regauge.api",
    "audit": "regauge.api",
    "RegaugeError": "regauge.errors",
    "Finding": "regauge.findings",
    "optimizers": "regauge.optimizers",
    "rule": "regauge.rules.custom",
    "testing": "regauge.testing",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'regauge' has no attribute {name!r}")
    module = importlib.import_module(_PUBLIC[name])
    return module if module.__name__ == f"regauge.{name}" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
