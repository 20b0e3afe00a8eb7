"""All other ways to compute an operation of a jaxpr: the mistakes of ports, for substitution."""

from __future__ import annotations

from regauge.run import jax_alternatives_elementwise, jax_alternatives_spatial
from regauge.run.jax_alternatives_weights import WEIGHTS
from regauge.run.jax_operation import ALTERNATIVES, ARGUMENTS

FAMILIES = (jax_alternatives_elementwise, jax_alternatives_spatial)
__all__ = ["ALTERNATIVES", "ARGUMENTS", "FAMILIES", "WEIGHTS"]
