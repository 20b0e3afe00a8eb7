"""Cases that are really converted: their results take the place of estimates."""

from __future__ import annotations

from pathlib import Path

import pytest

from regauge.decide.audit import audit_tree
from regauge.decide.audit.files import BadAudit

EXAMPLES = Path(__file__).parents[3] / "examples"
MODEL = """import torch
from torch import nn
import regauge


class Hashed(nn.Module):
    def forward(self, x):
        return x * torch.hash_tensor(x).to(x.dtype)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.hashed = Hashed()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        return self.hashed(self.linear(x))


def case():
    return regauge.Case(Net(), inputs=(torch.ones(2, 4),))
"""


def test_a_refused_case_names_its_gap_at_the_line(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(MODEL)
    audit = audit_tree(tmp_path, cases=[f"{tmp_path / 'net.py'}:case"])
    outcome = audit.cases[0]
    assert outcome.outcome == "refused"
    assert outcome.classes == ("net.py:Hashed", "net.py:Net")
    assert any("aten.hash_tensor.default" in gap for gap in outcome.gaps)
    names = {name.name: name for name in audit.names}
    assert names["torch.hash_tensor"].degree == "manual"
    assert "aten.hash_tensor.default" in names["torch.hash_tensor"].why
    assert names["torch.nn.Linear"].degree == "automatic"


@pytest.mark.slow
def test_a_converted_case_makes_its_classes_automatic() -> None:
    audit = audit_tree(EXAMPLES, cases=[f"{EXAMPLES / 'my_model.py'}:case"])
    assert [(outcome.outcome, outcome.gaps) for outcome in audit.cases] == [("converted", ())]
    assert "my_model.py:Attention" in audit.cases[0].classes
    assert any(name.why == "a case of it was converted" for name in audit.names)
    assert audit.totals.manual == audit.totals.none == 0


@pytest.mark.slow
def test_a_case_that_fails_is_said_to_fail(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("import torch\nx = torch.zeros(3)\n")
    audit = audit_tree(tmp_path, cases=[f"{tmp_path / 'net.py'}:missing"])
    assert audit.cases[0].outcome == "failed"
    assert "no name" in audit.cases[0].gaps[0]


def test_cases_go_to_jax_only(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("import jax\nx = jax.grad\n")
    with pytest.raises(BadAudit, match="jax only"):
        audit_tree(tmp_path, cases=["a.py:case"])
