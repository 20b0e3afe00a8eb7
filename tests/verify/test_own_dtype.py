"""Originals that are other functions in float64: nothing is called different that float64 cannot judge."""

from __future__ import annotations

from pathlib import Path

from networks.comparing import convert

from regauge.verify import Check, CheckOptions, check_folder

TEXT = """
import torch
from torch import nn
import regauge

torch.manual_seed(0)

class ByDtype(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        if x.dtype == torch.float32:
            return self.linear(x).relu() * 1.5
        return self.linear(x) + 2

case = regauge.Case(ByDtype(), (torch.randn(3, 4),))
"""


def checked(folder: Path, old: str = "", new: str = "") -> Check:
    (folder / "original.py").write_text(TEXT, encoding="utf-8")
    network = convert(f"{folder / 'original.py'}:case", folder)
    source = network.folder / "model.py"
    text = source.read_text(encoding="utf-8")
    assert old in text
    source.write_text(text.replace(old, new) if old else text, encoding="utf-8")
    (folder / "work").mkdir()
    options = CheckOptions(quick=True, locate=False)
    return check_folder(network.case, network.folder, folder / "work", options=options)


def test_a_branch_on_the_dtype_is_not_checked_in_float64(tmp_path: Path) -> None:
    check = checked(tmp_path)
    assert check.verdict == "not checked"
    (finding,) = [finding for finding in check.findings if finding.code == "V151"]
    assert "another function in float64" in finding.text
    assert {tier.why for tier in check.tiers if tier.name == "tier 1 outputs"} == {
        "the original is another function in float64 than in float32, which was converted"
    }


def test_a_difference_in_float32_stays_one(tmp_path: Path) -> None:
    check = checked(tmp_path, "1.5", "1.6")
    assert check.verdict == "different"
    assert "V151" not in {finding.code for finding in check.findings}
