"""What stops tracing: found in what a model runs when it is called, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from regauge.decide.audit import Audit, audit_tree

HEAD = "import random\nimport numpy as np\nimport torch\nfrom torch import nn\n\nclass Net(nn.Module):\n"
HEAD += "    def __init__(self):\n        super().__init__()\n        self.layer = nn.Linear(3, 3)\n"
HEAD += "        self.register_buffer('count', torch.zeros(()))\n\n    def forward(self, x, flag=False, mask=None):\n"


def hazards(tmp_path: Path, body: str, more: str = "") -> list[str]:
    lines = "".join(f"        {line}\n" for line in body.split("\n"))
    (tmp_path / "net.py").write_text(HEAD + "        x = self.layer(x)\n" + lines + more)
    return [item.kind for item in audit_tree(tmp_path / "net.py").hazards]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("return x.item()", "value"),
        ("return x.sum().tolist()", "value"),
        ("return x * float(x.max())", "value"),
        ("if x.sum() > 0:\n    x = -x\nreturn x", "branch"),
        ("while (x > 1).any():\n    x = x / 2\nreturn x", "branch"),
        ("assert not torch.isnan(x).any()\nreturn x", "branch"),
        ("return x if x.mean() > 0 else -x", "branch"),
        ("return x[x > 0]", "shape"),
        ("return x.nonzero()", "shape"),
        ("return torch.unique(x)", "shape"),
        ("return torch.where(x > 0)", "shape"),
        ("return torch.from_numpy(np.abs(x))", "numpy"),
        ("return x.detach().cpu().numpy()", "numpy"),
        ("self.layer.weight.data.mul_(0.9)\nreturn x", "data"),
        ("self.last = x * 2\nreturn x", "state"),
        ("global COUNT\nCOUNT = 1\nreturn x", "global"),
        ("print(x)\nreturn x", "print"),
        ("return x * random.random()", "random"),
        ("return x + np.random.rand()", "random"),
        ("return torch.empty(3).set_(x)", "memory"),
    ],
)
def test_found(body: str, kind: str, tmp_path: Path) -> None:
    assert hazards(tmp_path, body) == [kind]


@pytest.mark.parametrize(
    "body",
    [
        "return x if flag else -x",
        "if mask is not None:\n    x = x * mask\nreturn x",
        "if x.shape[0] > 3 and x.ndim == 2:\n    x = x[1:]\nreturn x",
        "if self.training:\n    x = x * 2\nreturn x",
        "n = len(x)\nreturn x.view(int(n), -1)",
        "x[x > 0] = 0\nreturn x",
        "self.count = self.count + x.sum()\nreturn x",
        "if torch.jit.is_tracing() or x.sum() > 0:\n    return x\nreturn -x",
        "return torch.where(x > 0, x, 0)",
        "if isinstance(mask, (list, tuple)):\n    return x\nreturn -x",
        "parts = {}\nparts['a'] = x\nreturn parts['a']",
        "print('shape', x.shape)\nreturn x",
    ],
)
def test_not_found(body: str, tmp_path: Path) -> None:
    assert hazards(tmp_path, body) == []


def test_helpers_of_the_same_file_are_followed(tmp_path: Path) -> None:
    more = "\n    def inner(self, y):\n        return helper(y)\n\ndef helper(y: torch.Tensor):\n    return y.item()\n"
    assert hazards(tmp_path, "return self.inner(x)", more) == ["value"]
    assert hazards(tmp_path, "return x", more) == []


def test_outside_of_a_model_nothing_is_a_hazard(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(
        "import torch\n\ndef train(loss: torch.Tensor):\n    print(loss)\n    return loss.item()\n"
    )
    assert audit_tree(tmp_path).hazards == ()


def test_a_hook_counts_wherever_the_module_registers_it(tmp_path: Path) -> None:
    more = "\n    def watch(self):\n        self.layer.register_forward_hook(print)\n"
    assert hazards(tmp_path, "return x", more) == ["hook"]


def test_places_and_code_of_the_code_base(audit: Audit) -> None:
    found = {(item.file, item.line, item.kind): item for item in audit.hazards}
    assert {key[2] for key in found} == {"branch", "value", "shape", "state", "print", "numpy"}
    item = found["shapes/layers.py", 14, "branch"]
    assert (item.function, item.what) == ("Gate.forward", "y.mean() > 0.5")
