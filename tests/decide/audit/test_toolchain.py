"""The tool chain: what changes line by line, and the files that are written."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from regauge.decide.audit import Audit, audit_tree
from regauge.decide.audit.toolchain.packages import TESTED, Replacer
from regauge.decide.audit.toolchain.writing import write_files
from regauge.errors import OutputError

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def written(audit: Audit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("new") / "side"
    write_files(audit, place)
    return place


def test_requirements_keep_their_comments(written: Path) -> None:
    lines = (written / "requirements.txt").read_text().split("\n")
    assert lines[:2] == ["# what training needs", "jax[cuda12]>=0.10  # the framework"]
    assert "numpy>=1.26" in lines
    assert "wandb" in lines
    assert not any("torch" in line for line in lines)


def test_pyproject_stays_valid(written: Path) -> None:
    project = tomllib.loads((written / "pyproject.toml").read_text())["project"]
    assert project["dependencies"] == ["jax>=0.10", "flax>=0.12.8", "optax>=0.2.8", "numpy"]
    assert project["requires-python"] == ">=3.11"
    assert "# as old as it goes" in (written / "pyproject.toml").read_text()
    assert "torchmetrics" not in project["optional-dependencies"]["train"]


def test_containers_environments_and_workflows(written: Path) -> None:
    docker = (written / "Dockerfile").read_text()
    assert "FROM python:3.12-slim" in docker
    assert '"jax[cuda12]>=0.10"' in docker
    assert '["python", "train.py"]' in docker
    conda = (written / "environment.yml").read_text()
    assert "  - jax>=0.10  # framework" in conda
    assert "pytorch" not in conda
    workflow = (written / ".github/workflows/ci.yml").read_text()
    assert '- run: pip install "jax>=0.10"' in workflow
    assert "torch" not in workflow
    assert workflow.count("\n") == 12


def test_setup_py_changes_only_what_lists_requirements(written: Path) -> None:
    text = (written / "setup.py").read_text()
    assert 'description="torch"' in text
    assert '"jax>=0.10"' in text


def test_the_originals_stay(audit: Audit, tree: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()}
    write_files(audit, tmp_path / "new")
    write_files(audit, tmp_path / "new")  # what an audit wrote, it may replace
    assert {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()} == before


def test_nothing_else_is_replaced(audit: Audit, tree: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="no audit wrote"):
        write_files(audit, tmp_path)
    with pytest.raises(OutputError, match="in place of the audited ones"):
        write_files(audit, tree)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_file_that_changed_meanwhile_stops_everything(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("import torch\nx = torch.zeros(3)\n")
    (tmp_path / "requirements.txt").write_text("torch\n")
    audit = audit_tree(tmp_path)
    (tmp_path / "requirements.txt").write_text("numpy\n")
    with pytest.raises(OutputError, match="changed while"):
        write_files(audit, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.py", "requirements.txt"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_ends_stay(end: str, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("import torch\nx = torch.zeros(3)\n")
    (tmp_path / "requirements.txt").write_bytes(f"numpy{end}torch{end}".encode())
    write_files(audit_tree(tmp_path), tmp_path / "new")
    new = (tmp_path / "new" / "requirements.txt").read_bytes().decode()
    assert new == end.join(["numpy", "jax>=0.10", "flax>=0.12.8", "optax>=0.2.8", ""])


def test_the_other_direction(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("import jax\nx = jax.grad\n")
    (tmp_path / "requirements.txt").write_text("jax[cuda12]==0.4.30\njaxlib==0.4.30\nflax\noptax\nnumpy\n")
    write_files(audit_tree(tmp_path), tmp_path / "new")
    assert (tmp_path / "new" / "requirements.txt").read_text() == "torch>=2.11\nnumpy\n"


def test_a_package_is_written_once() -> None:
    replacer = Replacer("jax")
    assert replacer.replace("torch>=2")[0] == ["jax>=0.10", "flax>=0.12.8", "optax>=0.2.8"]  # type: ignore[index]
    assert replacer.replace("accelerate")[0] == []  # type: ignore[index]
    assert replacer.replace("numpy") is None
    assert replacer.replace("not a requirement") is None


def test_the_versions_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {line for extra in ("torch", "jax") for line in project["optional-dependencies"][extra]}
    assert named == {f"{name}{version}" for name, version in TESTED.items()}
