"""The audit of existing code as bounds of the migration criterion."""

from __future__ import annotations

from pathlib import Path

import regauge
from regauge.decide.migration import migration_of
from regauge.decide.needs import needs_of

CODE = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 2)

    def forward(self, x):
        return torch.relu(self.fc(x))
"""


def test_code_is_read_and_bounds_the_cost_of_moving_it(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(CODE, encoding="utf-8")
    needs = needs_of({"existing_code": {"framework": "pytorch", "path": str(tmp_path)}})
    bounds, evidence = migration_of(needs)
    low, high, name = bounds["jax"]
    assert set(bounds) == {"jax"}
    assert 0.5 < low <= high <= 1
    assert [item.id for item in evidence] == [name]
    found = regauge.choose(needs)
    assert "audit:jax" in {item.id for item in found.evidence}


def test_nothing_is_known_of_code_in_a_third_framework(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("import tensorflow as tf\n", encoding="utf-8")
    needs = needs_of({"existing_code": {"framework": "tensorflow", "path": str(tmp_path)}})
    assert migration_of(needs) == ({}, ())
