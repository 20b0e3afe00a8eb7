"""What emitted code names in float32 or complex64 is wide in the float64 run of a check, as the original's is."""

from __future__ import annotations

from pathlib import Path

import pytest
from networks.comparing import convert

from regauge.verify import CheckOptions, check_folder

HEAD = """
import torch
from torch import nn
import regauge

torch.manual_seed(0)
x, y = torch.randn(3, 4), torch.randn(3, 4)
"""
NADAM = """
model = nn.Sequential(nn.Linear(4, 4), nn.Tanh())
case = regauge.Case(model, (x,), y, nn.functional.mse_loss, torch.optim.NAdam(model.parameters(), 1e-2))
"""
COMPLEX = """
class Oscillators(nn.Module):
    def __init__(self):
        super().__init__()
        self.rate, self.frequency = nn.Parameter(torch.rand(4)), nn.Parameter(torch.randn(4))

    def forward(self, x):
        return (x * torch.exp(-self.rate.exp() + 1j * self.frequency) * (x + 0j).to(torch.complex64)).real

case = regauge.Case(Oscillators(), (x,))
"""


@pytest.mark.parametrize("text", [NADAM, COMPLEX], ids=["the product of NAdam", "complex numbers"])
def test_nothing_rounds_in_float64(text: str, tmp_path: Path) -> None:
    (tmp_path / "original.py").write_text(HEAD + text, encoding="utf-8")
    network = convert(f"{tmp_path / 'original.py'}:case", tmp_path)
    (tmp_path / "work").mkdir()
    options = CheckOptions(quick=True, locate=False, float32=False)
    check = check_folder(network.case, network.folder, tmp_path / "work", options=options)
    assert [(tier.name, tier.why) for tier in check.tiers if tier.verdict == "different"] == []
    assert check.verdict == "equal"
