"""Files that can and cannot be read: each bad one is one finding, and the audit goes on."""

from __future__ import annotations

from pathlib import Path

import code_base
import pytest

from regauge.decide.audit import Audit, audit_tree
from regauge.decide.audit.files import BadAudit, place


def test_every_bad_file_is_one_finding(tmp_path: Path) -> None:
    code_base.write_broken(code_base.write(tmp_path))
    audit = audit_tree(tmp_path)
    found = {finding.where.partition(":")[0]: finding for finding in audit.findings}
    expected = {
        "broken.py": ("A230", "not Python 3"),
        "python2.py": ("A230", "not Python 3"),
        "binary.py": ("A221", "binary"),
        "encoding.py": ("A230", "not Python 3"),
        "deep.py": ("A230", "not Python 3"),
        "huge.py": ("A221", "MiB"),
        "broken.ipynb": ("A231", "notebook"),
        "loop": ("A210", "link"),
        "nowhere.py": ("A221", "regular file"),
        "explore.ipynb, cell 3, line 1": ("A232", "cell"),
    }
    assert {name: finding.code for name, finding in found.items()} == {
        name: code for name, (code, _) in expected.items()
    }
    for name, (_, words) in expected.items():
        assert words in found[name].text
    whole = audit_tree(code_base.write(tmp_path / "again"))
    assert audit.totals.framework_lines == whole.totals.framework_lines


def test_a_notebook_is_read_cell_by_cell(audit: Audit) -> None:
    file = next(file for file in audit.files if file.path == "explore.ipynb")
    found = {
        (audit.names[index].name, place(file.path, line, file.cells)) for index, lines in file.uses for line in lines
    }
    assert ("torch.ones", "explore.ipynb, cell 2, line 1") in found
    assert ("torch.Tensor.item", "explore.ipynb, cell 2, line 2") in found
    assert not any(name == "torch.zeros" for name, _ in found)  # a cell of another language


@pytest.mark.parametrize("name", [".venv", "node_modules", ".git", "build", "site-packages", "my_env"])
def test_environments_are_left_out(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("import torch\nx = torch.zeros(3)\n")
    inner = tmp_path / name / "inner"
    inner.mkdir(parents=True)
    (inner / "b.py").write_text("import torch\nx = torch.zeros(3)\n")
    if name == "my_env":
        (tmp_path / name / "pyvenv.cfg").write_text("home = /usr\n")
    assert audit_tree(tmp_path).totals.files == 1
    assert audit_tree(tmp_path / name).totals.files == 1  # named, it is read


def test_exclude(tree: Path) -> None:
    paths = {file.path for file in audit_tree(tree, exclude=["tests", "*.ipynb"]).files}
    assert "tests/test_net.py" not in paths
    assert "explore.ipynb" not in paths
    assert "train.py" in paths


@pytest.mark.parametrize(
    ("name", "message"),
    [("missing", "no such file"), ("notes.txt", "reads a directory"), ("empty", "no Python file")],
)
def test_bad_input(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("torch")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadAudit, match=message) as caught:
        audit_tree(tmp_path / name)
    assert caught.value.exit_code == 2


def test_two_processes_give_what_one_gives(tree: Path) -> None:
    one, two = audit_tree(tree, workers=1), audit_tree(tree, workers=2)
    assert {**one.to_json(), "seconds": 0} == {**two.to_json(), "seconds": 0}


def test_the_code_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "bomb.py").write_text("import torch\nopen('touched', 'w')\nraise SystemExit(3)\n")
    audit_tree(tmp_path)
    assert not (tmp_path / "touched").exists()
    assert not Path("touched").exists()
