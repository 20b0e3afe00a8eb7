"""Functions of JAX's libraries that stay whole: torch has the same."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from regauge.rules.table import RuleTable

TABLE = RuleTable("lax_to_torch.library")


@TABLE.rule("jax.nn.relu")
def relu(x: Tensor) -> Tensor:
    """relu(x)"""
    return F.relu(x)
