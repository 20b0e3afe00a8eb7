"""``regauge audit`` as a person calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import regauge
from regauge.cli.main import main

Captured = pytest.CaptureFixture[str]
MODEL = "import torch\nfrom torch import nn\n\nclass Net(nn.Module):\n    def forward(self, x):\n"
MODEL += "        if x.sum() > 0:\n            return torch.relu(x)\n        return x.item()\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "code"
    root.mkdir()
    (root / "net.py").write_text(MODEL)
    (root / "requirements.txt").write_text("torch==2.1  # <b>bold</b>\n")
    return root


def test_json_is_one_object(tree: Path, tmp_path: Path, capsys: Captured) -> None:
    assert main(["audit", str(tree), "--json", "--out", str(tmp_path / "out"), "--write", str(tmp_path / "new")]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["ok"] is True
    assert shown["audit"]["source"] == "pytorch"
    assert shown["audit"]["totals"]["framework_lines"] == sum(
        shown["audit"]["totals"][name] for name in ("automatic", "equivalent", "manual", "none")
    )
    assert shown["written"] == [str(tmp_path / "new" / "requirements.txt")]
    assert json.loads((tmp_path / "out" / "audit.json").read_text()) == shown["audit"]


def test_terminal_in_both_languages(tree: Path, tmp_path: Path, capsys: Captured) -> None:
    assert main(["audit", str(tree), "--out", str(tmp_path / "out"), "--lang", "en"]) == 0
    english = capsys.readouterr()
    assert "of the lines that use PyTorch move to JAX automatically" in english.out
    assert "net.py:8" in english.out
    assert "audit.html" in english.err
    assert main(["audit", str(tree), "--out", str(tmp_path / "out"), "--lang", "zh"]) == 0
    chinese = capsys.readouterr().out
    for text in ("可自动迁移到", "按顺序的工作", "读取张量的数值", "工具链"):
        assert text in chinese
    assert "reads the value" not in chinese
    assert "to be rewritten" not in chinese


def test_the_page_holds_both_languages_and_needs_no_network(tree: Path, tmp_path: Path) -> None:
    assert main(["audit", str(tree), "--out", str(tmp_path / "out")]) == 0
    page = (tmp_path / "out" / "audit.html").read_text(encoding="utf-8")
    assert 'lang="en"' in page
    assert 'lang="zh"' in page
    assert "需要重写" in page
    assert "&lt;b&gt;bold" in page
    assert "<b>bold" not in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "src=" not in page


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["missing"], "A100", "no such file or directory"),
        (["code/requirements.txt"], "A100", "reads a directory, a Python file or a notebook"),
        (["empty"], "A110", "no Python file"),
        (["code", "--to", "mxnet"], "A120", "to jax or to torch"),
        (["code", "--write", "code"], "S230", "in place of the audited ones"),
        (["code", "--write", "full"], "S220", "no audit wrote"),
        (["code", "--exclude", "*"], "A110", "no Python file"),
    ],
)
def test_bad_input(
    arguments: list[str], code: str, message: str, tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tree.parent)
    (tree.parent / "empty").mkdir()
    (tree.parent / "full").mkdir()
    (tree.parent / "full" / "mine.txt").write_text("mine")
    assert main(["audit", *arguments]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert code in shown.err
    assert message in shown.err
    assert not (tree.parent / "build").exists()  # nothing half-written
    assert [path.name for path in (tree.parent / "full").iterdir()] == ["mine.txt"]


def test_nothing_to_move_is_an_answer(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "plain.py").write_text("x = 1\n")
    assert main(["audit", str(tmp_path), "--out", str(tmp_path / "out"), "--lang", "en"]) == 0
    assert "Nothing here uses PyTorch or JAX." in capsys.readouterr().out


def test_the_python_name(tree: Path) -> None:
    assert regauge.audit(tree).source == "pytorch"
    assert regauge.audit(tree, to="torch").totals.framework_lines == 0
