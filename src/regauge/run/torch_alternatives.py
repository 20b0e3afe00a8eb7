"""All other ways to compute a call of torch: the mistakes of ports, for substitution."""

from __future__ import annotations

from regauge.run import (
    torch_alternatives_elementwise,
    torch_alternatives_recurrent,
    torch_alternatives_sequences,
    torch_alternatives_spatial,
    torch_alternatives_weights,
)
from regauge.run.torch_alternative_registry import ALTERNATIVES, WEIGHTS

FAMILIES = (
    torch_alternatives_elementwise,
    torch_alternatives_recurrent,
    torch_alternatives_sequences,
    torch_alternatives_spatial,
    torch_alternatives_weights,
)
__all__ = ["ALTERNATIVES", "FAMILIES", "WEIGHTS"]
