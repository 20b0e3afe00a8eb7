"""Checks of models in which values decide what is dropped: a condition, or rows that are selected."""

from __future__ import annotations

from pathlib import Path

from networks.comparing import convert

from regauge.verify import Check, CheckOptions, check_folder

HEAD = """
import torch
from torch import nn
import torch.nn.functional as F
import regauge

torch.manual_seed(0)

class BothWays(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        def first(x):
            return F.dropout(self.linear(x), 0.2, self.training)

        return torch.cond(x.sum() > 0, first, lambda x: F.dropout(x * 2, 0.5, self.training), (x,))

class OneWay(nn.Module):
    # the inputs of the case take the way that drops nothing, others the other one
    def __init__(self):
        super().__init__()
        self.linear, self.drop = nn.Linear(4, 4), nn.Dropout(0.5)

    def forward(self, x):
        return self.drop(self.linear(x)) if x.sum() < 21 else x

class Dropped(nn.Module):
    # the second condition depends on what the first dropout draws
    def __init__(self):
        super().__init__()
        self.linear, self.drop, self.other = nn.Linear(4, 4), nn.Dropout(0.5), nn.Dropout(0.25)

    def forward(self, x):
        x = self.drop(self.linear(x))
        return self.other(x) if x.sum() > 0.1 else x

class Noisy(nn.Module):
    # what is drawn behind the condition is the second number on one way, and the first on the other
    def __init__(self):
        super().__init__()
        self.linear, self.scale = nn.Linear(4, 4), nn.Parameter(torch.ones(4))

    def forward(self, x):
        if x.sum() > 0:
            x = self.linear(x) + torch.randn_like(x)
        return x + self.scale * torch.randn_like(x)

class Selected(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.drop = nn.Linear(4, 16), nn.Dropout(0.25)

    def forward(self, x):
        mask = x[:, 0] > 0
        found = torch.zeros(len(x), 16)
        found[mask] = self.drop(self.linear(x[mask]))
        return found

class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 16)

    def forward(self, x):
        return F.dropout1d(self.linear(x)[None], 0.25, self.training)[0]

model, x = NAME(), torch.randn(40, 4)
optimizer = torch.optim.SGD(model.parameters(), 0.01) if "NAME" == "Noisy" else None
trained = {"targets": torch.randn(40, 4), "loss": F.mse_loss, "optimizer": optimizer} if optimizer else {}
case = regauge.Case(model, (x,), **trained)
"""


def checked(name: str, folder: Path) -> Check:
    (folder / "original.py").write_text(HEAD.replace("NAME", name), encoding="utf-8")
    network = convert(f"{folder / 'original.py'}:case", folder)
    if name == "Shared":  # a port that gives every element a draw of its own
        source = network.folder / "model.py"
        text = source.read_text(encoding="utf-8")
        line = "return ops.drop(self.linear(x)[None], ops.kept(self.rng(), 0.25, (1, batch, 1)), 0.25)[0]"
        assert line in text
        text = text.replace(line, "return self.drop(self.linear(x))")
        source.write_text(text.replace("self.rng = ", "self.drop = nnx.Dropout(0.25, rngs=rngs)\n        self.rng = "))
    (folder / "work").mkdir()
    options = CheckOptions(quick=True, locate=False, float32=False)
    return check_folder(network.case, network.folder, folder / "work", options=options)


def verdicts(check: Check) -> dict[str, str]:
    return {tier.name: tier.verdict for tier in check.tiers if "mask" in tier.name or tier.name == "randomness"}


def test_each_input_has_the_masks_of_the_way_that_it_takes(tmp_path: Path) -> None:
    check = checked("BothWays", tmp_path)
    assert check.verdict == "equal"
    assert set(verdicts(check).values()) == {"equal"}
    assert any(name.startswith("tier 1 outputs") for name in verdicts(check))


def test_inputs_on_whose_way_nothing_is_dropped_are_left_out(tmp_path: Path) -> None:
    check = checked("OneWay", tmp_path)
    assert check.verdict == "equal"
    assert verdicts(check)["tier 1 outputs with dropout masks"] == "equal"


def test_ways_that_dropout_decides_are_not_compared_draw_by_draw(tmp_path: Path) -> None:
    check = checked("Dropped", tmp_path)
    assert check.verdict == "equal"
    assert "different" not in verdicts(check).values()


def test_numbers_that_a_way_draws_are_not_counted_for_the_other(tmp_path: Path) -> None:
    check = checked("Noisy", tmp_path)
    assert check.verdict == "equal"
    assert {tier.name: tier.verdict for tier in check.tiers}["trajectory SGD"] == "equal"


def test_rows_that_are_selected_may_be_dropped_with_all_others(tmp_path: Path) -> None:
    check = checked("Selected", tmp_path)
    assert check.verdict == "equal"
    assert verdicts(check)["randomness"] == "equal"


def test_draws_that_elements_share_in_the_original_only_are_a_difference(tmp_path: Path) -> None:
    assert verdicts(checked("Shared", tmp_path))["randomness"] == "different"
